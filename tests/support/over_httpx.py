"""All HTTP calls over httpx's own transport, as a client makes them that is given one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from remote_client._transport import engine as engines
from remote_client._transport.call import Transport
from remote_client.errors import RemoteClientError
from remote_client.settings import ConnectionInfo


def install() -> None:
    """Let every connection over HTTP that is given no transport have one of httpx's."""
    made = engines._connect_http

    def connect(connection: ConnectionInfo, transport: Any) -> Transport:
        return owning(connection) if transport is None else made(connection, transport)

    engines._connect_http = connect


def owning(connection: ConnectionInfo) -> Transport:
    """A transport that ends with its connections, as the client's own does."""
    import httpx

    from remote_client._transport.engines.httpx import HttpxTransport
    from remote_client._transport.net.tls import tls_context

    class Owning(HttpxTransport):
        async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
            await super().aclose(reason)
            await engine.aclose()

    # Without kept connections: one that dies just when it is used fails its call, as httpx does not tell that.
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=0)
    engine = httpx.AsyncHTTPTransport(verify=tls_context(connection.tls) or False, limits=limits)
    return Owning(connection, engine)
