"""`.proto` files as a schema: compiled by grpcio-tools, and what is said where that cannot be."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client import RemoteClient
from remote_client._schema.protobuf import proto_files
from remote_client._schema.schema_file import read_schema
from remote_client.errors import ConfigurationError

TARGET = "localhost:1"
INPUT = 'syntax = "proto3"; package data; message Input { string name = 1; }'
SERVICE = """
syntax = "proto3";
package caikit.runtime.Lib;
import "google/protobuf/struct.proto";
import "types/input.proto";
message SampleTaskRequest { data.Input sample_input = 1; google.protobuf.Struct more = 2; }
service LibService { rpc SampleTaskPredict(SampleTaskRequest) returns (data.Input); }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`.proto` files in a folder and one below it, whose path and names ask for care."""
    root = tmp_path / "a library's: protos"
    (root / "types").mkdir(parents=True)
    (root / "types" / "input.proto").write_text(INPUT)
    (root / "-service.proto").write_text(SERVICE)
    return root


def names(data: bytes) -> list[str]:
    return [each.name for each in FileDescriptorSet.FromString(data).file]


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_folder_is_a_schema(folder: Path, kind: Any) -> None:
    async with RemoteClient(TARGET, schema=kind(folder)) as client:
        description = await client.describe()
    (predict,) = description.tasks["SampleTask"].methods
    assert list(predict.signature.parameters) == ["sample_input", "more"]


def test_a_file_brings_what_it_imports(folder: Path) -> None:
    compiled = names(proto_files.compile_protos(folder / "-service.proto"))
    assert compiled == ["google/protobuf/struct.proto", "types/input.proto", "-service.proto"]


def test_a_relative_path_is_one_of_this_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names(proto_files.compile_protos(Path("-service.proto"))) == names(proto_files.compile_protos(Path()))


def test_protoc_says_what_is_wrong_and_where(folder: Path) -> None:
    (folder / "-service.proto").write_text(SERVICE.replace("data.Input sample_input", "data.Missing sample_input"))
    with pytest.raises(ConfigurationError) as caught:
        read_schema(folder, "grpc")
    first, *told = str(caught.value).splitlines()
    assert first == f"schema: {folder}: protoc does not take it:"
    assert told == ['-service.proto:6:29: "data.Missing" is not defined.']


def test_an_import_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "types" / "input.proto").unlink()
    with pytest.raises(ConfigurationError, match=r"types/input\.proto: File not found") as caught:
        read_schema(folder / "-service.proto", "grpc")
    assert str(folder) not in str(caught.value).partition("\n")[2]


def test_nothing_to_compile_is_told(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"there are no \.proto files in this folder"):
        read_schema(tmp_path, "grpc")
    for missing in (tmp_path / "a.proto", tmp_path / "nowhere" / "a.proto"):
        with pytest.raises(ConfigurationError, match=f"schema: {missing} cannot be read: No such file or directory"):
            read_schema(missing, "grpc")


def test_a_large_folder_is_refused_before_protoc_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("protoc ran"))
    monkeypatch.setattr(proto_files, "_ENTRIES", 2)  # of three
    with pytest.raises(ConfigurationError, match=r"more than 2 files and folders.*name a folder of .proto files"):
        read_schema(folder, "grpc")


def test_a_folder_of_a_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("protoc ran"))
    with pytest.raises(ConfigurationError, match=r"^schema: /usr: there are "):
        read_schema("/usr", "grpc")


def test_equal_files_are_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Mock(wraps=subprocess.run)
    monkeypatch.setattr(subprocess, "run", run)
    first = read_schema(folder, "grpc")
    monkeypatch.chdir(folder.parent)
    assert read_schema(folder.name, "grpc") == first
    assert run.call_count == 1
    (folder / "types" / "input.proto").write_text(INPUT.replace("name = 1", "name = 12"))
    changed = read_schema(folder, "grpc")
    assert (changed == first, run.call_count) == (False, 2)
    (folder / "more.proto").write_text('syntax = "proto3"; package more;')
    assert read_schema(folder, "grpc") != changed


def test_a_file_is_compiled_anew_as_its_imports_may_have_changed(folder: Path) -> None:
    first = read_schema(folder / "-service.proto", "grpc")
    (folder / "types" / "input.proto").write_text(INPUT.replace("name = 1", "name = 12"))
    assert read_schema(folder / "-service.proto", "grpc") != first


def test_what_protoc_refused_is_compiled_anew(folder: Path) -> None:
    (folder / "types" / "input.proto").unlink()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="File not found"):
            read_schema(folder, "grpc")
    (folder / "types" / "input.proto").write_text(INPUT)
    assert read_schema(folder, "grpc")


def test_descriptors_are_no_schema_over_http(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="over http it takes an OpenAPI document"):
        read_schema(folder, "http")


def test_without_grpcio_tools_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'remote-client\[proto\]'"):
        read_schema(folder, "grpc")


def test_what_never_ends_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proto_files, "_SECONDS", 0.001)
    with pytest.raises(ConfigurationError, match=r"protoc did not end within 0\.001 s"):
        read_schema(folder, "grpc")


def test_modules_beside_the_files_are_not_imported(folder: Path, tmp_path: Path) -> None:
    for name in ("grpc_tools", "sys", "os", "pkg_resources", "importlib"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    assert names(proto_files.compile_protos(folder))
    assert not (tmp_path / "imported").exists()


def test_nothing_is_left_behind(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = sorted(folder.rglob("*"))
    read_schema(folder, "grpc")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, b"", b"no"))
    with pytest.raises(ConfigurationError, match="no"):
        read_schema(folder / "-service.proto", "grpc")  # the folder is known
    assert (sorted(folder.rglob("*")), list(temporary.iterdir())) == (before, [])
