"""One HTTP/2 connection: carries bytes between the socket and `http2`, and events to calls."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING

from ...errors import RemoteCallError, TlsError, UnavailableError
from ..http_errors import pings_advice
from ..net.connection import Connection
from ..net.diagnosis import closed_early, is_tls_failure, tls_message, wrong_peer
from ..net.silent_peers import Peer
from .events import (
    Broken,
    DataReceived,
    DataSent,
    Event,
    GoawayReceived,
    HeadReceived,
    PingAcknowledged,
    SettingsReceived,
    Stream,
    StreamRefused,
    StreamReset,
    TrailersReceived,
)
from .frames import ENHANCE_YOUR_CALM, NO_ERROR
from .http2 import Http2
from .keepalive import Do

if TYPE_CHECKING:
    from .channel import Channel
    from .exchange import GrpcExchange


class GrpcConnection(Connection):
    """One connection of a `Channel`.

    Attributes:
        settled: done once the server's settings have arrived, or the connection has failed before.
        leaving: whether it takes no new calls.
        moved: whether its address is no longer the server's.
        born: the time it was made.
    """

    def __init__(self, owner: Channel) -> None:
        loop = owner.owner.loop
        super().__init__(loop)
        self.settled: asyncio.Future[RemoteCallError | None] = loop.create_future()
        self.leaving = self.moved = False
        self._owner = owner
        self._transport = owner.owner
        self.born = loop.time()
        self._http2 = Http2(loop.time, owner.options.max_metadata_size)
        self._doubted = False
        self._timer: asyncio.TimerHandle | None = None
        self._failure: RemoteCallError | None = None
        self._keepalive = owner.keepalive(loop.time())

    # -- called by asyncio --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._owner.made(self)
        self.flush()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._keepalive.heard = self.loop.time()
        http2 = self._http2
        self._deliver(http2.receive_data(data))
        if http2.has_output or self.leaving or self._transport.has_waiting:
            self._transport.schedule(self)

    def eof_received(self) -> bool:
        return False  # without responses, requests are pointless

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()
        self._transport.schedule(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.leaving = True
        if self._timer is not None:
            self._timer.cancel()
        if not self.settled.done():
            self.settled.set_result(self._lost(exc))
        for exchange in self._transport.calls_on(self):
            exchange.on_lost(self._lost(exc))
        self._http2.streams.clear()
        self._owner.lost(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def _lost(self, exc: Exception | None) -> RemoteCallError:
        """Return the error of a call on the lost connection: the server may have executed it."""
        owner, reason = self._owner, f": {exc}" if exc else ""
        if self._failure is not None:
            return copy(self._failure)
        if is_tls_failure(exc):
            return TlsError(f"TLS failed: {tls_message(str(exc), owner.info, 'grpc')}", target=owner.target)
        if not self._http2.settled and not owner.has_served:
            reason = f" before the server spoke HTTP/2{reason}{closed_early(owner.info, 'grpc')}"
        return UnavailableError(f"the connection was lost{reason}", target=owner.target)

    # -- called by calls and the transport ----------------------------------------------------------------------------

    @property
    def is_free(self) -> bool:
        """Whether another call can be sent now."""
        if self._paused or self.leaving or self._doubted or not self._http2.has_slot:
            return False
        # asyncio may know of its end and not have reported it yet: a call that is sent now would be lost.
        return self.transport is not None and not self.transport.is_closing()

    @property
    def serves(self) -> bool:
        """Whether the server has answered a call on it, or still may."""
        return self._http2.answered or bool(self._http2.streams)

    @property
    def header_list_limit(self) -> int | None:
        """The largest header list in bytes that the server accepts; None if it did not say."""
        return self._http2.peer_header_list_limit

    def open(self, exchange: GrpcExchange, block: bytes) -> None:
        """Send a call."""
        stream = self._http2.request(block, exchange, exchange.body)
        self._keepalive.carried = True
        exchange.opened(self, stream)
        if self._http2.leaving and not self.leaving:  # stream ids run out
            self.leaving = True
            self._owner.left(self)

    def send(self, stream: Stream, data: bytes, *, end: bool) -> bool:
        """Send data of a call; return False if it must wait until the call's `writable` is called."""
        self._keepalive.carried = True
        sent = self._http2.send(stream, data, end=end)
        self._transport.schedule(self)
        return sent

    def take(self, stream: Stream, size: int) -> None:
        """Let the server send as much as a call's reader took."""
        if self._http2.take(stream, size):
            self._transport.schedule(self)

    def release(self, stream: Stream) -> None:
        """End the stream of a call that is over: reset it if the server has not ended it."""
        if stream.id in self._http2.streams:
            self._http2.reset(stream)
            self._transport.schedule(self)

    def flush(self) -> None:
        """Write the queued bytes, as fast as the socket takes them."""
        transport = self.transport
        if transport is None or self._paused or transport.is_closing():
            return
        http2 = self._http2
        while True:
            if http2.has_waiting:
                self._deliver(http2.resume())
            data = http2.data_to_send()
            if not data:
                break
            transport.write(data)
            if self._paused:
                return
        if http2.broken or (self.leaving and not http2.streams):
            self.close()

    def close(self) -> None:
        """Send GOAWAY and close the socket; queued bytes have a moment to be sent. Idempotent."""
        self.leaving = True
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if not self._http2.broken and not self._paused:
            self._http2.goaway()
            transport.write(self._http2.data_to_send())
        self._close_gently(transport)

    # -- events -------------------------------------------------------------------------------------------------------

    def _deliver(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, DataReceived):
                self._keepalive.carried = True
                exchange: GrpcExchange = event.stream.context
                if not exchange.over:
                    exchange.on_data(event.data, event.end)
            elif isinstance(event, HeadReceived):
                self._keepalive.carried = True
                exchange = event.stream.context
                if not exchange.over:
                    exchange.on_head(event.head, event.end)
            elif isinstance(event, TrailersReceived):
                exchange = event.stream.context
                if not exchange.over:
                    exchange.on_trailers(event.head)
            else:
                self._deliver_rare(event)

    def _deliver_rare(self, event: Event) -> None:
        match event:
            case StreamReset(stream=stream, code=code, detail=detail):
                exchange: GrpcExchange = stream.context
                if not exchange.over:
                    exchange.on_reset(code, detail)
            case StreamRefused(stream=stream):
                exchange = stream.context
                if not exchange.over:
                    exchange.on_refused()
            case DataSent(stream=stream):
                exchange = stream.context
                exchange.writable()
            case SettingsReceived():
                if not self.settled.done():
                    self.settled.set_result(None)
            case GoawayReceived(code=code, text=text):
                self._on_goaway(code, text)
            case Broken(detail=detail):
                broken = UnavailableError(f"the server broke the rules of HTTP/2: {detail}", target=self._owner.target)
                self._failure = wrong_peer(self._http2.first, self._owner.info, "grpc") or broken
                self.leaving = True
                self._owner.left(self)
                if self._paused:
                    self.close()  # nothing more can be written, not even GOAWAY
            case PingAcknowledged():
                pass  # `data_received` has noted the time

    def _on_goaway(self, code: int, text: bytes) -> None:
        self.leaving = True
        if code != NO_ERROR:
            reason = text.decode("utf-8", "replace") or f"error code {code}"
            details = f"the server closed the connection: {reason}{pings_advice(reason)}"
            self._failure = UnavailableError(details, target=self._owner.target)
        if code == ENHANCE_YOUR_CALM and text == b"too_many_pings":
            self._owner.ping_less()
        self._owner.left(self)

    # -- silence ------------------------------------------------------------------------------------------------------

    def on_peer(self, peer: Peer) -> None:
        if peer is Peer.GONE or (peer is Peer.MISSED and self.moved):
            details = "the connection was lost: nothing is acknowledged any more"
            self._failure = self._failure or UnavailableError(details, target=self._owner.target)
            self._abort()
            return
        self._doubted = peer is not Peer.HEARD
        if self._doubted:
            self._owner.doubt()
        else:
            self._transport.schedule(self)

    def on_late(self, seconds: float) -> None:
        """Leave the connection if nothing arrived on it while a call waited in vain for so many seconds.

        A load balancer may acknowledge bytes that its dead backend never gets, and no system reports that. A connection
        that has never carried a response is kept: its server is slow, and would be as slow on the next one.
        """
        if not self.leaving and self._http2.answered and self.loop.time() - self._keepalive.heard >= seconds:
            self.leaving = True
            self._owner.left(self)

    def _watch(self) -> None:
        """Do what keepalive and idle times demand, and schedule the next look."""
        self._timer = None
        do, seconds = self._keepalive.decide(self.loop.time(), len(self._http2.streams))
        if do is Do.GIVE_UP:
            self._failure = UnavailableError("the server does not answer (keepalive)", target=self._owner.target)
            self._abort()
            return
        if do is Do.CLOSE:
            self._owner.left(self)
            self.close()
            return
        if do is Do.PING:
            self._http2.ping()
            self.flush()
        self._timer = self.loop.call_later(seconds, self._watch)
