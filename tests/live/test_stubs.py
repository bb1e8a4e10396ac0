"""Files that `remote-client stubs` writes of a real runtime declare what the runtime's models can be called by."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from remote_client import ConnectionInfo, RemoteClient, RemoteModelInitializer, RemoteModuleConfig, sync
from remote_client._schema.schema_file import schema_bytes
from remote_client._stubs.writer import render
from remote_client.errors import UnsupportedError
from tests.support.stubs import check_declarations, check_only_defines, imported

from ..support.edits import EDITS, Edit
from ..support.front import Front, GrpcFront, HttpFront
from ..support.runtime import Runtime
from ..support.wire import ROOT
from .protocols import Protocol, port_of, target_of

PROGRAM = Path(__file__).parent.parent / "support" / "call_with_stubs.py"
TELLS = ("ServerReflectionInfo", "GetModelsInfo", "GET /openapi.json", "GET /info/models")
NOON = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)


async def test_a_written_file_declares_the_models(runtime: Runtime, protocol: Protocol, tmp_path: Path) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        description = await client.describe()
        text = render(description, "a runtime")
        check_only_defines(text)
        with imported(text, tmp_path) as stubs:
            check_declarations(stubs, description, protocol)
            sample = await client.model("foo", stubs.SampleTask)
            assert (await sample.run(stubs.SampleInputType(name="Ada"))).greeting == "Hello Ada"
            greetings = [each async for each in sample.run_stream_out(stubs.SampleInputType(name="Ada"), count=2)]
            assert [type(each) for each in greetings] == [stubs.SampleOutputType] * 2
            zoo = stubs.Zoo(place=stubs.Place(label="Paris"), when=NOON, message_union=stubs.SampleInputType(name="x"))
            answer = await (await client.model("zoo", stubs.ZooTask)).run(zoo)
            assert (answer.place, answer.when, answer.message_union) == (zoo.place, NOON, zoo.message_union)


async def test_a_written_file_declares_a_training(runtime: Runtime, protocol: Protocol, tmp_path: Path) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        with imported(render(await client.describe(), "a runtime"), tmp_path) as stubs:
            module: Any = await client.model("foo", stubs.SampleModule)
            job = await module.train([stubs.SampleInputType(name="x")], union_list=["a"], batch_size=1)
            assert (await job.wait()).state.name == "COMPLETED"
            trained = await job.model()
            assert (await trained.run_sample(stubs.SampleInputType(name="Ada"))).greeting
            await client.undeploy_model(job.model_name)


def test_a_written_file_for_the_blocking_client(runtime: Runtime, protocol: Protocol, tmp_path: Path) -> None:
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        text = render(client.describe(), "a runtime", blocking=True)
        with imported(text, tmp_path) as stubs:
            sample = client.model("foo", stubs.SampleTask)
            assert sample.run(stubs.SampleInputType(name="Ada")).greeting == "Hello Ada"


class GrpcSilence(GrpcFront):
    """Refuses what tells of the runtime."""

    def lets(self, name: str, headers: Mapping[str, str]) -> bool:
        return name.rpartition("/")[2] not in TELLS


class HttpSilence(HttpFront):
    """Refuses what tells of the runtime."""

    def lets(self, name: str, headers: Mapping[str, str]) -> bool:
        return name not in TELLS


def silence(runtime: Runtime, protocol: Protocol) -> Front:
    port = port_of(runtime, protocol)
    return GrpcSilence(port) if protocol == "grpc" else HttpSilence(port, ())


async def write_files(runtime: Runtime, protocol: Protocol, folder: Path, *, blocking: bool = False) -> Path:
    """Write what `remote-client stubs -o` does, and return the Python file."""
    async with RemoteClient(target_of(runtime, protocol)) as client:
        description = await client.describe()
    file = folder / "written.py"
    beside = file.with_suffix(".json" if protocol == "http" else ".binpb")
    file.write_text(render(description, "a runtime", blocking=blocking, schema=beside.name), encoding="utf-8")
    beside.write_bytes(schema_bytes(description))
    return file


async def test_written_files_suffice_for_a_server_that_tells_nothing(
    runtime: Runtime, protocol: Protocol, kind_of_client: str, tmp_path: Path
) -> None:
    await write_files(runtime, protocol, tmp_path, blocking=kind_of_client == "blocking")
    async with silence(runtime, protocol) as front:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(PROGRAM), kind_of_client, protocol, str(front.port)),
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
    streamed = ["Hello Friends: Ada,Ada", "Hello Ada Hello Ada"] if protocol == "grpc" else []
    expected = ["Hello Ada", "Hello Ada 0 Hello Ada 1", *streamed, "COMPLETED", "Hello Ada", "Hello Ada"]
    assert (process.returncode, told.decode().splitlines()) == (0, 2 * expected)
    assert front.refused == {}


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Imports the file in the test's folder."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda: importlib.import_module("written")
    for name in [each for each in sys.modules if each.startswith("written")]:
        del sys.modules[name]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_an_edited_file_suffices_too(
    edit: Edit, runtime: Runtime, protocol: Protocol, tmp_path: Path, edited: Callable[[], Any]
) -> None:
    edit(await write_files(runtime, protocol, tmp_path))
    stubs = edited()
    ada = stubs.SampleInputType(name="Ada")
    async with silence(runtime, protocol) as front, RemoteClient(front.target) as client:
        for find in (client.model, partial(loaded, front, protocol)):
            sample: Any = await find("foo", stubs.SampleTask)
            assert (await sample.run(ada)).greeting == "Hello Ada"
            module: Any = await find("foo", stubs.SampleModule)
            job = await module.train([ada], union_list=["x"], batch_size=1)
            assert (await job.wait()).state.name == "COMPLETED"
            await sample.aclose()
            await module.aclose()
    assert front.refused == {}


async def test_a_file_of_grpc_suffices_over_http(runtime: Runtime, tmp_path: Path, edited: Callable[[], Any]) -> None:
    EDITS["renamed classes"](await write_files(runtime, "grpc", tmp_path))
    stubs = edited()
    ada = stubs.SampleInputType(name="Ada")
    async with silence(runtime, "http") as front, RemoteClient(front.target) as client:
        for find in (client.model, partial(loaded, front, "http")):
            sample: Any = await find("foo", stubs.SampleTask)
            assert (await sample.run(ada)).greeting == "Hello Ada"
            assert [each.greeting async for each in sample.run_stream_out(ada, count=1)] == ["Hello Ada 0"]
            with pytest.raises(UnsupportedError, match="HTTP"):
                sample.run_stream_in([ada])
            module: Any = await find("foo", stubs.SampleModule)
            job = await module.train([ada], union_list=["x"], batch_size=1)
            assert (await job.wait()).state.name == "COMPLETED"
            await sample.aclose()
            await module.aclose()
    assert front.refused == {}


async def loaded(front: Front, protocol: Protocol, name: str, declared: type) -> Any:
    connection = ConnectionInfo(hostname="127.0.0.1", port=front.port)
    config = RemoteModuleConfig.load_from_module(declared, connection, protocol, "mm-model-id", name)
    return RemoteModelInitializer().init(config)
