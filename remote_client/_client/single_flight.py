"""One task for all callers that want the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

from ..errors import ClosedError

T = TypeVar("T")
LINGER = 1.0
"""Seconds that a task goes on after its last waiter was cancelled: another caller may want it soon."""


class _SharedTask:
    """A task with the number of its waiters."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.waiting = 0
        self.is_kept = False
        """Whether it goes on without waiters."""
        self.end: asyncio.TimerHandle | None = None
        """Cancels it while it has no waiters."""


class SingleFlight:
    """The running tasks by key. A cancelled waiter does not cancel the task of the others."""

    def __init__(self) -> None:
        self._shared: dict[Hashable, _SharedTask] = {}
        self._ending: set[asyncio.Task[Any]] = set()
        """Abandoned tasks that were cancelled and have not ended yet."""
        self._closed = False

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of a key's task, started if none runs. It is cancelled soon after its last waiter.

        Raises:
            ClosedError: `aclose` cancelled it.
        """
        shared = self._find_or_start(key, start)
        shared.waiting += 1
        if shared.end is not None:
            shared.end.cancel()
        try:
            await asyncio.wait((shared.task,))
        finally:
            shared.waiting -= 1
            if not (shared.waiting or shared.is_kept or shared.task.done()):
                shared.end = asyncio.get_running_loop().call_later(LINGER, self._abandon, key, shared)
        if self._closed and shared.task.cancelled():
            raise ClosedError("it was closed meanwhile")
        result: T = shared.task.result()
        return result

    def start(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Return a key's task, started if none runs. It goes on without waiters until `aclose`."""
        shared = self._find_or_start(key, start)
        shared.is_kept = True
        return shared.task

    def find(self, key: Hashable) -> asyncio.Task[Any] | None:
        """Return a key's running task, if there is one."""
        shared = self._shared.get(key)
        return None if shared is None else shared.task

    def _find_or_start(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, Any]]) -> _SharedTask:
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _SharedTask(asyncio.get_running_loop().create_task(start()))
            shared.task.add_done_callback(partial(self._done, key))
        return shared

    def _abandon(self, key: Hashable, shared: _SharedTask) -> None:
        """Cancel a task without waiters. The next caller starts a new one."""
        if self._shared.get(key) is shared and not (shared.waiting or shared.is_kept):
            del self._shared[key]
            self._ending.add(shared.task)
            shared.task.cancel()

    def _done(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._ending.discard(task)
        shared = self._shared.get(key)
        if shared is not None and shared.task is task:
            del self._shared[key]
            if shared.end is not None:
                shared.end.cancel()
        if not task.cancelled():
            task.exception()  # else asyncio logs it as never retrieved, if every waiter was cancelled

    async def aclose(self) -> None:
        """Cancel the running tasks, and wait for their end. Idempotent."""
        self._closed = True
        loop = asyncio.get_running_loop()
        tasks = {*self._ending, *(shared.task for shared in self._shared.values())}
        tasks = {task for task in tasks if task.get_loop() is loop}  # tasks of a closed loop never end
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
