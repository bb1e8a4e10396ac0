"""The calls of a map: one task starts them, within the limit and while the gate is open, and they go on row by row."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

from .._concurrency.iterators import END
from .._objects.exports import exported_from
from ..errors import ClosedError, DeadlineExceededError
from .concurrency import AdaptiveLimit, FixedLimit
from .failures import Failure, failure_of
from .gate import Gate
from .rows import LATER, Rows

OnError = Literal["raise", "return", "skip"]
TIMES = 8
"""How often a row is put back while others are answered. After that the failure is the row's own."""
LATE_TIMES = 3
"""How often a row is put back whose call expired while many ran."""
_PAUSE = 0.05
"""Seconds before a row that was refused for overload is sent again; they double three times."""


@exported_from("remote_client.bulk")
@dataclass(slots=True)
class Done:
    """A finished row.

    Attributes:
        index: the row's number, from 0.
        value: its answer, or its `Failed`.
    """

    index: int
    value: Any


@exported_from("remote_client.bulk")
@dataclass(frozen=True)
class Failed:
    """A row that failed, in the place of its answer.

    Attributes:
        index: the row's number, from 0.
        row: the row.
        error: why it failed.
    """

    index: int
    row: Any
    error: Exception


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer from the checkpoint: the row was not called."""

    value: Any


@dataclass(order=True)
class Item:
    """A row that runs or waits. Items are ordered by index, so that the first waiting row is sent first."""

    index: int
    row: Any = field(compare=False)
    returned: int = field(default=0, compare=False)
    """How often it was put back after others had been answered."""
    answered: int = field(default=0, compare=False)
    """How many rows were answered when it was put back last."""
    tries: int = field(default=0, compare=False)
    """How often it was put back at all."""
    not_before: float = field(default=0.0, compare=False)
    probes: bool = field(default=False, compare=False)
    """Whether its call probes a server that was away."""


class Run:
    """The calls of a map. It has no reference to its iterator, which cancels it when it is dropped.

    Args:
        call: called with a row's index and the row; returns its answer.
        rows: the rows.
        limit: how many calls run at a time.
        gate: whether the server may be called.
        ordered: whether answers are given in the order of the rows.
        on_error: what a failed row does; see `map_rows`.
        size: the size of batches, if rows are batches; 0 if they are not.

    Attributes:
        failed: rows that failed, so far.
        skipped: rows that failed and are not given, so far.
        answered: rows that were answered, so far.
        in_flight: calls that run.
    """

    def __init__(
        self,
        call: Callable[[int, Any], Awaitable[Any]],
        rows: Rows,
        limit: FixedLimit | AdaptiveLimit,
        gate: Gate,
        *,
        ordered: bool = True,
        on_error: OnError = "raise",
        size: int = 0,
    ) -> None:
        self._size = size
        self._call = call
        self._rows = rows
        self._limit = limit
        self._gate = gate
        self._ordered = ordered
        self._on_error = on_error
        self.failed: int = 0
        self.skipped: int = 0
        self.answered: int = 0
        self._refused_since: float | None = None
        """When the server began to refuse all calls for overload."""
        self._taken = self._given = 0
        self._exhausted = self._closed = self._over = False
        self._again: list[Item] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_flight: int = 0
        self._reading: asyncio.Task[Any] | None = None
        self._driver: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        """What the driver waits for."""
        self._ready: asyncio.Future[None] | None = None
        """What the iterator waits for."""
        self._finished: dict[int, Done | None] = {}
        self._failure: tuple[int, BaseException] | None = None
        """The error that ends the map, and the row before which it is raised; -1 for at once."""

    # -- the iterator's side ------------------------------------------------------------------------------------------

    async def next(self) -> Done | None:
        """Return the next finished row; None after the last one."""
        while not self._closed:
            if (done := self.take()) is not None:
                return done
            if self._failure is not None and self._failure[0] in (-1, self._given):
                error = self._failure[1]
                await self.aclose()
                raise error
            if self._exhausted and self._given == self._taken:
                self._over = True
                await self.aclose()
                break
            if self._driver is None:
                self._driver = self._start(self._drive())
            self._ready = asyncio.get_running_loop().create_future()
            await self._ready
        if self._over:
            return None
        raise ClosedError("the map was closed, or an earlier read of it failed")

    def take(self) -> Done | None:
        """Return a finished row that may be given now; None if there is none."""
        finished = self._finished
        while finished:
            index = self._given if self._ordered else next(iter(finished))
            if index not in finished:
                return None
            done = finished.pop(index)
            self._given += 1
            _set(self._wake)  # there is room for another row
            if done is not None:
                return done
        return None

    async def aclose(self) -> None:
        """Cancel the calls, and close the rows. Idempotent."""
        if self._closed:
            return
        self._closed = True
        tasks = self.cancel()
        _set(self._ready)
        if tasks:
            await asyncio.wait(tasks)
        await self._rows.aclose()

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel all tasks, return them, and read no more rows."""
        self._rows.cancel()
        tasks: list[asyncio.Task[Any]] = [*self._tasks]
        if self._reading is not None and not self._reading.done():
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        return tasks

    # -- the driver ---------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget a task. One that was cancelled or raised ends the map: its row would never be answered."""
        self._tasks.discard(task)
        if task.cancelled():
            self._fail(-1, ClosedError("a task of the map was cancelled"))
        elif (error := task.exception()) is not None:
            self._fail(-1, error)

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_over:
            item, wait = self._next_item(monotonic())
            if item is not None:
                self._begin(item)
                self._start(self._answer_rows(item))
                continue
            self._wake = loop.create_future()
            timer = None if wait is None else loop.call_later(wait, _set, self._wake)
            await self._wake
            if timer is not None:
                timer.cancel()
        _set(self._ready)

    @property
    def _is_over(self) -> bool:
        """Whether no call runs or is to be made. A failed row ends the map, but those before it are answered first."""
        if self._failure is None:
            return self._exhausted and not self._again and not self.in_flight
        return self._failure[0] == -1 or not (self.in_flight or self._waits)

    @property
    def _waits(self) -> bool:
        """Whether a row waits to be sent again that comes before the one that ends the map."""
        return bool(self._again) and (self._failure is None or self._again[0].index < self._failure[0])

    def _next_item(self, now: float) -> tuple[Item | None, float | None]:
        """Return the row to start now; else None, and the seconds after which to look again, if any."""
        if self.in_flight >= self._limit.limit:
            return None, None
        wait = self._gate.wait(now)
        if wait is None or wait > 0:
            return None, wait
        head = self._again[0] if self._waits else None
        # A row that fails again and again is told from a server that is away, or overloaded, by other rows.
        yields = head is not None and not self._gate.is_open and head.tries % 2 == 1
        if head is not None and not yields:
            if head.not_before <= now:
                return heapq.heappop(self._again), None
            wait = head.not_before - now
        has_room = self._taken - self._given < 2 * self._limit.limit + 8 + (min(head.tries, 4 * TIMES) if head else 0)
        if has_room and not self._exhausted and self._failure is None:
            try:
                row = self._read()
            except Exception as error:
                self._fail(self._taken if self._ordered else -1, error)
                return None, 0.0
            if row is END:
                self._exhausted = True
                return None, 0.0
            if row is not LATER:
                self._taken += 1
                return Item(self._taken - 1, row), None
        if yields:
            return heapq.heappop(self._again), None
        return None, wait if head is not None else None

    def _read(self) -> Any:
        """Return the next row, `END`, or `LATER`: the task that reads it wakes the driver."""
        if self._reading is not None:
            if not self._reading.done():
                return LATER
            row, self._reading = self._reading.result(), None
            return row
        row = self._rows.take()
        if row is LATER:
            self._reading = asyncio.get_running_loop().create_task(self._rows.read())
            self._reading.add_done_callback(lambda _: _set(self._wake))
        return row

    # -- calls --------------------------------------------------------------------------------------------------------

    def _begin(self, item: Item) -> None:
        self.in_flight += 1
        item.probes = not self._gate.is_open
        if item.probes:
            self._gate.probe()

    async def _answer_rows(self, item: Item | None) -> None:
        """Answer a row, and then others while this many calls may run: a task for each row costs a sixth more."""
        while item is not None:
            await self._answer(item, item.probes)
            self.in_flight -= 1
            item, _ = self._next_item(monotonic())
            if item is not None:
                self._begin(item)
            if self.in_flight < self._limit.limit:
                _set(self._wake)

    async def _answer(self, item: Item, probes: bool) -> None:
        begun = monotonic()
        try:
            value = await self._call(item.index, item.row)
        except Exception as error:
            self._failed(item, error, probes, monotonic() - begun)
            return
        now = monotonic()
        self.answered += self._count(item)
        if isinstance(value, Kept):  # it tells nothing about the server
            self._gate.skipped(probed=probes)
            self._finish(Done(item.index, value.value))
            return
        self._gate.answered(probed=probes)
        self._limit.answered(now, now - begun)
        self._refused_since = None
        self._finish(Done(item.index, value))

    def _failed(self, item: Item, error: Exception, probes: bool, seconds: float) -> None:
        now, kind = monotonic(), failure_of(error)
        is_late = kind is Failure.ROW and isinstance(error, DeadlineExceededError)
        # Of 64 calls at a model that takes two seconds, one by one, half would expire, whatever their rows are.
        if is_late and item.tries < LATE_TIMES and self._limit.is_crowded(seconds):
            kind = Failure.OVERLOAD
        if kind is Failure.MAP:
            self._fail(-1, self._at_row(error, item))
            return
        if kind is Failure.OUTAGE:
            gives_up = self._gate.failed(now, probed=probes)
            if gives_up:
                self._fail(-1, self._at_row(error, item))
                return
        else:
            self._gate.answered(probed=probes)
        if kind is Failure.OVERLOAD:
            self._limit.refused(now)
            if self._refused_since is None:
                self._refused_since = now
            if self._gate.outage is not None and now - self._refused_since >= self._gate.outage:
                self._fail(-1, self._at_row(error, item))
                return
        if kind is Failure.ROW or not self._put_back(item, now, kind):
            self._refuse(item, error)

    def _put_back(self, item: Item, now: float, kind: Failure) -> bool:
        """Put a row back, unless it failed too often while others were answered; return whether it was put back."""
        if self.answered > item.answered:
            item.answered, item.returned = self.answered, item.returned + 1
        item.tries += 1
        if item.returned > TIMES:
            return False
        pause = _PAUSE * 2 ** min(item.tries - 1, 3) if kind is Failure.OVERLOAD else 0.0
        item.not_before = now + pause
        heapq.heappush(self._again, item)
        return True

    def _refuse(self, item: Item, error: Exception) -> None:
        self.failed += self._count(item)
        if self._on_error == "raise":
            self._fail(item.index if self._ordered else -1, self._at_row(error, item))
        elif self._on_error == "return":
            self._finish(Done(item.index, Failed(item.index, item.row, error)))
        else:
            self.skipped += self._count(item)
            self._finished[item.index] = None
            _set(self._ready)

    def _count(self, item: Item) -> int:
        return len(item.row) if self._size else 1

    def _at_row(self, error: Exception, item: Item) -> Exception:
        first = item.index * self._size
        error.add_note(f"rows {first} to {first + len(item.row) - 1}" if self._size else f"row {item.index}")
        return error

    def _finish(self, done: Done) -> None:
        self._finished[done.index] = done
        if not self._ordered or done.index == self._given:
            _set(self._ready)

    def _fail(self, index: int, error: BaseException) -> None:
        """End the map with an error: of several that of the first row."""
        if self._failure is None or index < self._failure[0]:
            self._failure = index, error
        _set(self._wake)
        _set(self._ready)


def _set(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
