"""Starts a connection on a connected socket: with TLS, and through the CONNECT tunnel of a proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar, cast

from ..._settings.proxies import Proxy
from ...errors import TlsError
from ...settings import ConnectionTlsInfo
from .proxy import ConnectReply, ProxyError, Route
from .tls import ALPN, tls_context

P = TypeVar("P", bound=asyncio.Protocol)


async def start(
    factory: Callable[[], P],
    opened: socket.socket,
    tls: ssl.SSLContext | None,
    server_hostname: str | None,
    timeout: float,
) -> P:
    """Return a protocol that is connected by the socket. On failure, close the socket.

    Args:
        factory: returns a new protocol, whose `transport` is None while it is not connected.
        opened: the connected socket.
        tls: the context of TLS, if any.
        server_hostname: the name that the peer's certificate must have.
        timeout: seconds for the TLS handshake.
    """
    made: list[P] = []

    def make() -> P:
        made.append(factory())
        return made[0]

    try:
        _, protocol = await asyncio.get_running_loop().create_connection(
            make,
            sock=opened,
            ssl=tls,
            server_hostname=server_hostname,
            ssl_handshake_timeout=None if tls is None else timeout,
        )
    except BaseException:
        # asyncio closes a connection gently that is given up just when it is made, and over TLS a deaf peer delays that
        # by 30 seconds. The transport goes before the socket, whose descriptor may become another connection's.
        for protocol in made:
            transport: asyncio.Transport | None = getattr(protocol, "transport", None)
            if transport is not None:
                transport.abort()
        opened.close()
        raise
    return protocol


async def start_to_proxy(factory: Callable[[], P], opened: socket.socket, proxy: Proxy, timeout: float) -> P:
    """Return a protocol that is connected to a proxy, whose TLS trusts the system's authorities; see `start`.

    Raises:
        TlsError: the proxy's TLS failed.
    """
    context = tls_context(ConnectionTlsInfo(enabled=proxy.secure), ALPN["http"])
    name = None if context is None else proxy.host.partition("%")[0]
    try:
        return await start(factory, opened, context, name, timeout)
    except ssl.SSLError as error:
        hint = f"; it speaks no TLS: write http://{proxy.address}" if error.reason == "WRONG_VERSION_NUMBER" else ""
        raise TlsError(f"TLS handshake with the proxy at {proxy.address} failed: {error}{hint}") from None


class _TunnelRequest(asyncio.Protocol):
    """Asks a proxy for a tunnel, and buffers the tunnel's first bytes until the tunnel's own protocol takes over.

    Attributes:
        transport: the connection to the proxy; None before it is made.
        opened: done once the tunnel is open.
        early: the bytes that have come out of the tunnel already.
    """

    def __init__(self, route: Route, proxy: Proxy) -> None:
        self.transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.early = b""
        self._request = route.request()
        self._reply = ConnectReply(proxy)
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self.early += data
            return
        try:
            rest = self._reply.receive_data(data)
        except ProxyError as error:
            self.opened.set_exception(error)
            return
        if rest is not None:
            self.early = rest
            assert self.transport is not None
            self.transport.pause_reading()
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        if not self.opened.done():
            self.opened.set_exception(exc or self._reply.receive_eof())

    def abort(self) -> None:
        """Abort the connection: closed gently, TLS waits up to 30 seconds for the peer."""
        if not self.opened.cancel() and not self.opened.cancelled():
            self.opened.exception()  # else asyncio reports that nobody retrieved it
        if self.transport is not None:
            self.transport.abort()

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        """Give the connection to the tunnel's protocol, as if it had just been made.

        Raises:
            ConnectionResetError: it has ended meanwhile, which the protocol would never learn.
        """
        if self._ended:
            raise ConnectionResetError("the tunnel was closed at once")
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self.early:
            protocol.data_received(self.early)
        if not transport.is_closing():
            transport.resume_reading()


async def open_tunnel(
    factory: Callable[[], P],
    opened: socket.socket,
    route: Route,
    tls: ssl.SSLContext | None,
    server_hostname: str | None,
    timeout: float,
) -> P:
    """Return a protocol that is connected to the server through its proxy; see `start`. On failure, close the socket.

    Raises:
        ProxyError: the proxy opened no tunnel.
        TlsError: the proxy's own TLS failed.
        OSError: the connection was lost; `ssl.SSLError` if the server's TLS failed.
    """
    assert route.proxy is not None
    request = _TunnelRequest(route, route.proxy)
    try:
        await start_to_proxy(lambda: request, opened, route.proxy, timeout)
        await request.opened
        assert request.transport is not None
        transport = request.transport
        if tls is not None:
            transport = await _start_tls(request, transport, tls, server_hostname, timeout)
        protocol = factory()
        request.hand_over(transport, protocol)
    except BaseException:
        request.abort()
        opened.close()
        raise
    return protocol


async def _start_tls(
    request: _TunnelRequest,
    transport: asyncio.Transport,
    tls: ssl.SSLContext,
    server_hostname: str | None,
    timeout: float,
) -> asyncio.Transport:
    if request.early:  # not the server's, which waits for the client's first bytes
        raise ProxyError("the proxy sent more than its answer")
    secure = await asyncio.get_running_loop().start_tls(
        transport, request, tls, server_hostname=server_hostname, ssl_handshake_timeout=timeout
    )
    assert secure is not None
    return secure
