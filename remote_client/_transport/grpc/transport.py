"""gRPC over this package's own HTTP/2: the queue of calls for a connection, and when they are written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from ..._concurrency.threads import run_in_thread
from ...errors import ConfigurationError, RemoteCallError, RemoteClientError, ResourceExhaustedError
from ...settings import ConnectionInfo
from ..call import Answered, ByteStream, Call, Transport, read_single
from ..grpc_options import GrpcOptions
from ..net.diagnosis import copy_for
from ..retry import NEVER
from .channel import Channel
from .connection import GrpcConnection
from .exchange import GrpcExchange, UnaryExchange
from .headers import FIELD_OVERHEAD
from .keepalive import ServerMemory
from .messages import frame_message
from .requests import ID_OVERHEAD, RequestHeads, id_block, timeout_block
from .stream import StreamExchange

_FEW = 32
"""Calls that may stay in the queue after their end: removing one by one costs more than the memory they hold."""
_LARGE = 64 * 1024
"""Bytes of a message that another thread compresses: a megabyte takes 20 ms, in which the loop would stand still."""


class GrpcTransport(Transport):
    """The connections to a server's addresses, opened when calls need them. See `Transport`.

    Args:
        connection: the server.
        options: limits and times.
        memory: findings of earlier connections to the server.
    """

    def __init__(self, connection: ConnectionInfo, options: GrpcOptions, memory: ServerMemory | None = None) -> None:
        super().__init__(connection.target)
        self.options = options
        self.compresses = options.compression == "gzip"
        self._channel = Channel(self, connection, options, memory or ServerMemory())
        self._heads = RequestHeads(connection, options)
        self._running: set[GrpcExchange] = set()
        self._waiting: deque[GrpcExchange] = deque()
        self._over = 0
        """The number of calls in `_waiting` that are over."""
        self._scheduled = False
        self._dirty: set[GrpcConnection] = set()
        """Connections with something to write."""

    # -- calls --------------------------------------------------------------------------------------------------------

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        if not isinstance(body, bytes):
            return await read_single(self.stream(call, body, answered), call, self.target)
        self._check(call, body)
        takes_long = self.compresses and len(body) > _LARGE
        message = b"" if takes_long else frame_message(body, self.compresses)
        exchange = UnaryExchange(self, call, self._heads.block(call), message, answered)
        try:
            if takes_long:
                exchange.body = await self.packed(body)
            if not exchange.over:  # its time may be up
                self.enqueue(exchange)
            await exchange.done
            return exchange.result()
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        finally:
            del exchange  # else a traceback keeps it, and with it the response

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        if isinstance(body, bytes):
            self._check(call, body)
            body = frame_message(body, self.compresses)
        exchange = StreamExchange(self, call, self._heads.block(call), body, answered)
        self.enqueue(exchange)
        return exchange

    async def packed(self, data: bytes) -> bytes:
        """Return a message with its prefix, compressed if that makes it smaller, a large one by another thread."""
        if len(data) > _LARGE:
            return await run_in_thread(frame_message, data, True)
        return frame_message(data, True)

    def _check(self, call: Call, body: bytes) -> None:
        if self.reason is not None:
            raise self.reason()
        too_large = self.too_large(call, body)
        if too_large is not None:
            raise _unsent(too_large)

    def too_large(self, call: Call, message: bytes) -> RemoteCallError | None:
        """Return the error of a message over this client's limit; None for any other."""
        limit = self.options.max_send_size
        if limit is None or len(message) <= limit:
            return None
        details = f"the request is larger than the limit of this client ({len(message)} vs. {limit} bytes)"
        return _final(ResourceExhaustedError(details, method=call.method, target=self.target))

    def enqueue(self, exchange: GrpcExchange, *, first: bool = False) -> None:
        """Queue a call for a connection. The calls of one turn of the loop are written together."""
        if self.reason is not None:
            exchange.fail(self.reason())
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

    def calls_on(self, connection: GrpcConnection) -> list[GrpcExchange]:
        """Return the calls that run on a connection."""
        return [exchange for exchange in self._running if exchange.connection is connection]

    def forget(self, exchange: GrpcExchange) -> None:
        """Drop a call that is over."""
        self._running.discard(exchange)
        if exchange.queued:
            self._over += 1
            if self._over > _FEW and self._over * 2 > len(self._waiting):
                self._waiting = deque(waiting for waiting in self._waiting if not waiting.over)
                self._over = 0

    # -- sending ------------------------------------------------------------------------------------------------------

    def schedule(self, connection: GrpcConnection | None = None) -> None:
        """Send the calls that wait, and the connection's output, at the end of this turn of the loop."""
        if connection is not None:
            self._dirty.add(connection)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        while self._waiting:
            if self._waiting[0].over:
                self._waiting.popleft()  # cancelled before it was sent
                self._over -= 1
                continue
            connection = self._channel.pick()
            if connection is None:
                break
            self._open(self._waiting.popleft(), connection)
        dirty, self._dirty = self._dirty, set()
        for connection in dirty:
            connection.flush()
        if self._waiting and self.reason is None:
            failure = self._channel.connect()
            if failure is not None:
                self._fail_waiting(failure)

    def _open(self, exchange: GrpcExchange, connection: GrpcConnection) -> None:
        """Send a call on a connection."""
        exchange.queued = False
        (block, size), limit = exchange.block, connection.header_list_limit
        if exchange.call.sends_id:
            id = exchange.call.request_id
            block, size = block + id_block(id), size + ID_OVERHEAD + len(id)
        seconds = exchange.time_left()
        if seconds is not None:
            timeout = timeout_block(seconds)
            block, size = block + timeout, size + len(timeout) + FIELD_OVERHEAD
        if limit is not None and size > limit:
            details = f"the metadata is larger than the server accepts ({size} vs. {limit} bytes)"
            failure = ResourceExhaustedError(details, method=exchange.call.method, target=self.target)
            exchange.fail(_unsent(_final(failure)))
            return
        connection.open(exchange, block)
        self._dirty.add(connection)

    def _fail_waiting(self, failure: RemoteClientError) -> None:
        """Fail the calls that wait; none of them was sent."""
        waiting, self._waiting, self._over = self._waiting, deque(), 0
        for exchange in waiting:
            exchange.queued = False
            if not exchange.over:
                exchange.fail(self._copy_of(failure, exchange.call))

    def _copy_of(self, failure: RemoteClientError, call: Call) -> RemoteClientError:
        if not isinstance(failure, RemoteCallError):
            return ConfigurationError(str(failure))
        return _unsent(copy_for(failure, call.method))

    # -- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self.reason is not None:
            return
        self.reason = reason
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
        del self._channel  # a reference cycle would wait for the garbage collector


def _unsent(failure: RemoteCallError) -> RemoteCallError:
    failure.outcome_known = True
    return failure


def _final(failure: RemoteCallError) -> RemoteCallError:
    failure.pushback = NEVER  # a retry would fail the same way
    return failure
