"""Ids of calls and metadata of hooks: one id and one answer of a hook for all attempts, whatever is renewed between."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from remote_client.auth import Credentials
from remote_client.errors import ConfigurationError, RemoteCallError
from remote_client.hooks import CallEnded, CallStarted
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.settings import CallOptions, RetryPolicy
from remote_client.sync._modules import wrapped
from tests.support.ways import Way


class Renewing(Credentials):
    """Gives another token when one is refused."""

    def __init__(self) -> None:
        self.token = "old-token"

    async def __call__(self, fetch: Any) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def refused(self, metadata: Mapping[str, Any]) -> None:
        self.token = "new-token"


class Tracing:
    """A hook that adds another value each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    def metadata(self, call: CallStarted) -> dict[str, str]:
        self.asked += 1
        return {"traceparent": f"00-{self.asked}"}


async def signed(call: OutgoingCall, proceed: Proceed) -> Answer:
    call.metadata["x-signed"] = str(call.attempt)
    return await proceed(call)


@pytest.mark.parametrize("deed", ["echo", "count"])
@pytest.mark.parametrize("given", ["none", "changing", "later"])
async def test_renewed_credentials_change_nothing_else(way: Way, deed: str, given: str) -> None:
    numbers, hook = itertools.count(), Tracing()

    def own_id() -> dict[str, str]:
        number = next(numbers)
        return {} if given == "none" or (given == "later" and not number) else {"x-request-id": f"mine-{number}"}

    await way.server.faults(only=["Bearer new-token"])
    options = {"metadata": (own_id, Renewing()), "hooks": (hook,), "middleware": (signed,)}
    async with way.module(**options) as module:
        if deed == "echo":
            assert await module.echo(b"x") == b"x"
        else:
            assert len([item async for item in module.count(n=2)]) == 2
    first, second = await way.sent()
    assert (first["authorization"], second["authorization"]) == ("Bearer old-token", "Bearer new-token")
    assert (first["x-signed"], second["x-signed"]) == ("1", "2")
    assert first["x-request-id"] == second["x-request-id"] == hook.events[-1].request_id
    assert (first["traceparent"], second["traceparent"]) == ("00-1", "00-1")
    assert [type(event).__name__ for event in hook.events] == ["CallStarted", "AttemptFailed", "CallEnded"]


async def test_an_empty_id_is_none(way: Way) -> None:
    hook = Tracing()
    async with way.module(metadata=({"x-request-id": ""},), hooks=(hook,)) as module:
        assert await module.echo(b"x") == b"x"
        assert [item async for item in module.count(n=1)]
    for sent, ended in zip(
        await way.sent(), [each for each in hook.events if isinstance(each, CallEnded)], strict=True
    ):
        assert sent["x-request-id"] == ended.request_id
        assert len(ended.request_id) == 36


@pytest.mark.parametrize("size", [1, 126, 127, 128, 200, 3000])
async def test_an_id_of_any_length(way: Way, size: int) -> None:
    async with way.module(metadata=({"x-request-id": "i" * size},)) as module:
        response = await module.with_response().echo(b"x")
    assert response.request_id == (await way.sent())[0]["x-request-id"] == "i" * size


async def test_a_hook_whose_metadata_would_never_run() -> None:
    class Wrong:
        def __call__(self, event: Any) -> None: ...

        async def metadata(self, call: CallStarted) -> dict[str, str]:
            return {}

    with pytest.raises(ConfigurationError, match="metadata"):
        CallOptions(hooks=(Wrong(),))


class Raising:
    """A hook that raises in one event, and in its metadata."""

    def __init__(self, event: str, kind: type[BaseException]) -> None:
        self.event, self.kind = event, kind
        self.names: list[str] = []

    def __call__(self, event: Any) -> None:
        self.names.append(type(event).__name__)
        if type(event).__name__ == self.event:
            raise self.kind

    def metadata(self, call: CallStarted) -> Any:
        if self.event == "metadata":
            raise self.kind
        return [5] if self.event == "list" else {"x-fine": "1"}


@pytest.mark.parametrize("event", ["CallStarted", "AttemptFailed", "CallEnded", "metadata", "list"])
async def test_a_hook_that_raises_changes_nothing(way: Way, event: str, caplog: pytest.LogCaptureFixture) -> None:
    await way.fails(1)
    for kind in (ValueError, asyncio.CancelledError, StopAsyncIteration):
        hook = Raising(event, kind)
        async with way.module(hooks=(hook,)) as module:
            assert await module.echo(b"x") == b"x"
            assert len([item async for item in module.count(n=2)]) == 2
            with pytest.raises(RemoteCallError):
                await module.with_options(retries=0).fail(**({"code": "INTERNAL"} if way.is_grpc else {"status": 500}))
        assert hook.names.count("CallStarted") == hook.names.count("CallEnded") == 3


async def answers_late() -> dict[str, str]:
    await asyncio.sleep(9)
    return {}


async def test_calls_whose_metadata_fails_are_not_started(way: Way) -> None:
    """They have no id, and hooks never hear of them: neither of a start nor of an end."""

    def broken() -> dict[str, str]:
        raise ZeroDivisionError

    for source, kind in ((broken, ZeroDivisionError), (answers_late, RemoteCallError)):
        hook = Tracing()
        async with way.module(hooks=(hook,), metadata=(source,), timeout=0.1, retry=RetryPolicy(retries=0)) as module:
            with pytest.raises(kind):
                await module.echo(b"x")
            with pytest.raises(kind):
                await anext(module.count(n=1))
        assert hook.events == []


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns so often that one meets the others in the middle of anything."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_streams_attributes_in_other_threads(way: Way, busy_threads: None) -> None:
    """They are read while the stream ends in the loop's thread."""
    errors: list[BaseException] = []
    missing: list[Any] = []

    def look(stream: Any, stop: threading.Event) -> None:
        began = False
        while not stop.is_set():
            try:
                id, target = stream.request_id, stream.target
            except BaseException as error:
                errors.append(error)
                return
            began = began or id is not None
            if began and None in (id, target):
                missing.append((id, target))

    with wrapped(way.module(middleware=(signed,))) as module:
        for _ in range(20):
            stream, stop = module.count(n=3), threading.Event()
            threads = [threading.Thread(target=look, args=(stream, stop)) for _ in range(3)]
            for thread in threads:
                thread.start()
            assert len(list(stream)) == 3
            stop.set()
            for thread in threads:
                thread.join()
    assert (errors, missing) == ([], [])


def test_options_with_middleware_are_pickled_by_name() -> None:
    options = pickle.loads(pickle.dumps(CallOptions(middleware=(signed,))))
    assert options.middleware == (signed,)
