"""Pending: who waits for a turn, in which order, and what overload does to the limit."""

from __future__ import annotations

import asyncio

from remote_client._transport.pending import LEAST, Pending, Place


def entered(pending: Pending) -> Place:
    place = pending.enter()
    assert place is not None
    return place


async def test_calls_beyond_the_limit_wait_first_come_first_served() -> None:
    pending, order = Pending(2), []
    places = [entered(pending), entered(pending)]

    async def call(name: str) -> None:
        place = await pending.wait(5)
        assert place is not None
        order.append(name)
        place.free()

    waiting = [asyncio.create_task(call(name)) for name in "abc"]
    await asyncio.sleep(0.01)
    assert (order, pending.count) == ([], 2)
    assert pending.enter() is None
    places[0].free()
    await asyncio.gather(*waiting)
    assert (order, pending.count) == (["a", "b", "c"], 1)


async def test_who_comes_later_does_not_overtake() -> None:
    pending = Pending(1)
    first = entered(pending)
    waiting = asyncio.create_task(pending.wait(5))
    await asyncio.sleep(0)
    first.free()
    assert pending.enter() is None
    place = await waiting
    assert place is not None
    place.free()
    assert pending.count == 0


async def test_a_turn_that_does_not_come_in_time() -> None:
    pending = Pending(1)
    first = entered(pending)
    assert await pending.wait(0.05) is None
    first.free()
    assert pending.count == 0
    entered(pending)


async def test_a_cancelled_call_gives_its_turn_to_the_next() -> None:
    pending = Pending(1)
    first = entered(pending)
    cancelled, next_one = (asyncio.create_task(pending.wait(5)) for _ in range(2))
    await asyncio.sleep(0)
    first.free()
    cancelled.cancel()  # its turn has come, and it does not know yet
    assert (await asyncio.gather(cancelled, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    assert await asyncio.wait_for(next_one, 1) is not None
    assert pending.count == 1


def test_a_place_is_freed_once() -> None:
    pending = Pending(2)
    place = entered(pending)
    place.answered()
    place.free()
    place.answered()
    assert pending.count == 0


def test_overload_halves_the_limit_once_for_all_calls_of_its_time() -> None:
    pending = Pending(256)
    places = [entered(pending) for _ in range(100)]
    for place in places:
        place.shed()
        place.free()
    assert pending.limit == 128
    entered(pending).shed()
    assert pending.limit == 64


def test_overload_leaves_eight() -> None:
    pending = Pending(64)
    for _ in range(20):
        place = entered(pending)
        place.shed()
        place.free()
    assert pending.limit == LEAST == 8
    small = Pending(3)
    entered(small).shed()
    assert small.limit == 3


def test_the_limit_grows_by_one_with_each_round_trip() -> None:
    pending = Pending(256)
    place = entered(pending)
    place.shed()
    place.free()
    for _ in range(3):
        for each in [entered(pending) for _ in range(int(pending.limit))]:
            each.answered()
    assert 130 < pending.limit <= 131.1
    for _ in range(300):
        for each in [entered(pending) for _ in range(int(pending.limit))]:
            each.answered()
    assert pending.limit == 256


async def test_closing_lets_all_go() -> None:
    pending = Pending(1)
    entered(pending)
    waiting = [asyncio.create_task(pending.wait(5)) for _ in range(3)]
    await asyncio.sleep(0)
    pending.close()
    assert all(await asyncio.gather(*waiting))
