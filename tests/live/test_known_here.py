"""What this client deployed or trained on one of several servers is known to it while that server is down."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from remote_client import RemoteClient
from remote_client.errors import ModelNotFoundError, UnavailableError
from tests.support.edge import edge
from tests.support.gate import Gate
from tests.support.runtime import SAMPLE_MODELS, Runtime

from .protocols import Protocol, port_of

FILES = {"config.yml": f"module_id: {SAMPLE_MODELS['foo']}\n".encode()}
TRAINING = {"training_data": [{"name": "a"}], "union_list": ["x"], "module": "SampleModule"}


@pytest.fixture
def name() -> str:
    return f"known-{uuid.uuid4().hex[:8]}"


@pytest_asyncio.fixture
async def gates(runtime: Runtime, other_runtime: Runtime, protocol: Protocol) -> AsyncIterator[tuple[Gate, Gate]]:
    ports = [each.port if protocol == "grpc" else each.http_port for each in (runtime, other_runtime)]
    async with Gate(ports[0]) as first, Gate(ports[1]) as second:
        yield first, second


@pytest_asyncio.fixture
async def client(gates: tuple[Gate, Gate], protocol: Protocol) -> AsyncIterator[RemoteClient]:
    scheme = "http" if protocol == "http" else "grpc"
    async with RemoteClient([f"{scheme}://127.0.0.1:{each.port}" for each in gates], retries=0) as client:
        yield client


async def greet(client: RemoteClient, name: str) -> str:
    """Call the model once its server can be reached again: after a failure gRPC waits before it connects anew."""
    async with asyncio.timeout(30):
        while True:
            try:
                return str((await (await client.model(name)).run_sample({"name": "World"})).greeting)
            except UnavailableError:
                await asyncio.sleep(0.1)


async def test_deployed_before_an_outage(client: RemoteClient, gates: tuple[Gate, Gate], name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        await client.model(name)
    await client.deploy_model(name, FILES)
    await gates[0].shut()
    assert name in {each.name for each in await client.models()}
    model = await client.model(name)
    with pytest.raises(UnavailableError):
        await model.run_sample({"name": "World"})
    await gates[0].open()
    assert await greet(client, name) == "Hello World"
    await client.undeploy_model(name)
    with pytest.raises(ModelNotFoundError):
        await client.model(name)
    assert name not in {each.name for each in await client.models()}
    assert gates[0].sent.count(b"config.yml") == 1


async def test_a_name_that_was_looked_for_in_an_outage(
    client: RemoteClient, gates: tuple[Gate, Gate], name: str
) -> None:
    await client.deploy_model(name, FILES)
    await gates[0].shut()
    await client.model(name)
    await gates[0].open()
    assert await greet(client, name) == "Hello World"
    await client.undeploy_model(name)


async def test_trained_before_an_outage(client: RemoteClient, gates: tuple[Gate, Gate], name: str) -> None:
    training = await (await client.model("foo")).train(**TRAINING, model_name=name)
    await training.wait()
    await gates[0].shut()
    with pytest.raises(UnavailableError) as caught:
        await client.model(name)
    assert str(gates[0].port) in str(caught.value)
    await gates[0].open()
    assert await greet(client, name) == "Hello World"


async def test_a_second_server_that_lists_it_later_is_called(runtime: Runtime, protocol: Protocol, name: str) -> None:
    scheme, port = ("grpc", runtime.port) if protocol == "grpc" else ("http", runtime.http_port)
    async with Gate(port) as first, Gate(port) as second:
        await second.shut()
        async with RemoteClient([f"{scheme}://127.0.0.1:{each.port}" for each in (first, second)]) as client:
            await client.deploy_model(name, FILES)
            assert await greet(client, name) == "Hello World"
            await second.open()
            async with asyncio.timeout(30):
                while name not in client._finder.servers[1].models:
                    await client.models()
            await first.shut()
            model = await client.model(name)
            assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
            await first.open()
            async with RemoteClient(f"{scheme}://127.0.0.1:{port}") as other:
                await other.undeploy_model(name)
    assert (first.sent + second.sent).count(b"config.yml") == 1


async def test_what_was_trained_on_a_silent_server_is_found_on_another_one(
    runtime: Runtime, protocol: Protocol, name: str
) -> None:
    scheme, port = ("grpc", runtime.port) if protocol == "grpc" else ("http", runtime.http_port)
    async with Gate(port) as first, Gate(port) as second:
        targets = [f"{scheme}://127.0.0.1:{each.port}" for each in (first, second)]
        async with RemoteClient(targets, timeout=3600) as client, asyncio.timeout(30):
            training = await (await client.model("foo")).train(**TRAINING, model_name=name)
            await training.wait()
            home, other_way = (first, second) if name.encode() in first.sent else (second, first)
            async with RemoteClient(f"{scheme}://127.0.0.1:{port}") as other:  # from then on the runtime lists it
                assert await (await other.training(training.id, name).model()).run_sample({"name": "World"})
            home.hold()
            model = await client.model(name)
            assert model.config.connection.port == other_way.port
            assert (await model.run_sample({"name": "World"})).greeting == "Hello World"


@pytest.mark.parametrize("status", ["401", "403"])
async def test_a_training_alone_is_allowed(runtime: Runtime, protocol: Protocol, name: str, status: str) -> None:
    async with edge(protocol, port_of(runtime, protocol)) as between:
        async with RemoteClient(between.target) as client:
            model = await client.model("foo", task="SampleTask")
            forbidden = ("TaskPredict", "/GetModelsInfo", "POST /api/v1/task/sample", "GET /info/models")
            for path in forbidden:
                between.faults[path] = [status] * 9
            job = await model.train(**TRAINING, model_name=name)
            assert any(between.requests(path) for path in forbidden)
            between.faults.clear()
            await job.wait()
