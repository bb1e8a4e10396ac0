"""A span ends with its call, however the call ends, and leaves no context behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from remote_client.errors import ClosedError, DeadlineExceededError, RemoteCallError
from remote_client.hooks import foreign_calls
from remote_client.settings import CallOptions
from tests.support.clock import Stopwatch
from tests.support.http_wire import RESET, HttpWire, chunked, event
from tests.support.telemetry import Telemetry
from tests.support.wire import WireServer

from .kinds import Deed, every_place


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    before = context.get_current(), foreign_calls.get()
    yield made
    assert (context.get_current(), foreign_calls.get()) == before
    assert telemetry_is_balanced(made)
    made.close()


def telemetry_is_balanced(telemetry: Telemetry) -> bool:
    return telemetry.total("caikit.client.active_calls") == 0


@pytest.fixture(params=["asyncio", "grpcio"])
def engine(request: pytest.FixtureRequest, protocol: str) -> Any:
    if protocol == "http" and request.param == "grpcio":
        pytest.skip("an engine of gRPC")
    return request.param


@pytest.fixture
async def traced(server: Any, telemetry: Telemetry, engine: str) -> AsyncIterator[Any]:
    async with server.plain(call_options=CallOptions(timeout=20, hooks=(telemetry.hook,)), engine=engine) as made:
        yield made


async def ended(telemetry: Telemetry) -> ReadableSpan:
    """The only span, once it has ended."""
    watch = Stopwatch()
    while not telemetry.spans() and watch.seconds < 3:
        await asyncio.sleep(0.01)
    (span,) = telemetry.spans()
    return span


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_stream_that_is_left_early(traced: Any, telemetry: Telemetry) -> None:
    async with traced.count(n=5, hang=True) as stream:
        async for _ in stream:
            break
    span = await ended(telemetry)
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in told(span)
    assert told(span)["caikit.response.messages"] == 1


async def test_a_stream_that_is_dropped(traced: Any, telemetry: Telemetry) -> None:
    async for _ in traced.count(n=5, hang=True):
        break
    gc.collect()
    span = await ended(telemetry)
    assert span.status.status_code is StatusCode.UNSET
    assert told(span)["caikit.response.messages"] == 1


async def test_a_stream_that_is_closed_by_another_task(traced: Any, telemetry: Telemetry) -> None:
    stream = traced.silent()
    reader = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.05)
    await stream.aclose()
    with pytest.raises(ClosedError):
        await reader
    assert "error.type" not in told(await ended(telemetry))


async def test_a_stream_that_was_never_read_is_no_call(traced: Any, telemetry: Telemetry) -> None:
    await traced.count(n=1).aclose()
    assert telemetry.spans() == []
    assert telemetry.points("rpc.client.call.duration") == []


@every_place()
async def test_a_call_that_is_cancelled(protocol: str, deed: Deed, traced: Any, telemetry: Telemetry) -> None:
    task = asyncio.create_task(deed(traced))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    span = await ended(telemetry)
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)["error.type"] == {"grpc": "CANCELLED", "http": "asyncio.exceptions.CancelledError"}[protocol]
    assert telemetry.points("rpc.client.call.duration")[0].attributes["rpc.response.status_code"] == "CANCELLED"


@every_place()
async def test_a_call_without_an_answer_in_time(protocol: str, deed: Deed, traced: Any, telemetry: Telemetry) -> None:
    with pytest.raises(DeadlineExceededError):
        await deed(traced.with_options(timeout=0.1))
    span = await ended(telemetry)
    kind = {"grpc": "DEADLINE_EXCEEDED", "http": "remote_client.errors.DeadlineExceededError"}
    assert told(span)["error.type"] == kind[protocol]
    assert len(span.events) == 1 or told(span)["caikit.response.messages"]


@pytest.mark.parametrize("method", ["sleep", "silent"])
async def test_a_client_that_is_closed(server: Any, telemetry: Telemetry, engine: str, method: str) -> None:
    module = server.plain(call_options=CallOptions(hooks=(telemetry.hook,)), engine=engine)
    call = module.sleep(seconds=3600) if method == "sleep" else anext(module.silent())
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0.1)
    await module.aclose()
    with pytest.raises(ClosedError):
        await task
    span = await ended(telemetry)
    assert told(span)["error.type"] == "remote_client.errors.ClosedError"


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
async def test_a_grpc_stream_that_fails_midway(wire: WireServer, telemetry: Telemetry, engine: str) -> None:
    async with wire.plain(call_options=CallOptions(hooks=(telemetry.hook,)), engine=engine) as module:
        with pytest.raises(RemoteCallError):
            async for _ in module.count(n=2, fail="DATA_LOSS"):
                pass
    span = await ended(telemetry)
    assert told(span)["error.type"] == told(span)["rpc.response.status_code"] == "DATA_LOSS"
    assert told(span)["caikit.response.messages"] == 2


async def test_an_http_stream_that_fails_midway(http_wire: HttpWire, telemetry: Telemetry) -> None:
    failure = event('{"details": "as ordered", "code": 400}', "error")
    cases = {"remote_client.errors.StreamTruncatedError": [*chunked(event("1"), end=False), RESET]}
    cases["remote_client.errors.InvalidArgumentError"] = chunked(event("1"), failure)
    async with http_wire.plain(call_options=CallOptions(hooks=(telemetry.hook,))) as module:
        for steps in cases.values():
            with pytest.raises(RemoteCallError):
                async for _ in module.script_stream(steps=steps):
                    pass
    spans = telemetry.spans()
    assert [told(each)["error.type"] for each in spans] == list(cases)
    # The answer had begun well; the error is one of its events.
    assert [told(each)["http.response.status_code"] for each in spans] == [200, 200]
    assert {each.status.status_code for each in spans} == {StatusCode.ERROR}


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
async def test_an_input_that_raises(wire: WireServer, telemetry: Telemetry, engine: str) -> None:
    async def items() -> AsyncIterator[bytes]:
        yield b"1"
        raise KeyError("mine")

    async with wire.plain(call_options=CallOptions(hooks=(telemetry.hook,)), engine=engine) as module:
        with pytest.raises(KeyError):
            await module.sum(items())
    assert told(await ended(telemetry))["error.type"] == "builtins.KeyError"


async def test_a_server_that_is_not_there(telemetry: Telemetry, server: Any, engine: str, protocol: str) -> None:
    module = server.plain(call_options=CallOptions(hooks=(telemetry.hook,)), engine=engine, port=1)
    async with module:
        with pytest.raises(RemoteCallError):
            await module.echo(b"1")
    span = await ended(telemetry)
    assert (
        told(span)["error.type"] == {"grpc": "UNAVAILABLE", "http": "remote_client.errors.UnavailableError"}[protocol]
    )
    assert "http.response.status_code" not in told(span)


@pytest.mark.own_http("httpx enters cancel scopes, which the task that did must leave")
async def test_a_call_whose_coroutine_is_dropped(traced: Any, telemetry: Telemetry, caplog: Any) -> None:
    """A coroutine that is driven by hand and thrown away ends in another context, without a word in the log."""
    call = traced.sleep(seconds=3600)

    async def begin() -> None:
        call.send(None)

    await asyncio.create_task(begin())
    call.close()
    await ended(telemetry)
    assert caplog.records == []
