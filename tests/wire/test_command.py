"""What `remote-client schema` and `remote-client stubs` write of servers, and what they leave alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client._cli.main import main
from remote_client._schema.schema_file import SchemaFile, read_schema
from tests.support.http_wire import HttpWire
from tests.support.wire import ServerProcess, WireServer

SUFFIXES = {"grpc": ".binpb", "http": ".json"}


@pytest.fixture(params=SUFFIXES)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def server(protocol: str, wire: WireServer, http_wire: HttpWire) -> ServerProcess:
    return http_wire if protocol == "http" else wire


def test_a_schema_goes_to_a_file_or_to_standard_output(
    server: ServerProcess, protocol: Any, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / f"a{SUFFIXES[protocol]}"
    assert main(["schema", "-t", server.target, "-o", str(file)]) == 0
    assert capfdbinary.readouterr() == (b"", b"")
    assert main(["schema", "-t", server.target]) == 0
    assert capfdbinary.readouterr() == (file.read_bytes(), b"")
    schema = read_schema(file, protocol)
    assert isinstance(schema, SchemaFile)
    if protocol == "http":
        assert json.loads(schema.data)["paths"]
    else:
        assert "google/protobuf/struct.proto" in {each.name for each in FileDescriptorSet.FromString(schema.data).file}


async def test_stubs_bring_their_schema(server: ServerProcess, protocol: str, tmp_path: Path) -> None:
    file = tmp_path / "written.py"
    command = [sys.executable, "-m", "remote_client", "stubs", server.target, "-o", str(file)]
    for _ in range(2):
        subprocess.run(command, check=True, timeout=60)
        written = sorted((each.name, each.read_bytes()) for each in tmp_path.iterdir())
        assert [name for name, _ in written] == sorted([f"written{SUFFIXES[protocol]}", "written.py"])
    assert f'schema="written{SUFFIXES[protocol]}"' in file.read_text()


def test_a_file_is_as_good_as_its_server(server: ServerProcess, protocol: str, tmp_path: Path) -> None:
    file, schema = tmp_path / "written.py", tmp_path / f"runtime{SUFFIXES[protocol]}"
    assert main(["schema", "-t", server.target, "-o", str(schema)]) == 0
    assert main(["stubs", server.target, "-o", str(file)]) == 0
    held = file.read_bytes(), file.with_suffix(schema.suffix).read_bytes()
    assert main(["stubs", "--schema", str(schema), "-o", str(file)]) == 0
    assert (file.read_bytes(), file.with_suffix(schema.suffix).read_bytes()) == held
    assert held[1] == schema.read_bytes()


def test_stubs_on_standard_output_name_no_schema(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stubs", server.target]) == 0
    assert "schema=" not in capsys.readouterr().out


@pytest.mark.parametrize("held", [b'{"name": "a package"}', b"[]", b"no JSON", b"\xff"])
def test_what_is_no_schema_is_not_overwritten(
    held: bytes, http_wire: HttpWire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "package.json").write_bytes(held)
    assert main(["stubs", http_wire.target, "-o", str(tmp_path / "package.py")]) == 2
    assert "package.json exists and is no schema" in capsys.readouterr().err
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [held]


def test_a_file_that_cannot_be_written_exits_with_one(
    server: ServerProcess, protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nowhere" / f"a{SUFFIXES[protocol]}"
    assert main(["schema", "-t", server.target, "-o", str(file)]) == 1
    assert capsys.readouterr().err == f"remote-client: {file} cannot be written: No such file or directory\n"


def test_a_reader_that_leaves_is_no_traceback(server: ServerProcess) -> None:
    read, write = os.pipe()
    os.close(read)
    started = [sys.executable, "-m", "remote_client", "-t", server.target, "schema"]
    ended = subprocess.run(started, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


def changed(data: bytes, protocol: str, *, more: bool) -> bytes:
    """Return the schema of a server that has a task more, or a method less."""
    if protocol == "http":
        told = json.loads(data)
        route = told["paths"].pop("/api/v1/task/server-streaming-echo")
        if more:
            told["paths"] |= {f"/api/v1/task/server-streaming-{name}": route for name in ("echo", "other")}
        return json.dumps(told).encode()
    files = FileDescriptorSet.FromString(data)
    (methods,) = (each.method for file in files.file for each in file.service if each.name == "TestService")
    if more:
        methods.add(name="OtherTaskPredict", input_type=methods[0].input_type, output_type=methods[0].output_type)
    else:
        del methods[1]
    return files.SerializeToString()


def check(target: str, file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Run `schema --check`, and return its exit code and its lines."""
    code = main(["schema", "-t", target, "--check", str(file)])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out.splitlines()


def test_a_schema_is_checked(
    server: ServerProcess, protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"a{SUFFIXES[protocol]}"
    assert main(["schema", "-t", server.target, "-o", str(file)]) == 0
    written = file.read_bytes()
    assert check(server.target, file, capsys) == (0, [])

    file.write_bytes(changed(written, protocol, more=False))
    code, (added,) = check(server.target, file, capsys)
    assert code == 0
    assert added.startswith("compatible: ")

    file.write_bytes(changed(written, protocol, more=True))
    code, (removed,) = check(server.target, file, capsys)
    assert code == 1
    assert removed.startswith("breaking: OtherTask")


def test_a_schema_of_the_other_protocol_cannot_be_checked(
    wire: WireServer, http_wire: HttpWire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.binpb"
    assert main(["schema", "-t", wire.target, "-o", str(file)]) == 0
    assert main(["schema", "-t", http_wire.target, "--check", str(file)]) == 2
    assert (
        f"--check: {file} has descriptors of protobuf; over http it takes an OpenAPI document"
        in capsys.readouterr().err
    )
