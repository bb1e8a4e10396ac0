"""Iterables as arguments of blocking calls: read in a thread of their own, or at once by the caller."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any

from .._concurrency.iterators import close, collect

_CLOSE_TIME = 0.1
"""Seconds to wait for an iterator to close while it may be blocked in `next`."""
_END = object()
_NOT_READ = (str, bytes, bytearray, memoryview, Mapping, list, tuple, AsyncIterable)
"""Iterables that are single values, or that cannot block."""


def threaded(value: Any) -> Any:
    """Return an argument of a method with streamed inputs; a thread reads an iterable, which may block."""
    return _ThreadedIterator(value) if _may_block(value) else value


def collected(value: Any) -> Any:
    """Return an argument of a method without streamed inputs; an iterable is read here and now."""
    return collect(value) if _may_block(value) else value


def _may_block(value: Any) -> bool:
    if not isinstance(value, Iterable) or isinstance(value, _NOT_READ):
        return False
    # Pydantic models are iterable but are values; arrays and tables (`shape`) are in memory.
    return not hasattr(type(value), "model_fields") and not hasattr(value, "shape")


class _ThreadedIterator(AsyncIterator[Any]):
    """Reads an iterable in a thread of its own, one item per `__anext__`.

    A thread that is blocked in the user's `next` cannot be stopped: it ends when `next` returns.
    """

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self._requests: SimpleQueue[Any] | None = None
        self._item: asyncio.Future[Any] | None = None
        self._closed: asyncio.Future[Any]

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._requests is None:
            self._requests = SimpleQueue()
            weakref.finalize(self, self._requests.put, None).atexit = False
            self._closed = loop.create_future()
            args = (self._iterable, self._requests, loop, contextvars.copy_context(), self._closed)
            threading.Thread(target=_read, args=args, name="remote-client input", daemon=True).start()
        self._item = future = loop.create_future()
        self._requests.put(future)
        item = await future
        if item is _END:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Close the iterator in its thread, and wait for that; only briefly if the thread is still in `next`."""
        if self._requests is None:
            return
        self._requests.put(None)
        is_idle = self._item is not None and self._item.done() and not self._item.cancelled()
        await asyncio.wait((self._closed,), timeout=None if is_idle else _CLOSE_TIME)
        if self._closed.done():
            self._closed.result()


def _read(
    iterable: Iterable[Any],
    requests: SimpleQueue[Any],
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    closed: asyncio.Future[Any],
) -> None:
    iterator: Iterator[Any] | None = None
    while (future := requests.get()) is not None:
        result, error = _END, None
        try:
            if iterator is None:
                iterator = context.run(iter, iterable)
            result = context.run(next, iterator, _END)
        except BaseException as raised:
            error = raised
            if isinstance(raised, (StopIteration, StopAsyncIteration)) or not isinstance(raised, Exception):
                error = RuntimeError(f"the iterator raised {type(raised).__name__}")  # no future takes StopIteration
                error.__cause__ = raised
        try:
            loop.call_soon_threadsafe(_resolve, future, result, error)
        except RuntimeError:  # the loop was closed at exit
            return
        del future, result, error
    result, error = None, None
    try:
        context.run(close, iterator)
    except BaseException as raised:
        error = raised if isinstance(raised, Exception) else RuntimeError(f"it raised {type(raised).__name__}")
    with contextlib.suppress(RuntimeError):  # the loop was closed at exit
        loop.call_soon_threadsafe(_resolve, closed, result, error)


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
