"""One task for any number of callers that want the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

from .errors import ClosedError

T = TypeVar("T")


class Flights:
    """The tasks under way, by what they are for. A waiter that is cancelled does not end the others' task."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._closed = False

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for the task of a key, started if there is none.

        Raises:
            ClosedError: `aclose` ended it.
        """
        task = self.begin(key, start)
        await asyncio.wait((task,))
        if self._closed and task.cancelled():
            raise ClosedError("it was closed meanwhile")
        result: T = task.result()
        return result

    def begin(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Return the task of a key, started if there is none. Nobody has to wait for it: `aclose` ends it."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(start())
            task.add_done_callback(partial(self._land, key))
        return task

    def find(self, key: Hashable) -> asyncio.Task[Any] | None:
        """Return the task of a key, if it is under way."""
        return self._tasks.get(key)

    def _land(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # looked at, even if every waiter was cancelled

    async def aclose(self) -> None:
        """Cancel the tasks under way, and wait for their end. Idempotent."""
        self._closed = True
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks.values() if task.get_loop() is loop]  # those of a dead loop are over
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
