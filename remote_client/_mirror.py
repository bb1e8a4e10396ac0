"""The machinery of the blocking facade: one loop thread per process, a slim bridge into it, and streams for threads."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import inspect
import os
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import anyio.to_thread
from pydantic import BaseModel

from .errors import ClosedError, ForkedError, WrongLoopError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_AHEAD, _RESUME = 16, 8
"""Answers that a stream's pump may be ahead of who reads it, and at how many it goes on."""
_END_TIME = 0.3
"""Seconds that a call which was broken off, as by Ctrl-C, may take to be cancelled on the server."""
_EXIT_TIME = 1.0
"""Seconds that clients which were never closed may take to be closed at exit."""
END = object()
_WHOLE = (str, bytes, bytearray, memoryview, Mapping, BaseModel, list, tuple, AsyncIterable)
"""Iterables that are no streams, or that need no thread."""


class _Waiter:
    """What a thread waits for: the outcome of a coroutine in the loop's thread."""

    __slots__ = ("done", "error", "result", "task")

    def __init__(self) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None


async def _carry(work: Awaitable[Any], waiter: _Waiter) -> None:
    try:
        waiter.result = await work
    except BaseException as error:  # whatever a user's callback raises must not end everybody's loop
        waiter.error = error
    if _thread is None or not _thread.ending or waiter.task is None:
        # At exit who still waits is a daemon thread: woken up, it would print a traceback.
        waiter.done.release()


class LoopThread:
    """An event loop in a thread of its own, for all facades of the process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.closers: weakref.WeakSet[Any] = weakref.WeakSet()
        """What has an `aclose` to be awaited at exit, if it is still there."""
        self.ending = False
        self._thread = threading.Thread(target=self._run, name="remote-client", daemon=True)
        self._thread.start()
        self.ident = self._thread.ident

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self.ending:
            # A KeyboardInterrupt or SystemExit that a user's coroutine raises leaves the loop; it is everybody's.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine and wait for it. If the waiting is broken off, it is cancelled."""
        waiter = _Waiter()
        context = contextvars.copy_context()

        def start() -> None:
            waiter.task = self.loop.create_task(_carry(work, waiter), context=context)

        try:
            self.loop.call_soon_threadsafe(start)
        except RuntimeError:
            work.close()
            raise ClosedError("the process is at its end") from None
        try:
            waiter.done.acquire()
        except BaseException:
            self.loop.call_soon_threadsafe(_cancel, waiter)
            waiter.done.acquire(timeout=_END_TIME)
            raise
        if waiter.error is None:
            result: R = waiter.result
            return result
        try:
            raise waiter.error
        finally:
            waiter.error = None  # its traceback has this frame, and the frame has the waiter

    def end(self) -> None:
        """Close what was never closed, and end the thread."""

        async def close() -> None:
            for each in list(self.closers):
                await each.aclose()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_EXIT_TIME)
            await self.loop.shutdown_asyncgens()

        self.ending = True
        waiter = _Waiter()  # without a task: it is released
        self.loop.call_soon_threadsafe(lambda: self.loop.create_task(_carry(close(), waiter)))
        if waiter.done.acquire(timeout=_EXIT_TIME * 2):
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_EXIT_TIME)
            if not self._thread.is_alive():
                self.loop.close()


def _cancel(waiter: _Waiter) -> None:
    if waiter.task is not None:
        waiter.task.cancel()


_lock = threading.Lock()
_thread: LoopThread | None = None
_forked = False


def _after_fork() -> None:
    global _forked, _lock
    _forked = _thread is not None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    if _thread is not None and not _forked:
        _thread.end()


