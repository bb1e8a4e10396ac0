"""The types of declarations: their shape on the wire, and the pydantic adapters that validate answers."""

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
    """A declared type that pydantic or JSON cannot express."""


def core(kind: Any) -> Any:
    """Return a type without qualifiers, aliases and None."""
    kind = stripped(kind)
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in get_args(kind) if member is not NoneType]
        if len(members) == 1:
            return core(members[0])
    return kind


def is_union(kind: Any) -> bool:
    """Return whether a type is a union."""
    return get_origin(kind) in (Union, UnionType)


def is_typed_dict(kind: Any) -> bool:
    """Return whether this is a `TypedDict` of typing or typing_extensions."""
    return is_typeddict(kind) or hasattr(kind, "__required_keys__")


def fields_of(kind: Any) -> Mapping[str, Any] | None:
    """Return the types of the fields of a pydantic model, a dataclass or a typed dict; None for other types."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        kind.model_rebuild(raise_errors=False)  # its annotations may name types that were defined later
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if is_typed_dict(kind):
        return get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return None


def shape(kind: Any) -> str:
    """Return the shape of a type's values on the wire."""
    if get_origin(kind) is Literal:
        shapes = {shape(type(value)) for value in get_args(kind) if value is not None}
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
    """Return the type of a list's items or a mapping's values."""
    arguments = [argument for argument in get_args(kind) if argument is not ...]
    return arguments[-1] if arguments else Any


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the adapter that validates answers of a declared type.

    Raises:
        UnusableTypeError: pydantic does not accept the type.
    """
    try:
        return TypeAdapter(_for_pydantic(kind))
    except Exception:
        raise UnusableTypeError(f"{type_text(_culprit(kind))} cannot be used in a declaration") from None


def _culprit(kind: Any) -> Any:
    """Return the innermost part of a type that pydantic does not accept."""
    for part in (*get_args(stripped(kind)), *(fields_of(stripped(kind)) or {}).values()):
        if part is not ... and get_origin(kind) is not Literal:
            try:
                TypeAdapter(_for_pydantic(part))
            except Exception:
                return _culprit(part)
    return kind


def _for_pydantic(kind: Any, begun: tuple[Any, ...] = ()) -> Any:
    """Replace typing's typed dicts by typing_extensions': before Python 3.12, pydantic accepts no others."""
    if sys.version_info >= (3, 12) or any(kind is outer for outer in begun):
        return kind
    begun = (*begun, kind)
    if type(kind).__module__ == "typing" and is_typeddict(kind):
        from typing_extensions import TypedDict  # a dependency of pydantic

        hints = {name: _field(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
        fields = {name: _for_pydantic(hint, begun) for name, hint in hints.items()}
        optional = {name: NotRequired[field] for name, field in fields.items() if name not in kind.__required_keys__}
        make: Any = TypedDict
        return make(kind.__name__, fields | optional)
    if get_origin(kind) is Annotated:
        inner, *metadata = get_args(kind)
        return Annotated[_for_pydantic(inner, begun), *metadata]
    if stripped(kind) is not kind:
        found = _for_pydantic(stripped(kind), begun)
        return kind if found is stripped(kind) else found
    arguments = get_args(kind)
    made = tuple(_for_pydantic(argument, begun) for argument in arguments)
    if all(one is other for one, other in zip(made, arguments, strict=True)):
        return kind
    return reduce(either, made) if is_union(kind) else get_origin(kind)[made]


def _field(kind: Any) -> Any:
    """Return the type of a typed dict's field without `Required` and `NotRequired`."""
    return get_args(kind)[0] if get_origin(kind) in (Required, NotRequired) else kind


def either(one: Any, other: Any) -> Any:
    """Return the union of two types."""
    return Union[one, other]  # noqa: UP007 - forward references have no |


def type_text(kind: Any) -> str:
    """Return a type's name for error messages."""
    return short_repr(kind) if get_args(kind) else getattr(kind, "__name__", short_repr(kind))
