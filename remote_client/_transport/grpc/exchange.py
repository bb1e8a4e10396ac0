"""One call on the way: what arrives for it, who waits for that, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ...errors import (
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidResponseError,
    RemoteCallError,
    ResponseTooLargeError,
    UnavailableError,
    error_class,
    http_error_class,
    redacted,
)
from ..base import Answered, ByteStream, Call
from ..retry import pushback_ms, retry_after
from .heads import Head
from .http2 import Stream
from .messages import RESET_CODES, MessageError, MessageReader, Status, frame_message, read_head, read_trailers

if TYPE_CHECKING:
    from .connection import GrpcConnection
    from .transport import GrpcTransport

Block = tuple[bytes, int]
_TEXT = 1024
"""Bytes that are kept of the body of an answer without gRPC."""
_REPLAY = 64 << 10
"""Bytes of a streamed input that are kept until the server begins to answer, for the case that it refuses the call."""
_FAIR = 256
"""Answers that a reader takes in a row before the event loop gets a turn."""
_NO_WAIT = 0.01
"""Seconds that a call may wait without a change of the timeout that the server is told."""
_MAX_REFUSALS = 20
"""How often a call is sent anew that servers did not process."""


class Exchange:
    """The state of one call, from its wish for a connection to its end.

    Attributes:
        block: the header block of the request without its timeout, and the size of its header list.
        body: the one message of the request with its prefix; None where messages are streamed.
        stream, connection: where it runs; None while it waits and after its end.
        over: whether it has ended, for whatever reason.
        failure: why it failed, until that was raised; None where it did not.
    """

    __slots__ = (
        "__weakref__",
        "_answered",
        "_due",
        "_foreign",
        "_refusals",
        "_text",
        "begun",
        "block",
        "body",
        "call",
        "connection",
        "failure",
        "over",
        "reader",
        "started",
        "stream",
        "transport",
    )

    def __init__(
        self, transport: GrpcTransport, call: Call, block: Block, body: bytes | None, answered: Answered | None
    ) -> None:
        self.begun = transport.loop.time()
        self.transport = transport
        self.call = call
        self.block = block
        self.body = body
        self.stream: Stream | None = None
        self.connection: GrpcConnection | None = None
        self.over = False
        self.failure: BaseException | None = None
        self.started = False
        """Whether the head of the answer arrived."""
        self._answered = answered
        self.reader: MessageReader | None = None
        self._foreign: Status | None = None
        self._text = b""
        self._refusals = 0
        self._due = 0.0

    # -- what happens to it: called by the connection and the transport ------------------------------------------------

    def opened(self, connection: GrpcConnection, stream: Stream) -> None:
        """The request's head was sent."""
        self.connection, self.stream = connection, stream

    def answered(self) -> None:
        """The call no longer waits for the server to begin."""
        told, self._answered = self._answered, None
        if told is not None:
            told()

    def on_head(self, head: Head, end: bool) -> None:
        """The head of the answer arrived."""
        self.started = True
        if self._answered is not None and not end:
            self.answered()
        answer = read_head(head, end)
        if answer.status is None:
            self.reader = MessageReader(self.transport.options.max_receive_size, answer.encoding)
        elif end or answer.is_grpc:
            self.end(answer.status)
        else:
            self._foreign = answer.status

    def on_data(self, data: bytes, end: bool) -> None:
        """A part of the body arrived."""
        if self._foreign is not None:
            self._take_text(data, end)
            return
        reader = self.reader
        assert reader is not None
        reader.feed(data)
        if reader.error is not None:
            self.fail(self._unreadable(reader.error))
            return
        self.arrived(reader, len(data))
        if end:
            self.end(Status("UNKNOWN", "the server ended the call without a status"))

    def _take_text(self, data: bytes, end: bool) -> None:
        self._text += data[: _TEXT - len(self._text)]
        if end or len(self._text) >= _TEXT:
            self._end_foreign()
        elif self.stream is not None and self.connection is not None:
            self.connection.take(self.stream, len(data))

    def _end_foreign(self) -> None:
        status = self._foreign
        assert status is not None
        text = self._text.decode("utf-8", "replace")
        self.fail(self._foreign_error(status, text))

    def on_trailers(self, head: Head) -> None:
        """The trailers arrived."""
        if self._foreign is not None:
            self._end_foreign()
        else:
            self.end(read_trailers(head))

    def on_reset(self, code: int, detail: str | None) -> None:
        """The stream was reset by the server (without `detail`), or for a rule that it broke."""
        self.stream = None
        if self._foreign is not None:
            self._end_foreign()
        elif detail is not None:
            self.reader = None  # who breaks the rules is not listened to any more
            self.fail(InvalidResponseError(detail, method=self.call.path[1:], target=self.transport.target))
        else:
            told = f"the server reset the stream with error code {code} (RST_STREAM)"
            failure = self._error(error_class(RESET_CODES.get(code, "INTERNAL")), told)
            failure.outcome_known = False
            self.fail(failure)

    def on_refused(self) -> None:
        """The server did not process the call: it is sent anew, whatever it is."""
        self.stream = self.connection = None
        self._refusals += 1
        if self._refusals <= _MAX_REFUSALS and self.transport.options.transparent_retries and self.can_replay():
            self.transport.enqueue(self, first=True)
        else:
            failure = self._error(UnavailableError, "the server refused the call without processing it")
            failure.outcome_known = True
            self.fail(failure)

    def on_lost(self, error: RemoteCallError) -> None:
        """The connection was lost."""
        self.stream = None
        self.fail(error)

    def expire(self) -> None:
        """The deadline passed."""
        self._due = 0.0
        if not self.over:
            self.fail(self._expired())

    def _expired(self) -> RemoteCallError:
        if self._foreign is not None:
            return self._foreign_error(self._foreign, self._text.decode("utf-8", "replace"))
        return self._error(DeadlineExceededError, f"no answer within {self.call.timeout} seconds")

    # -- ends ---------------------------------------------------------------------------------------------------------

    def end(self, status: Status) -> None:
        """The call ended with a status."""
        if status.code == "OK":
            self.finish()
        else:
            self.fail(self._status_error(status))

    def fail(self, failure: BaseException) -> None:
        """End the call with an error; a stream that still runs is cancelled."""
        if not self.over:
            self.failure = failure
            self.finish()

    def cancel(self) -> None:
        """End the call silently: nobody wants to know how."""
        if not self.over:
            self.finish()

    def finish(self) -> None:
        """Leave nothing behind."""
        self.over = True
        self._answered = None
        if self._due:
            self.transport.deadlines.discard(self._due, self)
        connection, stream = self.connection, self.stream
        self.connection = self.stream = None
        if connection is not None and stream is not None:
            connection.release(stream)
        self.transport.forget(self)

    def arrived(self, reader: MessageReader, size: int) -> None:
        """The reader got so many bytes of the body."""
        raise NotImplementedError

    def writable(self) -> None:
        """What had to wait for a window has been sent."""

    def can_replay(self) -> bool:
        """Whether the request can be sent once more."""
        return True

    def time_left(self) -> float | None:
        """Return the seconds that the server is given; None for no limit."""
        limit = self.limit
        if limit is None:
            return None
        waited = self.transport.loop.time() - self.begun
        return limit if waited < _NO_WAIT else max(limit - waited, 0.001)

    @property
    def limit(self) -> float | None:
        """Seconds for the whole call."""
        return self.call.timeout

    # -- errors -------------------------------------------------------------------------------------------------------

    def _error(self, kind: type[RemoteCallError], details: str) -> RemoteCallError:
        told = redacted(details, self.call.metadata)
        return kind(told, method=self.call.path[1:], target=self.transport.target)

    def _status_error(self, status: Status) -> RemoteCallError:
        if status.http_status is not None:
            return self._foreign_error(status, "")
        details, kind = status.message, error_class(status.code)
        if status.code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
            details += (
                "; this is the runtime's limit: raise grpc.max_receive_message_length in its runtime.grpc.options"
            )
        shed = status.bare and kind is CallCancelledError
        if shed and not details:
            details = "the server is overloaded and dropped the call"
        failure = self._error(kind, details)
        # A proxy or a library in the server says these, too, of calls that it may have handed on.
        failure.outcome_known = status.code not in ("CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN", "UNAVAILABLE")
        failure.pushback = pushback_ms(status.pushback)
        failure.shed = shed
        return failure

    def _foreign_error(self, status: Status, text: str) -> RemoteCallError:
        assert status.http_status is not None
        kind = InvalidResponseError if status.http_status == 200 else http_error_class(status.http_status)
        failure = self._error(kind, f"{status.message}: {text}" if text else status.message)
        failure.http_status = status.http_status
        failure.outcome_known = status.http_status in (400, 401, 403, 404, 405, 413, 415, 429, 431)
        failure.pushback = retry_after(status.retry_after, time.time())
        return failure

    def _unreadable(self, error: MessageError) -> RemoteCallError:
        if error.too_large:
            return self._error(ResponseTooLargeError, f"CLIENT: {error}")
        return self._error(InternalError, str(error))

    def not_one(self, told: str) -> RemoteCallError:
        """The error of a unary call that did not get its one answer."""
        return self._error(InvalidResponseError, f"{told} to a unary call")


