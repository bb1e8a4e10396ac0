"""The event loop of the blocking client: one thread a process, and the way into it for all other threads."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import logging
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from .._concurrency import fork as _fork
from .._concurrency.at_exit import closers as _closers
from ..errors import ClosedError, ForkedError, WrongLoopError

R = TypeVar("R")
logger = logging.getLogger("remote_client")

END_TIME = 0.3
"""Seconds that a call which was broken off, as by Ctrl-C, may take to be cancelled on the server."""
_EXIT_TIME = 1.0
"""Seconds that clients which were never closed may take to be closed at exit."""

closers: weakref.WeakSet[Any] = weakref.WeakSet()
"""Objects with connections, whose `aclose` is awaited at exit if nobody closed them before."""


class Waiter(Protocol):
    """Something in the loop that a thread waits for."""

    def fail(self, error: BaseException) -> None:
        """Tell the thread that the loop has ended. From any thread."""


class _Call:
    """A coroutine in the loop, for which a thread waits."""

    __slots__ = ("_begun", "_broken_off", "_context", "_task", "_thread", "_work", "done", "error", "result")

    def __init__(self, thread: LoopThread, work: Coroutine[Any, Any, Any]) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = thread
        self._work = work
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._begun = self._broken_off = False

    def start(self) -> None:
        self._task = self._thread.spawn(self._run(), self._context)

    async def _run(self) -> None:
        self._begun = True
        try:
            if self._broken_off:
                self._work.close()
                raise asyncio.CancelledError
            self.result = await self._work
        except BaseException as error:  # whatever a user's callback raises must not end everybody's loop
            self.error = error
        if not self._thread.ending:
            # At exit who still waits is a daemon thread: woken up, it would print a traceback.
            self.done.release()

    def cancel(self) -> None:
        self._broken_off = True
        if self._task is None:  # Ctrl-C came before it was posted
            self._work.close()
        elif self._begun:  # cancelled before, it would never run, and tell nobody
            self._task.cancel()

    def fail(self, error: BaseException) -> None:
        self.error = error
        with contextlib.suppress(RuntimeError):  # it was over just now
            self.done.release()


class LoopThread:
    """An event loop in a thread of its own, for all blocking objects of the process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        _closers[self.loop] = closers
        self.ending = False
        self.forked = False
        self.waiting: set[Waiter] = set()
        """Those to tell when the loop ends before they do."""
        self._stopped = False
        self._failure: BaseException | None = None
        self._posted: deque[Callable[[], object]] = deque()
        self._awake = False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if hasattr(os, "eventfd") else None
        self._thread = threading.Thread(target=self._run, name="remote-client", daemon=True)
        self._thread.start()
        self.ident = self._thread.ident

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            self._fail(error)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        if self._bell is not None:
            self.loop.add_reader(self._bell, self._answer, self._bell)
        # A user's coroutine may fork: then this is the child's only thread, with the parent's loop.
        while not (self.ending or self.forked):
            # A KeyboardInterrupt or SystemExit that a user's coroutine raises leaves the loop; it is everybody's.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()

    def _fail(self, error: BaseException) -> None:
        """Tell all who wait what left the loop itself, as when its selector was closed. Later calls get a new loop."""
        global _thread
        logger.error("the loop of the blocking client ended", exc_info=error)
        self._failure = error  # first: who begins to wait from now on is told by `post`
        with _lock:
            if _thread is self:
                _thread = None
        with contextlib.suppress(Exception):
            self.loop.close()
        for each in list(self.waiting):
            each.fail(self._ended())

    def _ended(self) -> ClosedError:
        failure = ClosedError("the loop of the blocking client ended: make a new client")
        failure.__cause__ = self._failure
        return failure

    def check(self) -> None:
        """Raise if this thread must not wait for the loop's.

        Raises:
            ForkedError: the loop's is a parent's.
            WrongLoopError: this is it: waiting for itself it would wait for ever.
        """
        if self.forked:
            raise ForkedError(_INHERITED)
        if threading.get_ident() == self.ident:
            raise WrongLoopError(
                "a blocking call from the client's own loop would never end; use the asyncio client there"
            )

    def post(self, deed: Callable[[], object]) -> None:
        """Run a function that does not raise in the loop, soon. From any thread, and from finalizers.

        Raises:
            ClosedError: the process is at its end, or the loop is.
            ForkedError: the thread is that of a parent process.
        """
        if self._stopped:
            raise ClosedError("the process is at its end")
        if self._failure is not None:
            raise self._ended()
        if self.forked:
            raise ForkedError(_INHERITED)
        self._posted.append(deed)
        if self._awake:
            return
        try:
            self._awake = True  # one system call for all threads that post until the loop has seen it
            if self._bell is None:
                self.loop.call_soon_threadsafe(self._take)
            else:
                # Takes a third less than `call_soon_threadsafe`: asyncio reads its own pipe until it is empty.
                os.eventfd_write(self._bell, 1)
        except BaseException:  # Ctrl-C, in this very moment: the next one to post must not count on it
            self._awake = False
            raise

    def _answer(self, bell: int) -> None:
        os.eventfd_read(bell)
        self._take()

    def _take(self) -> None:
        self._awake = False  # first: what is posted from now on wakes the loop again
        posted = self._posted
        try:
            while posted:
                posted.popleft()()
        finally:
            if posted:  # one raised: the others were posted by threads that wait
                self.loop.call_soon(self._take)

    def spawn(self, work: Coroutine[Any, Any, R], context: contextvars.Context) -> asyncio.Task[R]:
        """Start a task; in the loop's thread."""
        if sys.version_info >= (3, 12):
            return asyncio.Task(work, loop=self.loop, context=context, eager_start=True)
        return asyncio.Task(work, loop=self.loop, context=context)

    def keep_daemons(self) -> None:
        """Hold a daemon thread that comes after the loop's end: told of it, it would print a traceback at exit."""
        if self._stopped and threading.current_thread().daemon:
            threading.Event().wait()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine and wait for it. If the waiting is broken off, it is cancelled."""
        call = _Call(self, work)
        self.waiting.add(call)
        try:
            self.post(call.start)
            call.done.acquire()
        except (ClosedError, ForkedError):  # it was not posted
            work.close()
            self.keep_daemons()
            raise
        except BaseException:
            with contextlib.suppress(ClosedError):
                self.post(call.cancel)
                call.done.acquire(timeout=END_TIME)
            raise
        finally:
            self.waiting.discard(call)
        if call.error is None:
            result: R = call.result
            return result
        try:
            raise call.error
        finally:
            call.error = None  # its traceback has this frame, and the frame has the call

    def end(self) -> None:
        """Close what was never closed, and end the thread."""
        closed = threading.Lock()
        closed.acquire()
        self.ending = True
        self.post(lambda: self.spawn(_close_all(closed), contextvars.copy_context()))
        if closed.acquire(timeout=_EXIT_TIME * 2):
            self.post(self.loop.stop)
            self._stopped = True
            self._thread.join(_EXIT_TIME)
            if not self._thread.is_alive():
                self.loop.close()

    def leave_to_parent(self) -> None:
        """Touch nothing of it any more, in a forked child: its selector and what wakes it are the parent's."""
        self.forked = True
        _fork.keep(self, *asyncio.all_tasks(self.loop))


