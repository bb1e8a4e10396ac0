"""One call on the way: what arrives for it, who waits for that, and how it ends."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ..._settings.durations import lasting
from ..._text.redaction import redacted
from ...errors import (
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidResponseError,
    RemoteCallError,
    ResponseTooLargeError,
    UnavailableError,
    error_class,
)
from ..call import RAISE_LIMIT, RUNTIMES_LIMIT, Answered, Call
from ..http_errors import (
    MAX_ERROR_SIZE,
    PATIENCE,
    RUNTIMES_OWN,
    SILENCED,
    Answer,
    answer_error,
    idle_class,
    reset_reason,
    status_advice,
)
from ..retry import pushback_ms
from .events import Stream
from .frames import error_name
from .headers import Head
from .messages import RESET_CODES, MessageError, MessageReader, Status, read_head, read_trailers
from .requests import Block

if TYPE_CHECKING:
    from .connection import GrpcConnection
    from .transport import GrpcTransport

_NO_WAIT = 0.01
"""Seconds that a call may wait without a change of the timeout that the server is told."""
_MAX_REFUSALS = 10
"""How often a call is sent anew that a server refused; those of connections that end after other calls don't count."""


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
        "queued",
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
        self.queued = False
        """Whether it waits in the transport's line."""
        self.failure: BaseException | None = None
        self.started = False
        """Whether the head of the answer arrived."""
        self._answered = answered
        self.reader: MessageReader | None = None
        self._foreign: Answer | None = None
        self._text = bytearray()
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
            self._foreign = answer.status.foreign
            self._hurry()

    def on_data(self, data: bytes | memoryview, end: bool) -> None:
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
            self.end_without_status()

    def end_without_status(self) -> None:
        """The answer ended with its body, as no server of gRPC ends it."""
        told = "the server, or a proxy before it, ended the answer without a status"
        self.fail(self._error(UnavailableError, told))

    def _take_text(self, data: bytes | memoryview, end: bool) -> None:
        self._text += data[: MAX_ERROR_SIZE - len(self._text)]
        if end or len(self._text) >= MAX_ERROR_SIZE:
            self._end_foreign()
        elif self.stream is not None and self.connection is not None:
            self.connection.take(self.stream, len(data))

    def _hurry(self) -> None:
        """Wait a moment for the body of an answer without gRPC."""
        deadlines, latest = self.transport.deadlines, self.transport.loop.time() + PATIENCE
        if not self._due or self._due > latest:
            deadlines.discard(self._due, self)
            self._due = deadlines.add(PATIENCE, self)

    def _end_foreign(self) -> None:
        assert self._foreign is not None
        self.fail(self._foreign_error(self._foreign, bytes(self._text)))

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
            self.fail(self._reset_error(code))

    def on_refused(self) -> None:
        """The server did not process the call: it is sent anew, whatever it is."""
        connection = self.connection
        if connection is None or not (connection.leaving and connection.serves):
            self._refusals += 1  # a connection that ends after others' calls is progress
        self.stream = self.connection = None
        if self._refusals <= _MAX_REFUSALS and self.transport.options.transparent_retries and self.can_replay():
            self.transport.enqueue(self, first=True)
        else:
            failure = self._error(UnavailableError, "the server refused the call without processing it")
            failure.outcome_known = failure.reset = True
            self.fail(failure)

    def on_lost(self, error: RemoteCallError) -> None:
        """The connection was lost."""
        self.stream = None
        if self._foreign is not None:
            self._end_foreign()  # by what there is of it
        else:
            error.method = self.call.path[1:]
            self.fail(error)

    def expire(self) -> None:
        """The deadline passed."""
        self._due = 0.0
        if self.over:
            return
        if self._foreign is not None:
            self._end_foreign()
        else:
            self._late()

    def _late(self) -> None:
        """End the call: nothing came in its time."""
        connection, timeout = self.connection, self.call.timeout
        self.fail(self._expired())
        if connection is not None and timeout is not None:
            connection.on_late(timeout)

    def _expired(self) -> RemoteCallError:
        return self._error(DeadlineExceededError, f"no answer within {lasting(self.call.timeout)}")

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
        self.body = self._answered = None
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
        told = redacted(details, self.call.secrets)
        return kind(told, method=self.call.path[1:], target=self.transport.target)

    def _status_error(self, status: Status) -> RemoteCallError:
        if status.foreign is not None:
            return self._foreign_error(status.foreign, b"")
        details, kind = status.message, error_class(status.code)
        if status.code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
            details += f"; {RUNTIMES_LIMIT}"
        details += status_advice(status.code, details)
        if (idle := idle_class(status.code, details)) is not None:
            kind, details = idle, f"{details}; {SILENCED}"
        shed = status.bare and kind is CallCancelledError
        if shed and not details:
            details = "the server is overloaded and dropped the call"
        failure = self._error(kind, details)
        failure.outcome_known = status.code in RUNTIMES_OWN
        failure.pushback = pushback_ms(status.pushback)
        failure.shed = shed
        return failure

    def _foreign_error(self, answer: Answer, body: bytes) -> RemoteCallError:
        method, target, metadata = self.call.path[1:], self.transport.target, self.call.secrets
        answer = answer.with_body(body)
        return answer_error(answer, method=method, target=target, metadata=metadata, wanted="gRPC", now=time.time())

    def _reset_error(self, code: int) -> RemoteCallError:
        """Return the error of a stream that was reset: the server may have done what it was asked."""
        told = f"the server, or a proxy before it, reset the stream (RST_STREAM, {error_name(code)})"
        reason = reset_reason(code, started=self.started, within=self.is_within(), uploads=self.is_streamed())
        if reason is None:
            failure = self._error(error_class(RESET_CODES.get(code, "INTERNAL")), told)
        else:
            failure = self._error(reason[0], f"{told}; {reason[1]}")
        failure.reset = True
        return failure

    def is_within(self) -> bool:
        """Whether the call is in the middle of its stream of answers."""
        return False

    def is_streamed(self) -> bool:
        """Whether the request is a stream."""
        return False

    def _unreadable(self, error: MessageError) -> RemoteCallError:
        if error.too_large:
            return self._error(ResponseTooLargeError, f"CLIENT: {error}; {RAISE_LIMIT}")
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
