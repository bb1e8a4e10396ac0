"""gRPC by our own engine: calls that wait for a connection, and the turn of the loop in which they are written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from ...errors import ConfigurationError, RemoteCallError, RemoteClientError, ResourceExhaustedError
from ...settings import ConnectionInfo
from ..call import Answered, ByteStream, Call, Transport
from ..deadlines import Deadlines
from ..grpc_options import GrpcOptions
from ..net.diagnosis import again
from ..retry import NEVER
from .channel import Channel
from .connection import GrpcConnection
from .exchange import Exchange, UnaryExchange
from .headers import FIELD_OVERHEAD
from .keepalive import ServerMemory
from .messages import frame_message
from .requests import RequestHeads, timeout_block
from .stream import StreamExchange

_FEW = 32
"""Calls that may be over and still wait in line: to look for each costs more than it holds."""


class GrpcTransport(Transport):
    """Connections to one server: one for each of its addresses, made when a call needs them. See `Transport`.

    Args:
        connection: the server.
        options: limits and times.
        memory: what earlier connections to the server learned.
    """

    def __init__(self, connection: ConnectionInfo, options: GrpcOptions, memory: ServerMemory | None = None) -> None:
        super().__init__()
        self.target = connection.target
        self.options = options
        self.deadlines = Deadlines(self.loop)
        self.compresses = options.compression == "gzip"
        self._channel = Channel(self, connection, options, memory or ServerMemory())
        self._heads = RequestHeads(connection, options)
        self._running: set[Exchange] = set()
        self._waiting: deque[Exchange] = deque()
        self._dead = 0
        """Calls in `_waiting` that are over."""
        self._scheduled = False
        self._dirty: set[GrpcConnection] = set()
        self._reason: Callable[[], RemoteClientError] | None = None

    # -- calls --------------------------------------------------------------------------------------------------------

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        if not isinstance(body, bytes):
            return await self._stream_unary(call, body, answered)
        self._check(call, body)
        exchange = UnaryExchange(self, call, self._heads.block(call), frame_message(body, self.compresses), answered)
        self.enqueue(exchange)
        try:
            await exchange.done
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        try:
            return exchange.result()
        finally:
            del exchange  # a traceback would keep it, and it the answer

    async def _stream_unary(self, call: Call, body: AsyncIterator[bytes], answered: Answered | None) -> bytes:
        # On the wire it is a stream of one answer; read as one, an early answer survives the messages it cuts short.
        stream = self.stream(call, body, answered)
        try:
            answer = await stream.read()
            extra = None if answer is None else await stream.read()
            if answer is None or extra is not None:
                assert isinstance(stream, Exchange)
                raise stream.not_one("no answer" if answer is None else "more than one answer")
        finally:
            await stream.aclose()
        return answer

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        whole: bytes | AsyncIterator[bytes] = body
        if isinstance(body, bytes):
            self._check(call, body)
            whole = frame_message(body, self.compresses)
        exchange = StreamExchange(self, call, self._heads.block(call), whole, answered)
        self.enqueue(exchange)
        return exchange

    def _check(self, call: Call, body: bytes) -> None:
        if self._reason is not None:
            raise self._reason()
        excess = self.excess(call, body)
        if excess is not None:
            raise _unsent(excess)

    def excess(self, call: Call, message: bytes) -> RemoteCallError | None:
        """Return the error of a message that is larger than the limit of this client."""
        limit = self.options.max_send_size
        if limit is None or len(message) <= limit:
            return None
        told = f"the request is larger than the limit of this client ({len(message)} vs. {limit} bytes)"
        return _final(ResourceExhaustedError(told, method=call.path[1:], target=self.target))

    def enqueue(self, exchange: Exchange, *, first: bool = False) -> None:
        """Let a call wait for a connection; calls of one turn of the loop are written together."""
        if self._reason is not None:
            exchange.fail(self._reason())
            return
        self._running.add(exchange)
        exchange.queued = True
        if first:
            self._waiting.appendleft(exchange)
        else:
            self._waiting.append(exchange)
        self.schedule()

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait for a connection."""
        return bool(self._waiting)

    def calls_on(self, connection: GrpcConnection) -> list[Exchange]:
        """Return the calls that run on a connection."""
        return [each for each in self._running if each.connection is connection]

    def forget(self, exchange: Exchange) -> None:
        """A call is over."""
        self._running.discard(exchange)
        if exchange.queued:
            self._dead += 1
            if self._dead > _FEW and self._dead * 2 > len(self._waiting):
                self._waiting = deque(each for each in self._waiting if not each.over)
                self._dead = 0

    # -- sending ------------------------------------------------------------------------------------------------------

    def schedule(self, connection: GrpcConnection | None = None) -> None:
        """Send what waits, and what a connection has to say, at the end of this turn of the loop."""
        if connection is not None:
            self._dirty.add(connection)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        while self._waiting:
            if self._waiting[0].over:
                self._waiting.popleft()  # cancelled before anything of it was sent
                self._dead -= 1
                continue
            connection = self._channel.pick()
            if connection is None:
                break
            self._open(self._waiting.popleft(), connection)
        dirty, self._dirty = self._dirty, set()
        for connection in dirty:
            connection.flush()
        if self._waiting and self._reason is None:
            failure = self._channel.connect()
            if failure is not None:
                self._fail_waiting(failure)

    def _open(self, exchange: Exchange, connection: GrpcConnection) -> None:
        """Send a call on a connection."""
        exchange.queued = False
        (block, size), limit = exchange.block, connection.header_list_limit
        seconds = exchange.time_left()
        if seconds is not None:
            timeout = timeout_block(seconds)
            block, size = block + timeout, size + len(timeout) + FIELD_OVERHEAD
        if limit is not None and size > limit:
            told = f"the metadata is larger than the server accepts ({size} vs. {limit} bytes)"
            failure = ResourceExhaustedError(told, method=exchange.call.path[1:], target=self.target)
            exchange.fail(_unsent(_final(failure)))
            return
        connection.open(exchange, block)
        self._dirty.add(connection)

    def _fail_waiting(self, failure: RemoteClientError) -> None:
        """Fail the calls that wait: none of them was sent."""
        waiting, self._waiting, self._dead = self._waiting, deque(), 0
        for exchange in waiting:
            exchange.queued = False
            if not exchange.over:
                exchange.fail(self._copy_of(failure, exchange.call))

    def _copy_of(self, failure: RemoteClientError, call: Call) -> RemoteClientError:
        if not isinstance(failure, RemoteCallError):
            return ConfigurationError(str(failure))
        return _unsent(again(failure, call.path[1:]))

    # -- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        for exchange in list(self._running):
            exchange.fail(reason())
        self._waiting.clear()
        self.deadlines.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._channel.aclose()
        del self._channel  # it knows this transport: neither must wait for the garbage collector


def _unsent(failure: RemoteCallError) -> RemoteCallError:
    failure.outcome_known = True
    return failure


def _final(failure: RemoteCallError) -> RemoteCallError:
    failure.pushback = NEVER  # it would fail again
    return failure