async def _close_all(closed: threading.Lock) -> None:
    try:
        for each in list(closers):
            with contextlib.suppress(ForkedError, WrongLoopError):  # of a parent, or of a loop that ended
                await each.aclose()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_EXIT_TIME)
        await asyncio.get_running_loop().shutdown_asyncgens()
    finally:
        closed.release()


_INHERITED = (
    "it was in use when this process was forked, and belongs to the parent; make a new client in the child, or start "
    "workers with the `spawn` method"
)
_lock = threading.Lock()
_thread: LoopThread | None = None


def _after_fork() -> None:
    global _lock, _thread
    _lock = threading.Lock()
    if _thread is not None:
        _thread.leave_to_parent()
        _thread = None


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    if _thread is not None:
        _thread.end()


def loop_thread() -> LoopThread:
    """Return the process's loop thread, started by the first call.

    Raises:
        WrongLoopError: this is that thread.
    """
    global _thread
    thread = _thread
    if thread is None:
        with _lock:
            if _thread is None:
                _thread = LoopThread()
            thread = _thread
    thread.check()
    return thread


def run(method: Callable[..., Coroutine[Any, Any, R]], *args: Any, **kwargs: Any) -> R:
    """Call a coroutine function and wait for what it returns; arguments are checked in the caller's own thread."""
    thread = loop_thread()
    try:
        work = method(*args, **kwargs)
    finally:
        del args, kwargs  # a traceback would keep them
    return thread.call(work)
