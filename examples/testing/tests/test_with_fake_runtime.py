"""The service with a fake runtime: the tests decide what the model answers, and when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from greetings import MODEL, Greeter, Greeting, Guest, greet, greet_until

from remote_client import RemoteClient
from remote_client.declare import module, taskmethod
from remote_client.errors import UnavailableError
from remote_client.testing import FakeRuntime

Start = Callable[..., FakeRuntime]


@module(task="SampleTask")
class FakeGreeter(Greeter):
    """What the model answers in these tests."""

    @taskmethod()
    async def run(self, sample_input: Guest) -> Greeting:
        return Greeting(greeting=f"Hi {sample_input.name}")

    @taskmethod()
    async def run_stream_out(self, sample_input: Guest) -> AsyncIterator[Greeting]:  # type: ignore[override]
        for number in range(100):
            yield Greeting(greeting=f"Hi {sample_input.name} {number}")


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_guests_are_greeted_by_the_model(fake_runtime: Start, protocol: str) -> None:
    runtime = fake_runtime({MODEL: FakeGreeter()})
    async with RemoteClient(getattr(runtime, protocol)) as client:
        assert await greet(client, ["Ada", "Alan"]) == ["Hi Ada", "Hi Alan"]
    assert [call.model for call in runtime.calls] == [MODEL, MODEL]
    assert runtime.calls[-1].arguments == {"sample_input": {"name": "Alan"}}


async def test_a_runtime_that_is_away_is_asked_again(fake_runtime: Start, protocol: str) -> None:
    runtime = fake_runtime({MODEL: FakeGreeter()})
    runtime.fail(UnavailableError("down"), times=2)
    async with RemoteClient(getattr(runtime, protocol), retries=2) as client:
        assert await greet(client, ["Ada"]) == ["Hi Ada"]
    assert len(runtime.calls) == 3


async def test_guests_are_welcome_without_a_runtime(fake_runtime: Start, protocol: str) -> None:
    runtime = fake_runtime({MODEL: FakeGreeter()})
    async with RemoteClient(getattr(runtime, protocol), retries=0) as client:
        runtime.fail(UnavailableError("down"))
        assert await greet(client, ["Ada", "Alan"]) == ["Welcome, Ada", "Hi Alan"]


async def test_guests_do_not_wait(fake_runtime: Start, protocol: str) -> None:
    runtime = fake_runtime({MODEL: FakeGreeter()})
    runtime.delay(1)
    async with RemoteClient(getattr(runtime, protocol)) as client:
        assert await greet(client, ["Ada"], patience=0.1) == ["Welcome, Ada"]


async def test_greetings_end(fake_runtime: Start, protocol: str) -> None:
    runtime = fake_runtime({MODEL: FakeGreeter()})
    async with RemoteClient(getattr(runtime, protocol)) as client:
        assert await greet_until(client, "Ada", "1") == ["Hi Ada 0", "Hi Ada 1"]
