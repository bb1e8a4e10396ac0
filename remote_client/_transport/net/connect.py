"""Connects to a server: races its address families, passes through a proxy, and sets up TLS, for both protocols."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

import aiohappyeyeballs

from ...errors import (
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
)
from . import sockets
from .addresses import Address
from .connection import Connection
from .diagnosis import handshake_error
from .proxy import ProxyError, Route, hint
from .silent_peers import probe
from .tls import ALPN, tls_context
from .tunnel import open_tunnel, start, start_to_proxy

CONNECT_TIMEOUT = 5.0
"""Seconds to resolve a name and connect to one of its addresses, TLS handshake included."""
_STAGGER = 0.25
"""Seconds before the other address family is tried as well (RFC 8305)."""

C = TypeVar("C", bound=Connection)


async def connect(
    factory: Callable[[], C],
    addresses: Sequence[Address] | str,
    route: Route,
    *,
    timeout: float = CONNECT_TIMEOUT,
    tls_name: str | None = None,
) -> C:
    """Connect to the first address that answers, with TLS if the server's settings say so.

    Args:
        factory: returns a new connection.
        addresses: the server's or its proxy's; families are raced, the addresses of one tried in order. A str is the
            path of a unix socket; a leading NUL makes it an abstract one.
        route: the route to the server.
        timeout: seconds.
        tls_name: the name that the server's certificate must have instead of the host's.

    Raises:
        TimeoutError: it took too long.
        ProxyError: the proxy opened no tunnel.
        TlsError: a TLS handshake failed.
        OSError: no address could be connected to, or the server closed the connection.
        ConfigurationError: a file of the TLS settings can no longer be used.
    """
    info = route.connection
    tls = tls_context(info.tls, ALPN[route.protocol])
    name = None if tls is None else tls_name or info.tls_name
    try:
        async with asyncio.timeout(timeout):
            opened = await _open_socket(addresses)
            if route.proxy is None:
                connection = await start(factory, opened, tls, name, timeout)
            elif route.is_tunnel:
                connection = await open_tunnel(factory, opened, route, tls, name, timeout)
            else:
                connection = await start_to_proxy(factory, opened, route.proxy, timeout)
    except OSError as error:
        raise handshake_error(error, info, route.protocol) from None
    sockets.register(connection)
    return connection


async def _open_socket(addresses: Sequence[Address] | str) -> socket.socket:
    if isinstance(addresses, str):
        return await _open_unix_socket(addresses)
    try:
        opened = await aiohappyeyeballs.start_connection(list(addresses), happy_eyeballs_delay=_STAGGER, interleave=1)
    except OSError as error:
        raise _refused(error, addresses) from None
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        probe(opened)
    except OSError:  # macOS raises it for a connection that was reset at once
        opened.close()
        raise
    return opened


async def _open_unix_socket(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no unix sockets")
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, path)
    except BaseException:
        opened.close()
        raise
    return opened


def _refused(error: OSError, addresses: Sequence[Address]) -> OSError:
    """Return one error for all addresses: the library's repeats its message for every address."""
    if error.errno is None:
        return error
    hosts = (f"[{at[0]}]:{at[1]}" if ":" in at[0] else f"{at[0]}:{at[1]}" for *_, at in addresses)
    return OSError(error.errno, f"{os.strerror(error.errno)} ({', '.join(dict.fromkeys(hosts))})")


def connect_error(error: BaseException, route: Route, method: str | None = None) -> RemoteCallError:
    """Return the typed error of a failed connection attempt: nothing was sent on it."""
    target = route.connection.target
    if isinstance(error, ssl.SSLError):
        failure: RemoteCallError = TlsError(f"TLS handshake failed: {error}", method=method, target=target)
    elif isinstance(error, TlsError):
        failure = TlsError(error.details, method=method, target=target)
    elif isinstance(error, ProxyError) and (kind := proxy_refusal(error.status)) is not None:
        failure = kind(f"failed to connect: {error}", method=method, target=target, http_status=error.status)
    elif isinstance(error, ProxyError):
        failure = UnavailableError(f"failed to connect: {error}", method=method, target=target)
    else:
        reason = str(error) or ("it took too long" if isinstance(error, TimeoutError) else type(error).__name__)
        details = f"failed to connect{route.through}: {reason}{hint(route.connection, route.protocol)}"
        failure = UnavailableError(details, method=method, target=target)
    failure.outcome_known = True
    return failure


def proxy_refusal(status: int | None) -> type[RemoteCallError] | None:
    """Return the error class of a proxy's refusal to open a tunnel; None if the proxy only failed to.

    A failure is retried like any failed connection attempt, whatever the status, and its error has no `http_status`.
    """
    if status == 407:
        return UnauthenticatedError
    if status == 429:
        return ResourceExhaustedError
    return PermissionDeniedError if status is not None and 400 <= status < 500 and status != 408 else None
