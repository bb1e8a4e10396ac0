"""One HTTP/1.1 connection on an `asyncio.Protocol`: carries bytes between the socket, `http1` and a call."""

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
"""Bytes of a request's body that are written at once: all of a large one would hold up the loop."""


class HttpConnection(Connection):
    """One connection of a `Pool`, from its socket's connection to its end.

    Attributes:
        used: whether it carried a call before this one.
        heard: whether anything of the answer arrived.
        idle_since: when its last call ended.
        error: what ended it, where that is known.
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
        """What is still to be written of a request's body."""
        self._reading_paused = False

    # -- what asyncio calls -------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.heard = True
        exchange = self._exchange
        for event in self._http1.receive_data(data):
            if exchange is None:
                if type(event) is Malformed:
                    self.error = UnaskedError(event.detail, event.start)
                break  # the call ended, for what it was told of the answer
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
        return False  # what else the server would read nobody wants to send

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
        """The peer's system acknowledges nothing, or does again."""
        if peer is Peer.GONE or (peer is Peer.MISSED and not self._pool.is_named(self)):
            self.error = TimeoutError(errno.ETIMEDOUT, "nothing is acknowledged any more")
            self._over(self.error)
            self._abort()
        elif peer is not Peer.HEARD:
            self._pool.doubt(self)

    def _over(self, exc: Exception | None) -> None:
        """Nothing more arrives."""
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

    # -- what calls and the pool ask for ------------------------------------------------------------------------------

    @property
    def is_free(self) -> bool:
        """Whether it can carry a call now."""
        return self._exchange is None and self._http1.is_idle and not self.is_closing

    @property
    def peer(self) -> Any:
        """The address it is connected to, without what only IPv6 has."""
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
        data = http1.send_request(exchange.head, len(body))
        if len(body) <= _SLICE:
            transport.write(data + http1.send_body(body) if body else data)
        else:
            transport.write(data)
            self._body = memoryview(body)
            self._write_body()

    def _write_body(self) -> None:
        """Write as much of the body as the socket takes."""
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
        """Let the server wait: nobody reads what it sends."""
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
        """A call ended before its answer did: the connection is of no use, and its end tells the server."""
        self._exchange = None
        self.close(abort=True)

    def close(self, *, abort: bool = False) -> None:
        """Close the socket. Idempotent.

        Args:
            abort: at once; otherwise TLS says goodbye first, unless bytes wait that the server may never take.
        """
        self._body = memoryview(b"")
        transport = self.transport
        if transport is not None:
            if abort or transport.get_write_buffer_size():
                transport.abort()
            elif not transport.is_closing():
                self._close_gently(transport)
        self._pool.forget(self)
