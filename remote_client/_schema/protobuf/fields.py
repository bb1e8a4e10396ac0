"""The fields of messages as users see them, and the Python types of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import attrgetter, or_
from typing import Any, NamedTuple, Union

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from ..identifiers import attributes_of
from .values import WELL_KNOWN

Type = Descriptor | EnumDescriptor
_T = FieldDescriptor
INTEGERS = {
    **dict.fromkeys((_T.TYPE_INT32, _T.TYPE_SINT32, _T.TYPE_SFIXED32), "int32"),
    **dict.fromkeys((_T.TYPE_INT64, _T.TYPE_SINT64, _T.TYPE_SFIXED64), "int64"),
    **dict.fromkeys((_T.TYPE_UINT32, _T.TYPE_FIXED32), "uint32"),
    **dict.fromkeys((_T.TYPE_UINT64, _T.TYPE_FIXED64), "uint64"),
}
SCALARS: dict[int, tuple[type, str]] = {
    # protobuf type: Python type, the function that checks values of other types
    **dict.fromkeys(INTEGERS, (int, "as_int")),
    _T.TYPE_DOUBLE: (float, "as_float"),
    _T.TYPE_FLOAT: (float, "as_float32"),
    _T.TYPE_BOOL: (bool, "as_bool"),
    _T.TYPE_STRING: (str, "as_str"),
    _T.TYPE_BYTES: (bytes, "as_bytes"),
}
_MANY = 64


class Field(NamedTuple):
    """One field of a message as users see it: a oneof is one field.

    Attributes:
        name: the name of the field or of the oneof.
        attribute: its name on the pydantic model, the same if possible.
        members: the protobuf field; of a oneof, all its fields.
        is_oneof: whether it is a oneof.
        optional: whether the field has presence: it can be unset, which is not its zero value.
    """

    name: str
    attribute: str
    members: tuple[FieldDescriptor, ...]
    is_oneof: bool
    optional: bool


def fields_of(descriptor: Descriptor) -> list[Field]:
    """Return the fields of a message, in the order of their numbers.

    A oneof `_name` with the single member `name` is an optional field.
    """
    found: dict[str, tuple[list[FieldDescriptor], bool, bool]] = {}
    # The order in the file does not do: caikit's .proto files have oneofs last, its reflection has them in place.
    for member in sorted(descriptor.fields, key=attrgetter("number")):
        oneof = member.containing_oneof
        optional = oneof is not None and len(oneof.fields) == 1 and oneof.name == f"_{member.name}"
        if oneof is None or optional:
            found[member.name] = [member], False, optional
        elif oneof.name not in found:
            found[oneof.name] = list(oneof.fields), True, False
    attributes = attributes_of(found, [*descriptor.fields_by_name, *descriptor.oneofs_by_name])
    return [
        Field(name, attributes[name], tuple(members), is_oneof, optional)
        for name, (members, is_oneof, optional) in found.items()
    ]


def count_members(fields: Iterable[Field]) -> int:
    """Count fields as protobuf does: every member of a oneof is one."""
    return sum(len(field.members) for field in fields)


def message_of(field: FieldDescriptor) -> Descriptor:
    """Return the message type of a field that has one."""
    assert field.message_type is not None
    return field.message_type


def type_of(field: FieldDescriptor) -> Type | None:
    """Return the message or the enum of a field; None for scalars."""
    return field.message_type if field.message_type is not None else field.enum_type


def is_repeated(field: FieldDescriptor) -> bool:
    """Return whether a field is a list or a map. Before protobuf 6.31 only its label shows that."""
    older: Any = field
    known = getattr(older, "is_repeated", None)
    return bool(older.label == older.LABEL_REPEATED) if known is None else bool(known)


def is_required(field: FieldDescriptor) -> bool:
    """Return whether a field is required, as in proto2. Before protobuf 6.31 only its label shows that."""
    older: Any = field
    known = getattr(older, "is_required", None)
    return bool(older.label == older.LABEL_REQUIRED) if known is None else bool(known)


def is_packed(field: FieldDescriptor) -> bool:
    """Return whether a repeated field is packed. Before protobuf 6.31 only its options and its file show that."""
    older: Any = field
    known = getattr(older, "is_packed", None)
    if known is not None:
        return bool(known)
    options = older.GetOptions()
    if options.HasField("packed"):
        return bool(options.packed)
    file = FileDescriptorProto()
    older.file.CopyToProto(file)
    return bool(file.syntax == "proto3")


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a repeated field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Return the fields of a map's key and value."""
    entry = message_of(field).fields_by_name
    return entry["key"], entry["value"]


def may_have_maps(descriptor: Descriptor) -> bool:
    """Return whether there are maps among a message's fields, at any depth; of many types the answer is always yes."""
    found = {descriptor.full_name: descriptor}
    waiting = [descriptor]
    while waiting and len(found) <= _MANY:
        for field in waiting.pop().fields:
            kind = field.message_type
            if kind is not None and kind.full_name not in found:
                if is_map(field):
                    return True
                found[kind.full_name] = kind
                waiting.append(kind)
    return bool(waiting)


def sequence_field(descriptor: Descriptor | None) -> FieldDescriptor | None:
    """Return the field of a message that only wraps a list, as caikit's `StrSequence{values}`; None for others."""
    if descriptor is None or len(descriptor.fields) != 1:
        return None
    field = descriptor.fields[0]
    return field if is_repeated(field) and field.name == "values" and not is_map(field) else None


def python_type(
    field: FieldDescriptor, model: Callable[[Descriptor], Any], enum_type: Callable[[EnumDescriptor], Any]
) -> Any:
    """Return the Python type of one value of a field."""
    if field.enum_type is not None:
        return enum_type(field.enum_type)
    if field.message_type is None:
        return SCALARS[field.type][0]
    if field.message_type.full_name in WELL_KNOWN:
        return WELL_KNOWN[field.message_type.full_name].python_type
    return model(field.message_type)


def union_of(kinds: Sequence[Any]) -> Any:
    """Return the union of types."""
    # `|` compares every type with all others.
    return reduce(or_, kinds) if len(kinds) < _MANY else Union[tuple(kinds)]  # noqa: UP007 - it takes any number