class UnaryExchange(Exchange):
    """A call of one message and one answer. `done` is set at its end."""

    __slots__ = ("done",)

    def __init__(
        self, transport: GrpcTransport, call: Call, block: Block, body: bytes, answered: Answered | None
    ) -> None:
        super().__init__(transport, call, block, body, answered)
        self.done: asyncio.Future[None] = transport.loop.create_future()
        if call.timeout is not None:
            self._due = transport.deadlines.add(call.timeout, self)

    def arrived(self, reader: MessageReader, size: int) -> None:
        if reader.more_than_one:
            self.fail(self.not_one("more than one answer"))
        elif self.stream is not None and self.connection is not None:
            self.connection.take(self.stream, size)  # the limit of a message bounds what is held

    def finish(self) -> None:
        super().finish()
        if not self.done.done():
            self.done.set_result(None)

    def result(self) -> bytes:
        """Return the answer of a call that is over, or raise its failure."""
        failure, self.failure = self.failure, None
        if failure is None:
            reader = self.reader
            answer = None if reader is None else reader.take()
            if reader is not None and answer is not None and not reader.pending:
                return answer
            failure = self._not_answered(reader, answer)
        try:
            raise failure
        finally:
            del failure  # no reference leads from an exception back to it

    def _not_answered(self, reader: MessageReader | None, answer: bytes | None) -> RemoteCallError:
        if reader is not None and reader.error is not None:
            return self._unreadable(reader.error)
        if answer is not None:
            return self.not_one("more than one answer")
        return self.not_one("half an answer" if reader is not None and reader.pending else "no answer")


