"""A gRPC call with a stream of responses, of messages, or of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import copy_context
from typing import TYPE_CHECKING

from ...errors import InvalidResponseError, RemoteCallError, StreamTruncatedError, UnavailableError
from ..call import Answered, Call, close_input, no_progress
from ..exchange import StreamingExchange
from ..http_errors import SILENCED
from .events import Stream
from .exchange import GrpcExchange
from .headers import Head
from .messages import MessageReader, frame_message
from .requests import Block

if TYPE_CHECKING:
    from .connection import GrpcConnection
    from .transport import GrpcTransport

_REPLAY = 64 << 10
"""Bytes of a streamed input that are kept until the server begins to answer, in case it refuses the call."""
_FAIR = 256
"""Responses that a reader takes in a row before the event loop gets a turn."""


class StreamExchange(StreamingExchange["GrpcTransport"], GrpcExchange):
    """A call with any number of responses, and with one message or a stream of them. See `ByteStream`."""

    __slots__ = (
        "_closes_input",
        "_context",
        "_in_a_row",
        "_kept",
        "_kept_size",
        "_sent_end",
        "_uncredited",
        "_upload",
        "_uploaded",
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
        self._context = copy_context()
        """The caller's, in which the input is read: a connection runs in that of the call that opened it."""
        self._within = False
        """Whether the stream of responses has begun."""
        self._waiter = None
        self._waits_for_head = False
        self._writable: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._uploaded = self._sent_end = self._closes_input = False
        self._kept: list[bytes] | None = []
        """The part of a streamed input that was sent, while it may have to be sent again."""
        self._kept_size = 0
        self._uncredited = self._in_a_row = 0
        self._moved = 0.0
        self._limit_total()

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
        """Let the server send as many bytes as were read.

        When no whole message is left, the bytes of an incomplete one count as read: a message larger than the window
        would never be completed otherwise.
        """
        reader = self.reader
        left = reader.held if reader is not None and reader.ready else 0
        size, self._uncredited = self._uncredited - left, left
        if size > 0 and self.stream is not None and self.connection is not None:
            self.connection.take(self.stream, size)

    def _raise_failure(self) -> None:
        if self.failure is None:
            reader, self.reader = self.reader, None
            if reader is not None and reader.error:
                self.failure = self._unreadable(reader.error)
            elif reader is not None and reader.pending:
                self.failure = self._error(InvalidResponseError, "the stream ended in the middle of a message")
        super()._raise_failure()

    def _late_error(self) -> RemoteCallError:
        return no_progress(self.call, self.transport.target)

    @property
    def limit(self) -> float | None:
        return self.call.total_timeout

    def on_head(self, head: Head, end: bool) -> None:
        super().on_head(head, end)
        if self._waits_for_head:
            self._wake()
        # The runtime answers a streamed input with headers before it works on any message.
        self._within = self.input is not None

    @property
    def has_begun(self) -> bool:
        return self.reader is not None

    def has_items(self) -> bool:
        return self.reader is not None and self.reader.pending

    def is_within(self) -> bool:
        return self._within

    def is_streamed(self) -> bool:
        return self.input is not None

    def on_lost(self, error: RemoteCallError) -> None:
        if self._within and isinstance(error, UnavailableError):
            error = self._error(StreamTruncatedError, f"{error.details}, before the stream had ended; {SILENCED}")
        super().on_lost(error)

    def end_without_status(self) -> None:
        if self._within:
            details = f"the server, or a proxy before it, cut the stream; {SILENCED}"
            self.fail(self._error(StreamTruncatedError, details))
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
            self._upload = self._context.run(self.transport.own, self._send_input(self.input))
            self._upload.add_done_callback(self._forget_upload)
        self.writable()

    def _forget_upload(self, upload: asyncio.Task[None]) -> None:
        self._upload = None  # the traceback of its exception refers back to this stream

    async def _send_input(self, items: AsyncIterator[bytes]) -> None:
        try:
            await self._send_items(items)
        finally:
            self._closes_input = True
            await close_input(items)

    async def _send_items(self, items: AsyncIterator[bytes]) -> None:
        """Send the messages of the iterator. Its exception ends the call, and `read` raises it."""
        while True:
            try:
                item = await anext(items)
            except StopAsyncIteration:
                break
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                self.fail(error)  # the iterator raised it itself
                return
            except Exception as error:
                self.fail(error)
                return
            except BaseException as error:
                self.fail(error)
                raise
            too_large = self.transport.too_large(self.call, item)
            if too_large is not None:
                self.fail(too_large)
                return
            data = await self.transport.packed(item) if self.transport.compresses else frame_message(item)
            if not await self._send(data):
                return
        self._sent_end = True
        if self.stream is not None and self.connection is not None:
            self.connection.send(self.stream, b"", end=True)

    async def _send(self, data: bytes) -> bool:
        """Send one message as flow control allows; return whether the call wants more."""
        while self.connection is None and not self.over:
            await self._until_writable()  # just refused: the messages sent before are sent again first
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
        """Keep a message in case the call is refused, as long as that is possible."""
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
        self._forget_total()
        self._wake()
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
    """Return whether somebody cancels the current task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
