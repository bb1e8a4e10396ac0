"""Handles travel between processes: clients, models, their methods, finders, configurations and jobs."""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cloudpickle
import httpx
import joblib
import pytest
import pytest_asyncio

from remote_client import (
    ConnectionInfo,
    ConnectionTlsInfo,
    FinderConfig,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    RemoteModuleConfig,
)
from remote_client import sync as blocking
from remote_client._client import shared_connections
from remote_client.auth import BearerToken
from remote_client.declare import module, taskmethod
from remote_client.errors import ClosedError, InvalidArgumentError, ModelNotFoundError, PicklingError
from tests.live.greeter import Greeter, Greeting, Who

from ..support.runtime import Runtime
from .protocols import Protocol, connection_of, target_of

INPUT = {"name": "World"}
HELLO = "Hello World"
Travel = Callable[[Any], Any]
TRAVELS = [*(partial(lambda number, each: pickle.loads(pickle.dumps(each, number)), number) for number in range(2, 6))]
TRAVELS += [lambda each: cloudpickle.loads(cloudpickle.dumps(each)), copy.copy, copy.deepcopy]


@pytest.fixture(params=TRAVELS, ids=["2", "3", "4", "5", "cloudpickle", "copy", "deepcopy"])
def travel(request: pytest.FixtureRequest) -> Travel:
    """What another process, or a copy, gets of an object."""
    found: Travel = request.param
    return found


@pytest_asyncio.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    """Close what the handles of a test share, which nobody else closes before the loop ends."""
    yield
    for server in list(shared_connections._servers.values()):
        await server.aclose()


@module(name="SampleModule", task="SampleTask")
class BlockingGreeter(blocking.RemoteModuleBase):
    """Greets."""

    @taskmethod()
    def greet(self, sample_input: Who) -> Greeting:
        raise NotImplementedError


def tokens() -> dict[str, str]:
    """Metadata of a function that can be imported."""
    return {"x-token": "t"}


# -- in one process, with asyncio -------------------------------------------------------------------------------------


async def test_a_client_travels(client: RemoteClient, travel: Travel) -> None:
    found = travel(client)
    assert {each.name for each in await found.models()} == {each.name for each in await client.models()}
    model: Any = await found.model("foo")
    assert (await model.run_sample(INPUT)).greeting == HELLO
    if found is not client:
        await found.aclose()


async def test_a_model_travels(client: RemoteClient, travel: Travel) -> None:
    model: Any = await client.model("foo")
    found = travel(model)
    assert repr(found) == repr(model)
    assert [*dir(type(found))] == [*dir(type(model))]
    assert inspect.iscoroutinefunction(found.run_sample)
    assert list(inspect.signature(found.run_sample).parameters) == list(inspect.signature(model.run_sample).parameters)
    answer = await found.run_sample(INPUT)
    assert answer == await model.run_sample(INPUT)
    assert type(answer) is type(await model.run_sample(INPUT))
    assert [each.greeting async for each in found.run_sample_stream_out(INPUT)]
    assert (await found.with_options(output="dict").run_sample(INPUT))["greeting"] == HELLO
    with pytest.raises((InvalidArgumentError, TypeError)):
        await found.run_sample()


async def test_a_method_travels(client: RemoteClient, travel: Travel) -> None:
    model: Any = await client.model("foo", task="SampleTask")
    for method in (model.run, model.run_sample, model.with_options(timeout=20).run):
        found = travel(method)
        if sys.version_info < (3, 12) or travel is not TRAVELS[4]:  # cloudpickle copies inspect's mark
            assert inspect.iscoroutinefunction(found)
        assert (await found(INPUT)).greeting == HELLO
    stream = travel(model.run_stream_out)
    assert [each.greeting async for each in stream(INPUT)]
    assert (await travel(partial(model.run, INPUT))()).greeting == HELLO


async def test_options_travel(client: RemoteClient, travel: Travel) -> None:
    model: Any = (await client.model("foo")).with_options(output="dict", retries=7, timeout=11, metadata=tokens)
    found = travel(model)
    assert found._caller.options == model._caller.options
    assert (await found.run_sample(INPUT))["greeting"] == HELLO


async def test_a_declared_model_travels(client: RemoteClient, travel: Travel) -> None:
    greeter = await client.model("foo", Greeter)
    found = travel(greeter)
    assert isinstance(found, Greeter)
    assert await found.greet(Who("World")) == Greeting(greeting=HELLO)
    assert {type(each) async for each in found.greet_often(Who("World"))} == {Greeting}
    assert await travel(greeter.greet)(Who("World")) == Greeting(greeting=HELLO)


