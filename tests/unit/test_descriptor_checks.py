"""Names in file descriptors: all are checked before protobuf sees them, whatever its implementation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, struct_pb2, type_pb2
from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from remote_client._schema.budget import Budget
from remote_client._schema.protobuf.descriptor_checks import check_file
from remote_client._schema.protobuf.descriptor_pools import pool_of
from remote_client.errors import SchemaError

from .library import library

VALUES = [EnumValueDescriptorProto(name="SOME_VALUE")]
PLACES: dict[str, Callable[[FileDescriptorProto], Any]] = {
    "a message": lambda file: file.message_type.add(),
    "a nested message": lambda file: file.message_type[0].nested_type.add(name="N").nested_type.add(),
    "a field": lambda file: file.message_type[0].field.add(number=100, type=9, label=1),
    "a nested field": lambda file: file.message_type[0].nested_type.add(name="N").field.add(number=1, type=9, label=1),
    "a oneof": lambda file: file.message_type[0].oneof_decl.add(),
    "an enum": lambda file: file.enum_type.add(value=VALUES),
    "a nested enum": lambda file: file.message_type[0].enum_type.add(value=VALUES),
    "an enum's value": lambda file: file.enum_type[0].value.add(number=100),
    "a nested enum's value": lambda file: file.message_type[0].enum_type.add(name="E").value.add(),
    "an extension": lambda file: file.extension.add(number=100, type=9, label=1, extendee=".a.B"),
    "a nested extension": lambda file: file.message_type[0].extension.add(number=100, type=9, label=1),
    "a service": lambda file: file.service.add(),
    "a method": lambda file: file.service[0].method.add(),
}
ODD = ["", "1a", "a b", "a.b", "a-b", "ü", "µ", "a\n", "a\x00", "x or print(1)", "a" * 1001]


def refused(file: FileDescriptorProto) -> str:
    with pytest.raises(SchemaError) as caught:
        pool_of({file.name: file})
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_is_none(place: str, name: str) -> None:
    file = library()
    PLACES[place](file).name = name
    text = refused(file)
    assert " letters" in text if len(name) > 1000 else f"{name!r} is not a valid name" in text


@pytest.mark.parametrize("package", ["a..b", ".a", "a.", "a b", "a.1", "ü", "a" * 1001, ".".join(["ab"] * 400)])
def test_a_package_that_is_none(package: str) -> None:
    file = FileDescriptorProto(name="a.proto", package=package)
    text = refused(file)
    assert "is not a valid name" in text or "letters" in text


def test_a_full_name_that_is_too_long() -> None:
    file = FileDescriptorProto(name="a.proto", package="a" * 900)
    file.message_type.add(name="b" * 900)
    assert "letters" in refused(file)


def test_a_files_name_that_is_too_long() -> None:
    assert "letters" in refused(FileDescriptorProto(name="a" * 1001))


@pytest.mark.parametrize("name", ["class", "None", "_", "__init", "A1", "print", "a" * 900])
@pytest.mark.parametrize("place", ["a field", "an enum's value", "a message"])
def test_keywords_are_names(place: str, name: str) -> None:
    file = library()
    PLACES[place](file).name = name
    pool_of({file.name: file})


def test_what_protobufs_compiler_writes() -> None:
    check_file(FileDescriptorProto(name="a.proto"), Budget())
    for module in (descriptor_pb2, struct_pb2, type_pb2, plugin_pb2, health_pb2, reflection_pb2):
        check_file(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb), Budget())


def test_the_largest_number_of_a_message_set() -> None:
    file = FileDescriptorProto(name="a.proto", syntax="proto2")
    message = file.message_type.add(
        name="Set", extension_range=[DescriptorProto.ExtensionRange(start=4, end=2**31 - 1)]
    )
    message.options.message_set_wire_format = True
    file.extension.add(name="e", number=2**31 - 2, label=1, type=11, type_name=".Set", extendee=".Set")
    pool_of({file.name: file})


def test_a_library_without_a_package() -> None:
    check_file(library(""), Budget())


TWICE: dict[str, Callable[[FileDescriptorProto], Any]] = {
    "messages": lambda file: file.message_type.add(name=file.message_type[0].name),
    "a message and an enum": lambda file: file.enum_type.add(name=file.message_type[0].name, value=VALUES),
    "fields": lambda file: file.message_type[0].field.add(name=file.message_type[0].field[0].name, number=100, type=9),
    "a field and a type": lambda file: file.message_type[0].nested_type.add(name=file.message_type[0].field[0].name),
    "values of enums": lambda file: file.enum_type.add(name="E").value.add(name=file.enum_type[0].value[0].name),
    "methods": lambda file: file.service[0].method.add(name=file.service[0].method[0].name),
}


@pytest.mark.parametrize("place", TWICE)
def test_a_name_that_is_there_twice(place: str) -> None:
    file = library()
    TWICE[place](file)
    assert "twice" in refused(file)


Field = FieldDescriptorProto
WRONG: dict[str, tuple[str, Callable[[FileDescriptorProto], Any]]] = {
    "no number": ("the number 0", lambda file: string(file, number=0)),
    "a number below 0": ("the number -1", lambda file: string(file, number=-1)),
    "a large number": ("the number 536870912", lambda file: string(file, number=2**29)),
    "a number twice": ("two fields of one number", lambda file: string(file, number=1)),
    "no type": ("no type", lambda file: string(file).ClearField("type")),
    "a message without a name": ("no type", lambda file: string(file, type=Field.TYPE_MESSAGE)),
    "a text with a name": ("no type", lambda file: string(file, type_name=".a.B")),
    "a default of many": ("has a default", lambda file: string(file, label=3, default_value="a")),
    "a oneof that is not there": ("no oneof", lambda file: string(file, oneof_index=7)),
    "a oneof below 0": ("no oneof", lambda file: string(file, oneof_index=-1)),
    "an extension below 0": ("the number -5", lambda file: file.extension.add(name="e", number=-5, type=9, label=1)),
    "an enum without values": ("no value", lambda file: file.enum_type.add(name="E")),
    "an edition nobody knows": ("edition", lambda file: file.MergeFrom(FileDescriptorProto(syntax="editions"))),
    "a map of one field": ("not a map entry", lambda file: entry(file).field.pop()),
    "a map of lists": (
        "not a map entry",
        lambda file: entry(file).field[1].MergeFrom(Field(label=Field.LABEL_REPEATED)),
    ),
    "a map by doubles": ("not a map entry", lambda file: entry(file).field[0].MergeFrom(Field(type=Field.TYPE_DOUBLE))),
    "a single entry": ("another kind", lambda file: refer(file, f"{entry(file).name}", Field.TYPE_MESSAGE)),
    "a message for an enum": ("", lambda file: refer(file, "Zoo", Field.TYPE_ENUM)),
    "an enum for a request": ("", lambda file: request(file, f".{file.package}.Color")),
    "a request that is not there": ("", lambda file: request(file, ".not.There")),
}


def string(file: FileDescriptorProto, **more: Any) -> FieldDescriptorProto:
    return file.message_type[0].field.add(**{"name": "string", "number": 1000, "type": 9, "label": 1} | more)


def entry(file: FileDescriptorProto) -> DescriptorProto:
    made = file.message_type[0].nested_type.add(name="OddEntry")
    made.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        made.field.add(name=name, number=number, type=9, label=1)
    return made


def refer(file: FileDescriptorProto, name: str, kind: Any) -> None:
    string(file, type=kind, type_name=name)


def request(file: FileDescriptorProto, name: str) -> None:
    file.service[0].method[0].input_type = name


@pytest.mark.parametrize("place", WRONG)
def test_what_protobufs_compiler_never_writes(place: str) -> None:
    """Some of it ends the process, or never ends: what an implementation checks is not enough."""
    told, break_it = WRONG[place]
    file = library()
    break_it(file)
    assert re.search(told, refused(file))


@pytest.mark.parametrize("kind", ["types", "nodes", "names", "bytes"])
def test_definitions_are_counted(kind: Any) -> None:
    with pytest.raises(SchemaError, match=f"more than 1 {kind}"):
        check_file(library(), Budget(limits={kind: 1}))


def test_full_names_that_protobuf_keeps_are_counted() -> None:
    """Ten bytes of a field in a file are a thousand of its full name."""
    file = FileDescriptorProto(name="a.proto", package="a" * 900)
    message = file.message_type.add(name="B")
    for number in range(20_000):
        message.field.add(name=f"f{number}", number=number + 1, type=9, label=1)
    assert file.ByteSize() < 1_000_000
    with pytest.raises(SchemaError, match="bytes"):
        check_file(file, Budget())


ATTACK = """
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal import api_implementation
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel
from remote_client._schema.protobuf.generated_converters import Converters
from remote_client._schema.protobuf.descriptor_pools import pool_of
from remote_client.errors import SchemaError

assert api_implementation.Type() == "python"
file = FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3")
message = file.message_type.add(name="Odd")
message.field.add(name="y or print('RAN')", number=1, type=9, label=1)
message.field.add(name="y", number=2, type=9, label=1)
try:
    pool_of({"odd.proto": file})
except SchemaError as error:
    print(error)

pool = DescriptorPool()
pool.AddSerializedFile(file.SerializeToString())
odd = pool.FindMessageTypeByName("odd.Odd")
print(Converters(lambda descriptor: BaseModel, lambda descriptor: int).decoder(odd, "dict")(GetMessageClass(odd)()))
"""


def test_a_name_runs_nothing_where_protobuf_checks_none() -> None:
    """It is refused, and would run nothing in a converter either."""
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    run = subprocess.run([sys.executable, "-c", ATTACK], env=environment, capture_output=True, text=True, check=False)
    name = "y or print('RAN')"
    refusal = f"the file odd.proto is not valid: {name!r} is not a valid name"
    assert run.stdout.splitlines() == [refusal, str({name: "", "y": ""})], run.stderr
