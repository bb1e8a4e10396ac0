"""One task for any number of callers that want the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class Flights:
    """The tasks under way, by what they are for. A waiter that is cancelled does not end the others' task."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for the task of a key, started if there is none."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(start())
            task.add_done_callback(partial(self._land, key))
        await asyncio.wait((task,))
        result: T = task.result()
        return result

    def _land(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # looked at, even if every waiter was cancelled

    async def landed(self) -> None:
        """Wait until none is under way."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))