async def test_a_finder_travels(runtime: Runtime, protocol: Protocol, travel: Travel) -> None:
    finder = RemoteModelFinder({"connection": connection_of(runtime, protocol), "protocol": protocol})
    found = travel(finder)
    config = await found.find_model("foo")
    assert config.model_path == "foo"
    assert await found.discover()
    await found.aclose()
    await finder.aclose()


async def test_a_configuration_and_its_module_travel(client: RemoteClient, travel: Travel) -> None:
    model: Any = await client.model("foo")
    config = travel(model.config)
    assert (config.connection, config.model_path, config.protocol) == (
        model.config.connection,
        "foo",
        model.config.protocol,
    )
    made: Any = RemoteModelInitializer().init(config)
    found = travel(made)
    assert (await found.run_sample(INPUT)).greeting == HELLO
    await found.aclose()
    await made.aclose()
    assert type(RemoteModelInitializer().init(travel(model.config))) is type(made)


async def test_a_loaded_module_travels(runtime: Runtime, protocol: Protocol, travel: Travel) -> None:
    connection = ConnectionInfo(**connection_of(runtime, protocol))
    config = RemoteModuleConfig.load_from_module(Greeter, connection, protocol, "mm-model-id", "foo")
    made: Any = RemoteModelInitializer().init(config)
    found = travel(made)
    assert isinstance(found, Greeter)
    assert await found.greet(Who("World")) == Greeting(greeting=HELLO)
    await found.aclose()
    await made.aclose()


async def test_what_servers_tell_travels(client: RemoteClient, travel: Travel) -> None:
    description, runtime_info, models = await client.describe(), await client.runtime_info(), await client.models()
    found = travel(description)
    assert str(found) == str(description)
    assert found is description  # as long as it lives
    assert travel(runtime_info) == runtime_info
    assert travel(models) == models
    assert str(travel(description.tasks["SampleTask"])) == str(description.tasks["SampleTask"])


@pytest.mark.parametrize(
    "settings",
    [
        ConnectionInfo(hostname="h", port=1, options={"a": 1}),
        FinderConfig(connection=ConnectionInfo(hostname="h", port=1), supported_models={"m": "id"}),
        ConnectionTlsInfo(enabled=True),
    ],
)
def test_settings_travel(settings: Any, travel: Travel) -> None:
    assert travel(settings) == settings


async def test_jobs_travel(client: RemoteClient, travel: Travel) -> None:
    model: Any = await client.model("foo")
    job = await model.start_sample_job(INPUT)
    for each in (travel(job), travel(client.prediction_job("SampleTask", job.id))):
        await each.wait()
        assert (await each.result()).greeting == HELLO


async def test_a_declared_models_job_has_its_types(client: RemoteClient, travel: Travel) -> None:
    greeter: Any = await client.model("foo", Greeter)
    job = travel(await greeter.start_sample_job(Who("World")))
    await job.wait()
    assert await job.result() == Greeting(greeting=HELLO)


async def test_trainings_travel(client: RemoteClient, protocol: Protocol, travel: Travel) -> None:
    model: Any = await client.model("foo")
    training = await model.train(
        training_data=[{"name": "a"}], union_list=["x"], module="SampleModule", model_name=f"t-{os.urandom(4).hex()}"
    )
    for each in (travel(training), travel(client.training(training.training_id, training.model_name))):
        await each.wait()
        trained: Any = await each.model()
        assert (await travel(trained).run_sample(INPUT)).greeting


async def test_handles_share_connections_until_the_last_is_closed(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    one, two = pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(client))
    await one.run_sample(INPUT)
    await two.models()
    (server,) = two._finder.servers
    assert server.caller.connections.opened == 1
    assert one._caller.connections.lease is not None
    await two.aclose()
    with pytest.raises(ClosedError):
        await two.models()
    assert (await one.run_sample(INPUT)).greeting == HELLO
    assert one._caller.connections.opened == 1
    await one.aclose()
    assert one._caller.connections.opened == 0
    with pytest.raises(ClosedError):
        await one.run_sample(INPUT)


def test_a_handle_is_made_where_no_loop_runs(runtime: Runtime, protocol: Protocol) -> None:
    async def pickled() -> bytes:
        async with RemoteClient(target_of(runtime, protocol)) as client:
            model: Any = await client.model("foo")
            return pickle.dumps([client, model, model.run_sample])

    client, model, method = pickle.loads(asyncio.run(pickled()))
    assert repr(client)
    assert repr(model)
    for _ in range(2):  # in any loop

        async def use() -> None:
            assert (await method(INPUT)).greeting == HELLO
            assert (await model.run_sample(INPUT)).greeting == HELLO
            for server in list(shared_connections._servers.values()):
                await server.aclose()

        asyncio.run(use())


