"""The event loop of the blocking client: one thread per process, which runs the coroutines of all other threads."""

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
from typing import Any, ParamSpec, Protocol, TypeVar

from .._concurrency import fork as _fork
from .._concurrency.at_exit import closers as _closers
from ..errors import ClosedError, ForkedError, WrongLoopError

P = ParamSpec("P")
R = TypeVar("R")
logger = logging.getLogger("remote_client")

END_TIME = 0.3
"""Seconds to wait for the server's end of a call that Ctrl-C or another exception interrupted."""
PAUSE = 0.2
"""Seconds that a thread waits at a time. An exception that another thread raises in it (`PyThreadState_SetAsyncExc`),
as caikit does to abort a call, arrives only between two waits."""
_EXIT_TIME = 1.0
"""Seconds that closing the remaining clients may take at exit."""

closers: weakref.WeakSet[Any] = weakref.WeakSet()
"""Objects with connections; those still open are closed at exit by `aclose`."""


class Waiter(Protocol):
    """Work in the loop that a thread waits for."""

    def fail(self, error: BaseException) -> None:
        """Raise an error in the waiting thread, as the loop has ended. From any thread."""


class _Call:
    """A coroutine in the loop whose result a thread waits for."""

    __slots__ = ("_cancelled", "_context", "_started", "_task", "_thread", "_work", "done", "error", "result")

    def __init__(self, thread: LoopThread, work: Coroutine[Any, Any, Any]) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = thread
        self._work = work
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._started = self._cancelled = False

    def start(self) -> None:
        self._task = self._thread.spawn(self._run(), self._context)

    async def _run(self) -> None:
        self._started = True
        try:
            if self._cancelled:
                self._work.close()
                raise asyncio.CancelledError
            self.result = await self._work
        except BaseException as error:  # SystemExit of a user's callback would end the loop of all threads
            self.error = error
        self._thread.waiting.discard(self)
        if not self._thread.ending:
            # At exit only daemon threads still wait: woken up, they would print tracebacks.
            self.done.release()

    def cancel(self) -> None:
        self._cancelled = True
        if self._task is None:  # Ctrl-C came before `start` was posted
            self._thread.waiting.discard(self)
            self._work.close()
        elif self._started:  # a task that is cancelled before its first step never runs `_run`, nor releases `done`
            self._task.cancel()

    def fail(self, error: BaseException) -> None:
        self.error = error
        with contextlib.suppress(RuntimeError):  # released by `_run` meanwhile
            self.done.release()


