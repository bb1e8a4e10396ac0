"""The targets of a client, with its own settings over theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._settings.connection import parse_target
from ..errors import ConfigurationError
from ..settings import ConnectionInfo, ConnectionTlsInfo, FinderConfig, Protocol, RetryPolicy

Tls = ConnectionTlsInfo | Mapping[str, Any] | None
_NULLABLE = ("timeout", "max_response_size")
"""Settings whose None means no limit; `...` keeps the target's own."""


def connections_of(
    target: Any, protocol: Protocol | None, tls: Tls, **settings: Any
) -> tuple[tuple[ConnectionInfo, ...], Protocol]:
    """Return the connections of one target or several, and their protocol. Settings of None keep the target's own.

    `timeout` and `max_response_size` keep it where they are `...`.

    Raises:
        ConfigurationError: a target or setting is wrong, there is no target, or they are of several protocols.
    """
    is_one = isinstance(target, (str, bytes, ConnectionInfo)) or not isinstance(target, Iterable)
    targets: Any = [target] if is_one else target
    given = given_of(settings)
    found = [_connection_of(one, protocol, tls, given) for one in targets]
    if len({speaks for _, speaks in found}) != 1:
        raise ConfigurationError("target: give at least one, and all of one protocol")
    return tuple(connection for connection, _ in found), found[0][1]


def overridden(
    config: FinderConfig,
    *,
    protocol: Protocol | None = None,
    engine: str | None = None,
    schema: Any = None,
    tls: Tls = None,
    **settings: Any,
) -> FinderConfig:
    """Return a finder's configuration with a client's settings over it, which `connections_of` describes.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    changes = given_of({"protocol": protocol, "engine": engine, "schema": schema})
    given = given_of(settings)
    if given or tls is not None:
        changes["remote_connections"] = [_changed(connection, tls, given) for connection in config.remote_connections]
        if config.connection is not None:
            changes["connection"] = _changed(config.connection, tls, given)
    return config.replace(**changes) if changes else config


def given_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are given: others are None, or `...` where None means no limit."""
    return {
        name: value for name, value in settings.items() if value is not ... and (value is not None or name in _NULLABLE)
    }


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
    return _changed(connection, tls, changes), speaks


def _changed(connection: ConnectionInfo, tls: Tls, settings: Mapping[str, Any]) -> ConnectionInfo:
    """Return a connection with other settings."""
    changes = dict(settings)
    if tls is not None:
        given = dict(tls) if isinstance(tls, Mapping) else dict(tls.given)
        if connection.tls.enabled and given.get("enabled") is False:
            raise ConfigurationError("tls: the target asks for TLS, and tls= turns it off")
        changes["tls"] = ConnectionTlsInfo(**{"enabled": True, **given})
    return connection.replace(**changes) if changes else connection
