"""Builds file descriptors in code: messages, enums and services of proto3, as caikit describes them."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

SCALARS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
STREAMS = {
    "": (False, False),
    "ServerStreaming": (False, True),
    "ClientStreaming": (True, False),
    "BidiStreaming": (True, True),
}
"""The prefix of a task's RPC -> whether its request and its answer are streams."""


def new_file(name: str, package: str, dependencies: Iterable[str] = ()) -> FileDescriptorProto:
    """Return an empty file."""
    return FileDescriptorProto(name=name, package=package, syntax="proto3", dependency=dependencies)


def add_field(
    message: DescriptorProto,
    name: str,
    kind: str,
    *,
    number: int | None = None,
    repeated: bool = False,
    optional: bool = False,
    is_enum: bool = False,
    oneof: str | None = None,
) -> None:
    """Add a field.

    Args:
        message: the message.
        name: the field's name.
        kind: the name of a scalar, or the full name of a message or an enum.
        number: its number; by default the next one.
        repeated: whether it is a list.
        optional: whether it can be unset. caikit writes that as a oneof `_name`, and so does this.
        is_enum: whether `kind` is an enum.
        oneof: the oneof that it is a member of.
    """
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number or len(message.field) + 1, label=label)
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_ENUM if is_enum else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{kind}"
    if optional:
        oneof = f"_{name}"
    if oneof is not None:
        names = [declared.name for declared in message.oneof_decl]
        if oneof not in names:
            message.oneof_decl.add(name=oneof)
            names.append(oneof)
        field.oneof_index = names.index(oneof)


def add_map(
    message: DescriptorProto, full_name: str, name: str, key: str, value: str, *, value_is_enum: bool = False
) -> None:
    """Add a map; `full_name` is the message's."""
    entry_name = "".join(word[:1].upper() + word[1:] for word in name.split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    add_field(entry, "key", key)
    add_field(entry, "value", value, is_enum=value_is_enum)
    add_field(message, name, f"{full_name}.{entry_name}", repeated=True)
