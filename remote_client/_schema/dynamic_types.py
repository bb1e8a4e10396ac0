"""Dynamic types: classes made from schemas at run time, one per schema and process, whose objects can be pickled."""

from __future__ import annotations

import copyreg
import enum
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel

from .._concurrency import fork as _fork
from .._text.cleaning import clean
from ..errors import SchemaError
from .model_references import ByReference

T = TypeVar("T")
_RECIPE = "__remote_recipe__"
_classes: WeakValueDictionary[bytes, type[Any]] = WeakValueDictionary()
"""Classes by the digests of their recipes. Servers that describe a type alike share its class."""
_recent: deque[type[Any]] = deque(maxlen=128)
"""Classes of unpickled objects, kept so that the next object's class need not be made anew."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Part:
    """A named part of a schema. A pickle contains a part once, however many types are made of it.

    Attributes:
        name: a message's or an enum's full name, or a component's name.
        data: its definition.
        file: of protobuf, the head of its file.
        imports: of protobuf, the names of the files it needs.
    """

    name: str
    data: bytes
    file: bytes = b""
    imports: tuple[str, ...] = ()

    def __reduce__(self) -> Any:
        return Part, (self.name, self.data, self.file, self.imports)

    def shared(self, digest: bytes) -> Part:
        """Return the part of the digest that all descriptions share."""
        return _parts.setdefault(digest, self)


_parts: WeakValueDictionary[bytes, Part] = WeakValueDictionary()


class Recipe:
    """The recipe of a dynamic class, by which another process makes it.

    Attributes:
        make: makes the class of the name and the parts; a function that can be imported.
        name: the type's name in its schema.
        digest: identifies the recipe.
    """

    __slots__ = ("_parts", "digest", "make", "name")

    def __init__(
        self,
        make: Callable[[str, tuple[Part, ...]], type[Any]],
        name: str,
        parts: tuple[Part, ...] | Callable[[], tuple[Part, ...]],
        digest: bytes,
    ) -> None:
        self.make = make
        self.name = name
        self.digest = digest
        self._parts = parts

    @property
    def parts(self) -> tuple[Part, ...]:
        """The type's own part and all parts it refers to, collected on demand, as few types are pickled."""
        return self._parts() if callable(self._parts) else self._parts

    def __reduce__(self) -> Any:
        return Recipe, (self.make, self.name, self.parts, self.digest)

    def find(self) -> type[Any] | None:
        """Return the class if it exists."""
        return _classes.get(self.digest)

    def kind(self) -> type[Any]:
        """Return the class. Make it if it does not exist."""
        found = self.find()
        if found is None:
            with making():
                found = keep(self.find() or self.make(self.name, self.parts))
        return found


def keep(kind: type[T]) -> type[T]:
    """Keep the class of an unpickled object for a while, as more such objects may come."""
    _recent.append(kind)
    return kind


def publish(made: Sequence[type[Any]], recipes: Sequence[Recipe]) -> list[type[Any]]:
    """Publish classes that refer to each other under their recipes, and return the published ones.

    If two threads make the same classes, the first to publish wins. No thread waits for another to make types, as a
    hostile schema could prolong that.
    """
    with _publishing:
        found = [recipe.find() for recipe in recipes]
        if None not in found:
            return [kind for kind in found if kind is not None]
        for kind, recipe in zip(made, recipes, strict=True):
            setattr(kind, _RECIPE, recipe)
            _classes[recipe.digest] = kind
        return [*made]


@contextmanager
def as_schema_error(name: str) -> Iterator[None]:
    """Raise pydantic's errors as SchemaErrors: the server's schema causes them."""
    try:
        yield
    except (SchemaError, RecursionError):
        raise
    except Exception as error:
        raise SchemaError(f"{clean(name, 200)} cannot be a pydantic model: {clean(str(error), 500)}") from error


_publishing = threading.Lock()
_lock = threading.RLock()


def making() -> threading.RLock:
    """Return the lock for making types of unpickled objects, many of which may have the same schema."""
    return _lock


def _after_fork() -> None:
    global _lock, _publishing
    _lock, _publishing = threading.RLock(), threading.Lock()


_fork.at_fork(after_in_child=_after_fork)


# -- pickling ---------------------------------------------------------------------------------------------------------

if TYPE_CHECKING:
    _DynamicType = type(BaseModel)
else:

    class _DynamicType(type(BaseModel)):
        """The metaclass of dynamic models, for which `pickle` has a reducer."""


class _DynamicEnumType(enum.EnumType):
    """The metaclass of dynamic enums, for which `pickle` has a reducer."""


class DynamicModel(ByReference, metaclass=_DynamicType):  # type: ignore[metaclass]
    """The base of dynamic models. Objects are pickled with their type's schema."""

    if not TYPE_CHECKING:  # else every attribute would exist

        def __getattr__(self, name: str) -> Any:
            """Fill a slot of pydantic's that decoders leave empty: setting all three takes a quarter of their time."""
            if name not in _SLOTS:
                return super().__getattr__(name)
            value = {*type(self).model_fields} if name == "__pydantic_fields_set__" else None
            _SLOTS[name](self, value)
            return value

    def __reduce_ex__(self, protocol: Any) -> Any:
        recipe = vars(type(self)).get(_RECIPE)
        if recipe is None:  # a user's subclass
            return super().__reduce_ex__(protocol)
        # By the recipe, as cloudpickle would take the class for one of a script, and copy all that it refers to.
        return _blank, (recipe,), self.__getstate__()


_SLOTS: dict[str, Any] = {
    name: vars(BaseModel)[name].__set__
    for name in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
}


class DynamicEnum(enum.IntEnum, metaclass=_DynamicEnumType):
    """The base of dynamic enums. Members are pickled with their type's schema."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _member, (vars(type(self))[_RECIPE], int(self))


def _blank(recipe: Recipe) -> Any:
    kind: Any = recipe.kind()
    return kind.__new__(kind)


def _member(recipe: Recipe, value: int) -> Any:
    return recipe.kind()(value)


def _reduce_class(kind: type[Any]) -> Any:
    recipe = vars(kind).get(_RECIPE)
    return kind.__qualname__ if recipe is None else (Recipe.kind, (recipe,))


copyreg.pickle(_DynamicType, _reduce_class)
copyreg.pickle(_DynamicEnumType, _reduce_class)
