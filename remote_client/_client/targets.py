"""The targets of a client, with its own settings over theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import EllipsisType
from typing import Any

from .._settings.connection import parse_target
from .._settings.durations import Duration
from ..errors import ConfigurationError
from ..settings import ConnectionInfo, ConnectionTlsInfo, Protocol, RetryPolicy

Tls = ConnectionTlsInfo | Mapping[str, Any] | None


def connections_of(
    target: Any, protocol: Protocol | None, timeout: Duration | EllipsisType | None, tls: Tls, **settings: Any
) -> tuple[tuple[ConnectionInfo, ...], Protocol]:
    """Return the connections of one target or several, and their protocol. Settings of None keep the target's own.

    Raises:
        ConfigurationError: a target or setting is wrong, there is no target, or they are of several protocols.
    """
    is_one = isinstance(target, (str, bytes, ConnectionInfo)) or not isinstance(target, Iterable)
    targets: Any = [target] if is_one else target
    given = {name: value for name, value in settings.items() if value is not None}
    if not isinstance(timeout, EllipsisType):
        given["timeout"] = timeout
    found = [_connection_of(one, protocol, tls, given) for one in targets]
    if len({speaks for _, speaks in found}) != 1:
        raise ConfigurationError("target: give at least one, and all of one protocol")
    return tuple(connection for connection, _ in found), found[0][1]


def _connection_of(
    target: object, protocol: Protocol | None, tls: Tls, settings: Mapping[str, Any]
) -> tuple[ConnectionInfo, Protocol]:
    changes = dict(settings)
    if isinstance(target, ConnectionInfo):
        connection, speaks = target, protocol or "grpc"
    elif isinstance(target, str):
        connection, speaks = parse_target(target, protocol)
        changes.setdefault("retries", RetryPolicy().retries)
    else:
        kind = type(target).__name__
        raise ConfigurationError(f"target: expected text, ConnectionInfo or a list of them, not {kind}")
    if tls is not None:
        given = dict(tls) if isinstance(tls, Mapping) else dict(tls.given)
        if connection.tls.enabled and given.get("enabled") is False:
            raise ConfigurationError("tls: the target asks for TLS, and tls= turns it off")
        changes["tls"] = ConnectionTlsInfo(**{"enabled": True, **given})
    return connection.replace(**changes) if changes else connection, speaks