class _Total:
    """The limit of a whole stream."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: StreamExchange) -> None:
        self._exchange = exchange

    def expire(self) -> None:
        exchange = self._exchange
        if not exchange.over:
            exchange.fail(exchange.total_expired())


class StreamExchange(Exchange, ByteStream):
    """A call of any number of answers, and of one message or a stream of them. See `ByteStream`."""

    __slots__ = (
        "_in_a_row",
        "_kept",
        "_kept_size",
        "_moved",
        "_sent_end",
        "_total",
        "_total_due",
        "_uncredited",
        "_upload",
        "_uploaded",
        "_waiter",
        "_writable",
        "input",
    )

    def __init__(
        self,
        transport: GrpcTransport,
        call: Call,
        block: Block,
        body: bytes | AsyncIterator[bytes],
        answered: Answered | None,
    ) -> None:
        super().__init__(transport, call, block, body if isinstance(body, bytes) else None, answered)
        self.input = None if isinstance(body, bytes) else body
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._uploaded = self._sent_end = False
        self._kept: list[bytes] | None = []
        """What was sent of a streamed input, as long as it may have to be sent again."""
        self._kept_size = 0
        self._uncredited = self._in_a_row = 0
        self._moved = 0.0
        """When anything moved last, for the limit between two items."""
        self._total: _Total | None = None
        if call.total_timeout is not None:
            self._total = _Total(self)
            self._total_due = transport.deadlines.add(call.total_timeout, self._total)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def read(self) -> bytes | None:
        if self._in_a_row >= _FAIR:
            self._in_a_row = 0
            self._credit()
            await asyncio.sleep(0)
        while (message := self.take()) is None:
            if self.over:
                self._raise_failure()
                return None
            self._in_a_row = 0
            await self._wait()
        return message

    def take(self) -> bytes | None:
        reader = self.reader
        if reader is None or self._in_a_row >= _FAIR:
            return None
        message = reader.take()
        if message is None:
            if reader.error is not None and not self.over:
                self.fail(self._unreadable(reader.error))
            return None
        self._in_a_row += 1
        if not reader.ready and self._uncredited:
            self._credit()
        return message

    def _credit(self) -> None:
        """Let the server send as many bytes as were taken.

        Where no whole message is left, half of one counts as taken: a message that is larger than the window would
        never be completed otherwise.
        """
        reader = self.reader
        left = reader.held if reader is not None and reader.ready else 0
        size, self._uncredited = self._uncredited - left, left
        if size > 0 and self.stream is not None and self.connection is not None:
            self.connection.take(self.stream, size)

    async def _wait(self) -> None:
        timeout, loop = self.call.timeout, self.transport.loop
        if timeout is not None:
            self._moved = loop.time()
            if not self._due:
                self._due = self.transport.deadlines.add(timeout, self)
        self._waiter = loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._waiter = None

    def _raise_failure(self) -> None:
        failure, self.failure = self.failure, None
        if failure is None:
            reader, self.reader = self.reader, None
            if reader is None or not (reader.pending or reader.error):
                return
            told = "the stream ended in the middle of a message"
            failure = self._unreadable(reader.error) if reader.error else self._error(InvalidResponseError, told)
        try:
            raise failure
        finally:
            del failure  # no reference leads from an exception back to it

    def expire(self) -> None:
        # The deadline is not moved with each item: whether one came meanwhile is looked at here.
        self._due = 0.0
        timeout = self.call.timeout
        if self.over or timeout is None or self._waiter is None:
            return
        left = self._moved + timeout - self.transport.loop.time()
        if left > 0:
            self._due = self.transport.deadlines.add(left, self)
        else:
            self.fail(self._expired())

    def _expired(self) -> RemoteCallError:
        if self._foreign is not None:
            return super()._expired()
        return self._error(DeadlineExceededError, f"no progress for {self.call.timeout} seconds")

    @property
    def limit(self) -> float | None:
        return self.call.total_timeout

    def total_expired(self) -> RemoteCallError:
        """The error of a stream that took too long as a whole."""
        told = f"the stream was not over within {self.call.total_timeout} seconds"
        return self._error(DeadlineExceededError, told)

    def arrived(self, reader: MessageReader, size: int) -> None:
        self._uncredited += size
        if not reader.ready:
            self._credit()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- writing ------------------------------------------------------------------------------------------------------

    def opened(self, connection: GrpcConnection, stream: Stream) -> None:
        super().opened(connection, stream)
        if self.input is None:
            return
        for data in self._kept or ():
            connection.send(stream, data, end=False)
        if self._sent_end:
            connection.send(stream, b"", end=True)
        if self._upload is None:
            self._upload = self.transport.own(self._send_all(self.input))
            self._upload.add_done_callback(self._uploaded_all)
        self.writable()

    def _uploaded_all(self, upload: asyncio.Task[None]) -> None:
        self._upload = None  # its exception's traceback leads back here

    async def _send_all(self, items: AsyncIterator[bytes]) -> None:
        """Send the messages of the iterator; what it raises ends the call, and comes out of `read`."""
        while True:
            try:
                item = await anext(items)
            except StopAsyncIteration:
                break
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                self.fail(error)  # the iterator's own
                return
            except Exception as error:
                self.fail(error)
                return
            except BaseException as error:
                self.fail(error)
                raise
            if not await self._send(frame_message(item, self.transport.compresses)):
                return
        self._sent_end = True
        if self.stream is not None and self.connection is not None:
            self.connection.send(self.stream, b"", end=True)

    async def _send(self, data: bytes) -> bool:
        """Send one message, when the windows allow; returns whether more are wanted."""
        if self._kept is not None:
            self._kept_size += len(data)
            if self.started or self._kept_size > _REPLAY:
                self._kept = None
            else:
                self._kept.append(data)
        if self.over:
            return False
        self._uploaded = True
        if self.stream is not None and self.connection is not None:
            sent = self.connection.send(self.stream, data, end=False)
            if self._answered is not None:
                self.answered()
            self._moved = self.transport.loop.time()
            if not sent:
                await self._until_writable()
        else:
            await self._until_writable()  # refused just now: `opened` sends it anew
        return not self.over

    async def _until_writable(self) -> None:
        self._writable = self.transport.loop.create_future()
        try:
            await self._writable
        finally:
            self._writable = None
        self._moved = self.transport.loop.time()

    def writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def can_replay(self) -> bool:
        return not self._uploaded or self._kept is not None

    # -- ends ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        super().finish()
        if self._total is not None:
            self.transport.deadlines.discard(self._total_due, self._total)
            self._total = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._upload is not None and not self._upload.done() and self._upload is not asyncio.current_task():
            self._upload.cancel()
        self._kept = None

    def cancel(self) -> None:
        super().cancel()
        self.reader = None
        self.failure = None

    async def aclose(self) -> None:
        self.cancel()
        if self._upload is not None:
            await asyncio.wait((self._upload,))


def _is_cancelled() -> bool:
    """Whether somebody cancels the current task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
