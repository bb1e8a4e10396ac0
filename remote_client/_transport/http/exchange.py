"""One call on the way: what arrives for it, who waits for that, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from ...errors import RemoteClientError, StreamTruncatedError, UnavailableError
from ..base import Answered, ByteStream, Call
from ..retry import retry_after
from .errors import MAX_ERROR_SIZE, late, late_as_a_whole, lost, not_connected, problem, too_large, unreadable
from .http1 import Head
from .requests import as_answer, is_compressed, is_event_stream
from .sse import EventReader

if TYPE_CHECKING:
    from .connection import HttpConnection
    from .transport import HttpTransport

MAX_HELD = 256 * 1024
"""Bytes of a stream that arrive while nobody reads it; the server waits then."""
_FAIR = 64
"""Answers that are read in a row before other tasks have a turn."""


class Exchange:
    """The state of one call, from its wish for a connection to its end.

    Attributes:
        head, body: the request.
        connection: where it runs; None while it waits and after its end.
        waiting: whether it waits for a connection.
        sent: whether anything of it may have been sent.
        over: whether it has ended, for whatever reason.
        failure: why it failed, until that was raised; None where it did not.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_answer",
        "_answered",
        "_due",
        "_text",
        "body",
        "call",
        "connection",
        "failure",
        "head",
        "over",
        "sent",
        "transport",
        "waiting",
    )

    def __init__(self, transport: HttpTransport, call: Call, head: bytes, body: bytes, told: Answered | None) -> None:
        self.transport = transport
        self.call = call
        self.head = head
        self.body = body
        self.connection: HttpConnection | None = None
        self.waiting = self.sent = self.over = False
        self.failure: RemoteClientError | None = None
        self._answered = told
        self._answer: Head | None = None
        self._text: bytearray | None = None
        """The body of an answer that reports an error."""
        self._again = False
        self._due = 0.0

    # -- what happens to it: called by its connection and the pool ----------------------------------------------------

    def on_head(self, head: Head) -> None:
        """The head of the answer arrived."""
        told, self._answered = self._answered, None
        if told is not None:
            told()
        self._answer = head
        if not 200 <= head.status < 300:
            self._text = bytearray()
        elif is_compressed(head.headers):
            self._unreadable("it is compressed, though nothing but identity was accepted")
        else:
            self._begin(head)

    def on_data(self, data: bytes) -> None:
        """A part of the body arrived."""
        text = self._text
        if text is None:
            self._take(data)
        else:
            text += data[: MAX_ERROR_SIZE - len(text)]
            if len(text) >= MAX_ERROR_SIZE:
                self.fail(self._problem(text))

    def on_end(self) -> None:
        """The answer is whole, and the connection belongs to others."""
        if self._text is not None:
            self.fail(self._problem(self._text))
        else:
            self._whole()

    def on_malformed(self, detail: str) -> None:
        """What arrived is no answer."""
        self._unreadable(detail)

    def on_lost(self, connection: HttpConnection, error: Exception | None) -> None:
        """The connection ended before the answer did."""
        self.connection = None
        if self._text is not None:
            self.fail(self._problem(self._text))  # what there is of it
        elif connection.used and not connection.heard and self.call.idempotent and not self._again:
            # A server may end a kept connection just when a request is on its way.
            self._again = True
            self.transport.pool.submit(self, fresh=True)
        else:
            self.fail(self._lost(error))

    def on_unsent(self, error: BaseException) -> None:
        """No connection could be made."""
        self.waiting = False
        failure = not_connected(error, self.call, self.transport.target)
        if self.sent and isinstance(failure, UnavailableError):
            failure.outcome_known = False  # the first time, on a kept connection
        self.fail(failure)

    def expire(self) -> None:
        """The deadline passed."""
        self._due = 0.0
        if not self.over:
            self._late()

    def _late(self) -> None:
        failure = late(self.call, self.transport.target)
        failure.outcome_known = not self.sent
        self.fail(failure)

    # -- ends ---------------------------------------------------------------------------------------------------------

    def fail(self, failure: RemoteClientError) -> None:
        """End the call with an error; what still runs is cut off."""
        if not self.over:
            self.failure = failure
            self.finish()

    def cancel(self, failure: RemoteClientError | None = None) -> None:
        """End the call because nobody wants to know its answer any more."""
        if not self.over:
            self.failure = failure
            self.finish()

    def finish(self) -> None:
        """Leave nothing behind."""
        self.over = True
        self._answered = None
        if self._due:
            self.transport.deadlines.discard(self._due, self)
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.release()
        elif self.waiting:
            self.waiting = False
            self.transport.pool.withdraw(self)

    def _raise_failure(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # no reference leads from an exception back to it

    # -- errors -------------------------------------------------------------------------------------------------------

    def _problem(self, text: bytearray) -> RemoteClientError:
        assert self._answer is not None
        failure = problem(self._answer.status, bytes(text), self.call, self.transport.target)
        wait = self._answer.headers.get(b"retry-after")
        failure.pushback = retry_after(None if wait is None else wait.decode("latin-1"), time.time())
        return failure

    def _unreadable(self, why: str) -> None:
        self.fail(unreadable(why, self.call, self.transport.target))

    def _too_large(self) -> None:
        self.fail(too_large(self.transport.limit, self.call, self.transport.target))

    def _lost(self, error: Exception | None) -> RemoteClientError:
        return lost(error, self.call, self.transport.target)

    # -- what kinds of calls differ in --------------------------------------------------------------------------------

    def _begin(self, head: Head) -> None:
        """The answer is a success."""
        raise NotImplementedError

    def _take(self, data: bytes) -> None:
        """A part of its body arrived."""
        raise NotImplementedError

    def _whole(self) -> None:
        """Its body is over."""
        raise NotImplementedError


class UnaryExchange(Exchange):
    """A call of one answer. `done` is set at its end."""

    __slots__ = ("_parts", "_size", "done")

    def __init__(self, transport: HttpTransport, call: Call, head: bytes, body: bytes, told: Answered | None) -> None:
        super().__init__(transport, call, head, body, told)
        self.done: asyncio.Future[None] = transport.loop.create_future()
        self._parts: list[bytes] = []
        self._size = 0
        if call.timeout is not None:
            self._due = transport.deadlines.add(call.timeout, self)

    def _begin(self, head: Head) -> None:
        length = head.headers.get(b"content-length")
        if length is not None and int(length) > self.transport.limit:
            self._too_large()

    def _take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self.transport.limit:
            self._parts.clear()
            self._too_large()
        else:
            self._parts.append(data)

    def _whole(self) -> None:
        self.finish()

    def finish(self) -> None:
        super().finish()
        self.transport.forget(self)
        if not self.done.done():
            self.done.set_result(None)

    def result(self) -> bytes:
        """Return the answer of a call that is over, or raise its failure."""
        self._raise_failure()
        assert self._answer is not None
        parts = self._parts
        return as_answer(parts[0] if len(parts) == 1 else b"".join(parts), self._answer.headers)


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
        "_moved",
        "_reader",
        "_total",
        "_total_due",
        "_waiter",
    )

    def __init__(self, transport: HttpTransport, call: Call, head: bytes, body: bytes, told: Answered | None) -> None:
        super().__init__(transport, call, head, body, told)
        self._reader = EventReader(transport.limit)
        self._events: deque[tuple[bytes, bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended_by_us: HttpConnection | None = None
        self._held = self._in_a_row = 0
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

    def _begin(self, head: Head) -> None:
        if not is_event_stream(head.headers):
            kind = head.headers.get(b"content-type", b"").decode("latin-1") or "without a type"
            self._unreadable(f"it is {kind}, not a stream of events")

    def _take(self, data: bytes) -> None:
        found = self._reader.feed(data)
        if found:
            self._events.extend([each for each in found if each[0] in (b"message", b"error")])
            if self._events:
                self._wake()
        if self._reader.too_large:
            self._too_large()
            return
        self._held += len(data)
        if self._held > MAX_HELD and self._waiter is None and self.connection is not None:
            self.connection.pause_reading()

    def _whole(self) -> None:
        assert self._answer is not None
        if not self._answer.framed:
            self.fail(self._truncated("the stream has no framing: that it ended cannot be told from a cut"))
        elif self._reader.pending:
            self.fail(self._truncated("the stream ended in the middle of an event"))
        else:
            self.finish()

    def _lost(self, error: Exception | None) -> RemoteClientError:
        failure = super()._lost(error)
        if self._answer is None or not isinstance(failure, UnavailableError):
            return failure
        truncated = self._truncated("the connection was lost before the stream had ended")
        truncated.__cause__ = failure.__cause__
        return truncated

    def _truncated(self, told: str) -> StreamTruncatedError:
        return StreamTruncatedError(told, method=self.call.path, target=self.transport.target)

    def expire(self) -> None:
        # The deadline is not moved with each event: whether one came meanwhile is looked at here.
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