def loop_thread() -> LoopThread:
    """The process's loop thread, started by the first call.

    Raises:
        ForkedError: the process was forked after it had been started.
        WrongLoopError: this is that thread: waiting for itself it would wait for ever.
    """
    global _thread
    if _forked:
        raise ForkedError(
            "the blocking client was in use when this process was forked; its thread is the parent's. Start workers "
            "with the `spawn` method"
        )
    if _thread is None:
        with _lock:
            if _thread is None:
                _thread = LoopThread()
    if threading.get_ident() == _thread.ident:
        raise WrongLoopError("a blocking call from the client's own loop would never end; use the asyncio client there")
    return _thread


def run(method: Callable[..., Coroutine[Any, Any, R]], *args: Any, **kwargs: Any) -> R:
    """Call a coroutine function and wait for what it returns; arguments are checked in the caller's own thread."""
    thread = loop_thread()
    return thread.call(method(*args, **kwargs))


class Blocking:
    """The base of the twins: each has the asynchronous object that does the work."""

    _twin: Any

    @classmethod
    def _of(cls, twin: Any) -> Any:
        made = cls.__new__(cls)
        made._twin = twin
        return made

    def _adopt(self, twin: Any) -> None:
        """Take a twin that has connections, which are closed at exit if nobody does before."""
        self._twin = twin
        loop_thread().closers.add(twin)

    def __repr__(self) -> str:
        return repr(self._twin)

    def _repr_html_(self) -> str | None:
        show = getattr(self._twin, "_repr_html_", None)
        shown: str | None = None if show is None else show()
        return shown


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """The blocking twin of a coroutine method, with its parameters, its result and its documentation."""
    name = method.__name__

    def twin(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = run(getattr(self._twin, name), *args, **kwargs)
        return result

    functools.update_wrapper(twin, method)
    return twin


def off_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """A user's function as a coroutine function that runs it in a thread, where it may block. Async ones stay."""
    if inspect.iscoroutinefunction(function):
        return function

    async def call(*args: Any) -> Any:
        result = await anyio.to_thread.run_sync(function, *args)
        return await result if inspect.isawaitable(result) else result

    return call


# -- streams ----------------------------------------------------------------------------------------------------------


class _Pump:
    """Reads a stream of answers in the loop, a few answers ahead of who takes them."""

    def __init__(self, thread: LoopThread, stream: Any) -> None:
        self.items: SimpleQueue[Any] = SimpleQueue()
        self.stream = stream
        self.full = False
        self.thread = thread
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin the call. Called once."""
        context = contextvars.copy_context()
        self.thread.loop.call_soon_threadsafe(self._begin, context)

    def _begin(self, context: contextvars.Context) -> None:
        self._task = self.thread.loop.create_task(self._run(), context=context)

    async def _run(self) -> None:
        items = self.items
        try:
            async for item in self.stream:
                items.put((item, None))
                if items.qsize() >= _AHEAD:
                    await self._wait()
            items.put((END, None))
        except BaseException as error:
            if not self.thread.ending:  # see `_carry`
                items.put((END, error))
        finally:
            await self.stream.aclose()
            self._ended.set()

    async def _wait(self) -> None:
        self._room = self.thread.loop.create_future()
        self.full = True
        if self.items.qsize() >= _AHEAD:  # who takes one from now on sees that it is full
            await self._room
        self.full = False

    def take(self) -> tuple[Any, BaseException | None]:
        """Return the next answer, or `END` and why the stream ended."""
        item: tuple[Any, BaseException | None] = self.items.get()
        if item[0] is END:
            self.items.put((END, None))  # for other threads that wait
        if self.full and self.items.qsize() <= _RESUME:
            self.full = False
            self.thread.loop.call_soon_threadsafe(self._resume)
        return item

    def _resume(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def cancel(self) -> None:
        """Break the call off. From any thread."""
        try:
            self.thread.loop.call_soon_threadsafe(self._stop)
        except RuntimeError:  # the loop is closed, and the call with it
            self._ended.set()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing of the call is left."""
        self._ended.wait(timeout)


class RemoteStream(Blocking, Iterator[T], Generic[T]):
    """The answers of one call: an iterator, and a context manager. See `remote_client.RemoteStream`.

    The call starts at `with` or at the first item, and is cancelled by `close()`, the end of `with`, an exception such
    as Ctrl-C, or when the iterator is dropped, as after a `break`. The loop reads at most 16 answers ahead.
    """

    _pump: _Pump | None = None
    _over = False
    _finalizer: weakref.finalize[Any, Any] | None = None

    def __iter__(self) -> RemoteStream[T]:
        return self

    def _first(self) -> _Pump:
        thread = loop_thread()
        with _lock:  # of several threads one begins the call, or closes the stream
            if self._over:
                raise StopIteration
            return self._pump or self._begin(_Pump(thread, self._twin))

    def _begin(self, pump: _Pump) -> _Pump:
        pump.start()
        self._finalizer = weakref.finalize(self, pump.cancel)
        self._finalizer.atexit = False
        self._pump = pump  # at last: other threads take from it
        return pump

    def __next__(self) -> T:
        if self._over:
            raise StopIteration
        pump = self._pump
        if pump is None:
            pump = self._first()
        elif threading.get_ident() == pump.thread.ident or _forked:
            loop_thread()  # raises
        try:
            item, error = pump.take()
        except BaseException:
            pump.cancel()
            pump.wait(_END_TIME)
            self._over = True
            raise
        if item is not END:
            result: T = item
            return result
        self._over = True
        if isinstance(error, asyncio.CancelledError):
            raise ClosedError("the stream was closed")
        try:
            raise StopIteration if error is None else error
        finally:
            error = None

    def aclose(self) -> None:
        """Cancel the call if it still runs, and wait until nothing of it is left. Idempotent."""
        with _lock:
            self._over = True
        if self._pump is None:
            run(self._twin.aclose)
            return
        loop_thread()
        self._pump.cancel()
        self._pump.wait()

    close = aclose

    def __enter__(self) -> RemoteStream[T]:
        if self._pump is None and not self._over:
            run(self._twin.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.aclose()


class _Feeder(AsyncIterator[Any]):
    """Takes the items of an iterable in a thread of its own, one at a time, when they are wanted.

    A thread that waits in the user's iterator cannot be ended: it ends when the iterator gives its next item.
    """

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = source
        self._wanted: SimpleQueue[Any] | None = None

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._wanted is None:
            self._wanted = SimpleQueue()
            weakref.finalize(self, self._wanted.put, None).atexit = False
            work = (self._source, self._wanted, loop, contextvars.copy_context())
            threading.Thread(target=_feed, args=work, name="remote-client input", daemon=True).start()
        future = loop.create_future()
        self._wanted.put(future)
        item = await future
        if item is END:
            self._wanted.put(None)
            raise StopAsyncIteration
        return item


def _feed(
    source: Iterable[Any], wanted: SimpleQueue[Any], loop: asyncio.AbstractEventLoop, context: contextvars.Context
) -> None:
    iterator: Iterator[Any] | None = None
    while (future := wanted.get()) is not None:
        result, error = END, None
        try:
            if iterator is None:
                iterator = context.run(iter, source)
            result = context.run(next, iterator, END)
        except BaseException as raised:
            error = raised
            if isinstance(raised, (StopIteration, StopAsyncIteration)) or not isinstance(raised, Exception):
                error = RuntimeError(f"the iterator raised {type(raised).__name__}")  # no task may raise these
                error.__cause__ = raised
        try:
            loop.call_soon_threadsafe(_give, future, result, error)
        except RuntimeError:  # the process is at its end
            return
        del future, result, error


def _give(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def fed(value: Any) -> Any:
    """An argument of a method with streamed inputs: iterables are taken in a thread of their own."""
    return _Feeder(value) if isinstance(value, Iterable) and not isinstance(value, _WHOLE) else value


def held(value: Any) -> Any:
    """An argument of a training: iterables are taken now, in the caller's thread."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, _WHOLE) else value
