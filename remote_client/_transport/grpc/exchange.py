"""One gRPC call in flight: takes what arrives for it, and turns its end into a result or a typed error."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from ..._text.redaction import redacted
from ...errors import (
    CallCancelledError,
    InternalError,
    InvalidResponseError,
    RemoteCallError,
    ResponseTooLargeError,
    UnavailableError,
)
from ..call import RAISE_LIMIT, RUNTIMES_LIMIT, Answered, Call, deadline_exceeded, not_single
from ..exchange import Exchange
from ..http_errors import MAX_ERROR_SIZE, RUNTIMES_OWN, Answer, answer_error, explained_status, reset_reason
from ..metadata import RawMetadata
from ..retry import pushback_ms
from ..status_codes import error_class
from .events import Stream
from .frames import error_name
from .headers import Head
from .messages import RESET_CODES, MessageError, MessageReader, Status, read_head, read_metadata, read_trailers
from .requests import Block

if TYPE_CHECKING:
    from .connection import GrpcConnection
    from .transport import GrpcTransport

_NO_WAIT = 0.01
"""Seconds that a call may wait for a connection before the timeout it sends to the server is reduced."""
_MAX_REFUSALS = 10
"""How often a refused call is sent again. Refusals by connections that end after other calls do not count."""


class GrpcExchange(Exchange["GrpcTransport"]):
    """The state of one call; see `Exchange`.

    Attributes:
        block: the header block of the request without its timeout, and the size of its header list.
        body: the only message of the request with its prefix; None for a streamed input.
        stream, connection: what carries it; None while it waits and after its end.
        queued: whether it waits in the transport's queue.
        started: whether the response headers have arrived.
        begun: the time it was made.
        reader: splits the body into messages; None before the headers.
    """

    __slots__ = (
        "_head",
        "_http_answer",
        "_refusals",
        "_status",
        "_text",
        "begun",
        "block",
        "body",
        "connection",
        "queued",
        "reader",
        "started",
        "stream",
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
        self.over = self.queued = self.started = False
        self.failure = None
        self.reader: MessageReader | None = None
        self._answered = answered
        self._head: Head | None = None
        self._status: Status | None = None
        self._http_answer: Answer | None = None
        """A response that is not gRPC, while its body arrives."""
        self._text = bytearray()
        self._refusals = 0
        self._due = 0.0

    # -- events: the connection and the transport call these ----------------------------------------------------------

    def opened(self, connection: GrpcConnection, stream: Stream) -> None:
        """Note that the request's headers were sent."""
        self.connection, self.stream = connection, stream

    def on_head(self, head: Head, end: bool) -> None:
        """Take the response headers; `end` if nothing follows them."""
        self.started = True
        if self._answered is not None and not end:
            self.answered()
        if not end:  # trailers only have nothing before them
            self._head = head
        if self.call.answer is not None:
            self.call.answer.begin(tuple if end else partial(read_metadata, head))
        answer = read_head(head, end)
        if answer.status is None:
            self.reader = MessageReader(self.transport.options.max_receive_size, answer.encoding)
        elif end or answer.is_grpc:
            self.end(answer.status)
        else:
            self._http_answer = answer.status.http_answer
            self._limit_error_body()

    def on_data(self, data: bytes | memoryview, end: bool) -> None:
        """Take a part of the body."""
        if self._http_answer is not None:
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
        """Fail: the response ended with its body, which no gRPC server does."""
        self.fail(self._error(UnavailableError, "the server, or a proxy before it, ended the answer without a status"))

    def _take_text(self, data: bytes | memoryview, end: bool) -> None:
        self._text += data[: MAX_ERROR_SIZE - len(self._text)]
        if end or len(self._text) >= MAX_ERROR_SIZE:
            self._end_with_error()
        elif self.stream is not None and self.connection is not None:
            self.connection.take(self.stream, len(data))

    def on_trailers(self, head: Head) -> None:
        """Take the trailers."""
        if self._http_answer is not None:
            self._end_with_error()
        else:
            self.end(read_trailers(head))

    def on_reset(self, code: int, detail: str | None) -> None:
        """End: the server reset the stream, or broke the rule in `detail`."""
        self.stream = None
        if self._http_answer is not None:
            self._end_with_error()
        elif detail is not None:
            self.reader = None  # nothing that such a server sent counts
            self.fail(InvalidResponseError(detail, method=self.call.method, target=self.transport.target))
        else:
            self.fail(self._reset_error(code))

    def on_refused(self) -> None:
        """Send the call again, even one that is sent once only: the server did not process it."""
        connection = self.connection
        if connection is None or not (connection.leaving and connection.serves):
            self._refusals += 1  # a connection that ends after other calls makes progress
        self.stream = self.connection = None
        if self._refusals <= _MAX_REFUSALS and self.transport.options.transparent_retries and self.can_replay():
            self.transport.enqueue(self, first=True)
        else:
            failure = self._error(UnavailableError, "the server refused the call without processing it")
            failure.outcome_known = failure.reset = True
            self.fail(failure)

    def on_lost(self, error: RemoteCallError) -> None:
        """End: the connection was lost."""
        self.stream = None
        if self._http_answer is not None:
            self._end_with_error()
        else:
            error.method = self.call.method
            self.fail(error)

    def _reads_error(self) -> bool:
        return self._http_answer is not None

    def _end_with_error(self) -> None:
        assert self._http_answer is not None
        self.fail(self._http_error(self._http_answer, bytes(self._text)))

    def _end_late(self) -> None:
        connection, timeout = self.connection, self.call.timeout
        self.fail(self._late_error())
        if connection is not None and timeout is not None:
            connection.on_late(timeout)

    def _late_error(self) -> RemoteCallError:
        return deadline_exceeded(self.call, self.transport.target)

    # -- ends ---------------------------------------------------------------------------------------------------------

    def end(self, status: Status) -> None:
        """End the call with a status."""
        self._status = status
        if self.call.answer is not None:
            self.call.answer.end(lambda: status.metadata)
        if status.code == "OK":
            self.finish()
        else:
            self.fail(self._status_error(status))

    def finish(self) -> None:
        self.over = True
        self.body = self._answered = None
        if self._due:
            self.transport.deadlines.discard(self._due, self)
        connection, stream = self.connection, self.stream
        self.connection = self.stream = None
        if connection is not None and stream is not None:
            connection.release(stream)
        self.transport.forget(self)

    def answer_metadata(self) -> tuple[RawMetadata, RawMetadata]:
        head = () if self._head is None else read_metadata(self._head)
        return head, () if self._status is None else self._status.metadata

    # -- where kinds of calls differ ----------------------------------------------------------------------------------

    def arrived(self, reader: MessageReader, size: int) -> None:
        """Note that the reader got so many bytes of the body."""
        raise NotImplementedError

    def writable(self) -> None:
        """Note that all data that waited for flow control has been sent."""

    def can_replay(self) -> bool:
        """Return whether the request can be sent again."""
        return True

    def is_within(self) -> bool:
        """Return whether the call is in the middle of a stream of responses."""
        return False

    def is_streamed(self) -> bool:
        """Return whether the request is a stream."""
        return False

    @property
    def limit(self) -> float | None:
        """The timeout of the whole call."""
        return self.call.timeout

    def time_left(self) -> float | None:
        """Return the timeout to send to the server; None for no limit."""
        limit = self.limit
        if limit is None:
            return None
        waited = self.transport.loop.time() - self.begun
        return limit if waited < _NO_WAIT else max(limit - waited, 0.001)

    # -- errors -------------------------------------------------------------------------------------------------------

    def _error(self, kind: type[RemoteCallError], details: str) -> RemoteCallError:
        return kind(redacted(details, self.call.secrets), method=self.call.method, target=self.transport.target)

    def _status_error(self, status: Status) -> RemoteCallError:
        if status.http_answer is not None:
            return self._http_error(status.http_answer, b"")
        details = status.message
        if status.code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
            details += f"; {RUNTIMES_LIMIT}"
        kind, details = explained_status(status.code, details)
        kind = kind or error_class(status.code)
        shed = status.bare and kind is CallCancelledError
        if shed and not details:
            details = "the server is overloaded and dropped the call"
        failure = self._error(kind, details)
        failure.outcome_known = status.code in RUNTIMES_OWN
        failure.pushback = pushback_ms(status.pushback)
        failure.shed = shed
        return failure

    def _http_error(self, answer: Answer, body: bytes) -> RemoteCallError:
        target = self.transport.target
        return answer_error(answer.with_body(body), self.call, target, wanted="gRPC", now=time.time())

    def _reset_error(self, code: int) -> RemoteCallError:
        """Return the error of a stream that was reset: the server may have executed the call."""
        details = f"the server, or a proxy before it, reset the stream (RST_STREAM, {error_name(code)})"
        reason = reset_reason(code, started=self.started, within=self.is_within(), uploads=self.is_streamed())
        if reason is None:
            failure = self._error(error_class(RESET_CODES.get(code, "INTERNAL")), details)
        else:
            failure = self._error(reason[0], f"{details}; {reason[1]}")
        failure.reset = True
        return failure

    def _unreadable(self, error: MessageError) -> RemoteCallError:
        if error.too_large:
            return self._error(ResponseTooLargeError, f"CLIENT: {error}; {RAISE_LIMIT}")
        return self._error(InternalError, str(error))

    def _not_single(self, found: str) -> RemoteCallError:
        return not_single(found, self.call, self.transport.target)


class UnaryExchange(GrpcExchange):
    """A call of one message and one response. `done` is set at its end."""

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
            self.fail(self._not_single("more than one answer"))
        elif self.stream is not None and self.connection is not None:
            self.connection.take(self.stream, size)  # the limit on a message also bounds what is buffered

    def finish(self) -> None:
        super().finish()
        if not self.done.done():
            self.done.set_result(None)

    def result(self) -> bytes:
        """Return the response of a call that is over, or raise its failure."""
        answer: bytes | None = None
        if self.failure is None:
            reader = self.reader
            answer = None if reader is None else reader.take()
            if answer is None or reader is None or reader.pending:
                self.failure = self._not_answered(reader, answer)
        self._raise_failure()
        assert answer is not None
        return answer

    def _not_answered(self, reader: MessageReader | None, answer: bytes | None) -> RemoteCallError:
        if reader is not None and reader.error is not None:
            return self._unreadable(reader.error)
        if answer is not None:
            return self._not_single("more than one answer")
        return self._not_single("half an answer" if reader is not None and reader.pending else "no answer")
