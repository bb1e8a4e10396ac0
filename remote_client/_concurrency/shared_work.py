"""Work whose result is shared by callers in several event loops. `SingleFlight` serves the callers of one loop."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

from . import fork as _fork

T = TypeVar("T")
_lock = threading.Lock()
"""Held while a caller joins or leaves."""


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


_fork.at_fork(after_in_child=_after_fork)


class SharedWork(Generic[T]):
    """A coroutine that runs at most once at a time, in the loop of its first caller."""

    def __init__(self) -> None:
        self._work: _Work[T] | None = None

    async def join(self, start: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return the result of the running coroutine, started if none runs. Its error is raised by all callers.

        It is cancelled when its last caller is.

        Args:
            start: creates the coroutine.
            seconds: the time limit, after which a new coroutine is started: the loop of the old one may be blocked.
        """
        while True:
            with _lock:
                work = self._work
                if work is None or work.is_over(seconds):
                    work = self._work = _Work(start())
                work.waiting += 1
            await work.wait(seconds)
            if work.failure is not None:
                raise copy.copy(work.failure)  # callers add context to their own copy
            if work.result:
                return work.result[0]


class _Work(Generic[T]):
    """A running coroutine.

    Attributes:
        waiting: the number of callers.
        result: the result, once there is one.
        failure: its error. If it was cancelled it has neither.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.waiting = 0
        self.result: tuple[T, ...] = ()
        self.failure: Exception | None = None
        self._ended: Future[None] = Future()
        self._started = monotonic()
        self._forks = _fork.count
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(coroutine))

    def is_over(self, seconds: float) -> bool:
        """Return whether it has ended, or never will, as its loop was closed or the process was forked."""
        is_lost = self._loop.is_closed() or self._forks != _fork.count
        return is_lost or self._ended.done() or monotonic() - self._started > seconds

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self.result = (await coroutine,)
        except Exception as error:
            self.failure = error.with_traceback(None)
        finally:
            self._ended.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait for its end, or the time limit. The last caller that stops waiting cancels it."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        self._ended.add_done_callback(partial(_wake, loop, ended))
        try:
            await asyncio.wait((ended,), timeout=seconds)
        finally:
            with _lock:
                self.waiting -= 1
                is_abandoned = not self.waiting and not self._ended.done()
            if is_abandoned:
                with contextlib.suppress(RuntimeError):  # its loop was closed
                    self._loop.call_soon_threadsafe(self._task.cancel)


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], _: object) -> None:
    def resolve() -> None:
        if not future.done():
            future.set_result(None)

    with contextlib.suppress(RuntimeError):  # the loop was closed, and nobody waits in it
        loop.call_soon_threadsafe(resolve)
