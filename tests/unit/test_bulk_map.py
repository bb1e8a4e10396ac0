"""The order of things in a map, with a function in place of the server."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas
import polars
import pyarrow
import pytest

from remote_client._bulk.batches import Batches
from remote_client._bulk.concurrency import AdaptiveLimit, FixedLimit
from remote_client._bulk.gate import Gate
from remote_client._bulk.map import Done, Failed, Kept, Run
from remote_client._bulk.rows import Rows, rows_of
from remote_client._concurrency.iterators import END
from remote_client.errors import (
    ClosedError,
    DeadlineExceededError,
    InputError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)


class Source:
    """Counts the rows that were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self.count):
            self.read += 1
            yield number


def run(call: Callable[[int, Any], Any], rows: Any, limit: int = 4, outage: float | None = 300, **more: Any) -> Run:
    return Run(call, rows_of(rows), FixedLimit(limit), Gate(outage), **more)


async def all_of(map: Run) -> list[Done]:
    found = []
    while (done := await map.next()) is not None:
        found.append(done)
    return found


async def doubled(index: int, row: int) -> int:
    await asyncio.sleep((7 - row % 7) / 1000)
    return row * 2


@pytest.mark.parametrize("limit", [1, 3, 64])
async def test_answers_come_in_the_order_of_the_rows(limit: int) -> None:
    assert await all_of(run(doubled, range(50), limit)) == [Done(number, number * 2) for number in range(50)]


async def test_unordered_answers_come_as_they_are_ready() -> None:
    async def slow_first(index: int, row: int) -> int:
        await asyncio.sleep(0.2 if row == 0 else 0)
        return row

    found = await all_of(run(slow_first, range(10), ordered=False))
    assert [done.index for done in found][-1] == 0
    assert sorted(done.value for done in found) == list(range(10))


