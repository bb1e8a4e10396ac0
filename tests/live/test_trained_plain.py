"""Trained models of every kind of signature are there once their trainings are done, and are never run to see that."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client import RemoteClient, sync
from remote_client.errors import AlreadyExistsError, DeadlineExceededError
from tests.support.runtime import Runtime
from tests.support.slow import slow_but

from .protocols import Protocol, target_of

MODELS = {
    "plain": "00110203-0405-0607-0809-0a0b02dd1e01",
    "maybe": "00110203-0405-0607-0809-0a0b02dd1e02",
    "flow": "00110203-0405-0607-0809-0a0b02dd1e03",
}
STREAM_MODELS = {
    "maybe": "00110203-0405-0607-0809-0a0b02dd2e01",
    "many": "00110203-0405-0607-0809-0a0b02dd2e02",
}
MODULES = {"plain": "PlainModule", "maybe": "MaybeModule", "flow": "FlowModule", "many": "ManyModule"}


@pytest.fixture(scope="module")
def plain_runtime() -> Iterator[Runtime]:
    with Runtime("plain_lib", MODELS) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def stream_runtime() -> Iterator[Runtime]:
    with Runtime("stream_lib", STREAM_MODELS) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def client(plain_runtime: Runtime, protocol: Protocol) -> AsyncIterator[RemoteClient]:
    async with RemoteClient(target_of(plain_runtime, protocol)) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"plain-{uuid.uuid4().hex[:8]}"


async def told(model: Any, kind: str) -> tuple[str, int]:
    if kind == "flow":
        (answer,) = [each async for each in model.run_flow_stream_out("x")]
    else:
        answer = await getattr(model, f"run_{kind}")("x")
    return answer.text, int(answer.runs)


@pytest.mark.parametrize(("kind", "way"), [("plain", "job"), ("plain", "name"), ("flow", "job"), ("flow", "name")])
async def test_a_trained_model_is_there(client: RemoteClient, name: str, kind: str, way: str) -> None:
    training = await (await client.model(kind)).train(note="1 ", model_name=name, module=MODULES[kind])
    await training.wait()
    if way == "name":
        model = await client.model(name)
    else:
        model = await training.model(timeout=5)  # it is listed later
    assert await told(model, kind) == ("1 x", 1)


async def trained(runtime: Runtime, protocol: Protocol, kind: str, name: str, way: str, timeout: float | None) -> Any:
    """What a model of optional inputs tells when it is called as soon as it was found."""
    async with RemoteClient(target_of(runtime, protocol)) as client:
        training = await (await client.model(kind)).train(note="1 ", model_name=name, module=MODULES[kind])
        handle = training if way == "job" else client.training(training.id, name)
        return await told(await handle.model(timeout), kind)


@pytest.mark.parametrize("way", ["job", "id"])
async def test_a_model_that_needs_no_input_is_found_by_a_stream(
    plain_runtime: Runtime, stream_runtime: Runtime, protocol: Protocol, name: str, way: str
) -> None:
    runtime = stream_runtime if protocol == "grpc" else plain_runtime  # what takes or gives a stream there
    assert await trained(runtime, protocol, "maybe", name, way, timeout=5) == ("1 x", 1)


async def test_a_stream_without_items_runs_no_model(stream_runtime: Runtime, name: str) -> None:
    assert await trained(stream_runtime, "grpc", "many", name, "job", timeout=5) == ("1 x", 1)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("way", slow_but(["id"], ["job", "id"]))
async def test_a_model_that_no_call_can_look_for_is_there_once_it_is_listed(
    plain_runtime: Runtime, stream_runtime: Runtime, protocol: Protocol, name: str, way: str
) -> None:
    runtime = plain_runtime if protocol == "grpc" else stream_runtime
    assert await trained(runtime, protocol, "maybe", name, way, timeout=None) == ("1 x", 1)


async def test_an_error_tells_what_was_asked(client: RemoteClient, protocol: Protocol, name: str) -> None:
    training = await (await client.model("plain")).train(note="1 ", model_name=name, module=MODULES["plain"])
    await training.wait()
    handle = client.training(training.id, "elsewhere")
    asked = "GetModelsInfo" if protocol == "grpc" else "/task/server-streaming-flow"
    with pytest.raises(DeadlineExceededError, match=rf"was not seen to have .*the last answer: NOT_FOUND: .*{asked}"):
        await handle.model(timeout=1)


@pytest.mark.parametrize("by", ["same", "other"])
async def test_a_name_that_is_held_is_not_trained_again(
    client: RemoteClient, plain_runtime: Runtime, protocol: Protocol, name: str, by: str
) -> None:
    plain = await client.model("plain")
    first = await plain.train(note="1 ", model_name=name, module="PlainModule")
    await first.wait()
    async with RemoteClient(target_of(plain_runtime, protocol)) as other:
        model = plain if by == "same" else await other.model("plain")
        with pytest.raises(AlreadyExistsError, match=f"holds a model {name!r}"):
            await model.train(note="2 ", model_name=name, module="PlainModule")
    assert await told(await client.model(name), "plain") == ("1 x", 1)
    await client.undeploy_model(name)
    second = await plain.train(note="2 ", model_name=name, module="PlainModule")
    assert await told(await second.model(), "plain") == ("2 x", 1)


async def test_a_name_that_is_being_trained_is_not_trained_again(client: RemoteClient, name: str) -> None:
    plain = await client.model("plain")
    trainings = [plain.train(note="1 ", seconds=1.0, model_name=name, module="PlainModule") for _ in range(3)]
    started = await asyncio.gather(*trainings, return_exceptions=True)
    assert [type(each) for each in started].count(AlreadyExistsError) == 2
    (training,) = [each for each in started if not isinstance(each, BaseException)]
    assert await told(await training.model(), "plain") == ("1 x", 1)


async def test_a_deployed_name_is_not_trained(client: RemoteClient, name: str) -> None:
    await client.deploy_model(name, {"config.yml": f"module_id: {MODELS['plain']}\n".encode()})
    with pytest.raises(AlreadyExistsError, match=f"holds a model {name!r}"):
        await (await client.model("plain")).train(note="1 ", model_name=name, module="PlainModule")


async def test_blocking(plain_runtime: Runtime, protocol: Protocol, name: str) -> None:
    def work() -> tuple[str, int]:
        with sync.RemoteClient(target_of(plain_runtime, protocol)) as client:
            plain = client.model("plain")
            training = plain.train(note="1 ", model_name=name, module="PlainModule")
            training.wait()
            with pytest.raises(AlreadyExistsError, match=f"holds a model {name!r}"):
                plain.train(note="2 ", model_name=name, module="PlainModule")
            answer = training.model(timeout=5).run_plain("x")
            assert client.model(name).run_plain("x").runs == 2
            return answer.text, answer.runs

    assert await asyncio.to_thread(work) == ("1 x", 1)
