"""Builds file descriptors in code: messages, enums and services of proto3, as caikit describes them."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

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
    repeated: bool = False,
    optional: bool = False,
    oneof: str | None = None,
) -> FieldDescriptorProto:
    """Add a field with the next number, and return it.

    Args:
        message: the message.
        name: the field's name.
        kind: a scalar's name, or a type's full name, with `enum ` in front for an enum.
        repeated: whether it is a list.
        optional: whether it can be unset. caikit writes that as a oneof `_name`, and so does this.
        oneof: the oneof that it is a member of.
    """
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=len(message.field) + 1, label=label)
    if "." in kind:
        is_enum = kind.startswith("enum ")
        field.type = FieldDescriptorProto.TYPE_ENUM if is_enum else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{kind.removeprefix('enum ')}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    if optional:
        oneof = f"_{name}"
    if oneof is not None:
        names = [declared.name for declared in message.oneof_decl]
        if oneof not in names:
            message.oneof_decl.add(name=oneof)
            names.append(oneof)
        field.oneof_index = names.index(oneof)
    return field


def add_map(message: DescriptorProto, full_name: str, name: str, key: str, value: str) -> None:
    """Add a map with its entry's type; `full_name` is the message's."""
    entry_name = "".join(word[:1].upper() + word[1:] for word in name.split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    add_field(entry, "key", key)
    add_field(entry, "value", value)
    add_field(message, name, f"{full_name}.{entry_name}", repeated=True)
