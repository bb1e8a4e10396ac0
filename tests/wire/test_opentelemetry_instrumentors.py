"""One span a call beside gRPC's and httpx's own instrumentors, which go on for everything else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc.aio
import httpx
import pytest
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind

from remote_client._transport.engine import open_connections
from remote_client.errors import RemoteCallError
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.settings import CallOptions, RetryPolicy
from tests.support.http_wire import HttpWire
from tests.support.telemetry import Telemetry, traceparent_of
from tests.support.wire import WireServer

INSTRUMENTORS: list[Any] = [GrpcAioInstrumentorClient, HTTPXClientInstrumentor]
Opens = Callable[..., contextlib.AbstractAsyncContextManager[Any]]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    for each in INSTRUMENTORS:
        each().instrument(tracer_provider=made.tracer_provider, meter_provider=made.meter_provider)
    yield made
    for each in INSTRUMENTORS:
        each().uninstrument()
    made.close()


@pytest.fixture(params=["grpc by asyncio", "grpc by grpcio", "http by asyncio", "http by httpx"])
def opens(request: pytest.FixtureRequest) -> Opens:
    """Opens a module of plain methods, with these hooks."""

    @contextlib.asynccontextmanager
    async def opened(*hooks: Any, **more: Any) -> AsyncIterator[Any]:
        given = CallOptions(timeout=20, retry=RetryPolicy(retries=2, initial_backoff=0.01), hooks=hooks, **more)
        protocol, _, engine = request.param.partition(" by ")
        if protocol == "grpc":
            async with request.getfixturevalue("wire").plain(engine=engine, call_options=given) as module:
                yield module
        elif engine == "asyncio":
            async with request.getfixturevalue("http_wire").plain(call_options=given) as module:
                yield module
        else:
            async with over_httpx(request.getfixturevalue("http_wire"), given) as module:
                yield module

    return opened


@contextlib.asynccontextmanager
async def over_httpx(server: HttpWire, options: CallOptions) -> AsyncIterator[Any]:
    async with httpx.AsyncHTTPTransport() as transport:
        connections = open_connections(server.info(), "http", transport)
        async with server.plain(connections, call_options=options) as module:
            yield module
        await connections.aclose()


async def every_kind(module: Any) -> list[str]:
    """Make a call of every kind that the protocol has, and return their methods."""
    assert await module.echo(b"1") == b"1"
    assert len([item async for item in module.count(n=3)]) == 3
    async for _ in module.count(n=3):
        break
    async with module.silent():
        pass
    with pytest.raises(RemoteCallError):
        await module.fail(code="UNAVAILABLE", status=503)
    if not hasattr(type(module), "sum"):
        return ["echo", "count", "count", "silent", "fail"]
    assert await module.sum([b"1", b"2"]) == b"3"
    assert [item async for item in module.chat([b"a"])] == [b"a"]
    return ["echo", "count", "count", "silent", "fail", "sum", "chat"]


async def passing(call: OutgoingCall, proceed: Proceed) -> Answer:
    return await proceed(call)


@pytest.mark.parametrize("middleware", [(), (passing,)], ids=["plain", "middleware"])
async def test_every_call_is_one_span(opens: Opens, telemetry: Telemetry, middleware: Any) -> None:
    async with opens(telemetry.hook, middleware=middleware) as module:
        methods = await every_kind(module)
    calls = telemetry.calls()
    assert telemetry.spans() == calls
    assert [each.name.lower().rpartition("/")[2] for each in calls] == methods
    assert {each.instrumentation_scope.name for each in calls if each.instrumentation_scope} == {"remote_client"}


async def test_the_server_gets_the_context_of_that_span(opens: Opens, telemetry: Telemetry, request: Any) -> None:
    async with opens(telemetry.hook) as module:
        await module.echo(b"1")
        assert len([item async for item in module.count(n=2)]) == 2
    server = request.getfixturevalue("wire" if hasattr(type(module), "sum") else "http_wire")
    stats = await server.stats()
    headers = [each["traceparent"] for each in stats["metadata"] if "traceparent" in each]
    assert headers == [traceparent_of(each) for each in telemetry.calls()]


@pytest.mark.own_http("then everything is httpx's")
async def test_without_the_hook_their_spans_stay(opens: Opens, telemetry: Telemetry, request: Any) -> None:
    way = request.node.callspec.params["opens"]
    async with opens() as module:
        await module.echo(b"1")
    scopes = {each.instrumentation_scope.name for each in telemetry.calls() if each.instrumentation_scope}
    own = {
        "grpc by grpcio": {"opentelemetry.instrumentation.grpc"},
        "http by httpx": {"opentelemetry.instrumentation.httpx"},
    }
    assert scopes == own.get(way, set())


async def test_other_calls_of_the_same_task_are_traced_by_them(
    opens: Opens, wire: WireServer, http_wire: HttpWire, telemetry: Telemetry
) -> None:
    async def asks_others() -> None:
        async with grpc.aio.insecure_channel(wire.target) as channel, httpx.AsyncClient() as web:
            await channel.unary_unary("/test.Test/Echo")(b"1")
            await web.get(f"{http_wire.target}/health")

    async def middleware(call: OutgoingCall, proceed: Proceed) -> Answer:
        await asks_others()
        answer = await proceed(call)
        await asks_others()
        return answer

    async with opens(telemetry.hook, middleware=(middleware,)) as module:
        await module.echo(b"1")
        assert len([item async for item in module.count(n=2)]) == 2
        await asks_others()
    ours = [
        each
        for each in telemetry.calls()
        if each.instrumentation_scope and each.instrumentation_scope.name == "remote_client"
    ]
    unary, stream = (each.context.span_id for each in ours)
    others = [each for each in telemetry.calls() if each not in ours]
    parents = [each.parent and each.parent.span_id for each in others]
    assert parents == [unary] * 4 + [stream] * 4 + [None] * 2


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
async def test_calls_that_make_the_input_are_traced_by_them(
    wire: WireServer, http_wire: HttpWire, telemetry: Telemetry, engine: str
) -> None:
    async def items() -> AsyncIterator[bytes]:
        async with httpx.AsyncClient() as web:
            await web.get(f"{http_wire.target}/health")
            yield b"1"

    async with wire.plain(engine=engine, call_options=CallOptions(hooks=(telemetry.hook,))) as module:
        assert await module.sum(items()) == b"1"
        assert [item async for item in module.chat(items())] == [b"1"]
    names = [each.name for each in telemetry.calls()]
    assert names == ["test.Test/Sum", "GET", "test.Test/Chat", "GET"]
    total, first, chat, second = telemetry.calls()
    assert [first.parent, second.parent] == [total.context, chat.context]


async def test_suppressed_calls_are_not_traced(opens: Opens, telemetry: Telemetry) -> None:
    async with opens(telemetry.hook) as module:
        with suppress_instrumentation():
            await module.echo(b"1")
            assert len([item async for item in module.count(n=2)]) == 2
        assert telemetry.spans() == []
        await module.echo(b"1")
    assert len(telemetry.spans(SpanKind.CLIENT)) == 1
    assert telemetry.points("rpc.client.call.duration")[0].count == 1
