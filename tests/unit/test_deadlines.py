"""Deadlines of many calls on one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._transport.deadlines import Deadlines
from tests.support.clock import Stopwatch


class Loop:
    """An event loop of timers alone, whose time tests move on; it calls a timer up to its resolution early."""

    def __init__(self, early: float = 0.0) -> None:
        self.now = 1000.0
        self.early = early
        self.timers: list[Timer] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self, when, callback)
        self.timers.append(timer)
        self.made += 1
        return timer

    def run(self, until: float) -> None:
        while due := [each for each in self.timers if each.when - self.early <= until]:
            timer = min(due, key=lambda each: each.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.when - self.early)
            timer.callback()
        self.now = until


class Timer:
    def __init__(self, loop: Loop, when: float, callback: Callable[[], None]) -> None:
        self.loop, self.when, self.callback = loop, when, callback

    def cancel(self) -> None:
        if self in self.loop.timers:
            self.loop.timers.remove(self)


class Item:
    def __init__(self, loop: Loop, then: Callable[[], Any] = lambda: None) -> None:
        self.loop, self.then = loop, then
        self.expired: list[float] = []

    def expire(self) -> None:
        self.expired.append(self.loop.now)
        self.then()


def made(early: float = 0.0) -> tuple[Loop, Deadlines]:
    loop = Loop(early)
    return loop, Deadlines(loop)  # type: ignore[arg-type]


@pytest.mark.parametrize("early", [0.0, 0.0009])
@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.1, 0.5, 0.999, 1, 2.5, 7.99, 8, 59.3, 3600])
def test_a_deadline_is_never_early_and_little_late(seconds: float, early: float) -> None:
    loop, deadlines = made(early)
    item = Item(loop)
    deadlines.add(seconds, item)
    loop.run(loop.now + seconds + 2)
    (when,) = item.expired
    assert seconds - 0.001 <= when - 1000 <= seconds + max(1 / 64, 0.13 * seconds)


def test_what_is_discarded_does_not_expire() -> None:
    loop, deadlines = made()
    kept, dropped = Item(loop), Item(loop)
    deadlines.add(1, kept)
    when = deadlines.add(1, dropped)
    deadlines.discard(when, dropped)
    deadlines.discard(when, dropped)
    deadlines.discard(12345.0, dropped)
    loop.run(2000)
    assert (len(kept.expired), dropped.expired) == (1, [])


def test_shorter_deadlines_that_come_later_expire_first() -> None:
    loop, deadlines = made()
    long, short = Item(loop), Item(loop)
    deadlines.add(60, long)
    deadlines.add(0.1, short)
    loop.run(1001)
    assert (len(short.expired), long.expired) == (1, [])
    loop.run(1100)
    assert len(long.expired) == 1


def test_an_item_that_expires_may_add_and_discard() -> None:
    loop, deadlines = made()
    keys: dict[str, float] = {}
    late, other = Item(loop), Item(loop)

    def again() -> None:
        deadlines.discard(keys["other"], other)
        deadlines.add(0.0001, late)
        deadlines.add(5, late)

    keys["first"] = deadlines.add(1, Item(loop, again))
    keys["other"] = deadlines.add(3, other)
    loop.run(1100)
    assert other.expired == []
    assert len(late.expired) == 2


def test_one_timer_serves_all() -> None:
    loop, deadlines = made()
    items = [Item(loop) for _ in range(10_000)]
    for number, item in enumerate(items):
        loop.now += 0.001
        key = deadlines.add(60, item)
        if number % 2:
            deadlines.discard(key, item)
    assert len(loop.timers) == 1
    loop.run(2000)
    assert sum(len(item.expired) for item in items) == 5000
    assert loop.made < 200
    assert loop.timers == []


def test_after_closing_nothing_expires() -> None:
    loop, deadlines = made()
    item = Item(loop)
    key = deadlines.add(1, item)
    deadlines.close()
    assert loop.timers == []
    deadlines.discard(key, item)
    loop.run(2000)
    assert item.expired == []


async def test_on_a_real_loop() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    done = asyncio.get_running_loop().create_future()

    class Setting:
        def expire(self) -> None:
            done.set_result(None)

    watch = Stopwatch()
    deadlines.add(0.05, Setting())
    await asyncio.wait_for(done, 5)
    assert watch.wall >= 0.049
    assert watch.seconds < 1
