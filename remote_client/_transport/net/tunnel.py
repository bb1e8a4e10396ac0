"""From a socket to a connected protocol behind a proxy: CONNECT, and TLS on both sides of it."""

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
from .tls import tls_context

P = TypeVar("P", bound=asyncio.Protocol)


def proxy_tls(proxy: Proxy) -> ssl.SSLContext | None:
    """Return the context of the connection to a proxy: whom the system trusts. None for one in the clear."""
    return tls_context(ConnectionTlsInfo(enabled=proxy.secure), ("http/1.1",))


def proxy_tls_error(error: ssl.SSLError, proxy: Proxy) -> TlsError:
    """Return the error of a proxy's TLS, which is not the server's."""
    hint = f"; it speaks no TLS: write http://{proxy.address}" if error.reason == "WRONG_VERSION_NUMBER" else ""
    return TlsError(f"TLS handshake with the proxy at {proxy.address} failed: {error}{hint}")


class _Asking(asyncio.Protocol):
    """Asks a proxy for a tunnel, and holds what comes out of it until the tunnel's own protocol takes over.

    Attributes:
        transport: the connection to the proxy; None before it is made.
        opened: done once there is a tunnel.
    """

    def __init__(self, route: Route) -> None:
        assert route.proxy is not None
        self.transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.early = b""
        """What came out of the tunnel already."""
        self._request = route.request()
        self._reply = ConnectReply(route.proxy)
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

    def give_up(self) -> None:
        """Cut the connection: closed in order, TLS says goodbye first, and to a deaf peer that takes 30 seconds."""
        if not self.opened.cancel() and not self.opened.cancelled():
            self.opened.exception()  # asyncio tells of one that nobody looked at
        if self.transport is not None:
            self.transport.abort()

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        """Let the tunnel's protocol have the connection, from its beginning on.

        Raises:
            ConnectionResetError: it ended just now: the protocol would never learn that.
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
    """Return a connected protocol at the other end of a tunnel. Closes the socket where there is none.

    Args:
        factory: makes the protocol.
        opened: a socket that is connected to the proxy.
        route: the way through the proxy.
        tls: the context of the server's TLS, inside of the tunnel; None for one in the clear.
        server_hostname: the name that the server's certificate must have.
        timeout: seconds that a handshake of TLS may take.

    Raises:
        ProxyError: the proxy opened no tunnel.
        TlsError: the proxy's own TLS failed.
        OSError: the connection was lost; `ssl.SSLError` where the server's TLS failed.
    """
    asking = _Asking(route)
    try:
        transport = await _ask(asking, opened, route, timeout)
        if tls is not None:
            transport = await _start_tls(asking, tls, server_hostname, timeout)
        protocol = factory()
        asking.hand_over(transport, protocol)
    except BaseException:
        asking.give_up()
        opened.close()
        raise
    return protocol


async def _ask(asking: _Asking, opened: socket.socket, route: Route, timeout: float) -> asyncio.Transport:
    """Connect to the proxy, and wait until there is a tunnel."""
    assert route.proxy is not None
    loop, context = asyncio.get_running_loop(), proxy_tls(route.proxy)
    if context is None:
        await loop.create_connection(lambda: asking, sock=opened)
    else:
        try:
            await loop.create_connection(
                lambda: asking,
                sock=opened,
                ssl=context,
                server_hostname=route.proxy.host.partition("%")[0],
                ssl_handshake_timeout=timeout,
            )
        except ssl.SSLError as error:
            raise proxy_tls_error(error, route.proxy) from None
    await asking.opened
    assert asking.transport is not None
    return asking.transport


async def _start_tls(
    asking: _Asking, tls: ssl.SSLContext, server_hostname: str | None, timeout: float
) -> asyncio.Transport:
    assert asking.transport is not None
    if asking.early:  # it is not the server's: that waits for our first bytes
        raise ProxyError("the proxy sent more than its answer")
    transport = await asyncio.get_running_loop().start_tls(
        asking.transport, asking, tls, server_hostname=server_hostname, ssl_handshake_timeout=timeout
    )
    assert transport is not None
    return transport
