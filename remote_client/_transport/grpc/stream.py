"""A call with a stream of answers, of messages, or of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ..._settings.durations import lasting
from ...errors import (
    DeadlineExceededError,
    InvalidResponseError,
    RemoteCallError,
    StreamTruncatedError,
    UnavailableError,
)
from ..call import Answered, ByteStream, Call, close_input
from ..http_errors import SILENCED
from .events import Stream
from .exchange import Exchange
from .headers import Head
from .messages import MessageReader, frame_message
from .requests import Block

if TYPE_CHECKING:
    from .connection import GrpcConnection
    from .transport import GrpcTransport

_REPLAY = 64 << 10
"""Bytes of a streamed input that are kept until the server begins to answer, for the case that it refuses the call."""
_FAIR = 256
"""Answers that a reader takes in a row before the event loop gets a turn."""


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
        "_closes_input",
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
        "_within",
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
        self._within = False
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._uploaded = self._sent_end = self._closes_input = False
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
            self._waiter = self._wait()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
            finally:
                self._waiter = None
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

    def _wait(self) -> asyncio.Future[None]:
        """Begin to wait for an answer, no longer than the limit between two of them."""
        timeout, loop = self.call.timeout, self.transport.loop
        if timeout is not None:
            self._moved = loop.time()
            if not self._due:
                self._due = self.transport.deadlines.add(timeout, self)
        return loop.create_future()

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
        if self._foreign is not None:
            super().expire()
            return
        # The deadline is not moved with each item: whether one came meanwhile is looked at here.
        self._due = 0.0
        timeout = self.call.timeout
        if self.over or timeout is None or self._waiter is None:
            return
        left = self._moved + timeout - self.transport.loop.time()
        if left > 0:
            self._due = self.transport.deadlines.add(left, self)
        else:
            self._late()

    def _expired(self) -> RemoteCallError:
        return self._error(DeadlineExceededError, f"no progress for {lasting(self.call.timeout)} (timeout)")

    @property
    def limit(self) -> float | None:
        return self.call.total_timeout

    def total_expired(self) -> RemoteCallError:
        """The error of a stream that took too long as a whole."""
        told = f"the stream was not over within {lasting(self.call.total_timeout)} (total_timeout)"
        return self._error(DeadlineExceededError, told)

    def on_head(self, head: Head, end: bool) -> None:
        super().on_head(head, end)
        # The runtime acknowledges a stream of messages by a head, before it works on any.
        self._within = self.input is not None

    def is_within(self) -> bool:
        return self._within

    def is_streamed(self) -> bool:
        return self.input is not None

    def on_lost(self, error: RemoteCallError) -> None:
        if self._within and isinstance(error, UnavailableError):
            told = f"{error.details}, before the stream had ended; {SILENCED}"
            error = self._error(StreamTruncatedError, told)
        super().on_lost(error)

    def end_without_status(self) -> None:
        if self._within:
            told = f"the server, or a proxy before it, cut the stream; {SILENCED}"
            self.fail(self._error(StreamTruncatedError, told))
        else:
            super().end_without_status()

    def arrived(self, reader: MessageReader, size: int) -> None:
        self._within = True
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
        if self._upload is None and not self._sent_end:
            self._upload = self.transport.own(self._send_all(self.input))
            self._upload.add_done_callback(self._uploaded_all)
        self.writable()

    def _uploaded_all(self, upload: asyncio.Task[None]) -> None:
        self._upload = None  # its exception's traceback leads back here

    async def _send_all(self, items: AsyncIterator[bytes]) -> None:
        try:
            await self._send_each(items)
        finally:
            self._closes_input = True
            await close_input(items)

    async def _send_each(self, items: AsyncIterator[bytes]) -> None:
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
            excess = self.transport.excess(self.call, item)
            if excess is not None:
                self.fail(excess)
                return
            if not await self._send(frame_message(item, self.transport.compresses)):
                return
        self._sent_end = True
        if self.stream is not None and self.connection is not None:
            self.connection.send(self.stream, b"", end=True)

    async def _send(self, data: bytes) -> bool:
        """Send one message, when the windows allow; returns whether more are wanted."""
        while self.connection is None and not self.over:
            await self._until_writable()  # refused just now: what was sent before goes first, once more
        if self.over:
            return False
        self._keep(data)
        self._uploaded = True
        assert self.stream is not None
        assert self.connection is not None
        sent = self.connection.send(self.stream, data, end=False)
        if self._answered is not None:
            self.answered()
        self._moved = self.transport.loop.time()
        if not sent:
            await self._until_writable()
        return not self.over

    def _keep(self, data: bytes) -> None:
        """Keep a message for the case that the call is refused, as long as that is possible."""
        if self._kept is not None:
            self._kept_size += len(data)
            if self.started or self._kept_size > _REPLAY:
                self._kept = None
            else:
                self._kept.append(data)

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
        if self._upload is not None and not self._closes_input and self._upload is not asyncio.current_task():
            self._upload.cancel()
        self._kept = None

    def cancel(self) -> None:
        super().cancel()
        self.reader = None
        self.failure = None

    async def aclose(self) -> None:
        self.cancel()
        if self._upload is not None and self._upload is not asyncio.current_task():  # an input may close its stream
            await asyncio.wait((self._upload,))


def _is_cancelled() -> bool:
    """Whether somebody cancels the current task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