class LoopThread:
    """An event loop in a thread of its own, for all blocking objects of the process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        _closers[self.loop] = closers
        self.ending = False
        self.forked = False
        self.waiting: set[Waiter] = set()
        """Work to fail when the loop ends first."""
        self._stopped = False
        self._failure: BaseException | None = None
        self._posted: deque[Callable[[], object]] = deque()
        self._notified = False
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if hasattr(os, "eventfd") else None
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
        if self._eventfd is not None:
            self.loop.add_reader(self._eventfd, self._on_eventfd, self._eventfd)
        # If a user's coroutine forks, this is the child's only thread, and the loop is the parent's.
        while not (self.ending or self.forked):
            # KeyboardInterrupt or SystemExit of a user's task leaves `run_forever`; other threads still need the loop.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()

    def _fail(self, error: BaseException) -> None:
        """Fail all waiting work after the loop itself raised, as on a closed selector. Later calls start a new loop."""
        global _thread
        logger.error("the loop of the blocking client ended", exc_info=error)
        self._failure = error  # first, so that `post` refuses work that comes from now on
        with _lock:
            if _thread is self:
                _thread = None
        with contextlib.suppress(Exception):
            self.loop.close()
        for waiter in list(self.waiting):
            waiter.fail(self._ended())

    def _ended(self) -> ClosedError:
        failure = ClosedError("the loop of the blocking client ended: make a new client")
        failure.__cause__ = self._failure
        return failure

    def check(self) -> None:
        """Raise if the current thread must not wait for the loop.

        Raises:
            ForkedError: the loop belongs to the parent process.
            WrongLoopError: the current thread runs the loop, and would wait for itself.
        """
        if self.forked:
            raise ForkedError(_FORKED)
        if threading.get_ident() == self.ident:
            raise WrongLoopError(
                "a blocking call from the client's own loop would never end; use the asyncio client there"
            )

    def post(self, callback: Callable[[], object]) -> None:
        """Schedule a callback, which must not raise, in the loop. From any thread, and from finalizers.

        Raises:
            ClosedError: the process exits, or the loop has ended.
            ForkedError: the loop belongs to the parent process.
        """
        if self._stopped:
            raise ClosedError("the process is exiting")
        if self._failure is not None:
            raise self._ended()
        if self.forked:
            raise ForkedError(_FORKED)
        self._posted.append(callback)
        if self._notified:
            return
        try:
            self._notified = True  # one system call wakes the loop for all callbacks that are posted until it runs
            if self._eventfd is None:
                self.loop.call_soon_threadsafe(self._run_posted)
            else:
                # A third cheaper than `call_soon_threadsafe`, whose pipe asyncio reads until it is empty.
                os.eventfd_write(self._eventfd, 1)
        except BaseException:  # Ctrl-C before the write: the next `post` must wake the loop
            self._notified = False
            raise

    def _on_eventfd(self, eventfd: int) -> None:
        os.eventfd_read(eventfd)
        self._run_posted()

    def _run_posted(self) -> None:
        self._notified = False  # first, so that later posts wake the loop again
        posted = self._posted
        try:
            while posted:
                posted.popleft()()
        finally:
            if posted:  # a callback raised; threads wait for the others
                self.loop.call_soon(self._run_posted)

    def spawn(self, work: Coroutine[Any, Any, R], context: contextvars.Context) -> asyncio.Task[R]:
        """Start a task. In the loop's thread."""
        if sys.version_info >= (3, 12):
            return asyncio.Task(work, loop=self.loop, context=context, eager_start=True)
        return asyncio.Task(work, loop=self.loop, context=context)

    def park_daemon(self) -> None:
        """Block a daemon thread for ever if the process exits: raising an error there would print a traceback."""
        if self._stopped and threading.current_thread().daemon:
            threading.Event().wait()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine in the loop and return its result. An exception while waiting cancels it."""
        call = None
        try:
            call = _Call(self, work)
            self.waiting.add(call)
            self.post(call.start)
            while not call.done.acquire(True, PAUSE):
                pass
        except BaseException as error:
            self._give_up(call, work, error)
            raise
        if call.error is None:
            result: R = call.result
            return result
        try:
            raise call.error
        finally:
            call.error = None  # a cycle otherwise: the traceback holds this frame, the frame holds the call

    def _give_up(self, call: _Call | None, work: Coroutine[Any, Any, Any], error: BaseException) -> None:
        """End the work that a thread no longer waits for."""
        if call is None:  # an exception came before anything was posted
            work.close()
        elif isinstance(error, (ClosedError, ForkedError)):  # raised by `post`
            self.waiting.discard(call)
            work.close()
            self.park_daemon()
        else:
            with contextlib.suppress(ClosedError, ForkedError):
                self.post(call.cancel)
                call.done.acquire(True, END_TIME)

    def end(self) -> None:
        """Close what is still open, and end the thread."""
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

    def abandon(self) -> None:
        """Never use the loop again, in a forked child: its selector and eventfd are shared with the parent."""
        self.forked = True
        _fork.leak(self, *asyncio.all_tasks(self.loop))


async def _close_all(closed: threading.Lock) -> None:
    try:
        for owner in list(closers):
            with contextlib.suppress(ForkedError, WrongLoopError):  # used in the parent, or in a loop that ended
                await owner.aclose()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_EXIT_TIME)
        await asyncio.get_running_loop().shutdown_asyncgens()
    finally:
        closed.release()


_FORKED = (
    "this client was used before the process forked, and its event loop is the parent's; make a new client in the "
    "child, or start workers with the `spawn` method"
)
_lock = threading.Lock()
_thread: LoopThread | None = None


def _after_fork() -> None:
    global _lock, _thread
    _lock = threading.Lock()
    if _thread is not None:
        _thread.abandon()
        _thread = None


_fork.at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    if _thread is not None:
        _thread.end()


def loop_thread() -> LoopThread:
    """Return the loop thread of the process, which the first call starts.

    Raises:
        WrongLoopError: the current thread is the loop thread.
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


def run(method: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a coroutine function in the caller's thread, which checks the arguments, and await it in the loop's."""
    thread = loop_thread()
    try:
        work = method(*args, **kwargs)
    finally:
        del args, kwargs  # else tracebacks would keep them
    return thread.call(work)
