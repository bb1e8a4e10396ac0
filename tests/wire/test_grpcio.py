"""The engine on grpc.aio where its channels and calls are wrapped: by a user's interceptors, or by a tracing agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from opentelemetry.instrumentation.grpc import aio_client_interceptors
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from remote_client import RemoteClient
from remote_client._transport.engine import open_connections
from remote_client._transport.engines.grpcio import GrpcioTransport
from remote_client.errors import (
    CallCancelledError,
    ClosedError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
)
from tests.support.wire import WireServer, open_files, raw_module, settled

from .intercepting import Bidi, StreamOut, Unary, intercepted
from .kinds import HANGING, Deed


async def passing(continuation: Any, details: Any, request: Any) -> Any:
    """Add metadata, and return the call as it is."""
    metadata = grpc.aio.Metadata(*(details.metadata or ()), ("x-seen", "yes"))
    return await continuation(details._replace(metadata=metadata), request)


async def answering(continuation: Any, details: Any, request: Any) -> Any:
    """Return the bare answer."""
    call = await continuation(details, request)
    return await call


async def generating(continuation: Any, details: Any, request: Any) -> Any:
    """Return a generator, which has no method of a call."""
    call = await continuation(details, request)

    async def answers() -> AsyncIterator[bytes]:
        async for each in call:
            yield each

    return answers()


PASSING = (Unary(passing), StreamOut(passing), Bidi(passing))
WRAPPING = (Unary(answering), StreamOut(generating), Bidi(generating))


class Traced:
    """OpenTelemetry's own interceptors, and the spans that ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.interceptors = aio_client_interceptors(tracer_provider=provider)

    @property
    def spans(self) -> list[str]:
        return sorted(each.name for each in self.exporter.get_finished_spans())


INTERCEPTORS: dict[str, Callable[[], Sequence[Any]]] = {
    "passing": lambda: PASSING,
    "wrapping": lambda: WRAPPING,
    "both": lambda: (*WRAPPING, *PASSING),
    "OpenTelemetry": lambda: Traced().interceptors,
}


@pytest_asyncio.fixture(params=INTERCEPTORS.values(), ids=INTERCEPTORS)
async def wrapped(wire: WireServer, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    async with intercepted(wire, request.param()) as module:
        yield module


async def test_calls_of_each_kind(wrapped: Any) -> None:
    for _ in range(3):
        assert await wrapped.echo(b"x") == b"x"
        assert [item async for item in wrapped.count(n=3)] == [b"0", b"1", b"2"]
        assert await wrapped.sum([b"1", b"2"]) == b"3"
        assert [item async for item in wrapped.chat([b"a", b"b"])] == [b"a", b"b"]
    assert isinstance(wrapped._caller.connections._current.transport, GrpcioTransport)


async def test_errors_keep_their_class(wrapped: Any) -> None:
    for call in (
        wrapped.fail(code="FAILED_PRECONDITION"),
        anext(wrapped.count(n=0, fail="FAILED_PRECONDITION")),
        wrapped.sum([b"fail"]),
        anext(wrapped.chat([b"fail"])),
    ):
        with pytest.raises(FailedPreconditionError):
            await call


async def test_what_an_iterator_raises_stays(wrapped: Any) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"1"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await wrapped.sum(breaks())
    with pytest.raises(ZeroDivisionError):
        async for _ in wrapped.chat(breaks()):
            pass


@pytest.mark.parametrize("deed", HANGING["grpc"].values(), ids=HANGING["grpc"])
async def test_a_cancelled_call_ends_on_the_server(wire: WireServer, wrapped: Any, deed: Deed) -> None:
    task = asyncio.create_task(deed(wrapped))
    await wire.until_running(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (await wire.until(lambda seen: not seen["running"]))["running"]
    assert await wrapped.echo(b"on") == b"on"


async def test_an_early_break_ends_on_the_server(wire: WireServer, wrapped: Any) -> None:
    async for _ in wrapped.count(n=3, hang=True):
        break
    assert not (await wire.until(lambda seen: not seen["running"]))["running"]


async def test_deadlines_and_idle_limits(wire: WireServer, wrapped: Any) -> None:
    hasty = wrapped.with_options(timeout=0.1)
    for call in (hasty.sleep(seconds=9), anext(hasty.silent()), hasty.sum([b"hang"])):
        with pytest.raises(DeadlineExceededError):
            await call
    assert not (await wire.until(lambda seen: not seen["running"]))["running"]


@pytest.mark.parametrize("deed", HANGING["grpc"].values(), ids=HANGING["grpc"])
async def test_closing_ends_what_is_in_flight(wire: WireServer, wrapped: Any, deed: Deed) -> None:
    task = asyncio.create_task(deed(wrapped))
    await wire.until_running(1)
    await wrapped._caller.connections.aclose()
    with pytest.raises(ClosedError):
        await task


@pytest.mark.parametrize("name", ["sum", "chat"])
async def test_a_call_that_ends_while_its_input_waits_leaves_no_task(wrapped: Any, name: str) -> None:
    async def waits() -> AsyncIterator[bytes]:
        yield b"fail"
        await asyncio.Event().wait()

    with pytest.raises(FailedPreconditionError):
        if name == "sum":
            await wrapped.sum(waits())
        else:
            await anext(wrapped.chat(waits()))
    # The fixture `no_task_left` looks for it.


@pytest.mark.skipif(
    tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 85),
    reason="grpcio before 1.85 holds intercepted calls in cycles of its own",
)
async def test_rotated_connections_close_without_the_collector(wire: WireServer, no_gc: None) -> None:
    info = wire.info(max_session_age=0)
    async with raw_module(info, open_connections(info, "grpc", None, PASSING)) as module:
        await module.echo(b"")
        files = open_files()
        for _ in range(5):
            await module.echo(b"")
            await module.sum([b"1"])
            assert [item async for item in module.count(n=1)] == [b"0"]
        assert await settled(open_files, files) <= files


async def test_a_clients_interceptors_are_called(wire: WireServer) -> None:
    seen: list[Any] = []

    async def noting(continuation: Any, details: Any, request: Any) -> Any:
        seen.append(details.method)
        return await continuation(details, request)

    async with RemoteClient(wire.info(), interceptors=[Unary(noting)]) as client:
        await client.models()
    assert seen


async def test_what_an_interceptor_raises_stays(wire: WireServer) -> None:
    async def refusing(continuation: Any, details: Any, request: Any) -> Any:
        raise LookupError("no such tenant")

    async def cancelling(continuation: Any, details: Any, request: Any) -> Any:
        raise asyncio.CancelledError

    async with intercepted(wire, [Unary(refusing), StreamOut(refusing), Bidi(cancelling)]) as module:
        with pytest.raises(LookupError, match="no such tenant"):
            await module.echo(b"")
        with pytest.raises(LookupError, match="no such tenant"):
            await anext(module.count(n=1))
        with pytest.raises(CallCancelledError):  # nobody cancelled this task
            await anext(module.chat([b"a"]))


async def test_every_span_ends(wire: WireServer) -> None:
    traced = Traced()
    async with intercepted(wire, traced.interceptors) as module:
        await module.echo(b"")
        with pytest.raises(InternalError):
            await module.fail(code="INTERNAL")
        async for _ in module.count(n=3, hang=True):
            break
        assert [item async for item in module.chat([b"a"])] == [b"a"]
        await module.sum([b"1"])
    paths = ["Chat", "Count", "Echo", "Fail", "Sum"]
    assert traced.spans == [f"/test.Test/{name}" for name in paths]
