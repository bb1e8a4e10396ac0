"""Files that `remote-client stubs` writes of a real runtime declare what the runtime's models can be called by."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remote_client import RemoteClient, sync
from remote_client.stubs import write
from tests.support.stubs import check_declarations, check_only_defines, imported

from ..support.runtime import Runtime
from .protocols import Protocol, target_of

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
