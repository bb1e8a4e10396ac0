"""Tasks that several callers share, and how long they go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from remote_client._client.single_flight import LINGER, SingleFlight
from remote_client.errors import ClosedError
from tests.support.clock import Hours


class Work:
    """Waits until it is let go, and counts.

    Attributes:
        begun, cancelled: how often it was.
    """

    def __init__(self) -> None:
        self.begun = self.cancelled = 0
        self.free = asyncio.Event()

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"


@pytest.fixture
async def hours() -> AsyncIterator[Hours]:
    with Hours(asyncio.get_running_loop()) as hours:
        yield hours


async def _left(single_flight: SingleFlight, work: Work) -> None:
    """A waiter comes, and is cancelled."""
    waiter = asyncio.create_task(single_flight.join("key", work))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait((waiter,))


async def test_a_task_ends_after_its_last_waiter(hours: Hours) -> None:
    single_flight, work = SingleFlight(), Work()
    await _left(single_flight, work)
    await hours.go_by(LINGER / 2)
    assert work.cancelled == 0
    await hours.go_by(LINGER)
    assert work.cancelled == 1
    assert single_flight.find("key") is None


async def test_a_task_goes_on_for_who_comes_soon(hours: Hours) -> None:
    single_flight, work = SingleFlight(), Work()
    await _left(single_flight, work)
    await hours.go_by(LINGER / 2)
    waiter = asyncio.create_task(single_flight.join("key", work))
    await hours.go_by(2 * LINGER)
    work.free.set()
    assert await waiter == "done"
    assert work.begun == 1


async def test_a_task_that_was_begun_goes_on_by_itself(hours: Hours) -> None:
    single_flight, work = SingleFlight(), Work()
    task = single_flight.start("key", work)
    await _left(single_flight, work)
    await hours.go_by(2 * LINGER)
    assert not task.done()
    await single_flight.aclose()
    assert work.cancelled == 1


async def test_who_comes_while_a_forgotten_task_ends_begins_anew() -> None:
    single_flight, work = SingleFlight(), Work()
    await _left(single_flight, work)
    ending = single_flight.find("key")
    assert ending is not None
    single_flight._abandon("key", single_flight._shared["key"])
    waiter = asyncio.create_task(single_flight.join("key", work))
    await asyncio.wait((ending,))
    work.free.set()
    assert await waiter == "done"
    assert (work.begun, work.cancelled) == (2, 1)


async def test_closing_waits_for_a_forgotten_task() -> None:
    single_flight, work = SingleFlight(), Work()
    await _left(single_flight, work)
    single_flight._abandon("key", single_flight._shared["key"])
    await single_flight.aclose()
    assert work.cancelled == 1


async def test_a_closed_one_tells_who_waits() -> None:
    single_flight, work = SingleFlight(), Work()
    waiter = asyncio.create_task(single_flight.join("key", work))
    await asyncio.sleep(0)
    await single_flight.aclose()
    with pytest.raises(ClosedError):
        await waiter
