"""HTTP calls and streams leave nothing behind, and nothing waits for the garbage collector."""

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
from remote_client._transport.http.errors import problem
from remote_client._transport.http.transport import HttpTransport
from remote_client.errors import ClosedError, RemoteCallError
from tests.support.http_wire import CLOSE, RESET, answer, chunked, events, sleep
from tests.support.http_wire import HttpWire as Wire
from tests.support.wire import open_files, settled

from .kinds import HANGING, Deed


def _transport(module: Any) -> HttpTransport:
    transport: HttpTransport = module._caller.connections._current.transport
    return transport


async def _quiet(module: Any) -> None:
    """Nothing of any call is left in the transport, once the loop had time."""
    transport, generation = _transport(module), module._caller.connections._current
    left = [transport._tasks, *(getattr(transport, name, ()) for name in ("_running", "_streams", "limits"))]
    assert await settled(lambda: sum(map(len, left)), 0, 1) == 0
    pool = getattr(transport, "pool", None)
    assert pool is None or await settled(lambda: pool.busy + pool.waiting, 0, 1) == 0
    assert await settled(lambda: generation.leases, 0, 1) == 0


async def _some_of_all(module: Any, number: int) -> None:
    for _ in range(number):
        await module.echo(b"x")
        with pytest.raises(RemoteCallError):
            await module.fail(status=500)
        with pytest.raises(RemoteCallError):
            await module.with_options(timeout=0.0001).sleep(seconds=9)
        assert len([item async for item in module.count(n=2)]) == 2
        async for _ in module.count(n=3, hang=True):
            break
        with pytest.raises(RemoteCallError):
            await anext(module.script_stream(steps=events(end=False)))
        with pytest.raises(RemoteCallError):
            await anext(module.count(n=0, fail=500))


def _census() -> Counter[str]:
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects())


@pytest.mark.own_http("httpx does not say how many connections it keeps")
async def test_1000_calls_leave_no_objects_and_no_files(http_wire: Wire, http: Any) -> None:
    await asyncio.gather(*(_some_of_all(http, 5) for _ in range(5)))
    await _quiet(http)
    files, before = open_files() - _kept(http), _census()
    await asyncio.gather(*(_some_of_all(http, 36) for _ in range(5)))
    await _quiet(http)
    await http_wire.until(lambda seen: not seen["running"])
    # The loop itself keeps up to 100 timers that were cancelled.
    grown = {name: count - before[name] for name, count in _census().items() if count - before[name] > 170}
    assert grown == {}
    assert await settled(lambda: open_files() - _kept(http), files) <= files


def _kept(module: Any) -> int:
    """Connections for the next calls: of five tasks that is one to five, as their last calls went."""
    return _transport(module).pool.idle


def test_nothing_is_kept_of_the_errors_ids() -> None:
    def errors(number: int) -> None:
        for _ in range(number):
            body = f'{{"details": "no", "code": 400, "id": "{uuid.uuid4().hex}"}}'.encode()
            assert problem(400, body, Call("POST /x"), "localhost:1").error_id

    errors(10)
    before = sys.getallocatedblocks()
    errors(2_000)
    assert sys.getallocatedblocks() - before < 500


@pytest.mark.own_http("httpx is too slow for it")
async def test_500_calls_at_once(http_wire: Wire, http: Any) -> None:
    for _ in range(2):
        assert len(await asyncio.gather(*(http.echo(b"x") for _ in range(500)))) == 500
    await _quiet(http)
    assert (await http_wire.stats())["connections"] <= 500, "kept connections are used again"


FAILING: dict[str, Callable[[Any], Any]] = {
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


@pytest.mark.own_http("httpx makes cycles")
@pytest.mark.parametrize("start", FAILING.values(), ids=FAILING)
async def test_a_failed_call_needs_no_garbage_collector(http: Any, no_gc: None, start: Callable[[Any], Any]) -> None:
    """A cycle through an exception's traceback would keep the call, its answer and its connection."""
    await http.echo(b"")
    with pytest.raises(RemoteCallError):
        await start(http)
    await _quiet(http)
    gone = weakref.ref(_transport(http))
    await http.aclose()
    assert await settled(lambda: int(gone() is not None), 0, 1) == 0


@pytest.mark.parametrize("deed", HANGING["http"].values(), ids=HANGING["http"])
async def test_a_cancelled_call_needs_no_garbage_collector(http_wire: Wire, http: Any, no_gc: None, deed: Deed) -> None:
    for turn in range(6):
        task = asyncio.create_task(deed(http))
        await (asyncio.sleep(turn / 1000) if turn else http_wire.until_running(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
    await _quiet(http)
    gone = weakref.ref(_transport(http))
    await http.aclose()
    assert await settled(lambda: int(gone() is not None), 0, 1) == 0


@pytest.mark.parametrize("end", ["error", "deadline", "cut", "cancel", "whole"])
async def test_a_stream_that_is_over_holds_no_connection(http_wire: Wire, http: Any, end: str) -> None:
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
