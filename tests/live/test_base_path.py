"""A real runtime behind a gateway that puts a path before all of its routes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client import JobStatus, RemoteClient, RemoteModelFinder, RemoteModelInitializer
from remote_client._cli.main import main
from remote_client.errors import InternalError, NotFoundError
from remote_client.sync import RemoteClient as BlockingClient

from ..support.gateway import Gateway
from ..support.runtime import SAMPLE_MODELS, Runtime

PREFIX = "/team/caikit"
CONFIG = f"module_id: {SAMPLE_MODELS['foo']}\n".encode()


@pytest_asyncio.fixture
async def gateway(runtime: Runtime) -> AsyncIterator[Gateway]:
    async with Gateway(runtime.http_port, PREFIX) as gateway:
        yield gateway
        assert gateway.received
        assert [each.target for each in gateway.received if not each.target.startswith(f"{PREFIX}/")] == []


async def test_calls_jobs_trainings_and_models(gateway: Gateway) -> None:
    async with RemoteClient(gateway.target) as client:
        assert await client.healthy()
        assert "foo" in {each.name for each in await client.models()}
        assert (await client.runtime_info()).python_packages
        assert "SampleTask" in (await client.describe()).tasks
        model = await client.model("foo")
        assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
        streamed = [each.greeting async for each in model.run_sample_stream_out({"name": "World"})]
        assert streamed[0] == "Hello World 0"
        job = await model.start_sample_job({"name": "World"})
        assert (await job.wait()).state is JobStatus.COMPLETED
        assert (await job.result()).greeting == "Hello World"
        training = await model.train(training_data=[{"name": "a"}, {"name": "b"}], union_list=["x"])
        trained = await training.model()
        assert (await trained.run_sample({"name": "World"})).greeting == "Hello World"
        await client.deploy_model("below-a-path", {"config.yml": CONFIG})
        deployed = await client.model("below-a-path")
        assert (await deployed.run_sample({"name": "World"})).greeting == "Hello World"
        await client.undeploy_model("below-a-path")
        with pytest.raises(NotFoundError) as caught:
            await client.undeploy_model("below-a-path")
        assert caught.value.target == f"127.0.0.1:{gateway.port}{PREFIX}"
        with pytest.raises(InternalError, match=f"{gateway.port}{PREFIX}"):
            await model.run_sample({"name": "World"}, throw=True)


async def test_handles_travel_with_their_path(gateway: Gateway) -> None:
    async with RemoteClient(gateway.target) as client:
        model = await client.model("foo")
        data = pickle.dumps((client, model))
    other, again = pickle.loads(data)
    assert (await again.run_sample({"name": "World"})).greeting == "Hello World"
    assert await other.healthy()
    await again.aclose()
    await other.aclose()


async def test_finders_and_blocking_clients(gateway: Gateway) -> None:
    connection = {"hostname": "127.0.0.1", "port": gateway.port, "base_path": PREFIX}
    finder = RemoteModelFinder({"connection": connection, "protocol": "http"})
    config = await finder.find_model("foo")
    assert config is not None
    module: Any = RemoteModelInitializer().init(config)
    async with module:
        assert (await module.run_sample({"name": "World"})).greeting == "Hello World"
    await finder.aclose()

    def call() -> list[str]:
        with BlockingClient(gateway.target) as client:
            model = client.model("foo")
            return [each.greeting for each in model.run_sample_stream_out({"name": "World"})]

    assert (await asyncio.to_thread(call))[0] == "Hello World 0"


async def test_stubs_of_a_runtime_below_a_path(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(main, ["stubs", gateway.target.replace("http", "HTTP", 1)]) == 0
    assert "class " in capsys.readouterr().out
