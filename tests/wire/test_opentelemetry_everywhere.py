"""`instrument()`: every client of the process, asyncio and blocking, old and new, in threads and forked children."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pickle
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from remote_client import sync
from remote_client._client.client import RemoteClient
from remote_client.errors import PicklingError
from remote_client.hooks import CallEnded, everywhere
from remote_client.opentelemetry import OpenTelemetryHook, instrument, uninstrument
from remote_client.settings import CallOptions
from remote_client.sync._modules import wrapped
from tests.support.clock import Stopwatch
from tests.support.script import python
from tests.support.telemetry import Telemetry, traceparent_of
from tests.support.wire import WireServer


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    uninstrument()
    made.close()


@pytest.fixture
def on(telemetry: Telemetry) -> Callable[[], None]:
    """Instruments with the providers of the test."""
    return lambda: instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)


async def sent(server: Any) -> list[str | None]:
    """The `traceparent` of the requests that came, in their order."""
    stats = await server.stats()
    return [each.get("traceparent") for each in stats["metadata"] if "x-request-id" in each]


async def test_clients_made_before_and_after(server: Any, on: Callable[[], None], telemetry: Telemetry) -> None:
    async with server.plain() as before:
        await before.echo(b"1")
        on()
        await before.echo(b"1")
        async with server.plain() as after:
            assert len([item async for item in after.count(n=2)]) == 2
        uninstrument()
        await before.echo(b"1")
    calls = [traceparent_of(each) for each in telemetry.calls()]
    assert len(calls) == 2
    assert await sent(server) == [None, *calls, None]


async def test_twice_is_once(server: Any, on: Callable[[], None], telemetry: Telemetry) -> None:
    on()
    on()
    instrument()
    async with server.plain() as module:
        await module.echo(b"1")
        uninstrument()
        uninstrument()
        await module.echo(b"1")
    assert len(telemetry.spans()) == 1
    assert everywhere == {}


async def test_a_client_with_a_hook_of_its_own_keeps_that_one(
    wire: WireServer, on: Callable[[], None], telemetry: Telemetry
) -> None:
    own = Telemetry()
    seen: list[Any] = []
    on()
    async with wire.plain(call_options=CallOptions(hooks=(seen.append, own.hook))) as module:
        await module.echo(b"1")
    assert (len(own.spans()), len(telemetry.spans())) == (1, 0)
    async with wire.plain(call_options=CallOptions(hooks=(seen.append,))) as module:
        await module.echo(b"1")
    assert (len(own.spans()), len(telemetry.spans())) == (1, 1)
    assert sum(isinstance(each, CallEnded) for each in seen) == 2
    own.close()


async def test_a_call_that_runs_meanwhile_ends_its_span(
    server: Any, on: Callable[[], None], telemetry: Telemetry
) -> None:
    async with server.plain() as module:
        untold = module.count(n=2)
        await anext(untold)
        on()
        told = module.count(n=2)
        await anext(told)
        uninstrument()
        assert len([item async for item in untold]) == len([item async for item in told]) == 1
    assert len(telemetry.spans()) == 1
    assert telemetry.total("caikit.client.active_calls") == 0


async def test_hooks_of_one_provider_count_together(wire: WireServer, telemetry: Telemetry) -> None:
    other = OpenTelemetryHook(telemetry.tracer_provider, telemetry.meter_provider)
    async with (
        wire.plain(call_options=CallOptions(hooks=(telemetry.hook,))) as one,
        wire.plain(call_options=CallOptions(hooks=(other,))) as two,
        one.count(n=1, hang=True),
        two.count(n=1, hang=True),
    ):
        assert telemetry.total("caikit.client.active_calls") == 2
    (point,) = telemetry.points("caikit.client.active_calls")
    assert (point.value, point.attributes["rpc.method"]) == (0, "test.Test/Count")


GLOBAL = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from remote_client.opentelemetry import OpenTelemetryHook, instrument
from remote_client.hooks import CallStarted, everywhere

instrument()  # as modules do before the program sets its providers
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
late, own = OpenTelemetryHook(), OpenTelemetryHook(None, metrics.get_meter_provider())
calls = [CallStarted("a.B/C", "host:1", None, None, "grpc", False, "id") for _ in range(3)]
for hook, call in zip((*everywhere.values(), late, own), calls, strict=True):
    hook(call)
(metric,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
print(metric.name, *(point.value for point in metric.data.data_points))
"""


def test_hooks_of_the_global_provider_count_together_whenever_it_is_set() -> None:
    assert python(GLOBAL) == "caikit.client.active_calls 3\n"


async def test_discovery_is_traced_too(wire: WireServer, on: Callable[[], None], telemetry: Telemetry) -> None:
    on()
    async with RemoteClient(wire.target) as client:
        with telemetry.tracer.start_as_current_span("mine") as mine:
            await client.models()
    names = [each.name for each in telemetry.calls()]
    assert "caikit.runtime.info.InfoService/GetModelsInfo" in names
    assert {each.parent and each.parent.span_id for each in telemetry.calls()} == {mine.get_span_context().span_id}


# -- the blocking client ----------------------------------------------------------------------------------------------


