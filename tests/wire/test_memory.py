"""Calls and streams leave nothing behind, and nothing waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import sys
import uuid
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._transport.call import Call
from remote_client._transport.http.errors import response_error
from remote_client.errors import ClosedError, RemoteCallError
from tests.support.http_wire import CLOSE, RESET, HttpWire, answer, chunked, events, sleep
from tests.support.proc import resident
from tests.support.wire import WireServer, open_files, settled

from .kinds import HANGING, ONE_OF_EACH, Deed, endless, every_place, unary

Server = WireServer | HttpWire
LEAK = {"grpc": 100, "http": 170}
"""Objects of a class: fewer than the 250 calls of a kind. Some are of what ran in the process before; the loop itself
keeps up to 100 timers that were cancelled."""


def _transport(module: Any) -> Any:
    """Of any engine: all know their running calls and tasks."""
    return module._caller.connections._current.transport


async def _quiet(module: Any) -> None:
    """Nothing of any call is left in the transport, once the loop had time."""
    transport, generation = _transport(module), module._caller.connections._current
    left = [transport._tasks, *(getattr(transport, name, ()) for name in ("_running", "_streams", "limits"))]
    assert await settled(lambda: sum(map(len, left)), 0, 1) == 0
    pool = getattr(transport, "pool", None)
    assert pool is None or await settled(lambda: len(pool._open) - len(pool._idle) + len(pool._waiting), 0, 1) == 0
    assert await settled(lambda: generation.leases, 0, 1) == 0


async def _freed(module: Any) -> None:
    """Closing the module frees its transport, with no help of the garbage collector."""
    gone = weakref.ref(_transport(module))
    await module.aclose()
    assert await settled(lambda: int(gone() is not None), 0, 1) == 0


async def _some_over_grpc(module: Any) -> None:
    await module.sum([b"1", b"2"])
    with pytest.raises(RemoteCallError):
        await module.fail(code="INTERNAL")
    assert len([item async for item in module.chat([b"1", b"2"])]) == 2
    async for _ in module.chat(endless()):
        break


async def _some_over_http(module: Any) -> None:
    with pytest.raises(RemoteCallError):
        await module.fail(status=500)
    with pytest.raises(RemoteCallError):
        await anext(module.script_stream(steps=events(end=False)))
    with pytest.raises(RemoteCallError):
        await anext(module.count(n=0, fail=500))


async def _some_of_all(module: Any, number: int) -> None:
    for _ in range(number):
        await module.echo(b"x")
        with pytest.raises(RemoteCallError):
            await module.with_options(timeout=0.0001).sleep(seconds=9)
        assert len([item async for item in module.count(n=2)]) == 2
        async for _ in module.count(n=3, hang=True):
            break
        await (_some_over_grpc(module) if hasattr(module, "chat") else _some_over_http(module))


def _census() -> Counter[str]:
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects())


def _kept(module: Any) -> int:
    """Connections for the next calls: of five tasks over HTTP that is one to five, as their last calls went."""
    pool = getattr(_transport(module), "pool", None)
    return len(pool._idle) if pool else 0


@pytest.mark.parametrize(
    "protocol",
    ["grpc", pytest.param("http", marks=pytest.mark.own_http("httpx does not say how many connections it keeps"))],
)
async def test_2000_calls_leave_no_objects_and_no_files(server: Server, plain: Any) -> None:
    await asyncio.gather(*(_some_of_all(plain, 5) for _ in range(5)))
    await server.until(lambda seen: not seen["running"])  # its thread and what that needs are no call's
    await _quiet(plain)
    files, before = open_files() - _kept(plain), _census()
    await asyncio.gather(*(_some_of_all(plain, 50) for _ in range(5)))
    await _quiet(plain)
    await server.until(lambda seen: not seen["running"])
    grown = {
        name: count - before[name] for name, count in _census().items() if count - before[name] > LEAK[server.protocol]
    }
    assert grown == {}
    assert await settled(lambda: open_files() - _kept(plain), files) <= files


def test_nothing_is_kept_of_the_errors_ids() -> None:
    def errors(number: int) -> None:
        for _ in range(number):
            body = f'{{"details": "no", "code": 400, "id": "{uuid.uuid4().hex}"}}'.encode()
            assert response_error(400, body, Call("POST /x"), "localhost:1").error_id

    errors(10)
    before = sys.getallocatedblocks()
    errors(2_000)
    assert sys.getallocatedblocks() - before < 500


@pytest.mark.parametrize(
    "protocol", ["grpc", pytest.param("http", marks=pytest.mark.own_http("httpx is too slow for it"))]
)
async def test_500_calls_at_once(server: Server, plain: Any) -> None:
    await plain.echo(b"")
    files = open_files() - _kept(plain)
    for _ in range(4):  # a gRPC server gives up calls where more than 1,000 wait
        assert len(await asyncio.gather(*(plain.echo(b"x") for _ in range(500)))) == 500
    await _quiet(plain)
    assert open_files() - _kept(plain) <= files
    assert (await server.stats())["connections"] <= 500, "kept connections are used again"


FAILING_GRPC: dict[str, Callable[[Any], Any]] = {
    "unary": lambda module: module.fail(code="INTERNAL"),
    "deadline": lambda module: module.with_options(timeout=0.01).sleep(seconds=9),
    "stream_out": lambda module: anext(module.count(n=0, fail="INTERNAL")),
    "stream_in": lambda module: module.sum([b"fail"]),
    "bidi": lambda module: anext(module.chat([b"fail"])),
    "iterator in": lambda module: module.sum(_raises()),
    "iterator bidi": lambda module: anext(module.chat(_raises())),
    "idle": lambda module: anext(module.with_options(timeout=0.05).silent()),
}


async def _raises() -> Any:
    yield b"1"
    raise ZeroDivisionError


FAILING_HTTP: dict[str, Callable[[Any], Any]] = {
    "status": lambda module: module.fail(status=500),
    "deadline": lambda module: module.with_options(timeout=0.01).sleep(seconds=9),
    "reset": lambda module: module.script(steps=[RESET]),
    "garbage": lambda module: module.script(steps=[["send", "garbage\r\n\r\n"], CLOSE]),
    "cut": lambda module: module.script(steps=answer("x", headers={"content-length": 9})),
    "compressed": lambda module: module.script(steps=answer("x", headers={"content-encoding": "gzip"})),
    "stream status": lambda module: anext(module.script_stream(steps=answer("x", 500))),
    "stream type": lambda module: anext(module.script_stream(steps=answer("x"))),
    "stream cut": lambda module: anext(module.script_stream(steps=[*chunked("data: x", end=False), RESET])),
    "stream deadline": lambda module: anext(module.with_options(timeout=0.01).silent()),
    "stream head": lambda module: anext(module.with_options(timeout=0.01).script_stream(steps=[sleep(9)])),
    "error event": lambda module: anext(module.count(n=0, fail=500)),
}
FAILING = [
    *(pytest.param("grpc", start, id=f"grpc-{name}") for name, start in FAILING_GRPC.items()),
    *(
        pytest.param("http", start, id=f"http-{name}", marks=pytest.mark.own_http("httpx makes cycles"))
        for name, start in FAILING_HTTP.items()
    ),
]


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("protocol", "start"), FAILING)
async def test_a_failed_call_needs_no_garbage_collector(plain: Any, no_gc: None, start: Callable[[Any], Any]) -> None:
    """A cycle through an exception's traceback would keep the call, its answer and its connection."""
    await plain.echo(b"")
    with pytest.raises((RemoteCallError, ZeroDivisionError)):
        await start(plain)
    await _quiet(plain)
    await _freed(plain)


