"""What is taken for a schema, and what is refused before anything is dialled."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from remote_client import RemoteClient, sync
from remote_client._client.finder import RemoteModelFinder
from remote_client._client.introspection import parse_schema
from remote_client._schema.schema_file import read_schema
from remote_client.errors import ConfigurationError, SchemaError
from tests.support.wire_schema import descriptor_set, document

GRPC, HTTP = "localhost:1", "http://localhost:1"
SET, DOCUMENT = descriptor_set(), document()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_taken(kind: Any) -> None:
    assert read_schema(kind(SET), "grpc") == read_schema(SET, "grpc")


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(("name", "data", "target"), [("a.binpb", SET, GRPC), ("a.json", DOCUMENT, HTTP)])
async def test_a_path_is_taken(kind: Any, name: str, data: bytes, target: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    async with RemoteClient(target, schema=kind(tmp_path / name)) as client:
        (tmp_path / name).unlink()  # it was read when the client was made
        assert (await client.describe()).tasks


async def test_a_description_is_taken_as_it_is() -> None:
    description = await parse_schema(read_schema(SET, "grpc"))
    async with RemoteClient(GRPC, schema=description) as client:
        assert await client.describe() is description


@pytest.mark.parametrize("blank", [b"", b"\n  ", b"\xef\xbb\xbf"])
def test_a_document_may_begin_with_blanks(blank: bytes) -> None:
    assert read_schema(blank + DOCUMENT, "http")


def test_descriptors_may_begin_as_a_document_does() -> None:
    file = FileDescriptorProto(name="a.proto", package="p" * 112)
    data = FileDescriptorSet(file=[file]).SerializeToString()
    assert data.startswith(b"\n{")
    assert read_schema(data, "grpc")


@pytest.mark.parametrize(
    ("target", "given", "told"),
    [
        (GRPC, "", "the path is empty"),
        (HTTP, "", "the path is empty"),
        (GRPC, b"", "is not a schema"),
        (GRPC, b"\x0a\x05abc", "is not a schema"),  # cut
        (GRPC, SET[:-1], "is not a schema"),
        (GRPC, b"\x12\x00", "is not a schema"),
        (GRPC, b"\xff" * 20, "is not a schema"),
        (GRPC, b"GIF89a", "is not a schema"),
        (HTTP, b"<html>", "is not a schema"),
        (HTTP, b"[]", "is not a schema"),
        (GRPC, DOCUMENT, "over grpc it takes descriptors of protobuf"),
        (HTTP, SET, "over http it takes an OpenAPI document"),
        (GRPC, "/does/not/exist.binpb", "/does/not/exist.binpb cannot be read: No such file or directory"),
        (GRPC, "https://host/openapi.json", "https://host/openapi.json cannot be read: No such file or directory"),
        (GRPC, "https://host/a.proto", "https://host/a.proto cannot be read: No such file or directory"),
        (GRPC, 5, "not int"),
        (GRPC, ["a.binpb"], "not list"),
        (GRPC, "nul\0byte", "cannot be read"),
    ],
)
def test_what_is_no_schema_is_refused_at_once(target: str, given: Any, told: str) -> None:
    protocol = "http" if target == HTTP else "grpc"
    for make in (
        lambda: RemoteClient(target, schema=given),
        lambda: sync.RemoteClient(target, schema=given),
        lambda: RemoteModelFinder({"connection": {"hostname": "h", "port": 1}, "protocol": protocol, "schema": given}),
    ):
        with pytest.raises(ConfigurationError, match="^schema: .*" + told):
            make()


async def test_a_description_of_the_other_protocol_is_refused() -> None:
    description = await parse_schema(read_schema(SET, "grpc"))
    with pytest.raises(ConfigurationError, match="over http"):
        RemoteClient(HTTP, schema=description)


@pytest.mark.parametrize(
    ("target", "given"),
    [(GRPC, b"\x0a\x03abc"), (GRPC, b"\x0a\x03\x0a\x01a"), (HTTP, b"{"), (HTTP, b"{}")],
    ids=["no file", "an empty file", "no JSON", "no OpenAPI"],
)
async def test_what_cannot_be_used_is_told_at_the_first_use(target: str, given: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.schema"
    path.write_bytes(given)
    async with RemoteClient(target, schema=path) as client:
        if given == b"\x0a\x03\x0a\x01a":
            assert not (await client.describe()).tasks
            return
        with pytest.raises(SchemaError, match=r"a\.schema: "):
            await client.describe()
        with pytest.raises(SchemaError, match=r"a\.schema: "):
            await client.model("foo")


@pytest.mark.parametrize(("target", "data"), [(GRPC, SET), (HTTP, DOCUMENT)])
async def test_pickled_handles_have_the_schema_and_no_path(target: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.schema"
    path.write_bytes(data)
    client = RemoteClient(target, schema=path)
    module = await client.model("foo")
    pickled = pickle.dumps((client, module, client._finder._finders[0]))
    path.unlink()
    other, again, finder = pickle.loads(pickled)
    assert str(await other.describe()) == str(await client.describe())
    assert (await finder.find_model("foo")).methods.keys() == module.config.methods.keys()
    assert again.config.schema is not None
    for each in (client, other, again, finder):
        await each.aclose()


def test_the_configuration_takes_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.binpb"
    path.write_bytes(SET)
    config = {"connection": {"hostname": "h", "port": 1}, "schema": str(path)}
    client = RemoteClient.from_config({"finders": {"f": {"type": "REMOTE", "config": config}}})
    assert "SampleTask" in asyncio.run(client.describe()).tasks


def test_the_environment_may_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_MANAGEMENT_FINDERS_F_CONFIG_SCHEMA", str(tmp_path / "missing.binpb"))
    config = {"connection": {"hostname": "h", "port": 1}}
    with pytest.raises(ConfigurationError, match=r"missing\.binpb"):
        RemoteClient.from_config({"finders": {"f": {"type": "REMOTE", "config": config}}})


def test_a_wrong_key_close_to_it_is_told() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'schema'"):
        RemoteModelFinder({"connection": {"hostname": "h", "port": 1}, "shema": "a"})


async def test_clients_of_one_file_share_its_description() -> None:
    async with RemoteClient(GRPC, schema=SET) as one, RemoteClient("localhost:2", schema=bytes(SET)) as other:
        assert await one.describe() is await other.describe()