def test_the_blocking_client_has_the_parent_of_its_thread(
    server: Any, on: Callable[[], None], telemetry: Telemetry
) -> None:
    on()
    before = context.get_current()
    with wrapped(server.plain()) as module:

        def call(name: str) -> None:
            with telemetry.tracer.start_as_current_span(name):
                module.echo(b"1")
                assert len(list(module.count(n=3))) == 3
                with module.count(n=3, hang=True) as stream:
                    next(stream)

        threads = [threading.Thread(target=call, args=(name,)) for name in ("one", "two")]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        call("three")
    assert context.get_current() is before
    parents = {each.context.span_id: each.name for each in telemetry.spans() if each.parent is None}
    found = [parents[each.parent.span_id] for each in telemetry.calls() if each.parent]
    assert {name: found.count(name) for name in parents.values()} == {"one": 3, "two": 3, "three": 3}
    assert telemetry.total("caikit.client.active_calls") == 0


def test_a_blocking_stream_that_is_dropped(server: Any, on: Callable[[], None], telemetry: Telemetry) -> None:
    on()
    with wrapped(server.plain()) as module:
        for _ in module.count(n=3, hang=True):
            break
        gc.collect()
        watch = Stopwatch()
        while not telemetry.spans() and watch.seconds < 3:
            pass
        (span,) = telemetry.spans()
        assert "error.type" not in (span.attributes or {})


@pytest.mark.parametrize("ending", ["close", "with", "_cancel"])
def test_a_blocking_stream_that_is_left_early(
    server: Any, on: Callable[[], None], telemetry: Telemetry, ending: str
) -> None:
    on()
    with wrapped(server.plain()) as module:
        stream = module.count(n=3, hang=True)
        with stream if ending == "with" else contextlib.nullcontext():
            assert len([next(stream) for _ in range(3)]) == 3
            time.sleep(0.02)  # its loop waits for the fourth
        if ending != "with":
            getattr(stream, ending)()
    (span,) = telemetry.spans()
    assert "error.type" not in (span.attributes or {})
    assert (span.attributes or {})["caikit.response.messages"] == 3


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
def test_a_blocking_input_is_within_the_span(
    wire: WireServer, on: Callable[[], None], telemetry: Telemetry, engine: str
) -> None:
    def items() -> Iterator[bytes]:
        with telemetry.tracer.start_as_current_span("input"):
            pass
        yield b"1"

    on()
    with wrapped(wire.plain(engine=engine)) as module:
        module.echo(b"1")
        assert module.sum(items()) == b"1"
    (_, call), (inner,) = telemetry.calls(), [each for each in telemetry.spans() if each.name == "input"]
    assert inner.parent == call.context


def test_a_hook_of_a_blocking_client(wire: WireServer, telemetry: Telemetry) -> None:
    with sync.RemoteClient(wire.target, hooks=[telemetry.hook]) as client:
        client.models()
    assert telemetry.calls()


# -- loops, forks and processes ---------------------------------------------------------------------------------------


def test_loops_in_threads_share_the_hook(wire: WireServer, on: Callable[[], None], telemetry: Telemetry) -> None:
    on()

    async def some() -> None:
        async with wire.plain() as module:
            await asyncio.gather(*(module.echo(b"1") for _ in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(some(),)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    spans = telemetry.calls()
    assert len({each.context.span_id for each in spans}) == len(spans) == 200
    assert {each.parent for each in spans} == {None}
    assert telemetry.total("caikit.client.active_calls") == 0


FORKING = """
import os, sys
from remote_client.opentelemetry import instrument
from remote_client.settings import ConnectionInfo
from remote_client.sync._modules import wrapped
from tests.support.telemetry import Telemetry
from tests.support.wire import raw_module

telemetry = Telemetry()
instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
info = ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[1]), timeout=20, retries=0)
module = wrapped(raw_module(info))
module.echo(b"x")
stream = module.count(n=3, hang=True)
next(stream)
child = os.fork()
if not child:
    with wrapped(raw_module(info)) as own:
        own.echo(b"x")
    del stream
    # The parent's stream is the parent's: its span does not end here, and it is not counted.
    assert telemetry.total("caikit.client.active_calls") == 0
    os._exit(len(telemetry.spans()))
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 2, status
assert telemetry.total("caikit.client.active_calls") == 1
stream.close()
assert len(telemetry.spans()) == 2
module.close()
print("over")
"""


@pytest.mark.only_engine("asyncio", "grpc.aio does not work in a forked child")
def test_a_forked_child_traces_its_own_calls(wire: WireServer) -> None:
    assert python(FORKING, str(wire.port)) == "over\n"


def test_a_pickled_hook_takes_the_providers_of_the_other_process() -> None:
    (hook,) = pickle.loads(pickle.dumps(CallOptions(hooks=(OpenTelemetryHook(),)))).hooks
    assert isinstance(hook, OpenTelemetryHook)
    for own in (OpenTelemetryHook(TracerProvider()), OpenTelemetryHook(None, MeterProvider())):
        with pytest.raises(PicklingError, match=r"Use OpenTelemetryHook\(\)"):
            pickle.dumps(CallOptions(hooks=(own,)))


async def test_a_call_without_an_end_keeps_nothing(wire: WireServer, telemetry: Telemetry) -> None:
    """What a loop that ends abruptly leaves is the garbage collector's, not the hook's."""

    async def items() -> AsyncIterator[bytes]:
        yield b"hang"

    async with wire.plain(call_options=CallOptions(hooks=(telemetry.hook,))) as module:
        tasks = [asyncio.ensure_future(module.sum(items())) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert len(telemetry.hook._running) == 3
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
    assert len(telemetry.hook._running) == 0
