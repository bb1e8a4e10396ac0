"""Names in file descriptors: all are checked before protobuf sees them, whatever its implementation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client._schema.budget import Budget
from remote_client._schema.descriptor_names import check_names
from remote_client._schema.pools import pool_of
from remote_client.errors import SchemaError

from .library import library

PLACES: dict[str, Callable[[FileDescriptorProto], Any]] = {
    "a message": lambda file: file.message_type.add(),
    "a nested message": lambda file: file.message_type[0].nested_type.add(name="N").nested_type.add(),
    "a field": lambda file: file.message_type[0].field.add(number=100, type=9, label=1),
    "a nested field": lambda file: file.message_type[0].nested_type.add(name="N").field.add(number=1, type=9, label=1),
    "a oneof": lambda file: file.message_type[0].oneof_decl.add(),
    "an enum": lambda file: file.enum_type.add(),
    "a nested enum": lambda file: file.message_type[0].enum_type.add(),
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
    assert " letters" in text if len(name) > 1000 else f"{name!r} is no name" in text


@pytest.mark.parametrize("package", ["a..b", ".a", "a.", "a b", "a.1", "ü", "a" * 1001, ".".join(["ab"] * 400)])
def test_a_package_that_is_none(package: str) -> None:
    file = FileDescriptorProto(name="a.proto", package=package)
    text = refused(file)
    assert "is no name" in text or "letters" in text


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


def test_no_name_is_too_much() -> None:
    check_names(FileDescriptorProto(name="a.proto"), Budget())
    check_names(library(""), Budget())


TWICE: dict[str, Callable[[FileDescriptorProto], Any]] = {
    "messages": lambda file: file.message_type.add(name=file.message_type[0].name),
    "a message and an enum": lambda file: file.enum_type.add(name=file.message_type[0].name),
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


@pytest.mark.parametrize("kind", ["types", "nodes", "names", "bytes"])
def test_definitions_are_counted(kind: Any) -> None:
    with pytest.raises(SchemaError, match=f"more than 1 {kind}"):
        check_names(library(), Budget(limits={kind: 1}))


def test_full_names_that_protobuf_keeps_are_counted() -> None:
    """Ten bytes of a field in a file are a thousand of its full name."""
    file = FileDescriptorProto(name="a.proto", package="a" * 900)
    message = file.message_type.add(name="B")
    for number in range(20_000):
        message.field.add(name=f"f{number}", number=number + 1, type=9, label=1)
    assert file.ByteSize() < 1_000_000
    with pytest.raises(SchemaError, match="bytes"):
        check_names(file, Budget())


ATTACK = """
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.internal import api_implementation
from remote_client._schema.reflected import describe
from remote_client.errors import SchemaError

assert api_implementation.Type() == "python"
file = FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3")
message = file.message_type.add(name="Odd")
message.field.add(name="x or print('RAN') or m.y", number=1, type=9, label=1)
message.field.add(name="y", number=2, type=9, label=1)
method = file.service.add(name="OddService").method.add(name="OddTaskPredict")
method.input_type = method.output_type = ".odd.Odd"
try:
    (method,) = describe({"odd.proto": file}, ["odd.OddService"]).tasks["OddTask"].methods
except SchemaError as error:
    print(error)
else:
    method.codec.decode(b"", "dict")
"""


def test_a_name_runs_nothing_where_protobuf_checks_none() -> None:
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    run = subprocess.run([sys.executable, "-c", ATTACK], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout == "the server's file odd.proto is not valid: \"x or print('RAN') or m.y\" is no name\n", (
        run.stderr
    )
