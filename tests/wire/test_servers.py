"""Several servers that have a model: calls are shared, fail over, and come back."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client import RemoteClient, RemoteModelFinder
from remote_client.errors import DeadlineExceededError, UnavailableError
from remote_client.hooks import CallEnded
from remote_client.testing._builder import add_field
from tests.support.clock import Stopwatch
from tests.support.wire import WireServer
from tests.support.wire_library import INFO_SERVICE, SERVICE, library_files

ADA = {"name": "Ada"}


async def three(stack: AsyncExitStack) -> list[WireServer]:
    return [stack.enter_context(WireServer()) for _ in range(3)]


def greet(model: Any) -> Awaitable[Any]:
    answer: Awaitable[Any] = model.run_sample(ADA)
    return answer


async def load(
    model: Any, seconds: float, at_once: int = 64, call: Callable[[Any], Awaitable[Any]] = greet
) -> Counter[str]:
    """Calls for some seconds; what became of them."""
    ended: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def work() -> None:
        while time.monotonic() < end:
            try:
                await call(model)
                ended["answered"] += 1
            except (UnavailableError, DeadlineExceededError) as error:
                ended[type(error).__name__] += 1

    await asyncio.gather(*(work() for _ in range(at_once)))
    return ended


@pytest.fixture
async def servers() -> AsyncIterator[list[WireServer]]:
    async with AsyncExitStack() as stack:
        yield await three(stack)


async def test_calls_are_shared(servers: list[WireServer]) -> None:
    async with RemoteClient([each.target for each in servers]) as client:
        model = await client.model("foo")
        assert (await load(model, 1.0)).keys() == {"answered"}
        shares = [(await each.stats())["started"]["SampleTaskPredict"] for each in servers]
        assert min(shares) > sum(shares) / 5
        assert [each.greeting async for each in model.run_sample_stream_out(ADA)] == ["Hello Ada"] * 3


async def describe_otherwise(server: WireServer, change: Callable[[dict[str, FileDescriptorProto]], object]) -> None:
    """Have a server describe itself by files that a change makes other ones."""
    files = library_files()
    change(files)
    sent = {name: file.SerializeToString().hex() for name, file in files.items()}
    await server.faults(services=[SERVICE, INFO_SERVICE], files=sent)


def add_message(files: dict[str, FileDescriptorProto]) -> None:
    files["sample_data.proto"].message_type.add(name="New")


def add_parameter(files: dict[str, FileDescriptorProto]) -> None:
    request = next(each for each in files["testservice.proto"].message_type if each.name == "SampleTaskRequest")
    add_field(request, "new", "string", optional=True)


@pytest.mark.parametrize(("change", "shared"), [(add_message, True), (add_parameter, False)])
async def test_calls_are_shared_by_servers_of_one_interface(
    servers: list[WireServer], change: Callable[[dict[str, FileDescriptorProto]], object], shared: bool
) -> None:
    """Whatever else they describe: the next version of a runtime is rolled out server by server."""
    await describe_otherwise(servers[1], change)
    async with RemoteClient([each.target for each in servers]) as client:
        model = await client.model("foo")
        assert (await load(model, 0.5)).keys() == {"answered"}
        started = [(await each.stats())["started"] for each in servers]
    assert [each.get("SampleTaskPredict", 0) > 0 for each in started] == [True, shared, True]


async def test_one_is_killed_and_returns(servers: list[WireServer]) -> None:
    events: list[Any] = []
    failures: list[float] = []
    watch = Stopwatch()

    def hook(event: Any) -> None:
        events.append(event)
        if isinstance(event, CallEnded) and event.error:
            failures.append(watch.seconds)

    async with RemoteClient([each.target for each in servers], hooks=[hook]) as client:
        model = await client.model("foo")
        await load(model, 0.3)
        loading = asyncio.ensure_future(load(model, 2.0))
        await asyncio.sleep(0.5)
        servers[0].signal(signal.SIGKILL)
        watch = Stopwatch()
        ended = await loading
        # What was lost fails over as far as the budgets of the others go; then nothing is lost any more.
        assert ended["answered"] > 100
        assert sum(ended.values()) - ended["answered"] <= 64 / 3
        assert all(each < 0.3 for each in failures)
        assert any(isinstance(each, CallEnded) and each.attempts > 1 for each in events)
        with servers[0].__class__(port=servers[0].port) as again:
            loading = asyncio.ensure_future(load(model, 5.0, 16))
            while not (await again.stats())["started"].get("SampleTaskPredict") and not loading.done():
                await asyncio.sleep(0.1)
            assert (await again.stats())["started"]["SampleTaskPredict"] > 0
            assert (await loading).keys() == {"answered"}


async def test_one_is_frozen(servers: list[WireServer]) -> None:
    async with RemoteClient([each.target for each in servers], timeout=0.5) as client:
        model = await client.model("foo")
        await load(model, 0.3)
        servers[1].signal(signal.SIGSTOP)
        first = await load(model, 1.2)
        assert first["answered"]
        after = await load(model, 0.4)  # ejected
        assert after["answered"]
        assert sum(after.values()) - after["answered"] <= 1  # the probe
        servers[1].signal(signal.SIGCONT)


async def test_all_are_down(servers: list[WireServer]) -> None:
    async with RemoteClient([each.target for each in servers]) as client:
        await client.models()  # waits for all three: `model` alone takes the first that lists it
        model = await client.model("foo")
        for each in servers:
            each.signal(signal.SIGKILL)
        with pytest.raises(UnavailableError) as caught:
            await model.run_sample(ADA)
        assert len({error.target for error in (caught.value, *caught.value.previous)}) == 3


async def test_the_first_in_order_is_taken_though_another_listed_the_model_before(servers: list[WireServer]) -> None:
    await servers[0].faults(models=["other"])
    await servers[1].faults(models_delay=0.3)
    connections = [{"hostname": "127.0.0.1", "port": each.port} for each in servers]
    finder = RemoteModelFinder({"remote_connections": connections})
    try:
        assert await finder.find_model("other") is not None  # the others are still being asked
        while not any("foo" in each.models for each in finder.servers):
            await asyncio.sleep(0.01)
        config = await finder.find_model("foo")
        assert config is not None
        assert config.connection.port == servers[1].port
    finally:
        await finder.aclose()


async def test_a_server_that_gets_the_model_later(servers: list[WireServer]) -> None:
    await servers[2].faults(models=[])
    async with RemoteClient([each.target for each in servers]) as client:
        model = await client.model("foo")
        await load(model, 0.2)
        assert not (await servers[2].stats())["started"].get("SampleTaskPredict")
        await servers[2].faults(models=["foo"])
        await client.models()  # a poll
        await load(model, 0.3)
        assert (await servers[2].stats())["started"]["SampleTaskPredict"] > 0
