"""One task for any number of callers that want the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

from ..errors import ClosedError

T = TypeVar("T")


LINGER = 1.0
"""Seconds that a task goes on after its last waiter left: the next one may be about to come."""


class _SharedTask:
    """A task under way.

    Attributes:
        task: the task.
        waiting: how many wait for it.
        is_kept: whether it goes on without waiters.
        end: ends it, as it has none.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.waiting = 0
        self.is_kept = False
        self.end: asyncio.TimerHandle | None = None


class SingleFlight:
    """The tasks under way, by what they are for. A waiter that is cancelled does not end the others' task."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _SharedTask] = {}
        self._ending: set[asyncio.Task[Any]] = set()
        """Tasks that were forgotten, until they are over."""
        self._closed = False

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for the task of a key, started if there is none. It ends soon after its last waiter was cancelled.

        Raises:
            ClosedError: `aclose` ended it.
        """
        flight = self._flight(key, start)
        flight.waiting += 1
        if flight.end is not None:
            flight.end.cancel()
        try:
            await asyncio.wait((flight.task,))
        finally:
            flight.waiting -= 1
            if not (flight.waiting or flight.is_kept or flight.task.done()):
                flight.end = asyncio.get_running_loop().call_later(LINGER, self._forget, key, flight)
        if self._closed and flight.task.cancelled():
            raise ClosedError("it was closed meanwhile")
        result: T = flight.task.result()
        return result

    def begin(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Return the task of a key, started if there is none. Nobody has to wait for it: `aclose` ends it."""
        flight = self._flight(key, start)
        flight.is_kept = True
        return flight.task

    def find(self, key: Hashable) -> asyncio.Task[Any] | None:
        """Return the task of a key, if it is under way."""
        flight = self._flights.get(key)
        return None if flight is None else flight.task

    def _flight(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, Any]]) -> _SharedTask:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _SharedTask(asyncio.get_running_loop().create_task(start()))
            flight.task.add_done_callback(partial(self._land, key))
        return flight

    def _forget(self, key: Hashable, flight: _SharedTask) -> None:
        """End a task that nobody waits for; who wants it now begins anew."""
        if self._flights.get(key) is flight and not (flight.waiting or flight.is_kept):
            del self._flights[key]
            self._ending.add(flight.task)
            flight.task.cancel()

    def _land(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._ending.discard(task)
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
            if flight.end is not None:
                flight.end.cancel()
        if not task.cancelled():
            task.exception()  # looked at, even if every waiter was cancelled

    async def aclose(self) -> None:
        """Cancel the tasks under way, and wait for their end. Idempotent."""
        self._closed = True
        loop = asyncio.get_running_loop()
        tasks = {*self._ending, *(each.task for each in self._flights.values())}
        tasks = {task for task in tasks if task.get_loop() is loop}  # those of a dead loop are over
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
