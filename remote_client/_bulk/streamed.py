"""A map over one stream: rows go out, answers come back in their order, a broken stream is followed by a new one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from .._calls.stream import RemoteStream
from .._concurrency.iterators import END
from ..errors import ClosedError, InvalidResponseError
from .failures import Failure, failure_of
from .gate import Gate
from .map import Done, Failed, OnError
from .methods import RowMethod
from .rows import LATER, Rows

WINDOW = 256
"""The most rows without an answer, with `concurrency="auto"`."""


@dataclass
class _Sent:
    """A row without an answer; one that cannot be sent has an error instead of a place on the stream."""

    index: int
    row: Any
    error: Exception | None = None


class StreamRun:
    """A running map over a method that streams both ways, one answer per row; see `Run`."""

    def __init__(self, method: RowMethod, rows: Rows, window: int, gate: Gate, on_error: OnError) -> None:
        self._method = method
        self._rows = rows
        self._window = window
        self._gate = gate
        self._on_error = on_error
        self.failed: int = 0
        self.skipped: int = 0
        self.answered: int = 0
        self._taken = 0
        self._exhausted = self._closed = self._over = False
        self._again: deque[_Sent] = deque()
        """Rows that a broken stream left without an answer."""
        self._sent: deque[_Sent] = deque()
        self._finished: deque[Done] = deque()
        self._rows_error: Exception | None = None
        self._failure: Exception | None = None
        self._stream: RemoteStream[Any] | None = None
        self._has_room = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """The rows without an answer."""
        return len(self._sent)

    # -- the iterator's side ------------------------------------------------------------------------------------------

    def take(self) -> Done | None:
        """Return a finished row that may be given now; None if there is none."""
        return self._finished.popleft() if self._finished else None

    async def next(self) -> Done | None:
        """Return the next finished row; None after the last one."""
        while not self._closed:
            if self._finished:
                return self._finished.popleft()
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                if self._rows_error is not None:
                    raise self._rows_error
                self._over = True
                await self.aclose()
                break
            stream = self._stream or await self._open()
            try:
                answer = await anext(stream, END)
            except asyncio.CancelledError:  # the next read goes on with another stream
                await self._end_stream()
                self._put_back()
                raise
            except Exception as error:
                if not self._closed:
                    await self._broken(error)
                continue
            if answer is not END:
                self._answer(answer)
                continue
            self._give_unsent()
            if not self._is_over:
                await self._broken(InvalidResponseError("the server ended the stream before it had answered all rows"))
        if self._over:
            return None
        raise ClosedError("the map was closed, or an earlier read of it failed")

    async def aclose(self) -> None:
        """Cancel the stream, and close the rows. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._end_stream()
        await self._rows.aclose()

    def cancel(self) -> None:
        """Drop the stream, which cancels its call."""
        self._closed, self._stream = True, None
        self._rows.cancel()

    @property
    def _is_over(self) -> bool:
        """Whether every row has an answer, given or not."""
        return self._exhausted and not self._sent and not self._again

    # -- answers ------------------------------------------------------------------------------------------------------

    def _answer(self, answer: Any) -> None:
        self._give_unsent()
        if not self._sent:
            raise InvalidResponseError(
                "the server sent more answers than rows: map_rows needs a method with one answer per row"
            )
        self.answered += 1
        self._gate.answered(probed=not self._gate.is_open)
        self._finished.append(Done(self._sent.popleft().index, answer))
        self._give_unsent()
        self._has_room.set()

    def _give_unsent(self) -> None:
        """Refuse the first rows without an answer, as far as they could not be sent."""
        while self._sent and (error := self._sent[0].error) is not None:
            self._refuse(self._sent.popleft(), error)

    def _refuse(self, sent: _Sent, error: Exception) -> None:
        self.failed += 1
        if self._on_error == "raise":
            error.add_note(f"row {sent.index}")
            self._failure = self._failure or error  # raised after the rows before it were given
        elif self._on_error == "return":
            self._finished.append(Done(sent.index, Failed(sent.index, sent.row, error)))
        else:
            self.skipped += 1

    async def _broken(self, error: Exception) -> None:
        """Close a broken stream. An error that is not about the server is that of the first row without an answer."""
        await self._end_stream()
        self._give_unsent()
        if self._is_over:  # no row waits for an answer: a stream without items is an error to some models
            return
        kind = failure_of(error)
        if kind is Failure.ROW and self._sent:
            self._refuse(self._sent.popleft(), error)
        elif kind in (Failure.ROW, Failure.MAP) or self._gate.failed(monotonic(), probed=True):
            error.add_note(f"row {self._sent[0].index if self._sent else self._taken}")
            raise error
        self._put_back()

    def _put_back(self) -> None:
        self._again.extendleft(reversed(self._sent))
        self._sent.clear()

    async def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    # -- rows ---------------------------------------------------------------------------------------------------------

    async def _open(self) -> RemoteStream[Any]:
        """Begin a stream, once the gate lets it, and return it."""
        if wait := self._gate.wait(monotonic()):
            await asyncio.sleep(wait)
        if not self._gate.is_open:
            self._gate.probe()
        stream = self._stream = self._method.stream(self._messages())
        return stream

    async def _messages(self) -> AsyncIterator[bytes]:
        """Yield the messages of rows: of those that go out again, then of new ones, as far as the window lets."""
        while True:
            while len(self._sent) >= self._window:
                self._has_room.clear()
                await self._has_room.wait()
            sent = self._again.popleft() if self._again else await self._next_row()
            if sent is None:
                return
            self._sent.append(sent)
            if sent.error is None:
                try:
                    message = self._method.frame(sent.row, sent.index)
                except Exception as error:
                    sent.error = error
                    continue
                yield message

    async def _next_row(self) -> _Sent | None:
        if self._exhausted:
            return None
        try:
            row = self._rows.take()
            if row is LATER:
                row = await self._rows.read()
        except Exception as error:  # the rows before it are answered first
            row, self._rows_error = END, error
        if row is END:
            self._exhausted = True
            return None
        self._taken += 1
        return _Sent(self._taken - 1, row)
