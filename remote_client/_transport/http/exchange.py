"""One HTTP call in flight: takes what arrives for it, and turns its end into a result or a typed error."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ...errors import RemoteCallError, RemoteClientError
from ..call import Answered, Call, deadline_exceeded
from ..exchange import Exchange
from ..http_errors import MAX_ERROR_SIZE
from ..metadata import RawMetadata
from .errors import cut, invalid_response, lost, no_tls, not_connected, not_http, response_error, too_large
from .http1 import Head, Malformed
from .requests import as_answer, is_answer, is_compressed, is_cut, metadata_in

if TYPE_CHECKING:
    from .connection import HttpConnection
    from .transport import HttpTransport


class HttpExchange(Exchange["HttpTransport"]):
    """The state of one call; see `Exchange`.

    Attributes:
        head, body: the request.
        connection: the connection that carries it; None while it waits and after its end.
        waiting: whether it waits for a connection.
        sent: whether any of it may have been sent.
        resent: whether it was sent on a reused connection that turned out to be dead; it then gets a new one.
    """

    __slots__ = (
        "_answer",
        "_hurries",
        "_text",
        "body",
        "connection",
        "head",
        "resent",
        "sent",
        "waiting",
    )

    wanted: ClassVar[str]
    """The expected response, for error messages."""

    def __init__(
        self, transport: HttpTransport, call: Call, head: bytes, body: bytes, answered: Answered | None
    ) -> None:
        self.transport = transport
        self.call = call
        self.head = head
        self.body = body
        self.connection: HttpConnection | None = None
        self.waiting = self.sent = self.over = self.resent = False
        self.failure = None
        self._answered = answered
        self._answer: Head | None = None
        self._text: bytearray | None = None
        """The body of an error response."""
        self._due = 0.0
        self._hurries = False
        """Whether the deadline is that for the body of an error response."""

    # -- events: the connection and the pool call these ---------------------------------------------------------------

    def on_head(self, head: Head) -> None:
        """Take the response headers."""
        if self._answered is not None:
            self.answered()
        self._answer = head
        if self.call.answer is not None:
            self.call.answer.begin(partial(metadata_in, head.headers), head.status)
        if not (200 <= head.status < 300 and self._is_wanted(head)):
            self._text = bytearray()
            self._hurries = self._limit_error_body()
        elif is_compressed(head.headers):
            why = "it is compressed, though nothing but identity was accepted"
            self.fail(invalid_response(why, self.call, self.transport.target))
        else:
            self._begin(head)

    def on_data(self, data: bytes) -> None:
        """Take a part of the body."""
        text = self._text
        if text is None:
            self._take(data)
        else:
            text += data[: MAX_ERROR_SIZE - len(text)]
            if len(text) >= MAX_ERROR_SIZE:
                self._end_with_error()

    def on_end(self) -> None:
        """Take the end of the response; the connection already belongs to others."""
        if self.call.answer is not None:
            self.call.answer.end(tuple)
        if self._text is not None:
            self._end_with_error()
        else:
            self._whole()

    def on_malformed(self, connection: HttpConnection, malformed: Malformed) -> None:
        """Fail: what arrived is no HTTP response."""
        start = b"" if connection.used else malformed.start
        self.fail(not_http(malformed.detail, start, self.call, self.transport.route))

    def on_lost(self, connection: HttpConnection, error: Exception | None) -> None:
        """End, or send the request again: the connection ended before the response did."""
        self.connection = None
        if self._text is not None:
            self._end_with_error()
        elif connection.used and not connection.heard and self.call.idempotent and not self.resent:
            # A server may close a reused connection just when a request is on its way.
            self.resent = True
            self.transport.pool.submit(self, fresh=True)
        else:
            first = not (connection.used or connection.heard or self.transport.pool.has_served)
            self.fail(self._lost(error, first))

    def on_unsent(self, error: BaseException) -> None:
        """Fail: no connection could be made."""
        self.waiting = False
        failure = not_connected(error, self.call, self.transport.route)
        if self.sent and isinstance(failure, RemoteCallError):
            failure.outcome_known = False  # it was sent before, on a reused connection
        self.fail(failure)

    def answer_metadata(self) -> tuple[RawMetadata, RawMetadata]:
        return () if self._answer is None else metadata_in(self._answer.headers), ()

    def _reads_error(self) -> bool:
        return self._hurries and self._text is not None

    def _end_with_error(self) -> None:
        answer, text, transport = self._answer, self._text, self.transport
        assert answer is not None
        assert text is not None
        body = bytes(text)
        failure: RemoteClientError | None = None
        if answer.status == 400:
            failure = no_tls(body, self.call, transport.route)
        self.fail(
            failure or response_error(answer.status, body, self.call, transport.target, answer.headers, self.wanted)
        )

    def _end_late(self) -> None:
        failure = deadline_exceeded(self.call, self.transport.target)
        failure.outcome_known = not self.sent
        self.fail(failure)

    # -- ends ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
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

    def give_up(self, failure: RemoteClientError | None) -> None:
        """End the call with an error; unread responses are dropped."""
        assert failure is not None
        self.fail(failure)

    def _too_large(self, limit: int) -> None:
        self.fail(too_large(limit, self.call, self.transport.target))

    def _lost(self, error: Exception | None, first: bool = False) -> RemoteClientError:
        """Return the error of a lost connection; `first` if the server never sent this client anything."""
        return lost(error, self.call, self.transport.route, first)

    # -- where kinds of calls differ ----------------------------------------------------------------------------------

    def _is_wanted(self, head: Head) -> bool:
        """Return whether a success may have this content type."""
        raise NotImplementedError

    def _begin(self, head: Head) -> None:
        """Begin to read a success."""

    def _take(self, data: bytes) -> None:
        """Take a part of its body."""
        raise NotImplementedError

    def _whole(self) -> None:
        """Take the end of its body."""
        raise NotImplementedError


class UnaryExchange(HttpExchange):
    """A call with one response. `done` is set at its end."""

    __slots__ = ("_limit", "_parts", "_size", "done")
    wanted = "JSON"

    def __init__(
        self, transport: HttpTransport, call: Call, head: bytes, body: bytes, answered: Answered | None
    ) -> None:
        super().__init__(transport, call, head, body, answered)
        self.done: asyncio.Future[None] = transport.loop.create_future()
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = transport.limit if call.max_size is None else min(call.max_size, transport.limit)
        if call.timeout is not None:
            self._due = transport.deadlines.add(call.timeout, self)

    def _is_wanted(self, head: Head) -> bool:
        return self.call.pages or is_answer(head.headers)

    def _begin(self, head: Head) -> None:
        length = head.headers.get(b"content-length")
        if length is not None and int(length) > self._limit:
            self._too_large(self._limit)

    def _take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._parts.clear()
            self._too_large(self._limit)
        else:
            self._parts.append(data)

    def _whole(self) -> None:
        assert self._answer is not None
        if not self._answer.framed and is_cut(b"".join(self._parts)):
            self.fail(cut(self.call, self.transport.target))
        else:
            self.finish()

    def finish(self) -> None:
        super().finish()
        self.transport.forget(self)
        if not self.done.done():
            self.done.set_result(None)

    def result(self) -> bytes:
        """Return the response of a call that is over, or raise its failure."""
        self._raise_failure()
        assert self._answer is not None
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return as_answer(data, self._answer.headers, self.call.metadata)
