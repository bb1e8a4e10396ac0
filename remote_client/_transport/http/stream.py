"""Calls whose answer is a stream of events: what waits to be read, and who reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ...errors import RemoteClientError, StreamTruncatedError, UnavailableError
from ..call import Answered, ByteStream, Call
from .errors import late_as_a_whole, problem
from .exchange import Exchange
from .http1 import Head
from .requests import is_event_stream
from .sse import LOST_WITHIN, UNFRAMED, EventReader, says_it_is_last

if TYPE_CHECKING:
    from .connection import HttpConnection
    from .transport import HttpTransport

MAX_HELD = 256 * 1024
"""Bytes of a stream that arrive while nobody reads it; the server waits then."""
_FAIR = 64
"""Answers that are read in a row before other tasks have a turn."""


class _Total:
    """The limit of a whole stream."""

    __slots__ = ("_stream",)

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    def expire(self) -> None:
        stream = self._stream
        if not stream.over:
            stream.give_up(late_as_a_whole(stream.call, stream.transport.target))


class EventStream(Exchange, ByteStream):
    """A call whose answer is a stream of events. See `ByteStream`.

    Events are split as they arrive. While nobody reads, at most `MAX_HELD` bytes of them do.
    """

    __slots__ = (
        "_ended_by_us",
        "_events",
        "_held",
        "_in_a_row",
        "_last",
        "_moved",
        "_reader",
        "_total",
        "_total_due",
        "_waiter",
    )
    wanted = "a stream of events"

    def __init__(self, transport: HttpTransport, call: Call, head: bytes, body: bytes, told: Answered | None) -> None:
        super().__init__(transport, call, head, body, told)
        self._reader = EventReader(transport.limit)
        self._events: deque[tuple[bytes, bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended_by_us: HttpConnection | None = None
        self._held = self._in_a_row = 0
        self._last = b""
        """The last event, which may say that it is."""
        self._moved = 0.0
        self._total: _Total | None = None
        self._total_due = 0.0
        if call.total_timeout is not None:
            self._total = _Total(self)
            self._total_due = transport.deadlines.add(call.total_timeout, self._total)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self) -> bytes | None:
        if self._in_a_row >= _FAIR:
            self._in_a_row = 0
            await self._let_others()
        while not self._events:
            if self.over:
                self.transport.forget(self)
                self._raise_failure()
                return None
            self._in_a_row = 0
            await self._wait()
        return self._next()

    def take(self) -> bytes | None:
        if not self._events or self._in_a_row >= _FAIR or self._events[0][0] == b"error":
            return None
        return self._next()

    def _next(self) -> bytes:
        self._in_a_row += 1
        name, data = self._events.popleft()
        if name == b"error":
            self.cancel()
            raise problem(None, data, self.call, self.transport.target)
        if not self._events:
            self._resume()
        return data

    def _resume(self) -> None:
        self._held = 0
        if self.connection is not None:
            self.connection.resume_reading()

    async def _let_others(self) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def _wait(self) -> None:
        """Wait until something happens."""
        transport, timeout = self.transport, self.call.timeout
        if timeout is not None:
            self._moved = transport.loop.time()
            if not self._due:
                self._due = transport.deadlines.add(timeout, self)
        self._resume()
        self._waiter = transport.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what arrives -------------------------------------------------------------------------------------------------

    def _is_wanted(self, head: Head) -> bool:
        return is_event_stream(head.headers)

    def _begin(self, head: Head) -> None:
        """Nothing more is to be known of it."""

    def _take(self, data: bytes) -> None:
        found = self._reader.feed(data)
        if found:
            self._last = found[-1][1]
            self._events.extend([each for each in found if each[0] in (b"message", b"error")])
            if self._events:
                self._wake()
        if self._reader.too_large:
            self._too_large(self.transport.limit)
            return
        self._held += len(data)
        if self._held > MAX_HELD and self._waiter is None and self.connection is not None:
            self.connection.pause_reading()

    def _whole(self) -> None:
        assert self._answer is not None
        if self._reader.pending:
            self.fail(self._truncated("the stream ended in the middle of an event"))
        elif self._answer.framed or says_it_is_last(self._last):
            self.finish()
        else:
            self.fail(self._truncated(UNFRAMED))

    def _lost(self, error: Exception | None, first: bool = False) -> RemoteClientError:
        failure = super()._lost(error, first)
        if self._answer is None or not isinstance(failure, UnavailableError):
            return failure
        truncated = self._truncated(LOST_WITHIN)
        truncated.__cause__ = failure.__cause__
        return truncated

    def _truncated(self, told: str) -> StreamTruncatedError:
        return StreamTruncatedError(told, method=self.call.path, target=self.transport.target)

    def expire(self) -> None:
        # The deadline is not moved with each event: whether one came meanwhile is looked at here.
        if self._hurries:
            super().expire()
            return
        self._due = 0.0
        timeout = self.call.timeout
        if self.over or timeout is None or self._waiter is None:
            return
        left = self._moved + timeout - self.transport.loop.time()
        if left > 0:
            self._due = self.transport.deadlines.add(left, self)
        else:
            self._late()

    # -- ends ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        self._ended_by_us = self.connection
        super().finish()
        if self._total is not None:
            self.transport.deadlines.discard(self._total_due, self._total)
            self._total = None
        self._wake()

    def give_up(self, failure: RemoteClientError) -> None:
        """End the stream with an error; what arrived and was not read does not count."""
        self._events.clear()
        self.failure = failure
        if not self.over:
            self.finish()

    def cancel(self, failure: RemoteClientError | None = None) -> None:
        self.transport.forget(self)
        self._events.clear()
        self.failure = failure
        if not self.over:
            self.finish()

    async def aclose(self) -> None:
        self.cancel()
        connection, self._ended_by_us = self._ended_by_us, None
        if connection is not None:
            await asyncio.wait((connection.closed,))
