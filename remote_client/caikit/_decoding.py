"""Data objects from protobuf messages, as `DataBase.from_proto` makes them, in little more than half of its time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from caikit.core.data_model import DataBase
from google.protobuf.descriptor import FieldDescriptor

from .._schema.protobuf.fields import is_repeated

_own_from_proto: Any = DataBase.from_proto
"""It looks at each field of each message again: of what kind it is, and whether the message is of the right type."""


@cache
def decoder(kind: Any) -> Callable[[Any], Any]:
    """Return the function that makes a data object of a message.

    Types with unions, maps, dicts or times, and those with a `from_proto` of their own, are made by `from_proto`.
    """
    fields = kind.get_proto_class().DESCRIPTOR.fields
    if kind.from_proto.__func__ is not _own_from_proto.__func__ or not all(map(_is_plain, fields)):
        from_proto: Callable[[Any], Any] = kind.from_proto
        return from_proto
    values = [field.name for field in fields if field.message_type is None and not is_repeated(field)]
    lists = [field.name for field in fields if field.message_type is None and is_repeated(field)]
    nested: list[tuple[str, Any, bool]] = [
        (field.name, DataBase.get_class_for_proto(field.message_type), is_repeated(field))
        for field in fields
        if field.message_type is not None
    ]

    def decode(message: Any) -> Any:
        found = {name: getattr(message, name) for name in values}
        for name in lists:
            found[name] = list(getattr(message, name))
        for name, inner, repeated in nested:
            decode_inner = decoder(inner)  # not before: a type may hold itself
            if repeated:
                found[name] = [decode_inner(item) for item in getattr(message, name)]
            elif message.HasField(name):
                found[name] = decode_inner(getattr(message, name))
        return kind(**found)

    return decode


def _is_plain(field: FieldDescriptor) -> bool:
    union, message = field.containing_oneof, field.message_type
    if union is not None and (len(union.fields) > 1 or union.name != f"_{field.name}"):  # else it is an optional field
        return False
    return message is None or not (
        message.GetOptions().map_entry
        or message.full_name.startswith("google.protobuf.")
        or message.full_name.endswith("Sequence")
    )
