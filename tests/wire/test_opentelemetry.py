"""The spans and metrics of every kind of call, over both protocols and on both engines, with OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode

from remote_client import RemoteClient
from remote_client.auth import BearerToken
from remote_client.errors import RemoteCallError, UnavailableError
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.opentelemetry import OpenTelemetryHook
from remote_client.settings import CallOptions, RetryPolicy
from tests.support.telemetry import Telemetry, traceparent_of
from tests.support.wire import Stats, WireServer

QUICK = RetryPolicy(retries=2, initial_backoff=0.01)
SERVER = {"grpc": "test.Test/{}", "http": "POST /{}"}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.close()


@pytest.fixture
def options(telemetry: Telemetry) -> Callable[..., CallOptions]:
    return lambda **more: CallOptions(**{"timeout": 20, "hooks": (telemetry.hook,), "retry": QUICK, **more})


@pytest.fixture
async def traced(server: Any, options: Callable[..., CallOptions]) -> AsyncIterator[Any]:
    """The plain methods of the protocol's server, with the hook."""
    async with server.plain(call_options=options()) as made:
        yield made


def name_of(protocol: str, method: str) -> str:
    return SERVER[protocol].format(method.title() if protocol == "grpc" else method)


async def sent(server: Any) -> list[str]:
    """The `traceparent` of the requests that came, in their order."""
    stats: Stats = await server.stats()
    found = stats["metadata"] if "metadata" in stats else [dict(each["headers"]) for each in stats["latest"]]
    return [each["traceparent"] for each in found if "traceparent" in each]


async def test_a_call_is_a_span(traced: Any, server: Any, protocol: str, telemetry: Telemetry) -> None:
    assert await traced.echo(b"1") == b"1"
    (span,) = telemetry.spans()
    assert (span.name, span.kind, span.parent) == (name_of(protocol, "echo"), SpanKind.CLIENT, None)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    attributes = dict(span.attributes)
    assert len(str(attributes.pop("caikit.request_id"))) == 36
    common = {
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "caikit.model": "raw",
        "caikit.task": "Raw",
        "caikit.attempts": 1,
    }
    own = {
        "grpc": {"rpc.system.name": "grpc", "rpc.method": "test.Test/Echo", "rpc.response.status_code": "OK"},
        "http": {"http.request.method": "POST", "url.template": "/echo", "http.response.status_code": 200},
    }
    assert attributes == common | own[protocol]
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "remote_client"
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


