"""One piece of work for calls of any number of event loops and threads. `flights` is for those of one loop."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

from . import fork as _fork

T = TypeVar("T")
_lock = threading.Lock()
"""Around the few statements that decide who does the work."""


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class SharedFlight(Generic[T]):
    """Work that is done once at a time, in the loop of the first that needs it."""

    def __init__(self) -> None:
        self._work: _Work[T] | None = None

    async def join(self, start: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return the result of the work that is under way, or of work that is started if there is none.

        It goes on while anybody waits. What it raises, all that wait raise.

        Args:
            start: makes the work.
            seconds: after so many the work is given up, as its loop stands still.
        """
        while True:
            with _lock:
                work = self._work
                if work is None or work.is_over(seconds):
                    work = self._work = _Work(start())
                work.waiting += 1
            await work.wait(seconds)
            if work.failure is not None:
                raise copy.copy(work.failure)  # so that nobody changes another's
            if work.result:
                return work.result[0]


class _Work(Generic[T]):
    """Work under way.

    Attributes:
        waiting: how many wait.
        result: the result, once there is one.
        failure: what it raised; neither, where it was cancelled.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.waiting = 0
        self.result: tuple[T, ...] = ()
        self.failure: Exception | None = None
        self._landed: Future[None] = Future()
        self._begun = monotonic()
        self._born = _fork.count
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(coroutine))

    def is_over(self, seconds: float) -> bool:
        """Whether there is nothing to wait for: it landed, or it never will, as its loop or process is gone."""
        gone = self._loop.is_closed() or self._born != _fork.count
        return gone or self._landed.done() or monotonic() - self._begun > seconds

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self.result = (await coroutine,)
        except Exception as error:
            self.failure = error.with_traceback(None)
        finally:
            self._landed.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait until it landed, or so many seconds. Whoever waits last and goes cancels it."""
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()
        self._landed.add_done_callback(partial(_wake, loop, arrived))
        try:
            await asyncio.wait((arrived,), timeout=seconds)
        finally:
            with _lock:
                self.waiting -= 1
                unwanted = not self.waiting and not self._landed.done()
            if unwanted:
                with contextlib.suppress(RuntimeError):  # its loop is closed
                    self._loop.call_soon_threadsafe(self._task.cancel)


def _wake(loop: asyncio.AbstractEventLoop, arrived: asyncio.Future[None], _: object) -> None:
    def arrive() -> None:
        if not arrived.done():
            arrived.set_result(None)

    with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits there
        loop.call_soon_threadsafe(arrive)
