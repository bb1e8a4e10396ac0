"""`remote-client schema` and `remote-client stubs` of a real runtime: what they write is enough to call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client import RemoteClient
from remote_client._cli.main import main

from ..live.protocols import Protocol
from ..support.runtime import Runtime
from ..support.stubs import imported

SUFFIXES: dict[Protocol, str] = {"grpc": ".binpb", "http": ".json"}


@pytest.fixture
def file(target: str, protocol: Protocol, tmp_path: Path) -> Path:
    """The runtime's schema."""
    path = tmp_path / f"runtime{SUFFIXES[protocol]}"
    assert main(["schema", "-t", target, "-o", str(path)]) == 0
    return path


async def test_a_written_schema_is_enough(file: Path, target: str) -> None:
    async with RemoteClient(target, schema=file) as known, RemoteClient(target) as asking:
        model: Any = await known.model("foo")
        assert (await model.run_sample({"name": "Ada"})).greeting == "Hello Ada"
        assert str(await known.describe()) == str(await asking.describe())


def test_a_runtime_has_one_schema(file: Path, target: str, tmp_path: Path) -> None:
    again = tmp_path / f"again{file.suffix}"
    assert main(["-t", target, "schema", "-o", str(again)]) == 0
    assert again.read_bytes() == file.read_bytes()


def test_protoc_reads_what_is_written(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "runtime.binpb"
    assert main(["schema", "-t", runtime.target, "-o", str(path)]) == 0
    files = [each.name for each in FileDescriptorSet.FromString(path.read_bytes()).file]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={path}", f"--python_out={tmp_path}"]
    ended = subprocess.run([*protoc, *files], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(files) > 50


async def test_written_stubs_are_enough(target: str, protocol: Protocol, tmp_path: Path) -> None:
    path = tmp_path / "runtime_stubs.py"
    command = [sys.executable, "-m", "remote_client", "-t", target, "stubs", "-o", str(path)]
    subprocess.run(command, check=True, timeout=60)
    assert path.with_suffix(SUFFIXES[protocol]).exists()
    async with RemoteClient(target) as client:
        with imported(path.read_text(), tmp_path) as stubs:
            sample = await client.model("foo", stubs.SampleTask)
        assert (await sample.run({"name": "Ada"})).greeting == "Hello Ada"
