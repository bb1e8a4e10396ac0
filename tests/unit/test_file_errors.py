"""What is wrong with a schema on file is told of the file, and of no server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from remote_client import RemoteClient
from remote_client._client.introspection import parse_schema
from remote_client._schema.schema_file import SchemaFile
from remote_client.errors import SchemaError
from remote_client.settings import Protocol
from tests.support.task_library import task_files
from tests.unit.documents import DANGLING


def files_with(change: Callable[[list[FileDescriptorProto]], object]) -> bytes:
    files = list(task_files(2).values())
    change(files)
    return FileDescriptorSet(file=files).SerializeToString()


def first_with(files: list[FileDescriptorProto], part: str) -> FileDescriptorProto:
    return next(each for each in files if getattr(each, part))


def unresolved(files: list[FileDescriptorProto]) -> None:
    first_with(files, "service").service[0].method[0].input_type = ".no.Where"


def half_resolved(files: list[FileDescriptorProto]) -> None:
    field = first_with(files, "message_type").message_type[0].field[0]
    field.type, field.type_name = field.TYPE_MESSAGE, ".no.Where"


def circular(files: list[FileDescriptorProto]) -> None:
    for each in files:
        each.dependency.append(each.name)


BROKEN: dict[str, tuple[Protocol, bytes]] = {
    "a type of a method": ("grpc", files_with(unresolved)),
    "a type of a field": ("grpc", files_with(half_resolved)),
    "a circle": ("grpc", files_with(circular)),
    "a missing import": ("grpc", files_with(lambda files: files.remove(next(e for e in files if not e.service)))),
    "a name of bytes": ("grpc", b"\x0a\x05\x0a\x01a\x12\x00\x0a\x05\x0a\x01\xff\x12\x00"),
    "no name": ("grpc", files_with(lambda files: setattr(first_with(files, "service").service[0], "name", "no name"))),
    "a long name": ("grpc", files_with(lambda f: setattr(first_with(f, "service").service[0], "name", "n" * 99_999))),
    "no JSON": ("http", b"{"),
    "no document": ("http", b"{}"),
}


@pytest.mark.parametrize(("protocol", "data"), BROKEN.values(), ids=BROKEN)
async def test_what_is_wrong_with_a_file_names_the_file_and_no_server(protocol: Protocol, data: bytes) -> None:
    with pytest.raises(SchemaError) as caught:
        len((await parse_schema(SchemaFile(data, "old.schema", protocol))).types)
    assert str(caught.value).startswith("old.schema: ")
    assert "server" not in str(caught.value)


async def test_a_note_about_a_file_names_the_file_and_no_server(
    caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    path = tmp_path / "old.json"
    path.write_bytes(DANGLING)
    async with RemoteClient("http://127.0.0.1:1", schema=path) as client:
        await client.model("foo")
    (record,) = caplog.records
    assert record.message.startswith(f"finder remote: {path}: the OpenAPI document does not define ")
    assert "server" not in record.message


async def test_of_files_of_equal_bytes_the_one_that_was_given_is_named() -> None:
    data = files_with(half_resolved)
    first = await parse_schema(SchemaFile(data, "first.binpb", "grpc"))
    second = await parse_schema(SchemaFile(data, "second.binpb", "grpc"))
    assert second is first
    with pytest.raises(SchemaError, match=r"^second\.binpb: "):
        dict(second.types)
