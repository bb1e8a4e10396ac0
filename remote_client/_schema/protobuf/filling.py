"""What generated converters call to fill messages: values of any form, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from ..._text.cleaning import listed, short_repr, type_name
from ..foreign_values import enum_candidates, given_fields, plain_text, row_of
from .conversion_errors import FAILURES, ConversionError, raise_at
from .values import as_items


def fill(message: Any, value: Any, descriptor: Descriptor, names: dict[str, str]) -> Mapping[str, Any]:
    """The fields to set, by attribute, from anything but the type's own model. A protobuf message is merged at once."""
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
    return {names.get(name, name): each for name, each in given.items()}


def extend(target: Any, value: Any, exact: frozenset[type] | None, convert: Callable[[Any], Any]) -> None:
    """Fill a repeated scalar field. Where all items have the exact type there is nothing to check one by one."""
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
    """Takes a member, a member's name, or a member's number, and the members of other enums that have these."""
    names = {name: int(each) for name, each in kind.__members__.items()}
    numbers = {*names.values()}

    def as_enum(value: Any) -> int:
        if value.__class__ is str and value in names:
            return names[value]
        if isinstance(value, kind):
            return int(value)
        for each in enum_candidates(value):
            if isinstance(each, str) and (member := kind.named(plain_text(each))) is not None:
                return int(member)
            if isinstance(each, int) and not isinstance(each, bool) and each in numbers:
                return int(each)
        raise ValueError(f"expected one of {listed(kind.__members__, len(kind.__members__))}, not {short_repr(value)}")

    return as_enum