@every_place({"grpc": ONE_OF_EACH["grpc"], "http": HANGING["http"]})
async def test_a_cancelled_call_needs_no_garbage_collector(server: Server, plain: Any, no_gc: None, deed: Deed) -> None:
    for turn in range(6):
        task = asyncio.create_task(deed(plain))
        await (asyncio.sleep(turn / 1000) if turn else server.until_running(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
    await _quiet(plain)
    await _freed(plain)


@pytest.mark.parametrize("end", ["error", "deadline", "cut", "cancel", "whole"])
async def test_a_stream_that_is_over_holds_no_connection(http_wire: HttpWire, http: Any, end: str) -> None:
    """While somebody still holds the stream."""
    http = http.with_options(timeout=0.05 if end == "deadline" else 5)
    steps = {"cut": events(end=False), "whole": events()}
    if end in steps:
        stream = http.script_stream(steps=steps[end])
    else:
        stream = http.count(n=0, fail=500 if end == "error" else None, hang=end != "error")
    reader = asyncio.create_task(anext(stream, None))
    if end == "cancel":
        await http_wire.until_running(1)
        reader.cancel()
    await asyncio.wait((reader,))
    assert reader.cancelled() == (end == "cancel")
    await _quiet(http)
    assert (await http_wire.until(lambda seen: not seen["running"]))["running"] == {}
    if end == "whole":
        assert await anext(stream, None) is None
    else:
        with pytest.raises(ClosedError):
            await anext(stream)


def _count(module: Any) -> Any:
    return module.count(n=3, hang=True)


def _chat(module: Any) -> Any:
    return module.chat(endless())


@pytest.mark.parametrize(("protocol", "start"), [("grpc", _count), ("grpc", _chat), ("http", _count)])
@pytest.mark.parametrize("read", [0, 1])
async def test_an_abandoned_stream_dies_at_once(
    server: Server, plain: Any, no_gc: None, start: Callable[[Any], Any], read: int
) -> None:
    stream = await start(plain).__aenter__()
    for _ in range(read):
        await anext(stream)
    below = stream._sent.stream
    gone = weakref.ref(stream)
    alive = weakref.finalize(getattr(below, "_reader", below), int)  # of HTTP's streams, whose class has slots
    del stream, below
    assert gone() is None
    assert await settled(lambda: int(alive.alive), 0, 1) == 0
    assert (await server.until(lambda seen: not seen["running"]))["running"] == {}
    await _quiet(plain)


async def test_a_module_and_its_options_die_at_once(plain: Any, no_gc: None) -> None:
    other = plain.with_options(timeout=5)
    await other.echo(b"")
    gone = weakref.ref(other)
    del other
    assert gone() is None


async def _cancelled(module: Any) -> None:
    task = asyncio.create_task(unary(module))
    await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait((task,))


@pytest.mark.only_engine("asyncio", "grpc.aio's `cancel` loses a kilobyte for each unary call")
async def test_cancelled_calls_leave_no_memory(module: Any) -> None:
    """What no count of objects shows."""

    async def some(rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.gather(*(_cancelled(module) for _ in range(20)))
            # gRPC ends them a moment later: thousands at a time would take memory, too.
            assert await settled(lambda: len(asyncio.all_tasks()), 1, 5) == 1
        gc.collect()

    await some(30)
    before = resident()
    await some(300)
    assert resident() - before < 6000 * 500  # memory is taken from the system a MiB at a time
