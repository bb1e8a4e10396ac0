"""A call that is given up is cancelled on the server, and whoever gave it up sees what it should."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.support.wire import WireServer

from .kinds import HANGING, ONE_OF_EACH, Deed, endless


@pytest.fixture(autouse=True)
def _exact(wire: WireServer) -> None:
    """Cancels of streamed requests are counted exactly."""
    wire.command("faults", faults={"lag": 0.05})


every_place = pytest.mark.parametrize("deed", HANGING.values(), ids=HANGING)


async def test_300_early_breaks_are_300_cancels(wire: WireServer, module: Any) -> None:
    for index in range(300):
        async for _ in module.chat(endless()) if index % 2 else module.count(n=3, hang=True):
            break
    stats = await wire.until(lambda seen: sum(seen["cancelled"].values()) == 300)
    assert stats["cancelled"] == {"Chat": 150, "Count": 150}
    assert not stats["running"]


async def test_300_cancelled_tasks_are_300_cancels(wire: WireServer, module: Any) -> None:
    tasks = [asyncio.create_task(deed(module)) for deed in ONE_OF_EACH.values() for _ in range(75)]
    await wire.until_running(300)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results} == {asyncio.CancelledError}
    stats = await wire.until(lambda seen: sum(seen["cancelled"].values()) == 300)
    assert stats["cancelled"] == dict.fromkeys(ONE_OF_EACH, 75)
    assert not stats["running"]


async def _aclose(stream: Any) -> None:
    await stream.aclose()
    await stream.aclose()
    assert [item async for item in stream] == []


async def _context(stream: Any) -> None:
    async with stream:
        pass


async def _context_raises(stream: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with stream:
            raise ZeroDivisionError


async def _garbage(stream: Any) -> None:
    gc.disable()  # no cycle keeps it alive
    del stream


async def _cyclic_garbage(stream: Any) -> None:
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del cycle, stream
    gc.collect()


@pytest.mark.parametrize("end", [_aclose, _context, _context_raises, _garbage, _cyclic_garbage])
@pytest.mark.parametrize("kind", ["Count", "Chat"])
@pytest.mark.parametrize("read", [0, 1])
async def test_every_way_to_leave_a_stream_cancels_it(
    wire: WireServer, module: Any, end: Callable[[Any], Awaitable[None]], kind: str, read: int
) -> None:
    streams = [module.count(n=3, hang=True) if kind == "Count" else module.chat(endless())]
    await streams[0].__aenter__()
    for _ in range(read):
        await anext(streams[0])
    await wire.until_running(1)
    await end(streams.pop())
    stats = await wire.until(lambda seen: seen["cancelled"] == {kind: 1})
    gc.enable()
    assert stats["cancelled"] == {kind: 1}


async def test_a_stream_that_was_read_to_its_end_is_not_cancelled(wire: WireServer, module: Any) -> None:
    async with module.count(n=2) as stream:
        assert [item async for item in stream] == [b"0", b"1"]
    assert [item async for item in stream] == []
    stats = await wire.stats()
    assert (stats["cancelled"], stats["started"]["Count"]) == ({}, 1)


async def test_a_stream_that_never_began_sends_nothing(wire: WireServer, module: Any) -> None:
    await module.count(n=2).aclose()
    module.count(n=2)
    await module.echo(b"")
    assert (await wire.stats())["started"] == {"Echo": 1}


@every_place
async def test_move_on_after(wire: WireServer, module: Any, deed: Deed) -> None:
    with anyio.move_on_after(0.15) as scope:
        await deed(module)
    assert scope.cancelled_caught
    assert (await wire.until(lambda seen: not seen["running"]))["running"] == {}


@every_place
async def test_fail_after(wire: WireServer, module: Any, deed: Deed) -> None:
    with pytest.raises(TimeoutError) as caught:
        with anyio.fail_after(0.15):
            await deed(module)
    assert type(caught.value) is TimeoutError
    assert (await wire.until(lambda seen: not seen["running"]))["running"] == {}


@every_place
async def test_asyncio_timeout(wire: WireServer, module: Any, deed: Deed) -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.15):
            await deed(module)
    assert type(caught.value) is TimeoutError
    assert (await wire.until(lambda seen: not seen["running"]))["running"] == {}


@every_place
async def test_a_cancelled_task_raises_cancelled_error(wire: WireServer, module: Any, deed: Deed) -> None:
    seen: list[BaseException] = []

    async def watched() -> None:
        try:
            await deed(module)
        except BaseException as error:
            seen.append(error)
            raise

    task = asyncio.create_task(watched())
    await wire.until_running(1)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert [type(each) for each in seen] == [asyncio.CancelledError]
    assert sum((await wire.until(lambda stats: bool(stats["cancelled"])))["cancelled"].values()) == 1


@every_place
async def test_cancelled_before_it_could_start(module: Any, deed: Deed) -> None:
    for turns in range(4):
        task = asyncio.create_task(deed(module))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await module.echo(b"still well") == b"still well"


async def test_a_stream_survives_an_earlier_cancellation_of_its_task(wire: WireServer, module: Any) -> None:
    # A task that swallowed a cancellation has task.cancelling() == 1 for ever: that must not be taken for a new one.
    async def stubborn() -> list[bytes]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        stream = module.with_options(timeout=0.2).silent()
        with pytest.raises(TimeoutError):
            await anext(stream)
        return [item async for item in module.count(n=2)]

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == [b"0", b"1"]


async def test_a_stream_may_go_from_one_task_to_another(wire: WireServer, module: Any) -> None:
    """Opened in a task that was once cancelled, read in one that is cancelled for the first time."""
    opened: list[Any] = []

    async def opener() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            opened.append(await module.count(n=1, hang=True).__aenter__())

    first = asyncio.create_task(opener())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait((first,))
    (stream,) = opened
    assert await anext(stream) == b"0"
    second = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait((second,))
    assert second.cancelled()


async def test_two_readers_of_one_stream_are_told(module: Any) -> None:
    async with module.silent() as stream:
        reader = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.05)
        with pytest.raises(RuntimeError, match="already being read"):
            await anext(stream)
        reader.cancel()
        await asyncio.wait((reader,))


async def test_aclose_while_another_task_reads(wire: WireServer, module: Any) -> None:
    stream = module.count(n=1, hang=True)
    await anext(stream)
    reader = asyncio.create_task(anext(stream, None))
    await wire.until_running(1)
    async with asyncio.timeout(2):
        await stream.aclose()
        await asyncio.wait((reader,))
    # By its name, as the test before leaves a cancel of its own on the way.
    assert (await wire.until(lambda seen: "Count" in seen["cancelled"]))["cancelled"]["Count"] == 1


async def test_the_request_iterator_is_closed_with_the_call(wire: WireServer, module: Any) -> None:
    closed = asyncio.Event()

    async def items() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"1"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async with module.chat(items()) as stream:
        await anext(stream)
    async with asyncio.timeout(2):
        await closed.wait()