@pytest.mark.parametrize("ordered", [True, False])
async def test_no_more_calls_than_the_limit_run_at_a_time(ordered: bool) -> None:
    running = most = 0

    async def call(index: int, row: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return row

    assert len(await all_of(run(call, range(100), 5, ordered=ordered))) == 100
    assert most == 5


@pytest.mark.parametrize("ordered", [True, False])
async def test_rows_are_read_only_as_fast_as_answers_are_taken(ordered: bool) -> None:
    source = Source(10_000)
    map = run(doubled, source, 4, ordered=ordered)
    for _ in range(10):
        assert await map.next() is not None
    await asyncio.sleep(0.2)
    assert source.read <= 10 + 2 * 4 + 8 + 1
    await map.aclose()


async def test_a_slow_row_holds_up_no_more_rows_than_fit() -> None:
    source, release = Source(10_000), asyncio.Event()

    async def first_waits(index: int, row: int) -> int:
        if row == 0:
            await release.wait()
        return row

    map = run(first_waits, source, 4)
    waiting = asyncio.create_task(map.next())
    await asyncio.sleep(0.1)
    assert source.read <= 2 * 4 + 8 + 1
    release.set()
    assert await waiting == Done(0, 0)
    await map.aclose()


@pytest.mark.parametrize("batched", [False, True], ids=["rows", "batches"])
async def test_a_dropped_map_ends_the_thread_of_its_rows(batched: bool) -> None:
    before = set(threading.enumerate())
    rows = rows_of(iter(range(10_000_000)))

    async def call(index: int, row: Any) -> Any:
        return row

    map = Run(call, Batches(rows, 5) if batched else rows, FixedLimit(4), Gate(300))
    await map.next()
    (thread,) = set(threading.enumerate()) - before
    map.cancel()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


async def test_nothing_is_read_before_the_first_answer_is_asked_for() -> None:
    source = Source(3)
    map = run(doubled, source)
    await asyncio.sleep(0.05)
    assert source.read == 0
    await map.aclose()


async def test_no_rows() -> None:
    assert await all_of(run(doubled, [])) == []
    assert await all_of(run(doubled, Source(0))) == []
    assert await all_of(run(doubled, iter(()))) == []


async def fails_at_five(index: int, row: int) -> int:
    await asyncio.sleep(0 if row == 5 else 0.01)
    if row == 5:
        raise NotFoundError("no five")
    return row


async def test_the_rows_before_a_failed_one_are_given_first() -> None:
    map, found = run(fails_at_five, range(100)), []
    with pytest.raises(NotFoundError) as caught:
        while (done := await map.next()) is not None:
            found.append(done.value)
    assert found == [0, 1, 2, 3, 4]
    assert caught.value.__notes__ == ["row 5"]
    assert map.failed == 1
    with pytest.raises(ClosedError):
        await map.next()


async def test_the_first_of_several_failed_rows_is_raised() -> None:
    async def all_fail(index: int, row: int) -> int:
        await asyncio.sleep(0.01 if row == 0 else 0)
        raise NotFoundError(f"no {row}")

    with pytest.raises(NotFoundError, match="no 0"):
        await all_of(run(all_fail, range(10)))


@pytest.mark.parametrize("kind", ["in memory", "async", "thread"])
async def test_a_row_that_waits_is_answered_after_the_rows_broke(kind: str) -> None:
    refused: list[int] = []

    async def call(index: int, row: int) -> int:
        await asyncio.sleep(0.01)
        if row == 1 and not refused:
            refused.append(row)
            raise ResourceExhaustedError("later")
        return row

    def broken() -> Iterator[int]:
        yield from range(3)
        raise OSError("torn")

    async def later() -> AsyncIterator[int]:
        for row in broken():
            yield row

    class InMemory(Rows):
        def __init__(self) -> None:
            self._rows = broken()

        def take(self) -> Any:
            return next(self._rows, END)

        async def read(self) -> Any:
            return self.take()

        async def aclose(self) -> None:
            pass

    kinds: dict[str, Any] = {
        "in memory": InMemory,
        "async": lambda: rows_of(later()),
        "thread": lambda: rows_of(broken()),
    }
    map, found = Run(call, kinds[kind](), FixedLimit(4), Gate(300)), []
    with pytest.raises(OSError, match="torn"):
        async with asyncio.timeout(5):
            while (done := await map.next()) is not None:
                found.append(done.value)
    assert found == [0, 1, 2]


async def test_an_unordered_map_raises_at_once() -> None:
    async def hangs(index: int, row: int) -> int:
        if row == 3:
            raise NotFoundError("no three")
        await asyncio.Event().wait()
        return row

    with pytest.raises(NotFoundError) as caught:
        await all_of(run(hangs, range(10), ordered=False))
    assert caught.value.__notes__ == ["row 3"]


@pytest.mark.parametrize("ordered", [True, False])
async def test_failed_rows_are_given_in_their_place(ordered: bool) -> None:
    map = run(fails_at_five, range(10), ordered=ordered, on_error="return")
    found = {done.index: done.value for done in await all_of(map)}
    failed = found.pop(5)
    assert isinstance(failed, Failed)
    assert (failed.index, failed.row, type(failed.error)) == (5, 5, NotFoundError)
    assert found == {number: number for number in range(10) if number != 5}
    assert (map.failed, map.skipped, map.answered) == (1, 0, 9)


@pytest.mark.parametrize("ordered", [True, False])
async def test_failed_rows_are_left_out_and_counted(ordered: bool) -> None:
    map = run(fails_at_five, range(10), ordered=ordered, on_error="skip")
    assert sorted(done.index for done in await all_of(map)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert (map.failed, map.skipped) == (1, 1)


async def test_a_refused_row_is_sent_again_and_holds_up_no_other() -> None:
    times: dict[int, int] = {}

    async def refuses_three(index: int, row: int) -> int:
        times[row] = times.get(row, 0) + 1
        if row == 3 and times[row] < 4:
            raise ResourceExhaustedError("busy")
        return row

    found = await all_of(run(refuses_three, range(200), ordered=False))
    assert len(found) == 200
    assert times[3] == 4
    assert [done.index for done in found].index(3) > 10
    assert all(count == 1 for row, count in times.items() if row != 3)


async def test_a_row_that_is_refused_for_ever_fails_while_others_are_answered() -> None:
    async def call(index: int, row: int) -> int:
        await asyncio.sleep(0.01)
        if row == 3:
            raise ResourceExhaustedError("busy")
        return row

    map = run(call, range(1500), on_error="return")
    found = await all_of(map)
    assert isinstance(found[3].value, Failed)
    assert map.failed == 1


async def test_a_server_that_refuses_everything_ends_the_map_after_its_time() -> None:
    async def call(index: int, row: int) -> int:
        raise ResourceExhaustedError("busy")

    with pytest.raises(ResourceExhaustedError):
        await all_of(run(call, range(10), outage=0.5, on_error="skip"))


async def test_a_map_that_waited_for_its_reader_waits_for_the_server_too() -> None:
    refused: list[int] = []

    async def call(index: int, row: int) -> int:
        if not refused:
            refused.append(row)
            raise ResourceExhaustedError("busy")
        return row

    map = run(call, range(10), outage=0.2)
    await asyncio.sleep(0.3)
    assert len(await all_of(map)) == 10


@dataclass
class OneByOne:
    """A server that works on one row at a time; calls expire as a client's do."""

    seconds: float
    timeout: float
    slow: int = -1
    """A row that never ends, which is worked on beside the others."""
    calls: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, index: int, row: int) -> int:
        self.calls += 1
        try:
            async with asyncio.timeout(self.timeout):
                if row == self.slow:
                    await asyncio.Event().wait()
                async with self.turn:
                    await asyncio.sleep(self.seconds)
        except TimeoutError:
            raise DeadlineExceededError("late") from None
        return row


async def test_rows_that_expire_as_they_wait_for_others_are_sent_again() -> None:
    server = OneByOne(seconds=0.005, timeout=0.1)
    map = Run(server, rows_of(range(300)), AdaptiveLimit(), Gate(300), on_error="return")
    assert [done.value for done in await all_of(map)] == list(range(300))


async def test_a_row_that_expires_beside_fast_ones_fails_at_once() -> None:
    server = OneByOne(seconds=0, timeout=0.3, slow=50)
    map = Run(server, rows_of(range(300)), AdaptiveLimit(), Gate(300), on_error="skip")
    assert len(await all_of(map)) == 299
    assert server.calls == 300


async def test_a_row_that_expires_is_not_sent_again_at_a_fixed_number_of_calls() -> None:
    server = OneByOne(seconds=0.01, timeout=0.035)
    map = run(server, range(20), 20, on_error="skip")
    await all_of(map)
    assert map.failed > 10
    assert server.calls == 20


class Outage:
    """A server that goes away for some time at some row."""

    def __init__(self, at: int, seconds: float) -> None:
        self.at = at
        self.seconds = seconds
        self.until: float | None = None
        self.calls = 0

    async def __call__(self, index: int, row: int) -> int:
        now = asyncio.get_running_loop().time()
        self.calls += 1
        await asyncio.sleep(0.001)
        if row == self.at and self.until is None:
            self.until = now + self.seconds
        if self.until is not None and now < self.until:
            raise UnavailableError("away")
        return row


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_outage_loses_no_row_and_makes_few_calls(ordered: bool) -> None:
    server = Outage(at=50, seconds=0.5)
    map = run(server, range(500), 16, ordered=ordered)
    found = await all_of(map)
    assert sorted(done.value for done in found) == list(range(500))
    assert not ordered or [done.index for done in found] == list(range(500))
    assert map.failed == 0
    assert server.calls <= 500 + 16 + 6  # those in flight, and the probes


async def test_an_outage_that_is_too_long_ends_the_map_whatever_becomes_of_failed_rows() -> None:
    server = Outage(at=5, seconds=60)
    with pytest.raises(UnavailableError) as caught:
        await all_of(run(server, range(500), outage=0.5, on_error="skip"))
    assert caught.value.__notes__[0].startswith("row ")


async def test_a_row_that_is_always_unavailable_fails_while_others_are_answered() -> None:
    """A model may answer UNAVAILABLE itself."""

    async def call(index: int, row: int) -> int:
        await asyncio.sleep(0.001)
        if row == 3:
            raise UnavailableError("this one never works")
        return row

    map = run(call, range(200), on_error="return")
    found = await all_of(map)
    assert isinstance(found[3].value, Failed)
    assert map.failed == 1


async def test_an_error_of_the_rows_comes_after_their_answers() -> None:
    async def rows() -> AsyncIterator[int]:
        yield 0
        yield 1
        raise ValueError("the file ends here")

    map, found = run(doubled, rows()), []
    with pytest.raises(ValueError, match="the file ends here"):
        while (done := await map.next()) is not None:
            found.append(done.value)
    assert found == [0, 2]


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_the_rows_of_a_batch_that_was_broken_off_are_answered(kind: str) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the file ends here")

    async def later() -> AsyncIterator[int]:
        for row in broken():
            yield row

    async def call(index: int, row: list[int]) -> list[int]:
        return row

    rows = Batches(rows_of(broken() if kind == "thread" else later()), 3)
    map, found = Run(call, rows, FixedLimit(4), Gate(300), size=3), []
    with pytest.raises(ValueError, match="the file ends here"):
        while (done := await map.next()) is not None:
            found.append(done.value)
    assert found == [[0, 1, 2], [3, 4]]


async def test_closing_cancels_the_calls_and_closes_the_rows() -> None:
    cancelled, closed = [], []

    async def hangs(index: int, row: int) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(row)
            raise
        return row

    async def rows() -> AsyncIterator[int]:
        try:
            for number in range(100):
                yield number
        finally:
            closed.append(True)

    map = run(hangs, rows())
    reader = asyncio.create_task(map.next())
    await asyncio.sleep(0.05)
    await map.aclose()
    assert sorted(cancelled) == [0, 1, 2, 3]
    assert closed == [True]
    with pytest.raises(ClosedError):
        await reader
    await map.aclose()


async def test_a_read_that_is_cancelled_loses_no_answer() -> None:
    map, found = run(doubled, range(50)), []
    while True:
        try:
            async with asyncio.timeout(0.003):
                done = await map.next()
        except TimeoutError:
            continue
        if done is None:
            break
        found.append(done.index)
    assert found == list(range(50))


async def test_a_kept_answer_says_nothing_about_the_server() -> None:
    limit = AdaptiveLimit()

    async def kept(index: int, row: int) -> Kept:
        return Kept(row)

    map = Run(kept, rows_of(range(5000)), limit, Gate(None))
    assert len(await all_of(map)) == 5000
    assert limit.limit == 64


def blocking_rows(count: int, closed: list[bool]) -> Iterator[int]:
    try:
        yield from range(count)
    finally:
        closed.append(True)


async def test_blocking_rows_do_not_hold_up_the_loop() -> None:
    def slow() -> Iterator[int]:
        import time

        for number in range(3):
            time.sleep(0.1)
            yield number

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    ticking = asyncio.create_task(tick())
    assert len(await all_of(run(doubled, slow()))) == 3
    ticking.cancel()
    assert ticks > 30


async def test_blocking_rows_are_closed_by_a_map_that_ends_early() -> None:
    closed: list[bool] = []
    map = run(doubled, blocking_rows(100_000, closed))
    for _ in range(3):
        await map.next()
    await map.aclose()
    for _ in range(100):
        if closed:
            break
        await asyncio.sleep(0.02)
    assert closed == [True]


async def test_an_error_of_blocking_rows() -> None:
    def rows() -> Iterator[int]:
        yield 0
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        await all_of(run(doubled, rows()))


@pytest.mark.parametrize("rows", ["text", b"bytes", {"a": 1}, 5, None], ids=["str", "bytes", "dict", "int", "None"])
def test_what_is_no_iterable_of_rows(rows: Any) -> None:
    with pytest.raises(InputError, match="rows: expected an iterable"):
        rows_of(rows)


@pytest.mark.parametrize(
    "table", [pandas.DataFrame, polars.DataFrame, pyarrow.table], ids=["pandas", "polars", "Arrow"]
)
def test_a_table_is_no_rows(table: Callable[[dict[str, list[str]]], Any]) -> None:
    with pytest.raises(InputError, match="not a table"):
        rows_of(table({"text": ["a"]}))


async def test_nothing_is_left_when_a_map_ends() -> None:
    before = len(asyncio.all_tasks())
    await all_of(run(doubled, range(100), 16))
    gc.collect()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before