async def test_what_was_unpickled_travels_on(client: RemoteClient, travel: Travel) -> None:
    model: Any = await client.model("foo")
    once = pickle.loads(pickle.dumps(model))
    for unused in (True, False):
        found = travel(once)
        assert (await found.run_sample(INPUT)).greeting == HELLO
        assert inspect.signature(found.run_sample) == inspect.signature(once.run_sample)
        if unused:
            await once.run_sample(INPUT)


async def test_clients_of_several_servers_and_of_a_configuration_travel(runtime: Runtime, travel: Travel) -> None:
    config = {
        "model_management": {
            "finders": {"r": {"type": "REMOTE", "config": {"connection": connection_of(runtime, "grpc")}}}
        }
    }
    two = RemoteClient([runtime.target, runtime.target.replace("localhost", "127.0.0.1")], metadata=tokens)
    for client in (two, RemoteClient.from_config(config)):
        async with client:
            model: Any = travel(await client.model("foo"))
            for _ in range(4):
                assert (await model.run_sample(INPUT)).greeting == HELLO
            found = travel(client)
            other: Any = await found.model("foo")
            assert (await other.run_sample(INPUT)).greeting == HELLO


async def test_a_model_that_is_gone_is_told(client: RemoteClient) -> None:
    with pytest.raises(ModelNotFoundError):
        await pickle.loads(pickle.dumps(client)).model("nope")


# -- secrets ----------------------------------------------------------------------------------------------------------

SECRET = "s3cr3t-t0k3n"


async def test_static_metadata_refuses_and_names_the_way(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol), metadata={"authorization": SECRET}) as client:
        model: Any = await client.model("foo")
        plain: Any = pickle.loads(pickle.dumps(copy.copy(model.config)))
        assert plain
        for each in (client, model, model.run_sample, client.training("id"), client._finder):
            with pytest.raises(PicklingError, match=r"function .*import.*environment.*file") as caught:
                pickle.dumps(each)
            assert SECRET not in str(caught.value)
            assert isinstance(caught.value, (TypeError, pickle.PicklingError))
            with pytest.raises(Exception, match=r"function .*import"):
                cloudpickle.dumps(each)
        assert (await copy.deepcopy(model).run_sample(INPUT)).greeting == HELLO
        assert await copy.deepcopy(client).models()
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = (await client.model("foo")).with_options(metadata={"authorization": SECRET})
        with pytest.raises(PicklingError, match="BearerToken"):
            pickle.dumps(model)


