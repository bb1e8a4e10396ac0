"""The functions that generated converters call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from ..._text.cleaning import listed, short_repr, type_name
from ..foreign_values import enum_candidates, given_fields, plain_text, row_of
from . import values
from .arrays import as_array, pack
from .conversion_errors import FAILURES, ConversionError, raise_at
from .values import WELL_KNOWN, as_items


def fill(message: Any, value: Any, descriptor: Descriptor, names: dict[str, str]) -> Mapping[str, Any]:
    """Return the fields to set, by attribute, of a value other than the type's model. Merge a protobuf message."""
    given: Mapping[Any, Any] | None
    if isinstance(value, Mapping):
        given = value
    elif isinstance(value, Message):
        given_type = type(value).DESCRIPTOR.full_name
        if given_type != descriptor.full_name:
            raise TypeError(f"expected {descriptor.full_name}, not the message {given_type}")
        type(message).MergeFromString(message, type(value).SerializeToString(value))
        return {}
    elif isinstance(value, BaseModel):
        given = given_fields(value)
    elif (given := row_of(value, names)) is None:
        raise TypeError(f"expected {descriptor.name} or a mapping, not {type_name(value)}")
    unknown = [name for name in given if name not in names]
    attributes = {*names.values()} if unknown else ()
    for name in unknown:
        if name not in attributes:
            known = listed(names, len(names)) or "none"
            raise ConversionError(str(name), f"{descriptor.name} has no such field; it has {known}")
    return {names.get(name, name): item for name, item in given.items()}


def extend(target: Any, value: Any, exact: frozenset[type] | None, convert: Callable[[Any], Any]) -> None:
    """Fill a repeated scalar field. Items are checked one by one unless all have one of the exact types."""
    items = as_items(value)
    if exact is not None and exact.issuperset(map(type, items)):
        try:
            target.extend(items)
            return
        except FAILURES:
            del target[:]
    for index, item in enumerate(items):
        try:
            target.append(convert(item))
        except FAILURES as error:
            if str(error).startswith("Value out of range"):
                error = ValueError(f"{item} is out of the field's range")
            raise_at(error, index)


def enum_checker(kind: Any) -> Callable[[Any], int]:
    """Return the function that takes a member, its name or number, or another enum's member with either."""
    names = {name: int(member) for name, member in kind.__members__.items()}
    numbers = {*names.values()}

    def as_enum(value: Any) -> int:
        if value.__class__ is str and value in names:
            return names[value]
        if isinstance(value, kind):
            return int(value)
        for candidate in enum_candidates(value):
            if isinstance(candidate, str) and (member := kind.named(plain_text(candidate))) is not None:
                return int(member)
            if isinstance(candidate, int) and not isinstance(candidate, bool) and candidate in numbers:
                return int(candidate)
        raise ValueError(f"expected one of {listed(kind.__members__, len(kind.__members__))}, not {short_repr(value)}")

    return as_enum


WELL_KNOWN_NUMBERS = {full_name: number for number, full_name in enumerate(WELL_KNOWN)}
"""Generated code calls `set_<number>` and `get_<number>` for a well-known type."""
FUNCTIONS: dict[str, Any] = {
    **{name: getattr(values, name) for name in dir(values) if name.startswith("as_")},
    **{f"set_{number}": WELL_KNOWN[full_name].set for full_name, number in WELL_KNOWN_NUMBERS.items()},
    **{f"get_{number}": WELL_KNOWN[full_name].get for full_name, number in WELL_KNOWN_NUMBERS.items()},
    **{f"EXACT_{kind.__name__}": frozenset({kind}) for kind in (int, float, bool, str, bytes)},
    "FAILURES": FAILURES,
    "raise_at": raise_at,
    "fill": fill,
    "extend": extend,
    "pack": pack,
    "as_array": as_array,
    "new": object.__new__,
    "repeat": repeat,
    "run": deque(maxlen=0).extend,
    # A model's own `__setattr__` is written in Python, and ten times slower. DynamicModel fills the other slots.
    "set_values": BaseModel.__dict__["__dict__"].__set__,
}
"""The names of generated code, besides those of types."""
