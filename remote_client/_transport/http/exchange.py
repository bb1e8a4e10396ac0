"""One call on the way: what arrives for it, who waits for that, and how it ends. Streams are in `stream`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from ...errors import RemoteCallError, RemoteClientError
from ..call import Answered, Call
from ..http_errors import MAX_ERROR_SIZE, PATIENCE
from .errors import cut, late, lost, no_tls, not_connected, not_http, problem, too_large, unreadable
from .http1 import Head, Malformed
from .requests import as_answer, is_answer, is_compressed, is_cut

if TYPE_CHECKING:
    from .connection import HttpConnection
    from .transport import HttpTransport


class Exchange:
    """The state of one call, from its wish for a connection to its end.

    Attributes:
        head, body: the request.
        connection: where it runs; None while it waits and after its end.
        waiting: whether it waits for a connection.
        sent: whether anything of it may have been sent.
        again: whether a kept connection was dead that was to carry it: it gets a new one.
        over: whether it has ended, for whatever reason.
        failure: why it failed, until that was raised; None where it did not.
    """

    __slots__ = (
        "__weakref__",
        "_answer",
        "_answered",
        "_due",
        "_hurries",
        "_text",
        "again",
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
        """The body of an answer that is not the wanted one."""
        self.again = False
        self._due = 0.0
        self._hurries = False
        """Whether it waits for no more than what an answer that is not the wanted one says."""

    # -- what happens to it: called by its connection and the pool ----------------------------------------------------

    def on_head(self, head: Head) -> None:
        """The head of the answer arrived."""
        told, self._answered = self._answered, None
        if told is not None:
            told()
        self._answer = head
        if not (200 <= head.status < 300 and self._is_wanted(head)):
            self._text = bytearray()
            self._hurry()
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

    def on_malformed(self, connection: HttpConnection, malformed: Malformed) -> None:
        """What arrived is no answer."""
        start = b"" if connection.used else malformed.start
        self.fail(not_http(malformed.detail, start, self.call, self.transport.route))

    def on_lost(self, connection: HttpConnection, error: Exception | None) -> None:
        """The connection ended before the answer did."""
        self.connection = None
        if self._text is not None:
            self.fail(self._problem(self._text))  # what there is of it
        elif connection.used and not connection.heard and self.call.idempotent and not self.again:
            # A server may end a kept connection just when a request is on its way.
            self.again = True
            self.transport.pool.submit(self, fresh=True)
        else:
            first = not (connection.used or connection.heard or self.transport.pool.has_served)
            self.fail(self._lost(error, first))

    def on_unsent(self, error: BaseException) -> None:
        """No connection could be made."""
        self.waiting = False
        failure = not_connected(error, self.call, self.transport.target, self.transport.route)
        if self.sent and isinstance(failure, RemoteCallError):
            failure.outcome_known = False  # the first time, on a kept connection
        self.fail(failure)

    def _hurry(self) -> None:
        """Wait a moment for the body of an answer that is not the wanted one."""
        deadlines, latest = self.transport.deadlines, self.transport.loop.time() + PATIENCE
        if not self._due or self._due > latest:
            deadlines.discard(self._due, self)
            self._due, self._hurries = deadlines.add(PATIENCE, self), True

    def expire(self) -> None:
        """The deadline passed."""
        self._due = 0.0
        if self.over:
            return
        if self._hurries and self._text is not None:
            self.fail(self._problem(self._text))  # what there is of it
        else:
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
        if self._answer.status == 400 and (wanted := no_tls(bytes(text), self.call, self.transport.route)) is not None:
            return wanted
        answer, transport = self._answer, self.transport
        return problem(answer.status, bytes(text), self.call, transport.target, answer.headers, self.wanted)

    def _unreadable(self, why: str) -> None:
        self.fail(unreadable(why, self.call, self.transport.target))

    def _too_large(self, limit: int) -> None:
        self.fail(too_large(limit, self.call, self.transport.target))

    def _lost(self, error: Exception | None, first: bool = False) -> RemoteClientError:
        """Return the error of a connection that ended; `first` where the server never said a word to this client."""
        return lost(error, self.call, self.transport.route, first)

    # -- what kinds of calls differ in --------------------------------------------------------------------------------

    wanted: ClassVar[str]
    """What an answer is, for error messages."""

    def _is_wanted(self, head: Head) -> bool:
        """Whether the type of a success is one that such a call may have."""
        raise NotImplementedError

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

    __slots__ = ("_limit", "_parts", "_size", "done")
    wanted = "JSON"

    def __init__(self, transport: HttpTransport, call: Call, head: bytes, body: bytes, told: Answered | None) -> None:
        super().__init__(transport, call, head, body, told)
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
        """Return the answer of a call that is over, or raise its failure."""
        self._raise_failure()
        assert self._answer is not None
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return as_answer(data, self._answer.headers, self.call.metadata)
