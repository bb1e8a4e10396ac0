"""What the blocking classes are made of: twins of asynchronous objects, and their streams and inputs for threads."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, TypeVar

from pydantic import BaseModel

from .._concurrency.iterators import close, collect
from ..errors import STREAM_CLOSED, ClosedError, ForkedError, PicklingError, lost
from ._loop_thread import END_TIME, LoopThread, closers, loop_thread, run

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_AHEAD, _RESUME = 16, 8
"""Answers that a stream's pump may be ahead of who reads it, and at how many it goes on."""
_BUSY_TIME = 0.1
"""Seconds that the end of a call waits for an iterator that may just be giving an item, or wait for one for ever."""
END = object()
_WHOLE = (str, bytes, bytearray, memoryview, Mapping, BaseModel, list, tuple, AsyncIterable)
"""Iterables that are no streams, or that need no thread."""


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
        closers.add(twin)

    def __repr__(self) -> str:
        return repr(self._twin)

    def __reduce__(self) -> Any:
        return _remade, (type(self), self._twin)

    def _repr_html_(self) -> str | None:
        show = getattr(self._twin, "_repr_html_", None)
        shown: str | None = None if show is None else show()
        return shown


def _remade(kind: type[Blocking], twin: Any) -> Any:
    return kind._of(twin)


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """The blocking twin of a coroutine method, with its parameters, its result and its documentation."""
    name = method.__name__

    def twin(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            result: R = run(getattr(self._twin, name), *args, **kwargs)
        finally:
            del args, kwargs  # a traceback would keep them
        return result

    functools.update_wrapper(twin, method)
    return twin


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
        self._reading = self._broken_off = False
        self._ended = threading.Event()
        self.failure: BaseException | None = None
        """What was raised as the stream was closed."""

    def start(self) -> None:
        """Begin the call. Called once."""
        self.thread.waiting.add(self)
        self.thread.post(functools.partial(self._begin, contextvars.copy_context()))

    def _begin(self, context: contextvars.Context) -> None:
        self._task = self.thread.spawn(self._run(), context)

    async def _run(self) -> None:
        await self._read()
        await self._close()

    async def _read(self) -> None:
        items = self.items
        self._reading = True
        try:
            if self._broken_off:
                raise asyncio.CancelledError
            async for item in self.stream:
                items.put((item, None))
                if items.qsize() >= _AHEAD:
                    await self._wait()
            items.put((END, None))
        except BaseException as error:
            item = None  # a traceback would keep it
            if isinstance(error, asyncio.CancelledError):
                error.__traceback__ = None  # of a stream that was dropped: it leads here, and waits for the collector
            if not self.thread.ending:  # else a daemon thread waits, and would print a traceback
                items.put((END, error))
        finally:
            self._reading = False

    async def _close(self) -> None:
        try:
            with contextlib.suppress(ForkedError):  # what the reader is told already
                await self.stream.aclose()
        except BaseException as error:
            self.failure = error
        self.thread.waiting.discard(self)
        self._ended.set()

    def fail(self, error: BaseException) -> None:
        """Tell the reader that the loop has ended."""
        self.items.put((END, error))
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
            self.items.put((END, _told_again(item[1])))  # for other threads that wait
        if self.full and self.items.qsize() <= _RESUME:
            self.full = False
            self.thread.post(self._resume)
        return item

    def _resume(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def cancel(self) -> None:
        """Break the call off. From any thread, and from finalizers."""
        try:
            self.thread.post(self._stop)
        except (ClosedError, ForkedError):  # the loop has ended, and the call with it; or both are a parent's
            self._ended.set()

    def _stop(self) -> None:
        self._broken_off = True
        # Cancelled before it reads, the task would never run, and afterwards it would not close: nobody would be told.
        if self._task is not None and self._reading:
            self._task.cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing of the call is left."""
        self._ended.wait(timeout)


def _told_again(error: BaseException | None) -> BaseException | None:
    """Return what other threads are told of the error that ended a stream."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return error
    return ClosedError(lost(error))


_lock = threading.Lock()
"""Of several threads that use one stream, one begins the call."""


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class RemoteStream(Blocking, Iterator[T], Generic[T]):
    """The answers of one call: an iterator, and a context manager. See `remote_client.RemoteStream`.

    The call starts at `with` or at the first item, and is cancelled by `close()`, the end of `with`, an exception such
    as Ctrl-C, or when the iterator is dropped, as after a `break`. The loop reads at most 16 answers ahead.
    """

    _pump: _Pump | None = None
    _over = False
    _lost = ""
    """Why the stream ended before it was complete."""
    _finalizer: weakref.finalize[Any, Any] | None = None

    def __reduce__(self) -> Any:
        raise PicklingError("a stream belongs to its process: give the other one the method, or a list of the answers")

    def __iter__(self) -> RemoteStream[T]:
        return self

    def _first(self) -> _Pump:
        thread = loop_thread()
        try:
            with _lock:
                if self._over:
                    self._no_more()
                return self._pump or self._begin(_Pump(thread, self._twin))
        except ClosedError:
            thread.keep_daemons()
            raise

    def _begin(self, pump: _Pump) -> _Pump:
        pump.start()
        self._finalizer = weakref.finalize(self, pump.cancel)
        self._finalizer.atexit = False
        self._pump = pump  # at last: other threads take from it
        return pump

    def __next__(self) -> T:
        if self._over:
            self._no_more()
        pump = self._pump
        if pump is None:
            pump = self._first()
        elif threading.get_ident() == pump.thread.ident or pump.thread.forked:
            pump.thread.check()  # raises
        try:
            item, error = pump.take()
        except BaseException as interrupted:
            pump.thread.keep_daemons()
            pump.cancel()
            pump.wait(END_TIME)
            self._lost, self._over = lost(interrupted), True
            raise
        if item is not END:
            result: T = item
            return result
        if isinstance(error, asyncio.CancelledError):
            self._over = True
            raise ClosedError(STREAM_CLOSED)
        if error is not None:
            self._lost = self._lost or lost(error)
        self._over = True
        try:
            raise StopIteration if error is None else error
        finally:
            error = None

    def _no_more(self) -> NoReturn:
        raise ClosedError(self._lost) if self._lost else StopIteration

    def aclose(self) -> None:
        """Cancel the call if it still runs, and wait until nothing of it is left. Idempotent."""
        with _lock:
            self._over = True
        pump = self._pump
        if pump is None:
            run(self._twin.aclose)
            return
        pump.thread.check()
        pump.cancel()
        pump.wait()
        failure, pump.failure = pump.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            failure = None  # its traceback has this frame

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
        self._asked: asyncio.Future[Any] | None = None
        self._closed: asyncio.Future[Any]

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._wanted is None:
            self._wanted = SimpleQueue()
            weakref.finalize(self, self._wanted.put, None).atexit = False
            self._closed = loop.create_future()
            work = (self._source, self._wanted, loop, contextvars.copy_context(), self._closed)
            threading.Thread(target=_feed, args=work, name="remote-client input", daemon=True).start()
        self._asked = future = loop.create_future()
        self._wanted.put(future)
        item = await future
        if item is END:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Have the thread close the iterator, and wait for that: briefly if it still waits for an item."""
        if self._wanted is None:
            return
        self._wanted.put(None)
        given = self._asked is not None and self._asked.done() and not self._asked.cancelled()
        await asyncio.wait((self._closed,), timeout=None if given else _BUSY_TIME)
        if self._closed.done():
            self._closed.result()


def _feed(
    source: Iterable[Any],
    wanted: SimpleQueue[Any],
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    closed: asyncio.Future[Any],
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
    result, error = None, None
    try:
        context.run(close, iterator)
    except BaseException as raised:
        error = raised if isinstance(raised, Exception) else RuntimeError(f"it raised {type(raised).__name__}")
    with contextlib.suppress(RuntimeError):  # the process is at its end
        loop.call_soon_threadsafe(_give, closed, result, error)


def _give(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def fed(value: Any) -> Any:
    """An argument of a method with streamed inputs: iterables are taken in a thread of their own."""
    return _Feeder(value) if _is_taken(value) else value


def held(value: Any) -> Any:
    """An argument of a training: iterables are taken now, in the caller's thread."""
    return collect(value) if _is_taken(value) else value


def _is_taken(value: Any) -> bool:
    """Whether to iterate an argument in a thread that it may hold up. Arrays and tables (`shape`) are in memory."""
    return isinstance(value, Iterable) and not isinstance(value, _WHOLE) and not hasattr(value, "shape")
