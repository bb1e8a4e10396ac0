"""caikit's settings as this client's: those of connections, and the configurations of finders and trainers."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any

from caikit.interfaces.common.data_model import ConnectionInfo as CaikitConnectionInfo

from ..settings import CallOptions, ConnectionInfo, ConnectionTlsInfo, RetryPolicy

logger = logging.getLogger("remote_client")

_NAMES = ("hostname", "port", "timeout", "options", "retries", "retry_options", "max_session_age")
_TLS_NAMES = ("enabled", "insecure_verify", "ca_file", "cert_file", "key_file")

_RETRIED = frozenset(["INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNKNOWN"])
_RETRIED_HTTP = frozenset([413, 429, 500, 502, 503, 504])


def settings_of(connection: CaikitConnectionInfo | ConnectionInfo) -> ConnectionInfo:
    """Return caikit's settings of a connection as this client's.

    caikit's client takes a timeout of 0 for none.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    global _last
    if isinstance(connection, ConnectionInfo):
        return connection
    known, settings = _last
    if settings is not None and connection == known:
        return settings
    values = {name: getattr(connection, name) for name in _NAMES}
    tls = connection.tls and ConnectionTlsInfo(**{name: getattr(connection.tls, name) for name in _TLS_NAMES})
    settings = ConnectionInfo(**values | {"timeout": values["timeout"] or None, "tls": tls})
    _last = deepcopy(connection), settings  # a copy, as caikit's can be changed
    return settings


_last: tuple[CaikitConnectionInfo | None, ConnectionInfo | None] = (None, None)
"""The settings that were converted last: each training makes a module with those of the one before."""


def caikit_settings_of(connection: ConnectionInfo) -> CaikitConnectionInfo | ConnectionInfo:
    """Return this client's settings as caikit's; as they are if caikit's have no name for one of them."""
    values = {name: getattr(connection, name) for name in _NAMES}
    timeout = connection.timeout or 0
    values["timeout"] = int(timeout) if timeout == int(timeout) else timeout
    scalars = [*connection.options.values(), *connection.retry_options.values()]
    # What its checks refuse, caikit logs as errors.
    if not all(isinstance(values[name], int) for name in ("timeout", "retries")):
        return connection
    if not all(isinstance(value, (str, int, float)) for value in scalars):
        return connection
    tls = {name: getattr(connection.tls, name) for name in _TLS_NAMES}
    found = CaikitConnectionInfo(**values | {"options": dict(connection.options), "tls": tls})
    return found if settings_of(found) == connection else connection


def part_settings(
    part: str, config: Mapping[str, Any], keys: Collection[str], local: Collection[str]
) -> dict[str, Any]:
    """Return the settings in caikit's configuration of a finder or a trainer that have a value.

    Args:
        part: the part and its name, for the warning that other keys are ignored.
        config: the configuration.
        keys: the keys that have a meaning.
        local: the keys of caikit's local part, which caikit merges into the configuration of one called `default`.
    """
    given = {key: value for key, value in config.items() if value is not None and value != {} and key not in local}
    if unknown := sorted(given.keys() - keys):
        logger.warning("%s: these keys mean nothing, and are ignored: %s", part, ", ".join(unknown))
    settings = {key: value for key, value in given.items() if key in keys}
    if "connection" in settings:
        settings["connection"] = _without_zeros(settings["connection"])
    if "remote_connections" in settings:
        settings["remote_connections"] = list(map(_without_zeros, settings["remote_connections"]))
    return settings


def _without_zeros(connection: Any) -> Any:
    """Return a connection's configuration with None for the default port and for no timeout, where caikit takes 0."""
    if not isinstance(connection, Mapping):
        return connection
    return {key: None if key in ("port", "timeout") and value == 0 else value for key, value in connection.items()}


@lru_cache
def call_options(settings: ConnectionInfo) -> CallOptions:
    """Return the options of calls over a connection."""
    return CallOptions(timeout=settings.timeout, retry=_retries(settings.retry_policy))


def _retries(policy: RetryPolicy) -> RetryPolicy:
    """Return a policy that retries the statuses of caikit's client if it was asked for more than one retry."""
    if policy.retries < 2:
        return policy
    codes = _RETRIED if policy.codes is None else policy.codes
    statuses = _RETRIED_HTTP if policy.http_statuses is None else policy.http_statuses
    return policy.replace(codes=codes, http_statuses=statuses)
