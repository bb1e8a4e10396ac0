"""Calls and streams leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._transport.call import Transport
from remote_client.errors import RemoteCallError
from tests.support.proc import resident
from tests.support.wire import WireServer, open_files, settled

from .kinds import ONE_OF_EACH, Deed, endless, unary

LEAK = 100
"""Objects of a class: fewer than the 250 calls of a kind; some are of what ran in the process before."""


def _transport(module: Any) -> Any:
    """Of either engine: both know their running calls and tasks."""
    transport: Transport = module._caller.connections._current.transport
    return transport


async def _quiet(module: Any) -> None:
    """Nothing of any call is left in the transport, once the loop had time."""
    transport, generation = _transport(module), module._caller.connections._current
    assert await settled(lambda: len(transport._running) + len(transport._tasks), 0, 1) == 0
    assert await settled(lambda: generation.leases, 0, 1) == 0


async def _some_of_all(module: Any, number: int) -> None:
    for _ in range(number):
        await module.echo(b"x")
        await module.sum([b"1", b"2"])
        with pytest.raises(RemoteCallError):
            await module.fail(code="INTERNAL")
        with pytest.raises(RemoteCallError):
            await module.with_options(timeout=0.0001).sleep(seconds=9)
        assert len([item async for item in module.count(n=2)]) == 2
        assert len([item async for item in module.chat([b"1", b"2"])]) == 2
        async for _ in module.count(n=3, hang=True):
            break
        async for _ in module.chat(endless()):
            break


def _census() -> Counter[str]:
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects())


async def test_2000_calls_leave_no_objects_and_no_files(wire: WireServer, module: Any) -> None:
    await _some_of_all(module, 20)
    await wire.until(lambda seen: not seen["running"])  # its thread and what that needs are no call's
    await _quiet(module)
    files, before = open_files(), _census()
    await _some_of_all(module, 250)
    await _quiet(module)
    await wire.until(lambda seen: not seen["running"])
    grown = {name: count - before[name] for name, count in _census().items() if count - before[name] > LEAK}
    assert grown == {}
    assert await settled(open_files, files) <= files


async def test_500_calls_at_once(module: Any) -> None:
    await module.echo(b"")
    files = open_files()
    for _ in range(4):  # a gRPC server gives up calls where more than 1,000 wait
        assert len(await asyncio.gather(*(module.echo(b"x") for _ in range(500)))) == 500
    await _quiet(module)
    assert open_files() <= files


@pytest.mark.parametrize(
    "start",
    [
        lambda module: module.fail(code="INTERNAL"),
        lambda module: module.with_options(timeout=0.01).sleep(seconds=9),
        lambda module: anext(module.count(n=0, fail="INTERNAL")),
        lambda module: module.sum([b"fail"]),
        lambda module: anext(module.chat([b"fail"])),
        lambda module: module.sum(_raises()),
        lambda module: anext(module.chat(_raises())),
        lambda module: anext(module.with_options(timeout=0.05).silent()),
    ],
    ids=["unary", "deadline", "stream_out", "stream_in", "bidi", "iterator in", "iterator bidi", "idle"],
)
async def test_a_failed_call_needs_no_garbage_collector(module: Any, no_gc: None, start: Callable[[Any], Any]) -> None:
    """A cycle through an exception's traceback would keep the call, its answer and its connection."""
    await module.echo(b"")
    with pytest.raises((RemoteCallError, ZeroDivisionError)):
        await start(module)
    await _quiet(module)
    gone = weakref.ref(module._caller.connections._current.transport)
    await module.aclose()
    assert await settled(lambda: int(gone() is not None), 0, 1) == 0


@pytest.mark.parametrize("deed", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
async def test_a_cancelled_call_needs_no_garbage_collector(
    wire: WireServer, module: Any, no_gc: None, deed: Deed
) -> None:
    for turn in range(6):
        task = asyncio.create_task(deed(module))
        await (asyncio.sleep(turn / 1000) if turn else wire.until_running(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
    gone = weakref.ref(module._caller.connections._current.transport)
    await module.aclose()
    assert await settled(lambda: int(gone() is not None), 0, 1) == 0


async def _raises() -> Any:
    yield b"1"
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "start", [lambda module: module.count(n=3, hang=True), lambda module: module.chat(endless())], ids=["out", "bidi"]
)
@pytest.mark.parametrize("read", [0, 1])
async def test_an_abandoned_stream_dies_at_once(
    wire: WireServer, module: Any, no_gc: None, start: Callable[[Any], Any], read: int
) -> None:
    stream = await start(module).__aenter__()
    for _ in range(read):
        await anext(stream)
    gone = weakref.ref(stream)
    below = weakref.ref(stream._stream)
    del stream
    assert gone() is None
    assert await settled(lambda: int(below() is not None), 0, 1) == 0


async def test_a_module_and_its_options_die_at_once(wire: WireServer, module: Any, no_gc: None) -> None:
    other = module.with_options(timeout=5)
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