async def test_its_context_goes_out_below_the_callers_span(traced: Any, server: Any, telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("mine") as mine:
        await traced.echo(b"1")
        assert len([item async for item in traced.count(n=3)]) == 3
        assert trace.get_current_span() is mine
    parent, unary, stream = telemetry.spans()
    assert {each.parent.span_id for each in (unary, stream) if each.parent} == {parent.context.span_id}
    assert await sent(server) == [traceparent_of(unary), traceparent_of(stream)]


async def test_all_attempts_are_one_span(traced: Any, server: Any, protocol: str, telemetry: Telemetry) -> None:
    with pytest.raises(UnavailableError):
        await traced.fail(code="UNAVAILABLE", status=503)
    (span,) = telemetry.spans()
    assert await sent(server) == [traceparent_of(span)] * 3
    assert span.attributes is not None
    assert span.attributes["caikit.attempts"] == 3
    assert span.status.status_code is StatusCode.ERROR
    assert "UNAVAILABLE" in str(span.status.description)
    kind = {"grpc": "UNAVAILABLE", "http": "503"}[protocol]
    assert span.attributes["error.type"] == kind
    assert span.attributes.get("http.request.resend_count") == {"grpc": None, "http": 2}[protocol]
    assert {each.name for each in span.events} == {"caikit.attempt_failed"}
    told = [dict(each.attributes or {}) for each in span.events]
    assert [(each["caikit.attempt"], "caikit.wait" in each) for each in told] == [(1, True), (2, True), (3, False)]
    assert {each["error.type"] for each in told} == {kind}


async def test_a_stream_that_is_sent_again_is_one_span(
    server: Any, protocol: str, options: Any, telemetry: Telemetry
) -> None:
    fault = {"refuse": {"Count": ["UNAVAILABLE", None]}} if protocol == "grpc" else {"POST /count": [{"status": 503}]}
    await server.faults(fault)
    async with server.plain(call_options=options()) as module:
        assert len([item async for item in module.count(n=2)]) == 2
    (span,) = telemetry.spans()
    assert span.attributes is not None
    assert span.attributes["caikit.attempts"] == 2
    assert "error.type" not in span.attributes
    assert len(span.events) == 1
    assert set(await sent(server)) == {traceparent_of(span)}


def ended_at(server: WireServer, telemetry: Telemetry) -> int:
    """Return how many calls have ended at a server."""
    durations = telemetry.points("rpc.client.call.duration")
    return sum(each.count for each in durations if each.attributes["server.port"] == server.port)


async def reached(model: Any) -> str:
    """Make a call, and return the server that answered it."""
    response = await model.with_response().run_sample({"name": "Ada"})
    assert response.value.greeting == "Hello Ada"
    return str(response.target)


async def test_a_call_that_another_server_answers(start_wire: Callable[..., WireServer], telemetry: Telemetry) -> None:
    servers = [start_wire(), start_wire()]
    async with RemoteClient([each.target for each in servers], hooks=[telemetry.hook]) as client:
        model = await client.model("foo")
        # A server takes calls once it has described itself, which happens in the background.
        while await reached(model) != servers[1].target:
            pass
        await servers[0].faults({"refuse": {"SampleTaskPredict": ["UNAVAILABLE"] * 50}})
        before = ended_at(servers[0], telemetry)
        while not telemetry.calls()[-1].events:  # the first server is chosen at random
            assert await reached(model) == servers[1].target
    span = telemetry.calls()[-1]
    (failed,) = span.events
    ports = [dict(each.attributes or {})["server.port"] for each in (failed, span)]
    assert ports == [each.port for each in servers]
    assert ended_at(servers[0], telemetry) == before
    assert telemetry.total("caikit.client.active_calls") == 0


async def test_a_call_with_renewed_credentials_is_one_span(
    wire: WireServer, telemetry: Telemetry, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    given = CallOptions(hooks=(telemetry.hook,), metadata=(BearerToken(file=token),))
    async with wire.plain(call_options=given) as module:
        await module.echo(b"1")
        token.write_text("new")
        await wire.faults(only=["Bearer new"])
        await module.echo(b"1")
    first, second = (traceparent_of(each) for each in telemetry.calls())
    assert await sent(wire) in ([first, second, second], [first, second])


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
async def test_every_kind_of_grpc_call(wire: WireServer, options: Any, telemetry: Telemetry, engine: str) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        for number in (b"1", b"2"):
            assert trace.get_current_span() is not trace.INVALID_SPAN
            with telemetry.tracer.start_as_current_span("number"):
                yield number

    async with wire.plain(engine=engine, call_options=options()) as module:
        assert await module.echo(b"1") == b"1"
        assert await module.sum(numbers()) == b"3"
        assert [item async for item in module.count(n=2)] == [b"0", b"1"]
        assert [item async for item in module.chat([b"a", b"b", b"c"])] == [b"a", b"b", b"c"]
    calls = telemetry.calls()
    assert [each.name for each in calls] == [f"test.Test/{name}" for name in ("Echo", "Sum", "Count", "Chat")]
    counts = [
        (each.attributes.get("caikit.request.messages"), each.attributes.get("caikit.response.messages"))
        for each in calls
        if each.attributes is not None
    ]
    assert counts == [(None, None), (2, 1), (1, 2), (3, 3)]
    assert await sent(wire) == [traceparent_of(each) for each in calls]
    # What reads the input is below the call.
    inner = telemetry.spans(SpanKind.INTERNAL)
    assert [each.parent.span_id for each in inner if each.parent] == [calls[1].context.span_id] * 2


async def test_metrics(traced: Any, server: Any, protocol: str, telemetry: Telemetry) -> None:
    await traced.echo(b"1")
    await traced.echo(b"1")
    assert len([item async for item in traced.count(n=3)]) == 3
    with pytest.raises(UnavailableError):
        await traced.fail(code="UNAVAILABLE", status=503)
    durations = {each.attributes["rpc.method"]: each for each in telemetry.points("rpc.client.call.duration")}
    assert {name: each.count for name, each in durations.items()} == {
        name_of(protocol, "echo"): 2,
        name_of(protocol, "count"): 1,
        name_of(protocol, "fail"): 1,
    }
    echo, fail = durations[name_of(protocol, "echo")], durations[name_of(protocol, "fail")]
    assert echo.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert 0 < echo.min <= echo.max < 20
    assert echo.attributes.items() >= {"rpc.system.name": protocol, "rpc.response.status_code": "OK"}.items()
    assert echo.attributes.items() >= {"caikit.model": "raw", "caikit.task": "Raw", "server.port": server.port}.items()
    assert "error.type" not in echo.attributes
    assert "caikit.request_id" not in echo.attributes
    assert fail.attributes["rpc.response.status_code"] == "UNAVAILABLE"
    assert fail.attributes["error.type"] == {"grpc": "UNAVAILABLE", "http": "503"}[protocol]
    assert telemetry.total("caikit.client.retries") == 2
    assert telemetry.total("caikit.client.active_calls") == 0
    (requests,), (responses,) = (telemetry.points(f"caikit.client.{each}.messages") for each in ("request", "response"))
    assert (requests.count, requests.sum, responses.count, responses.sum) == (1, 1, 1, 3)


async def test_calls_in_flight(traced: Any, telemetry: Telemetry) -> None:
    async with traced.count(n=3, hang=True) as stream:
        await anext(stream)
        assert telemetry.total("caikit.client.active_calls") == 1
        assert telemetry.calls() == []
    assert telemetry.total("caikit.client.active_calls") == 0


async def test_middleware_is_within_the_span(server: Any, options: Any, telemetry: Telemetry) -> None:
    async def spanned(call: OutgoingCall, proceed: Proceed) -> Answer:
        with telemetry.tracer.start_as_current_span("middleware"):
            return await proceed(call)

    async with server.plain(call_options=options(middleware=(spanned,))) as module:
        await module.echo(b"1")
        assert len([item async for item in module.count(n=2)]) == 2
        with pytest.raises(RemoteCallError):
            await module.fail(code="UNAVAILABLE", status=503)
    calls = [each.context.span_id for each in telemetry.calls()]
    inner = [each.parent.span_id for each in telemetry.spans(SpanKind.INTERNAL) if each.parent]
    unary, stream, failed = calls
    assert inner == [unary, stream, failed, failed, failed]
    assert await sent(server) == [traceparent_of(telemetry.calls()[index]) for index in (0, 1, 2, 2, 2)]


async def test_the_configured_propagators_write_the_metadata(traced: Any, server: Any) -> None:
    token = context.attach(baggage.set_baggage("tenant", "blue"))
    try:
        await traced.echo(b"1")
    finally:
        context.detach(token)
    stats = await server.stats()
    (latest,) = stats["metadata"][-1:] if "metadata" in stats else [dict(each["headers"]) for each in stats["latest"]]
    assert latest["baggage"] == "tenant=blue"


async def test_a_trace_that_is_not_sampled_goes_on(wire: WireServer, options: Any, telemetry: Telemetry) -> None:
    remote = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(0))
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(remote)))
    try:
        async with wire.plain(call_options=options()) as module:
            await module.echo(b"1")
    finally:
        context.detach(token)
    assert telemetry.spans() == []
    (header,) = await sent(wire)
    assert header.startswith(f"00-{0xABC:032x}-")
    assert header.endswith("-00")
    assert telemetry.points("rpc.client.call.duration")[0].count == 1


async def test_without_an_sdk_the_callers_context_goes_on(wire: WireServer) -> None:
    remote = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(1))
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(remote)))
    try:
        async with wire.plain(
            call_options=CallOptions(hooks=(OpenTelemetryHook(trace.NoOpTracerProvider()),))
        ) as module:
            await module.echo(b"1")
    finally:
        context.detach(token)
    assert await sent(wire) == [f"00-{0xABC:032x}-{0xDEF:016x}-01"]


async def test_two_hooks_leave_no_context_behind(wire: WireServer, telemetry: Telemetry) -> None:
    other = Telemetry()
    before = context.get_current()
    async with wire.plain(call_options=CallOptions(hooks=(telemetry.hook, other.hook))) as module:
        await module.echo(b"1")
        assert context.get_current() is before
    assert [len(each.calls()) for each in (telemetry, other)] == [1, 1]
    other.close()
