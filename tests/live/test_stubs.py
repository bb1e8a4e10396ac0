"""Files that `remote-client stubs` writes of a real runtime declare what the runtime's models can be called by."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remote_client import RemoteClient, sync
from remote_client._schema.schema_bytes import schema_bytes
from remote_client.stubs import write
from tests.support.stubs import check_declarations, check_only_defines, imported

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
        text = write(description, "a runtime")
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
        with imported(write(await client.describe(), "a runtime"), tmp_path) as stubs:
            module: Any = await client.model("foo", stubs.SampleModule)
            job = await module.train([stubs.SampleInputType(name="x")], union_list=["a"], batch_size=1)
            assert (await job.wait()).state.name == "COMPLETED"
            trained = await job.model()
            assert (await trained.run_sample(stubs.SampleInputType(name="Ada"))).greeting
            await client.undeploy_model(job.model_name)


def test_a_written_file_for_the_blocking_client(runtime: Runtime, protocol: Protocol, tmp_path: Path) -> None:
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        text = write(client.describe(), "a runtime", blocking=True)
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


async def test_written_files_suffice_for_a_server_that_tells_nothing(
    runtime: Runtime, protocol: Protocol, kind_of_client: str, tmp_path: Path
) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        description = await client.describe()
    blocking = kind_of_client == "blocking"
    name = "written.json" if protocol == "http" else "written.binpb"
    text = write(description, "a runtime", blocking=blocking, schema=name)
    (tmp_path / "written.py").write_text(text, encoding="utf-8")
    (tmp_path / name).write_bytes(schema_bytes(description))
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
