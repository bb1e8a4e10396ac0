"""Learned types: a process has one class for each schema, and objects travel to other processes with the schema."""

from __future__ import annotations

import copyreg
import enum
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel

from .._text.cleaning import clean
from ..errors import SchemaError
from .model_references import ByReference

T = TypeVar("T")
_RECIPE = "__remote_recipe__"
_classes: WeakValueDictionary[bytes, type[Any]] = WeakValueDictionary()
"""By the digests of their recipes. Descriptions of different servers share the classes that they describe alike."""
_recent: deque[type[Any]] = deque(maxlen=128)
"""Classes that came with unpickled objects: the next object's need not be made anew if this one is gone by then."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Part:
    """A named part of a schema. In a pickle each is there once, however many types are made of it.

    Attributes:
        name: a message's or an enum's full name, or a component's name.
        data: its definition.
        file: of protobuf, the head of the file that it stands in.
        imports: of protobuf, the files that it needs.
    """

    name: str
    data: bytes
    file: bytes = b""
    imports: tuple[str, ...] = ()

    def __reduce__(self) -> Any:
        return Part, (self.name, self.data, self.file, self.imports)

    def shared(self, digest: bytes) -> Part:
        """The part of this digest that all descriptions share."""
        return _parts.setdefault(digest, self)


_parts: WeakValueDictionary[bytes, Part] = WeakValueDictionary()


class Recipe:
    """What a learned class is made of.

    Attributes:
        make: makes the class of the name and the parts; a function that can be imported.
        name: the type's name in its schema.
        digest: what tells this recipe from others.
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
        """The type's own part and all that it refers to. Few types are pickled: no other recipe holds that many."""
        return self._parts() if callable(self._parts) else self._parts

    def __reduce__(self) -> Any:
        return Recipe, (self.make, self.name, self.parts, self.digest)

    def find(self) -> type[Any] | None:
        """The class, if it lives."""
        return _classes.get(self.digest)

    def kind(self) -> type[Any]:
        """The class: the one that lives, or a new one."""
        found = self.find()
        if found is None:
            with making():
                found = keep(self.find() or self.make(self.name, self.parts))
        return found


def keep(kind: type[T]) -> type[T]:
    """Keep a class that came with an unpickled object for a while, as more such objects may come."""
    _recent.append(kind)
    return kind


def publish(made: Sequence[type[Any]], recipes: Sequence[Recipe]) -> list[type[Any]]:
    """Let others find classes that refer to each other by what they are made of; return the ones that count.

    Of two threads that make the same at the same time the first one's count. Nobody waits for another thread to make
    types, which a hostile schema could prolong.
    """
    with _publishing:
        found = [each.find() for each in recipes]
        if None not in found:
            return [each for each in found if each is not None]
        for kind, recipe in zip(made, recipes, strict=True):
            setattr(kind, _RECIPE, recipe)
            _classes[recipe.digest] = kind
        return [*made]


@contextmanager
def as_schema_error(name: str) -> Iterator[None]:
    """Tell what pydantic does not take as an error of the server's."""
    try:
        yield
    except (SchemaError, RecursionError):
        raise
    except Exception as error:
        raise SchemaError(f"{clean(name, 200)} cannot be a pydantic model: {clean(str(error), 500)}") from error


_publishing = threading.Lock()
_lock = threading.RLock()


def making() -> threading.RLock:
    """Held by who makes types of what is unpickled: of one schema there may be many objects at once."""
    return _lock


def _after_fork() -> None:
    global _lock, _publishing
    _lock, _publishing = threading.RLock(), threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


# -- pickling ---------------------------------------------------------------------------------------------------------

if TYPE_CHECKING:
    _DynamicType = type(BaseModel)
else:

    class _DynamicType(type(BaseModel)):
        """The type of learned models' classes, by which `pickle` knows them."""


class _DynamicEnumType(enum.EnumType):
    """The type of learned enums' classes."""


class DynamicModel(ByReference, metaclass=_DynamicType):  # type: ignore[metaclass]
    """The base of learned models: they are pickled with their type's schema."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        recipe = vars(type(self)).get(_RECIPE)
        if recipe is None:  # a class of the user's own, which has this one as a base
            return super().__reduce_ex__(protocol)
        # Not of its class: cloudpickle would take that for one of a script's, and copy all that it refers to.
        return _blank, (recipe,), self.__getstate__()


class DynamicEnum(enum.IntEnum, metaclass=_DynamicEnumType):
    """The base of learned enums."""

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