async def test_no_secret_is_in_a_pickle(
    runtime: Runtime, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    monkeypatch.setenv("A_TOKEN", SECRET)
    for source in (BearerToken(file=str(file)), BearerToken(env="A_TOKEN"), tokens):
        async with RemoteClient(target_of(runtime, protocol), metadata=source) as client:
            model: Any = await client.model("foo")
            answer = await model.run_sample(INPUT)
            job = await model.start_sample_job(INPUT)
            for dumps in (pickle.dumps, cloudpickle.dumps):
                pickled = dumps([client, model, model.run_sample, model.config, job, answer, await client.describe()])
                assert SECRET.encode() not in pickled
            found, *_ = pickle.loads(pickled)
            assert await found.models()
            await found.aclose()


class Tokens:
    """What has a secret, and methods that give it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self) -> dict[str, str]:
        return {"authorization": self._token}

    def headers(self) -> dict[str, str]:
        return {"authorization": self._token}

    @classmethod
    def of_the_class(cls) -> dict[str, str]:
        return {}


def headers(token: str) -> dict[str, str]:
    return {"authorization": token}


@pytest.mark.parametrize("kind", [RemoteClient, blocking.RemoteClient])
def test_functions_that_hold_values_refuse(kind: Any) -> None:
    secret = SECRET
    holders = [lambda: {"authorization": secret}, partial(headers, SECRET), Tokens(SECRET), Tokens(SECRET).headers]
    for source in holders:
        client = kind("localhost:1", metadata=source)
        for dumps in (pickle.dumps, cloudpickle.dumps):
            with pytest.raises(Exception, match=r"function .*import.*environment.*file") as caught:
                dumps(client)
            assert SECRET not in str(caught.value)
    assert pickle.loads(pickle.dumps(kind("localhost:1", metadata=Tokens.of_the_class)))


def test_a_function_that_cannot_be_imported_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(RemoteClient("localhost:1", metadata=tokens))
    monkeypatch.delattr(f"{__name__}.tokens")
    with pytest.raises(PicklingError, match="tokens cannot be imported here"):
        pickle.loads(pickled)


def test_a_transport_refuses(runtime: Runtime) -> None:
    client = RemoteClient(runtime.http_target, transport=httpx.AsyncHTTPTransport())
    with pytest.raises(PicklingError, match="transport"):
        pickle.dumps(client)


async def test_a_stream_refuses(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    stream = model.run_sample_stream_out(INPUT)
    with pytest.raises(PicklingError, match="stream"):
        pickle.dumps(stream)
    await stream.aclose()


# -- pools ------------------------------------------------------------------------------------------------------------


def call(model: Any, name: str) -> str:
    """What people send to a pool of processes."""
    greeting: str = model.run_sample({"name": name}).greeting
    return greeting


def ask(client: Any) -> int:
    """The same with a client."""
    return len(client.models())


def fail(model: Any) -> None:
    """A call that the server refuses."""
    model.run_failing("value")


def opened(model: Any) -> int:
    """How many connections the process has made."""
    model.run_sample(INPUT)
    count: int = model._twin._caller.connections.opened
    return count


def call_async(model: Any, name: str) -> str:
    """A process without a loop of its own."""
    greeting: str = asyncio.run(called(model, name)).greeting
    return greeting


async def called(model: Any, name: str) -> Any:
    answer = await model.run_sample({"name": name})
    await model._caller.connections.aclose()
    return answer


FORK = pytest.param("fork", marks=pytest.mark.only_engine("asyncio", "gRPC hangs after a fork"))


@pytest.mark.parametrize("method", ["spawn", FORK, pytest.param("forkserver", marks=pytest.mark.slow)])
def test_blocking_handles_work_in_pools(runtime: Runtime, protocol: Protocol, method: str) -> None:
    with blocking.RemoteClient(target_of(runtime, protocol)) as client:
        model: Any = client.model("foo")
        failing = client.model("failing")
        greeter = client.model("foo", BlockingGreeter)
        with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
            assert list(pool.map(partial(call, model), ["a", "b", "c"])) == ["Hello a", "Hello b", "Hello c"]
            assert pool.submit(model.run_sample, INPUT).result() == model.run_sample(INPUT)
            assert pool.submit(greeter.greet, Who("World")).result() == Greeting(greeting=HELLO)
            assert pool.submit(ask, client).result() == len(client.models())
            error = pool.submit(fail, failing).exception()
            assert type(error).__name__ == "InternalError"
            assert pool.submit(opened, model).result() == 1
            assert pool.submit(client.models).result() == client.models()
        with get_context(method).Pool(1) as pool:
            assert pool.map(model.run_sample, [INPUT]) == [model.run_sample(INPUT)]


@pytest.mark.parametrize("method", ["spawn", FORK])
async def test_asyncio_handles_work_in_pools(client: RemoteClient, method: str) -> None:
    model: Any = await client.model("foo")
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        futures = [pool.submit(call_async, model, each) for each in ("a", "b")]
        assert [await asyncio.wrap_future(each) for each in futures] == ["Hello a", "Hello b"]


def test_joblib_takes_them(runtime: Runtime, protocol: Protocol) -> None:
    with blocking.RemoteClient(target_of(runtime, protocol)) as client:
        model: Any = client.model("foo")
        parallel = joblib.Parallel(n_jobs=2)
        found = parallel(joblib.delayed(lambda name: model.run_sample({"name": name}))(each) for each in ["a", "b"])
        assert [each.greeting for each in found] == ["Hello a", "Hello b"]
        assert found[0] == model.run_sample({"name": "a"})
        assert parallel(joblib.delayed(model.run_sample)(each) for each in [INPUT]) == [model.run_sample(INPUT)]
        with pytest.raises(Exception, match="the model broke"):
            parallel(joblib.delayed(fail)(each) for each in [client.model("failing")])


def test_blocking_handles_travel(runtime: Runtime, protocol: Protocol, travel: Travel) -> None:
    with blocking.RemoteClient(target_of(runtime, protocol), metadata=tokens) as client:
        model: Any = client.model("foo")
        found = travel(model)
        assert isinstance(found, blocking.RemoteModuleBase)
        assert found.run_sample(INPUT) == model.run_sample(INPUT)
        assert [each.greeting for each in found.run_sample_stream_out(INPUT)]
        assert travel(model.run_sample)(INPUT) == model.run_sample(INPUT)
        assert travel(client).models() == client.models()
        assert travel(client.model("foo", BlockingGreeter)).greet(Who("World")) == Greeting(greeting=HELLO)
        job = travel(model.start_sample_job(INPUT))
        job.wait()
        assert job.result().greeting == HELLO
        finder = travel(
            blocking.RemoteModelFinder({"connection": connection_of(runtime, protocol), "protocol": protocol})
        )
        assert finder.find_model("foo").model_path == "foo"
        finder.close()
        with pytest.raises(PicklingError):
            pickle.dumps(model.run_sample_stream_out(INPUT))
