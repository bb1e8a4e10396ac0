"""The rows of a map: how they are read, and how they become arguments."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any

from .._concurrency.iterators import END, close, source_of
from ..errors import InputError

AHEAD = 256
"""Rows that the thread of a blocking iterable reads ahead."""
LATER = object()
_IN_MEMORY = (list, tuple, range)

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_Item = tuple[Any, Exception | None]
"""A row, or `END` and the error of the rows, if any."""


def arguments_of(row: Any) -> Arguments:
    """Return the arguments of a row: a mapping's by name, a tuple's by position, or the row as the only one."""
    if isinstance(row, Mapping):
        return (), dict(row)
    # A named tuple is a message to the codecs, and a value here too.
    return (row if type(row) is tuple else (row,)), {}


class Rows(ABC):
    """Reads rows one by one, in order. `END` follows the last one."""

    def take(self) -> Any:
        """Return the next row if it is here already, `END`, or `LATER`: then `read` waits for it."""
        return LATER

    @abstractmethod
    async def read(self) -> Any:
        """Return the next row, or `END`. Only after `take` returned `LATER`; one caller at a time.

        A read that is cancelled loses no row.
        """

    def cancel(self) -> None:
        """Stop reading, without waiting: nobody awaits a map that was dropped."""
        return

    @abstractmethod
    async def aclose(self) -> None:
        """Close the iterator."""


def rows_of(iterable: Any) -> Rows:
    """Return the reader of an iterable; a thread reads one that may block.

    Raises:
        InputError: it is not an iterable of rows.
    """
    if isinstance(iterable, AsyncIterable):
        return _AsyncRows(iterable)
    if isinstance(iterable, _IN_MEMORY):
        return _RowsInMemory(iterable)
    if hasattr(iterable, "columns") and len(getattr(iterable, "shape", ())) == 2:
        raise InputError(  # its iterator yields columns, or their names
            f"rows: expected an iterable of rows, not a table ({type(iterable).__name__}): use map_frame, or its rows "
            'as mappings, such as to_dict("records")'
        )
    if not isinstance(iterable, Iterable) or isinstance(iterable, (str, bytes, Mapping)):
        raise InputError(f"rows: expected an iterable or async iterable of rows, not {type(iterable).__name__}")
    return _ThreadedRows(iterable)


class _RowsInMemory(Rows):
    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)

    def take(self) -> Any:
        return next(self._rows, END)

    async def read(self) -> Any:
        return self.take()

    async def aclose(self) -> None:
        self._rows = iter(())


class _AsyncRows(Rows):
    """Rows that one task reads, one row ahead, and closes.

    A generator must leave a timeout or a task group in the task that entered it, and sees only that task's contextvars.
    """

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._source = source_of(iterable)
        self._ahead: list[_Item] = []
        self._is_here, self._has_room = asyncio.Event(), asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def take(self) -> Any:
        if not self._ahead:
            return LATER
        row, error = self._ahead.pop()
        self._is_here.clear()
        self._has_room.set()
        if error is not None:
            raise error
        return row

    async def read(self) -> Any:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read_all())
        await self._is_here.wait()
        return self.take()

    def cancel(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        self.cancel()
        if self._task is None:
            await self._source.aclose()
        else:
            await asyncio.wait((self._task,))

    async def _read_all(self) -> None:
        last: _Item = (END, None)
        try:
            while not self._closed and (row := await self._source.advance()) is not END:
                self._has_room.clear()
                self._put((row, None))
                await self._has_room.wait()
        except BaseException as error:
            last = (END, _raisable(error))
        finally:
            await self._source.aclose()
        self._put(last)

    def _put(self, item: _Item) -> None:
        self._ahead.append(item)
        self._is_here.set()


class _ThreadedRows(Rows):
    """Rows that a thread reads ahead. It sleeps from when it is far enough ahead until half of its rows are taken.

    A thread that is blocked in the iterable's `next` cannot be stopped: it ends when `next` returns.
    """

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self._ahead: deque[_Item] = deque()
        self._has_room = threading.Event()
        self._closed = False
        self._wanted: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self) -> Any:
        # A queue.Queue would take its lock, and wake the thread, for each row: a tenth of a fast map's time.
        if not self._ahead:
            return LATER
        row, error = self._ahead.popleft()
        if len(self._ahead) == AHEAD // 2:
            self._has_room.set()
        if error is not None:
            raise error
        return row

    async def read(self) -> Any:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._read_all, name="remote-client rows", daemon=True).start()
        while True:
            self._wanted = self._loop.create_future()  # before the look: what comes after it sets this one
            row = self.take()
            if row is not LATER:
                self._wanted = None
                return row
            await self._wanted

    def cancel(self) -> None:
        self._closed = True
        self._has_room.set()

    async def aclose(self) -> None:
        self.cancel()

    def _read_all(self) -> None:
        iterator: Iterator[Any] | None = None
        last: _Item = (END, None)
        try:
            iterator = iter(self._iterable)
            for row in iterator:
                if not self._put((row, None)):
                    break
        except BaseException as error:
            last = (END, _raisable(error))
        finally:
            with contextlib.suppress(Exception):
                close(iterator)
        self._put(last)

    def _put(self, item: _Item) -> bool:
        """Add an item, and wake the reader; return False if nobody reads any more."""
        while len(self._ahead) >= AHEAD and not self._closed:
            self._has_room.clear()
            if len(self._ahead) >= AHEAD and not self._closed:  # nobody set it between the look and the clearing
                self._has_room.wait()
        if self._closed:
            return False
        self._ahead.append(item)
        wanted = self._wanted
        if wanted is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(_wake, wanted)
        return True


def _raisable(error: BaseException) -> Exception:
    """Return an error of the rows as one that the reader may raise: a CancelledError would seem to be its own."""
    return error if isinstance(error, Exception) else RuntimeError(f"rows raised {error!r}")


def _wake(wanted: asyncio.Future[None]) -> None:
    if not wanted.done():
        wanted.set_result(None)
