"""From a host name to a connected protocol: resolving, racing address families, TLS, and what a failure means."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import aiohappyeyeballs

from ..._settings.targets import is_address
from ...errors import (
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
)
from . import sockets
from .proxy import ProxyError, Route
from .silent_peers import probe
from .tunnel import open_tunnel, proxy_tls, proxy_tls_error

CONNECT_TIMEOUT = 5.0
"""Seconds that resolving a name and connecting to one of its addresses may take, TLS handshake included."""
_LOOPBACK = ("::1", "127.0.0.1")
_STAGGER = 0.25
"""Seconds before the other address family is tried as well (RFC 8305)."""

P = TypeVar("P", bound=asyncio.Protocol)
Address = tuple[int, int, int, str, tuple[Any, ...]]
"""An address as `socket.getaddrinfo` returns it."""


async def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a name, in the resolver's order; those of a literal address without a look-up.

    Raises:
        OSError: the name has none.
    """
    if is_address(host):
        return _literal(host, port)
    loop = asyncio.get_running_loop()
    local = _LOOPBACK if is_localhost(host) else ()  # whatever the machine's list of hosts leaves out
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"error resolving {host}:{port}: {error}") from None
    if not found:
        raise OSError(f"error resolving {host}:{port}: it has no address")
    return list(dict.fromkeys([*found, *(address for each in local for address in _literal(each, port))]))


def is_localhost(host: str) -> bool:
    """Whether a name means this machine, wherever it is asked for (RFC 6761)."""
    return host.lower().rstrip(".") == "localhost"


def may_have_several(host: str) -> bool:
    """Whether a host may have several addresses, which then all serve.

    Those of localhost are one machine, and another server may listen at one of them.
    """
    return not (is_address(host) or is_localhost(host))


def _literal(host: str, port: int) -> list[Address]:
    """Return the address that a host name is. Its zone names an interface, not only for link-local addresses."""
    address, zoned, zone = host.partition("%")
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    if not zoned:
        return list(found)
    scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return [(*each[:4], (*each[4][:3], scope)) for each in found]


async def connect(
    factory: Callable[[], P],
    addresses: Sequence[Address] | str,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    timeout: float = CONNECT_TIMEOUT,
    route: Route | None = None,
) -> P:
    """Connect to the first address that answers, and return its protocol, connected.

    Args:
        factory: makes the protocol; its `transport` holds the transport while that is open, and None otherwise.
        addresses: the candidates; families are raced, the addresses of one tried in order. A str is a unix socket's
            path; a leading NUL names an abstract one.
        tls: the context of a TLS connection; None for one in the clear.
        server_hostname: the name that the server's certificate must have.
        timeout: seconds.
        route: the way to the server, where a proxy may be on it: the addresses are then the proxy's.

    Raises:
        TimeoutError: it took too long.
        ProxyError: the proxy opened no tunnel.
        TlsError: the proxy's own TLS failed.
        OSError: no address could be connected to; `ssl.SSLError` where the handshake failed.
    """
    async with asyncio.timeout(timeout):
        opened = await _open_socket(addresses)
        if route is None or route.proxy is None:
            protocol = await _start(factory, opened, tls, server_hostname, timeout)
        elif route.is_tunnel:
            protocol = await open_tunnel(factory, opened, route, tls, server_hostname, timeout)
        else:
            try:
                protocol = await _start(factory, opened, proxy_tls(route.proxy), route.proxy.host, timeout)
            except ssl.SSLError as error:
                raise proxy_tls_error(error, route.proxy) from None
    sockets.register(protocol)
    return protocol


async def _start(
    factory: Callable[[], P],
    opened: socket.socket,
    tls: ssl.SSLContext | None,
    server_hostname: str | None,
    timeout: float,
) -> P:
    """Return a protocol that is connected by a socket. Closes the socket where that fails."""
    made: list[P] = []

    def make() -> P:
        made.append(factory())
        return made[0]

    try:
        loop = asyncio.get_running_loop()
        if tls is None:
            _, protocol = await loop.create_connection(make, sock=opened)
        else:
            _, protocol = await loop.create_connection(
                make, sock=opened, ssl=tls, server_hostname=server_hostname, ssl_handshake_timeout=timeout
            )
    except BaseException:
        # Given up just as it was made, asyncio says goodbye over TLS, which takes 30 seconds with a deaf peer; and
        # a descriptor that is closed under a transport may be another connection's by the time that ends.
        for each in made:
            transport: asyncio.Transport | None = getattr(each, "transport", None)
            if transport is not None:
                transport.abort()
        opened.close()
        raise
    return protocol


async def _open_socket(addresses: Sequence[Address] | str) -> socket.socket:
    if not isinstance(addresses, str):
        try:
            opened = await aiohappyeyeballs.start_connection(
                list(addresses),
                happy_eyeballs_delay=_STAGGER,
                interleave=1,
            )
        except OSError as error:
            raise _refused(error, addresses) from None
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            probe(opened)
        except OSError:  # as macOS says of one that was reset at once
            opened.close()
            raise
        return opened
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, addresses)
    except BaseException:
        opened.close()
        raise
    return opened


def _refused(error: OSError, addresses: Sequence[Address]) -> OSError:
    """Return the error of all addresses, told once: the library's repeats it for each."""
    if error.errno is None:
        return error
    hosts = (f"[{at[0]}]:{at[1]}" if ":" in at[0] else f"{at[0]}:{at[1]}" for *_, at in addresses)
    return OSError(error.errno, f"{os.strerror(error.errno)} ({', '.join(dict.fromkeys(hosts))})")


def connect_error(
    error: BaseException, target: str, method: str | None = None, route: Route | None = None
) -> RemoteCallError:
    """Return the typed error of a connection that could not be made: nothing was sent on it."""
    if isinstance(error, ssl.SSLError):
        failure: RemoteCallError = TlsError(f"TLS handshake failed: {error}", method=method, target=target)
    elif isinstance(error, TlsError):
        failure = TlsError(error.details, method=method, target=target)
    elif isinstance(error, ProxyError) and (kind := proxy_refusal(error.status)) is not None:
        failure = kind(f"failed to connect: {error}", method=method, target=target, http_status=error.status)
    else:
        told = str(error) or ("it took too long" if isinstance(error, TimeoutError) else type(error).__name__)
        words, hint = ("", "") if route is None or isinstance(error, ProxyError) else (route.words, route.hint)
        failure = UnavailableError(f"failed to connect{words}: {told}{hint}", method=method, target=target)
    failure.outcome_known = True
    return failure


def proxy_refusal(status: int | None) -> type[RemoteCallError] | None:
    """Return the error class of a proxy that does not want to open a tunnel; None for one that cannot just now.

    The latter is a connection that failed, whatever the status: tried again as such, and without an `http_status`.
    """
    if status == 407:
        return UnauthenticatedError
    if status == 429:
        return ResourceExhaustedError
    return PermissionDeniedError if status is not None and 400 <= status < 500 and status != 408 else None
