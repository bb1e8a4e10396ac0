"""Large answers are decoded by another thread: everything else goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from remote_client._calls.caller import LARGE
from remote_client.errors import InvalidResponseError
from tests.support.clock import longest_stall
from tests.support.wire import RawCodec

SLOW = 0.3


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether it was not the loop's thread that decoded; it takes long."""
    seen = []

    def decode(self: RawCodec, data: bytes, output: Any) -> Any:
        seen.append(threading.current_thread() is not threading.main_thread())
        time.sleep(SLOW)
        if data.startswith(b"!"):
            raise InvalidResponseError("no answer")
        return data

    monkeypatch.setattr(RawCodec, "decode", decode)
    return seen


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("remote-client-worker")]


async def test_the_loop_goes_on(module: Any, aside: list[bool]) -> None:
    assert await longest_stall(module.echo(bytes(LARGE - 1))) > SLOW / 2
    assert await longest_stall(module.echo(bytes(LARGE))) < SLOW / 2
    assert aside == [False, True]


async def test_streams_too_in_order(module: Any, aside: list[bool]) -> None:
    sent = [str(each).encode() * LARGE for each in range(3)]
    assert [item async for item in module.chat(sent)] == sent
    assert aside == [True] * 3


async def test_one_at_a_time_and_nothing_is_mixed_up(module: Any, aside: list[bool]) -> None:
    sent = [str(each).encode() * LARGE for each in range(4)]
    assert await asyncio.gather(*map(module.echo, sent)) == sent
    assert len(_threads()) == 1


async def test_an_answer_that_is_none(module: Any, aside: list[bool]) -> None:
    with pytest.raises(InvalidResponseError) as raised:
        await module.echo(b"!" * LARGE)
    assert (raised.value.method, raised.value.model) == ("test.Test/Echo", "raw")
    assert raised.value.target


async def test_cancelled_meanwhile(module: Any, aside: list[bool]) -> None:
    task = asyncio.create_task(module.echo(bytes(LARGE)))
    while not aside:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await module.echo(b"x" * LARGE) == b"x" * LARGE


async def test_closed_meanwhile(module: Any, aside: list[bool]) -> None:
    """What has arrived is given."""
    tasks = [asyncio.create_task(module.echo(bytes(LARGE))) for _ in range(2)]
    while not aside:
        await asyncio.sleep(0.001)
    await asyncio.sleep(SLOW / 3)
    await module.aclose()
    assert await asyncio.gather(*tasks) == [bytes(LARGE)] * 2
    assert await module._caller.connections.worker.run(bytes, 2) == b"\0\0"
    for _ in range(100):
        await asyncio.sleep(0.01)
    assert not _threads()
