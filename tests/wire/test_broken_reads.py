"""A read that was broken off is no end of the stream."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest

from remote_client.errors import ClosedError, WrongLoopError

from .kinds import endless


@pytest.fixture(params=["grpc", "bidi", "http"])
def hanging(request: pytest.FixtureRequest) -> Any:
    """A stream that gives an answer or two, and then none for ever."""
    module = request.getfixturevalue("http" if request.param == "http" else "module")
    return module.chat(endless()) if request.param == "bidi" else module.count(n=2, hang=True)


async def read_all(stream: Any) -> None:
    async for _ in stream:
        pass


async def read_until_late(stream: Any) -> None:
    with pytest.raises(TimeoutError):
        while True:
            await asyncio.wait_for(anext(stream), 0.3)


async def test_after_wait_for_the_stream_is_closed_not_over(hanging: Any) -> None:
    await read_until_late(hanging)
    for _ in range(2):
        with pytest.raises(ClosedError, match="broken off"):
            await anext(hanging)
    await hanging.aclose()


async def test_after_move_on_after_the_stream_is_closed_not_over(hanging: Any) -> None:
    with anyio.move_on_after(0.5):
        async for _ in hanging:
            pass
    with pytest.raises(ClosedError, match="broken off"):
        await anext(hanging)


async def test_after_a_cancelled_task_the_stream_is_closed_not_over(hanging: Any) -> None:
    task = asyncio.create_task(read_all(hanging))
    await asyncio.wait((task,), timeout=0.5)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    with pytest.raises(ClosedError, match="broken off"):
        await anext(hanging)


async def test_a_begun_stream_read_in_another_loop(hanging: Any) -> None:
    await anext(hanging)
    raised: list[BaseException] = []

    def read() -> None:
        try:
            asyncio.run(asyncio.wait_for(anext(hanging), 5))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert [type(each) for each in raised] == [WrongLoopError]
    await hanging.aclose()
