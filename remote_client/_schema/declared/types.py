"""The types of declarations: what they are on the wire, and what pydantic reads answers with."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from functools import reduce
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import BaseModel, TypeAdapter

from ..._text.cleaning import short_repr
from ...errors import ConfigurationError, SchemaError
from ..declaration import stripped

_SHAPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "enum": (enum.Enum,),
    "number": (int,),
    "float": (float,),
    "text": (str,),
    "bytes": (bytes,),
    "time": (datetime, date, time, timedelta),
    "mapping": (Mapping,),
    "list": (list, tuple, set, frozenset, AsyncIterator, Iterable),
}


class UnusableTypeError(SchemaError, ConfigurationError):
    """A declared type of which nothing can be made."""


def core(kind: Any) -> Any:
    """A type without its marks and other names, and without None."""
    kind = stripped(kind)
    if get_origin(kind) in (Union, UnionType):
        members = [each for each in get_args(kind) if each is not NoneType]
        if len(members) == 1:
            return core(members[0])
    return kind


def is_union(kind: Any) -> bool:
    """Whether a value may be of several types."""
    return get_origin(kind) in (Union, UnionType)


def is_typed_dict(kind: Any) -> bool:
    """Whether this is a `TypedDict`, typing's or typing_extensions'."""
    return is_typeddict(kind) or hasattr(kind, "__required_keys__")


def fields_of(kind: Any) -> Mapping[str, Any] | None:
    """The types of the fields of a pydantic model, a dataclass or a typed dict; None for anything else."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        kind.model_rebuild(raise_errors=False)  # it may name types that were defined after it
        return {name: each.annotation for name, each in kind.model_fields.items()}
    if is_typed_dict(kind):
        return get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {each.name: hints[each.name] for each in dataclasses.fields(kind)}
    return None


def shape(kind: Any) -> str:
    """What a value of a type looks like on the wire."""
    if get_origin(kind) is Literal:
        shapes = {shape(type(each)) for each in get_args(kind) if each is not None}
        return shapes.pop() if len(shapes) == 1 else "any"
    origin = get_origin(kind) or kind
    if fields_of(kind) is not None:
        return "message"
    if not isinstance(origin, type):
        return "any"
    for name, kinds in _SHAPES.items():
        if issubclass(origin, kinds):
            return name
    return str(origin)


def item_of(kind: Any) -> Any:
    """The type of a list's items, or of a mapping's values."""
    arguments = [each for each in get_args(kind) if each is not ...]
    return arguments[-1] if arguments else Any


def adapter(kind: Any) -> TypeAdapter[Any]:
    """What reads answers of a declared type.

    Raises:
        UnusableTypeError: pydantic can make nothing of it.
    """
    try:
        return TypeAdapter(_readable(kind))
    except Exception:
        raise UnusableTypeError(f"{shown_type(_culprit(kind))} cannot be used in a declaration") from None


def _culprit(kind: Any) -> Any:
    """The innermost part of a type that pydantic can make nothing of."""
    for part in (*get_args(stripped(kind)), *(fields_of(stripped(kind)) or {}).values()):
        if part is not ... and get_origin(kind) is not Literal:
            try:
                TypeAdapter(_readable(part))
            except Exception:
                return _culprit(part)
    return kind


def _readable(kind: Any, begun: tuple[Any, ...] = ()) -> Any:
    """A type with typing_extensions' typed dicts in the place of typing's, which pydantic only takes from 3.12 on."""
    if sys.version_info >= (3, 12) or any(kind is each for each in begun):
        return kind
    begun = (*begun, kind)
    if type(kind).__module__ == "typing" and is_typeddict(kind):
        # pydantic needs typing_extensions, and its typed dicts.
        from typing_extensions import TypedDict

        hints = {name: _field(each) for name, each in get_type_hints(kind, include_extras=True).items()}
        fields = {name: _readable(each, begun) for name, each in hints.items()}
        optional = {name: NotRequired[each] for name, each in fields.items() if name not in kind.__required_keys__}
        make: Any = TypedDict
        return make(kind.__name__, fields | optional)
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return Annotated[_readable(inner, begun), *marks]
    if stripped(kind) is not kind:
        found = _readable(stripped(kind), begun)
        return kind if found is stripped(kind) else found
    arguments = get_args(kind)
    made = tuple(_readable(each, begun) for each in arguments)
    if all(one is other for one, other in zip(made, arguments, strict=True)):
        return kind
    return reduce(_either, made) if is_union(kind) else get_origin(kind)[made]


def _field(kind: Any) -> Any:
    """The type of a typed dict's field, which says by itself whether it may be missing."""
    return get_args(kind)[0] if get_origin(kind) in (Required, NotRequired) else kind


def _either(one: Any, other: Any) -> Any:
    return Union[one, other]  # noqa: UP007 - forward references have no |


def shown_type(kind: Any) -> str:
    """A type's name in an error message."""
    return short_repr(kind) if get_args(kind) else getattr(kind, "__name__", short_repr(kind))
