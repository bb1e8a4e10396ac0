"""Frozen dataclasses that check their arguments. A value of its field's own type is taken as it is.

Pydantic, which is imported then, converts any other value, or says what is wrong with it.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin

from .._objects.copying import Immutable
from ..errors import ConfigurationError


class Settings(Immutable):
    """The base of the settings: immutable, no unknown keys, one readable `ConfigurationError` for all that is wrong."""

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
        _given: frozenset[str]

    @property
    def given(self) -> dict[str, Any]:
        """The values that were given, without the defaults."""
        return {name: getattr(self, name) for name in self._given}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one."""
        return type(self)(**self.given | changes)

    @classmethod
    def prepare(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the class in the form that its fields take."""
        return values

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return settings unchanged, or make them of a mapping.

        Raises:
            ValueError: it is neither, or a value is wrong.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls(**value)
        raise ValueError(f"must be a mapping or {cls.__name__}, not {type(value).__name__}")

    def __repr__(self) -> str:
        # Tools that show a traceback's variables show settings that were refused, and have no values.
        filled = vars(self)
        shown = [
            f"{field.name}={filled[field.name]!r}" for field in fields(self) if field.repr and field.name in filled
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from .conversion import schema_of

        return schema_of(cls, handler)


S = TypeVar("S", bound=Settings)


def checked(kind: type[S]) -> type[S]:
    """Have a dataclass of settings check its arguments."""
    fill: Callable[..., None] = kind.__init__
    types = {field.name: field.type for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is field.default_factory is MISSING}

    @functools.wraps(fill)
    def check_and_fill(self: S, **values: Any) -> None:
        values = self.prepare(values)
        try:
            values = _taken(kind, values, types, needed)
            vars(self)["_given"] = frozenset(values)
            fill(self, **values)
            return
        except ValueError as error:
            problem = str(error)
        del values  # a traceback shows a frame's variables, where it is asked to
        raise ConfigurationError(f"{type(self).__name__}: {problem}")

    kind.__init__ = check_and_fill  # type: ignore[assignment]
    return kind


def _taken(kind: type[Settings], values: dict[str, Any], types: Mapping[str, Any], needed: set[str]) -> dict[str, Any]:
    """Return values as the fields hold them.

    Raises:
        ValueError: a key is missing or unknown, or a value is wrong.
    """
    if needed <= values.keys() <= types.keys():
        with contextlib.suppress(TypeError, ValueError):
            return {name: _exact(value, types[name]) for name, value in values.items()}
    from .conversion import read

    return read(kind, values)


def _exact(value: Any, kind: Any) -> Any:
    """Return the value of a field of this type, if that takes no pydantic.

    Raises:
        ValueError: pydantic must convert or refuse the value.
    """
    if kind is Any or type(value) is kind:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner, mark = arguments
        return mark.function(value) if isinstance(mark, Conversion) else mark.checked(_exact(value, inner))
    if origin in (Union, UnionType):
        if type(value) in arguments:
            return value
        (other,) = (argument for argument in arguments if argument is not NoneType)
        return _exact(value, other)
    if origin is Literal and type(value) is str and value in arguments:
        return value
    if origin is Mapping and type(value) is dict:
        return {_exact(key, arguments[0]): _exact(item, arguments[1]) for key, item in value.items()}
    if origin in (tuple, frozenset) and type(value) in (origin, list):
        return origin(_exact(item, arguments[0]) for item in value)
    if isinstance(kind, type) and issubclass(kind, Settings):
        return kind.of(value)
    raise ValueError


class Conversion:
    """Marks a type whose values a function checks and converts, as in `Annotated[float, Conversion(seconds)]`."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __repr__(self) -> str:
        return self.function.__name__

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.function, json_schema_input_schema=handler(source))


class Bounds:
    """Marks the type of a number that has bounds.

    Args:
        ge: the least value.
        le: the greatest value.
        strict: whether numbers as text are refused.
    """

    def __init__(self, ge: float, le: float = math.inf, *, strict: bool = False) -> None:
        self.ge, self.le, self.strict = ge, le, strict

    def __repr__(self) -> str:
        return f"at least {self.ge}" + ("" if self.le == math.inf else f", at most {self.le}")

    def checked(self, value: Any) -> Any:
        """Return a number within the bounds, or raise a ValueError."""
        if not self.ge <= value <= self.le:
            raise ValueError
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        upper = {} if self.le == math.inf else {"le": self.le}
        return {**handler(source), "ge": self.ge, "strict": self.strict, **upper}


Count = Annotated[int, Bounds(0)]
"""0 or more."""
Positive = Annotated[int, Bounds(1)]
"""1 or more."""
