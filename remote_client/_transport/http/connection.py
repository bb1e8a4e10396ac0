"""One HTTP/1.1 connection: carries bytes between the socket, `http1` and a call."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, cast

from ..net.connection import Connection
from ..net.silent_peers import Peer
from .errors import UnaskedError
from .http1 import Cut, End, Head, Http1, Malformed

if TYPE_CHECKING:
    from .exchange import HttpExchange
    from .pool import Pool

_SLICE = 256 * 1024
"""Bytes of a request body that are written at once: all of a large one would block the loop."""


class HttpConnection(Connection):
    """One connection of a `Pool`.

    Attributes:
        used: whether it carried a call before this one.
        heard: whether any of the response has arrived.
        idle_since: the end of its latest call.
        error: the reason of its end, if it is known.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.loop)
        self.used = self.heard = False
        self.idle_since = 0.0
        self.error: Exception | None = None
        self._pool = pool
        self._http1 = Http1()
        self._exchange: HttpExchange | None = None
        self._body = memoryview(b"")
        """The rest of a request body."""
        self._reading_paused = False

    # -- called by asyncio --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.heard = True
        exchange = self._exchange
        for event in self._http1.receive_data(data):
            if exchange is None:
                if type(event) is Malformed:
                    self.error = UnaskedError(event.detail, event.start)
                break  # the call has ended because of an earlier event
            if type(event) is bytes:
                exchange.on_data(event)
            elif type(event) is Head:
                exchange.on_head(event)
            elif type(event) is End:
                self._end(exchange, event)
            else:
                self.close(abort=True)
                exchange.on_malformed(self, cast(Malformed, event))
            exchange = self._exchange
        if exchange is None and not self._http1.is_idle:
            self.close()

    def eof_received(self) -> bool:
        self._over(None)
        return False  # without a response, the rest of the request is pointless

    def resume_writing(self) -> None:
        self._paused = False
        self._write_body()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.error = self.error or exc
        self._over(exc)
        if not self.closed.done():
            self.closed.set_result(None)

    def on_peer(self, peer: Peer) -> None:
        if peer is Peer.GONE or (peer is Peer.MISSED and not self._pool.is_named(self)):
            self.error = TimeoutError(errno.ETIMEDOUT, "nothing is acknowledged any more")
            self._over(self.error)
            self._abort()
        elif peer is not Peer.HEARD:
            self._pool.doubt(self)

    def _over(self, exc: Exception | None) -> None:
        """End the call: nothing more arrives."""
        exchange, self._exchange = self._exchange, None
        events = self._http1.receive_eof() if exc is None else [Cut()]
        self._pool.lost(self, exc)
        for event in events:
            if exchange is None:
                continue
            if type(event) is End:
                exchange.connection = None
                exchange.on_end()
            else:
                exchange.on_lost(self, exc)
        if exc is not None:
            self._http1.receive_eof()

    # -- called by calls and the pool ---------------------------------------------------------------------------------

    @property
    def is_free(self) -> bool:
        """Whether it can carry a call now."""
        return self._exchange is None and self._http1.is_idle and not self.is_closing

    @property
    def peer(self) -> Any:
        """The host and port it is connected to."""
        address = None if self.transport is None else self.transport.get_extra_info("peername")
        return None if address is None else address[:2]

    def send(self, exchange: HttpExchange) -> None:
        """Send a call."""
        transport, http1 = self.transport, self._http1
        assert transport is not None
        self._exchange = exchange
        exchange.connection = self
        exchange.waiting, exchange.sent = False, True
        self.heard = False
        body = exchange.body
        data = http1.send_request(exchange.head, len(body), to_head=exchange.head.startswith(b"HEAD "))
        if len(body) <= _SLICE:
            transport.write(data + http1.send_body(body) if body else data)
        else:
            transport.write(data)
            self._body = memoryview(body)
            self._write_body()

    def _write_body(self) -> None:
        while self._body and not self._paused and self.transport is not None and not self.transport.is_closing():
            piece, self._body = self._body[:_SLICE], self._body[_SLICE:]
            self.transport.write(self._http1.send_body(piece))

    def _end(self, exchange: HttpExchange, end: End) -> None:
        self._exchange = exchange.connection = None
        self._pool.has_served = True
        transport = self.transport
        sent = transport is not None and not transport.is_closing() and not transport.get_write_buffer_size()
        if end is End.KEEP and sent:
            if self._reading_paused:
                self.resume_reading()
            self._pool.release(self)
        else:
            self.close()
        exchange.on_end()

    def pause_reading(self) -> None:
        """Make the server wait: nobody reads its response."""
        if not self._reading_paused and not self.is_closing:
            assert self.transport is not None
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if self._reading_paused and not self.is_closing:
            assert self.transport is not None
            self._reading_paused = False
            self.transport.resume_reading()

    def release(self) -> None:
        """Close the connection of a call that ends before its response does, which cancels it on the server."""
        self._exchange = None
        self.close(abort=True)

    def close(self, *, abort: bool = False) -> None:
        """Close the socket. Idempotent.

        Args:
            abort: whether to do it at once; otherwise TLS is closed first, unless unsent bytes might delay that.
        """
        self._body = memoryview(b"")
        transport = self.transport
        if transport is not None:
            if abort or transport.get_write_buffer_size():
                transport.abort()
            elif not transport.is_closing():
                self._close_gently(transport)
        self._pool.forget(self)
