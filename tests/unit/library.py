"""A library built in code, with every kind of field, and what it becomes when it is described."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass

from remote_client._schema.protobuf.services import describe
from remote_client._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from remote_client.testing._builder import add_field, add_map

INTEGERS = {
    "int32": (-(2**31), 2**31 - 1),
    "sint32": (-(2**31), 2**31 - 1),
    "sfixed32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "sint64": (-(2**63), 2**63 - 1),
    "sfixed64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "fixed32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "fixed64": (0, 2**64 - 1),
}
SCALARS = [*INTEGERS, "double", "float", "bool", "string", "bytes"]


def library(package: str = "caikit.runtime.Unit") -> FileDescriptorProto:
    """`EchoTask` takes and gives a `Zoo`, in all four kinds."""
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.extend(
        f"google/protobuf/{name}.proto"
        for name in ("timestamp", "duration", "struct", "wrappers", "any", "field_mask", "empty")
    )
    color = file.enum_type.add(name="Color")
    for name, number in (("RED", 0), ("GREEN", 1), ("BLUE", 7)):
        color.value.add(name=name, number=number)
    place = file.message_type.add(name="Place")
    add_field(place, "label", "string")
    add_field(place, "lat", "double")
    person = file.message_type.add(name="Person")
    add_field(person, "name", "string")
    pet = file.message_type.add(name="Pet")
    add_field(pet, "name", "string")
    for name, kind in (("Strs", "string"), ("Ints", "int64"), ("Floats", "double")):
        add_field(file.message_type.add(name=name), "values", kind, repeated=True)
    tree = file.message_type.add(name="Tree")
    add_field(tree, "name", "string")
    add_field(tree, "children", f"{package}.Tree", repeated=True)
    add_field(tree, "left_tree", f"{package}.Tree", oneof="left")
    add_field(tree, "left_leaf", "string", oneof="left")
    odd = file.message_type.add(name="Odd")
    for name in ("from", "json", "copy", "model_dump", "self", "_x", "class", "schema", "model_fields"):
        add_field(odd, name, "string")

    zoo = file.message_type.add(name="Zoo")
    for kind in SCALARS:
        add_field(zoo, f"a_{kind}", kind)
        add_field(zoo, f"many_{kind}", kind, repeated=True)
        add_field(zoo, f"opt_{kind}", kind, oneof=f"_opt_{kind}")
    add_field(zoo, "color", f"enum {package}.Color")
    add_field(zoo, "colors", f"enum {package}.Color", repeated=True)
    add_field(zoo, "place", f"{package}.Place")
    add_field(zoo, "places", f"{package}.Place", repeated=True)
    add_field(zoo, "tree", f"{package}.Tree")
    add_field(zoo, "odd", f"{package}.Odd")
    full = f"{package}.Zoo"
    for name, key, value in (
        ("by_str", "string", "int64"),
        ("by_int", "int32", "string"),
        ("by_bool", "bool", "double"),
        ("places_by_name", "string", f"{package}.Place"),
        ("colors_by_name", "string", f"enum {package}.Color"),
        ("times_by_name", "string", "google.protobuf.Timestamp"),
    ):
        add_map(zoo, full, name, key, value)
    for name, kind in (
        ("when", "Timestamp"),
        ("span", "Duration"),
        ("settings", "Struct"),
        ("anything", "Value"),
        ("list", "ListValue"),
        ("maybe_int", "Int32Value"),
        ("maybe_str", "StringValue"),
        ("maybe_bool", "BoolValue"),
        ("any", "Any"),
        ("mask", "FieldMask"),
        ("empty", "Empty"),
    ):
        add_field(zoo, name, f"google.protobuf.{kind}")
    add_field(zoo, "times", "google.protobuf.Timestamp", repeated=True)
    for suffix, kind in (
        ("bool", "bool"),
        ("int", "int64"),
        ("float", "double"),
        ("str", "string"),
        ("bytes", "bytes"),
    ):
        add_field(zoo, f"scalar_{suffix}", kind, oneof="scalar")
    for suffix, kind in (("place", "Place"), ("person", "Person"), ("pet", "Pet")):
        add_field(zoo, f"thing_{suffix}", f"{package}.{kind}", oneof="thing")
    add_field(zoo, "thing_json", "google.protobuf.Struct", oneof="thing")
    for suffix, kind in (("strs", "Strs"), ("ints", "Ints"), ("floats", "Floats")):
        add_field(zoo, f"sequence_{suffix}", f"{package}.{kind}", oneof="sequence")
    add_field(zoo, "mixed_color", f"enum {package}.Color", oneof="mixed")
    add_field(zoo, "mixed_when", "google.protobuf.Timestamp", oneof="mixed")

    request = file.message_type.add(name="EchoTaskRequest")
    add_field(request, "zoo", f"{package}.Zoo")
    add_field(request, "note", "string", oneof="_note")
    add_field(request, "tags", "string", repeated=True)
    add_field(request, "count", "int32")
    service = file.service.add(name="UnitService")
    for prefix, into, out in (
        ("", False, False),
        ("ServerStreaming", False, True),
        ("ClientStreaming", True, False),
        ("BidiStreaming", True, True),
    ):
        service.method.add(
            name=f"{prefix}EchoTaskPredict",
            input_type=f".{package}.EchoTaskRequest",
            output_type=f".{package}.Zoo",
            client_streaming=into,
            server_streaming=out,
        )
    return file


def described(package: str = "caikit.runtime.Unit") -> ServiceDescription:
    """The library as a client knows it."""
    file = library(package)
    return describe({file.name: file}, [f"{package}.UnitService"])


DESCRIPTION = described()
METHODS: dict[str, RemoteRPCDescriptor] = {rpc.name: rpc for rpc in DESCRIPTION.tasks["EchoTask"].methods}
ECHO = METHODS["run_echo"]
Zoo: Any = DESCRIPTION.type("Zoo")
ZOO = ECHO.codec.decode(b"", "proto").DESCRIPTOR
REQUEST: Any = GetMessageClass(ZOO.file.message_types_by_name["EchoTaskRequest"])


def encode(zoo: Any) -> bytes:
    """A request for a zoo."""
    return ECHO.codec.encode("", (zoo,), {"count": 1})


def echo(zoo: Any, output: Any = "pydantic") -> Any:
    """What a server that answers with its input would answer: out and back through the codec."""
    return ECHO.codec.decode(REQUEST.FromString(encode(zoo)).zoo.SerializeToString(), output)
