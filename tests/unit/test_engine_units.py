"""Parts of the engine under conditions that no server makes: threads with loops of their own, deadlines of days."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from remote_client._transport.deadlines import Deadlines
from remote_client._transport.net import sockets
from remote_client.settings import CallOptions
from tests.unit.test_deadlines import Item, Loop


class Idle(asyncio.Protocol):
    """A protocol whose transport was closed."""

    transport = None


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_loops_of_many_threads_begin_and_end_beside_each_other() -> None:
    errors: list[Any] = []
    until = time.monotonic() + 3

    async def connect() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        kept: list[Any] = [Idle() for _ in range(30)]
        for each in kept:
            sockets.register(each)
            await asyncio.sleep(0)

    def work() -> None:
        while time.monotonic() < until:
            try:
                asyncio.run(connect())
            except RuntimeError as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_an_endless_timeout_is_none() -> None:
    options = CallOptions(timeout=math.inf, total_timeout=math.inf)
    assert (options.timeout, options.total_timeout) == (None, None)


def test_deadlines_of_days_that_are_not_reached_leave_nothing() -> None:
    loop = Loop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    kept = Item(loop)
    deadlines.add(50_000, kept)
    for _ in range(10_000):
        loop.run(loop.now + 1)
        item = Item(loop)
        deadlines.discard(deadlines.add(86_400, item), item)
    assert len(deadlines._slots) < 200
    assert len(deadlines._order) < 200
    assert len(loop.timers) == 1
    loop.run(loop.now + 100_000)
    assert len(kept.expired) == 1
