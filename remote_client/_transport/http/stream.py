"""An HTTP call whose response is a stream of server-sent events."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ...errors import RemoteClientError, StreamTruncatedError, UnavailableError
from ..call import Answered, Call, add_metadata, total_exceeded
from ..exchange import StreamingExchange
from ..http_errors import event_error
from .exchange import HttpExchange
from .http1 import Head
from .requests import is_event_stream
from .sse import LOST_WITHIN, UNFRAMED, EventReader, says_it_is_last

if TYPE_CHECKING:
    from .connection import HttpConnection
    from .transport import HttpTransport

MAX_HELD = 256 * 1024
"""The most unread bytes of a stream; beyond them the server has to wait."""
_FAIR = 64
"""Events that are read in a row before the event loop gets a turn."""


class EventStream(StreamingExchange["HttpTransport"], HttpExchange):
    """A call whose response is a stream of events. See `ByteStream`.

    Events are split as they arrive. While nobody reads, at most `MAX_HELD` bytes of them do.
    """

    __slots__ = (
        "_ended_by_us",
        "_events",
        "_held",
        "_in_a_row",
        "_last",
        "_reader",
    )
    wanted = "a stream of events"

    def __init__(
        self, transport: HttpTransport, call: Call, head: bytes, body: bytes, answered: Answered | None
    ) -> None:
        super().__init__(transport, call, head, body, answered)
        self._reader = EventReader(transport.limit)
        self._events: deque[tuple[bytes, bytes]] = deque()
        """The names and data of unread events."""
        self._waiter = None
        self._waits_for_head = False
        self._ended_by_us: HttpConnection | None = None
        """The connection, if the stream was ended before the response was."""
        self._held = self._in_a_row = 0
        self._last = b""
        """The latest event, which may say that it is the last one."""
        self._moved = 0.0
        self._limit_total()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self) -> bytes | None:
        try:
            if self._in_a_row >= _FAIR:
                self._in_a_row = 0
                await asyncio.sleep(0)
            while not self._events:
                if self.over:
                    self.transport.forget(self)
                    self._raise_failure()
                    return None
                self._in_a_row = 0
                self._waiter = self._wait()
                self._resume()
                await self._waiter
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._waiter = None
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
            failure = event_error(data, self.call, self.transport.target)
            add_metadata(failure, self.call, *self.answer_metadata())
            raise failure
        if not self._events:
            self._resume()
        return data

    def _resume(self) -> None:
        self._held = 0
        if self.connection is not None:
            self.connection.resume_reading()

    # -- events -------------------------------------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        return self._answer is not None and self._text is None

    def has_items(self) -> bool:
        return bool(self._events)

    def on_head(self, head: Head) -> None:
        super().on_head(head)
        if self._waits_for_head:
            self._wake()

    def _is_wanted(self, head: Head) -> bool:
        return is_event_stream(head.headers)

    def _take(self, data: bytes) -> None:
        found = self._reader.feed(data)
        if found:
            self._last = found[-1][1]
            self._events.extend([event for event in found if event[0] in (b"message", b"error")])
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

    def _truncated(self, details: str) -> StreamTruncatedError:
        return StreamTruncatedError(details, method=self.call.method, target=self.transport.target)

    def expire_total(self) -> None:
        if not self.over:
            self.give_up(total_exceeded(self.call, self.transport.target))

    # -- ends ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        self._ended_by_us = self.connection
        super().finish()
        self._forget_total()
        self._wake()

    def give_up(self, failure: RemoteClientError | None) -> None:
        self._events.clear()
        self.failure = failure
        if not self.over:
            self.finish()

    def cancel(self) -> None:
        self.transport.forget(self)
        self.give_up(None)

    async def aclose(self) -> None:
        self.cancel()
        connection, self._ended_by_us = self._ended_by_us, None
        if connection is not None:
            await asyncio.wait((connection.closed,))
