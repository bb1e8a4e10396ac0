"""Sends single requests for credentials, such as access tokens. See `remote_client.auth.Fetch`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from .._objects.content import Body
from .._settings.targets import normal_host
from ..errors import ConfigurationError
from ..settings import ConnectionInfo, ConnectionTlsInfo
from .call import Call
from .engine import open_connections
from .net.proxy import is_excluded

_TIMEOUT = 30.0
"""Seconds for a request, connecting included."""
_FORM = "application/x-www-form-urlencoded"


async def fetch(
    url: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
    proxy: str | None = None,
) -> bytes:
    """Send a request on a new connection, through the client's proxy, and return the response body."""
    connection, target = _server_of(url, ca_file, proxy)
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    kind = sent.pop("content-type", _FORM)
    call = Call(f"{'GET' if body is None else 'POST'} {target}", tuple(sent.items()), _TIMEOUT, pages=True)
    del headers, sent  # tools show the variables of a traceback's frames
    connections = open_connections(connection, "http")
    try:
        lease = connections.lease()
        try:
            return await lease.transport.unary(call, b"" if body is None else Body(body, kind))
        finally:
            lease.release()
    finally:
        await connections.aclose()


def _server_of(url: str, ca_file: str | None, proxy: str | None) -> tuple[ConnectionInfo, str]:
    """Return the server of a URL and the request target."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigurationError("fetch: the address must be https://host/path or http://host/path, without a user")
    secure = parts.scheme == "https"
    connection = ConnectionInfo(
        hostname=normal_host(parts.hostname, is_url=True),
        port=parts.port,
        tls=ConnectionTlsInfo(enabled=secure, ca_file=ca_file if secure else None),
        max_response_size=1024 * 1024,
    )
    if proxy is not None and not is_excluded(connection.hostname, connection.port or 0, ""):
        connection = connection.replace(proxy=proxy)  # this machine needs none
    return connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
