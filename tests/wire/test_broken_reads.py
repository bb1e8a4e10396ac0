"""A read that was broken off, or a stream that failed or was closed, is no end of the stream."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import anyio
import pytest

from remote_client.errors import ClosedError, RemoteCallError, WrongLoopError
from tests.support.sources import KINDS, wire_answers


@pytest.fixture(params=KINDS)
def answers(request: pytest.FixtureRequest) -> Any:
    """A stream of so many answers, which then ends, fails, or hangs."""
    kind = request.param
    return partial(wire_answers, request.getfixturevalue("http" if kind == "http" else "module"), kind)


@pytest.fixture(params=[0, 1], ids=["at the first", "at the second"])
def hanging(request: pytest.FixtureRequest, answers: Any) -> Any:
    """A stream that gives an answer or none, and then hangs."""
    return answers(request.param, "hang")


async def read(stream: Any, begun: asyncio.Event | None = None) -> None:
    """Read all; `begun` is set before each read."""
    async for _ in stream:
        if begun is not None:
            begun.set()


async def broken_off(stream: Any) -> None:
    """Assert that a read was broken off."""
    for _ in range(2):
        with pytest.raises(ClosedError, match="broken off"):
            await anext(stream)


async def test_after_wait_for_the_stream_is_closed_not_complete(hanging: Any) -> None:
    with pytest.raises(TimeoutError):
        while True:
            await asyncio.wait_for(anext(hanging), 0.1)
    await broken_off(hanging)
    await hanging.aclose()


async def test_after_move_on_after_the_stream_is_closed_not_complete(hanging: Any) -> None:
    with anyio.move_on_after(0.1):
        await read(hanging)
    await broken_off(hanging)


async def test_after_a_cancelled_task_the_stream_is_closed_not_complete(answers: Any) -> None:
    stream, begun = answers(1, "hang"), asyncio.Event()
    task = asyncio.create_task(read(stream, begun))
    await begun.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    await broken_off(stream)


@pytest.mark.parametrize("then", ["fail", "hang"])
@pytest.mark.parametrize("count", [0, 2])
async def test_after_an_error_the_stream_is_not_complete(answers: Any, count: int, then: str) -> None:
    stream = answers(count, then, timeout=0.3)
    with pytest.raises(RemoteCallError) as caught:
        await read(stream)
    for _ in range(2):
        with pytest.raises(ClosedError, match=type(caught.value).__name__):
            await anext(stream)


async def test_a_task_that_reads_sees_that_another_closed_the_stream(answers: Any) -> None:
    stream, begun = answers(1, "hang"), asyncio.Event()
    task = asyncio.create_task(read(stream, begun))
    await begun.wait()
    await stream.aclose()
    with pytest.raises(ClosedError, match="the stream was closed"):
        await task
    assert [item async for item in stream] == []


async def test_a_begun_stream_read_in_another_loop(answers: Any) -> None:
    stream = answers(2, "end")
    await anext(stream)
    raised: list[BaseException] = []

    def read_elsewhere() -> None:
        try:
            asyncio.run(asyncio.wait_for(anext(stream), 5))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=read_elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert [type(each) for each in raised] == [WrongLoopError]
    await read(stream)
