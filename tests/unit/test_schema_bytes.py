"""What a server told of itself as the bytes of a file, which this client and protobuf's tools read."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from remote_client._client.introspection import parse_schema
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription
from remote_client._schema.schema_file import read_schema, schema_bytes
from remote_client.errors import SchemaError
from remote_client.settings import Protocol
from tests.support.wire_library import INFO_SERVICE, SERVICE, library_files
from tests.support.wire_schema import document

FILES = [each.SerializeToString() for each in library_files().values()]


def told(files: list[bytes], *services: str) -> ServiceDescription:
    return ServiceDescription(
        {}, {}, {}, source=(protobuf_services.describe_files, tuple(files), services), protocol="grpc"
    )


def documented(document: bytes) -> ServiceDescription:
    return ServiceDescription({}, {}, {}, source=(openapi.describe, document), protocol="http")


def read(data: bytes) -> list[FileDescriptorProto]:
    return list(FileDescriptorSet.FromString(data).file)


def test_files_stand_after_what_they_import() -> None:
    written = schema_bytes(told(FILES, SERVICE, INFO_SERVICE))
    seen: set[str] = set()
    for file in read(written):
        assert seen.issuperset(file.dependency)
        seen.add(file.name)
    assert seen > set(library_files())
    assert "google/protobuf/struct.proto" in seen


def test_the_order_of_the_telling_does_not_matter() -> None:
    three = FILES[:3]
    assert len({schema_bytes(told([*some, *FILES[3:]], SERVICE, INFO_SERVICE)) for some in permutations(three)}) == 1


def test_a_service_that_is_not_offered_is_left_out() -> None:
    services = {each.name for file in read(schema_bytes(told(FILES, SERVICE))) for each in file.service}
    assert services == {SERVICE.rpartition(".")[2]}


@pytest.mark.parametrize(
    ("protocol", "given"), [("grpc", told(FILES, SERVICE, INFO_SERVICE)), ("http", documented(document()))]
)
async def test_what_is_written_is_a_schema(protocol: Protocol, given: ServiceDescription) -> None:
    written = schema_bytes(given)
    described = await parse_schema(read_schema(written, protocol))
    assert described.tasks
    assert schema_bytes(described) == written


def test_protoc_reads_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.binpb").write_bytes(schema_bytes(told(FILES, SERVICE, INFO_SERVICE)))
    names = [each.name for each in read((tmp_path / "a.binpb").read_bytes())]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "--descriptor_set_in=a.binpb", "--descriptor_set_out=b.binpb"]
    ended = subprocess.run([*protoc, "--include_imports", *names], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {each.name for each in read((tmp_path / "b.binpb").read_bytes())} == set(names)


def test_a_document_is_written_to_be_read() -> None:
    written = schema_bytes(documented(b'{"paths":{"/b":{},"/a":{"x":1.5}}}'))
    assert written == b'{\n  "paths": {\n    "/b": {},\n    "/a": {\n      "x": 1.5\n    }\n  }\n}\n'


@pytest.mark.parametrize("value", ["1e999", "1" * 5000, "[" * 100_000 + "]" * 100_000], ids=["float", "int", "depth"])
def test_a_document_with_values_that_python_has_not_is_written_as_it_came(value: str) -> None:
    data = f'{{"paths":{value}}}'.encode()
    assert schema_bytes(documented(data)) == data


def test_what_no_server_told_is_refused() -> None:
    with pytest.raises(SchemaError, match="only a description that came from a server or a file can be written"):
        schema_bytes(ServiceDescription({}, {}, {}))
