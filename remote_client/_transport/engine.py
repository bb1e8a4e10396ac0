"""Chooses the engine that carries the calls to a server, and opens connections with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

from .._settings.proxies import Proxy
from ..errors import ConfigurationError
from ..settings import ConnectionInfo, Engine, Protocol
from .call import Transport
from .grpc.keepalive import ServerMemory
from .grpc_options import GrpcOptions, unknown_options
from .manager import ConnectionManager

ENVIRONMENT = "REMOTE_CLIENT_ENGINE"
"""The environment variable that names the engine of clients that name none."""
_REQUIRES = {
    "grpc.http_proxy": "grpc.enable_http_proxy",
    "grpc.address_http_proxy": "grpc.address_http_proxy_enabled_addresses",
    "grpc.address_http_proxy_enabled_addresses": "grpc.address_http_proxy",
}
"""Options that gRPC ignores without another one."""


def open_connections(
    connection: ConnectionInfo, protocol: Protocol, transport: Any = None, interceptors: Sequence[Any] = ()
) -> ConnectionManager:
    """Return the manager of the connections to one server. The first call imports the engine and connects.

    Args:
        connection: the server.
        protocol: the protocol it speaks.
        transport: an httpx transport for HTTP; all connections share it, and nobody closes it.
        interceptors: of grpc.aio.

    Raises:
        ConfigurationError: no engine supports all of the settings.
    """
    engine = choose_engine(connection, protocol, interceptors)
    connect: Callable[[], Transport]
    if protocol == "http":
        connect = partial(_connect_http, connection, transport)
    elif engine == "grpcio":
        connect = partial(_connect_grpcio, connection, tuple(interceptors))
    else:
        connect = partial(_connect_grpc, connection, GrpcOptions.of(connection), ServerMemory())
    return ConnectionManager(
        connect,
        max_session_age=connection.max_session_age,
        target=connection.target,
        max_pending=connection.max_pending,
        opened_with=(connection, protocol, transport, tuple(interceptors)),
    )


# The engines are imported late: importing this package must load neither grpc nor httpx.


def _connect_http(connection: ConnectionInfo, transport: Any) -> Transport:
    if transport is not None:
        from .engines.httpx import HttpxTransport

        return HttpxTransport(connection, transport)
    from .http.transport import HttpTransport

    return HttpTransport(connection)


def _connect_grpcio(connection: ConnectionInfo, interceptors: tuple[Any, ...]) -> Transport:
    from .engines.grpcio import GrpcioTransport

    return GrpcioTransport(connection, interceptors)


def _connect_grpc(connection: ConnectionInfo, options: GrpcOptions, memory: ServerMemory) -> Transport:
    from .grpc.transport import GrpcTransport

    return GrpcTransport(connection, options, memory)


def choose_engine(
    connection: ConnectionInfo,
    protocol: Protocol,
    interceptors: Sequence[Any] = (),
    environment: Mapping[str, str] | None = None,
) -> Engine:
    """Return the engine that carries the calls.

    The connection's `engine` takes precedence over the environment variable. Without either, the default engine is
    used unless the settings need grpcio: for an xDS target, interceptors, or an option that only grpcio supports.

    Args:
        connection: the server.
        protocol: the protocol; over HTTP the environment variable is ignored.
        interceptors: of grpc.aio.
        environment: the environment variables; those of the process if None.

    Raises:
        ConfigurationError: the engine does not support the settings.
    """
    engine, source = _requested_engine(connection, {} if protocol == "http" else environment)
    _check_options(connection)
    if protocol == "http":
        _check_http(engine, interceptors)
        return "asyncio"
    needed = _why_grpcio(connection, interceptors)
    if engine is None:
        engine = "grpcio" if needed else "asyncio"
    elif engine == "asyncio" and needed:
        raise ConfigurationError(f'{needed}, and {source} is "asyncio"')
    if engine == "grpcio" and connection.tls.enabled and connection.tls.key_password is not None:
        raise ConfigurationError("tls.key_password: grpcio takes unencrypted keys only; decrypt key_file for it")
    if engine == "grpcio" and isinstance(connection.proxy, Proxy) and connection.proxy.secure:
        raise ConfigurationError(f"proxy: {connection.proxy}: grpcio speaks to proxies without TLS only, http://")
    return engine


def _check_options(connection: ConnectionInfo) -> None:
    """Raise a ConfigurationError for options that have no effect: the user relies on one."""
    options = connection.options
    for key, other in _REQUIRES.items():
        if key in options and not options.get(other):
            hint = "; use proxy= instead" if key == "grpc.http_proxy" else ""
            raise ConfigurationError(f"options: {key}: it has no effect without {other}{hint}")
    if "grpc.ssl_target_name_override" in options and not connection.tls.enabled:
        raise ConfigurationError("options: grpc.ssl_target_name_override: it has no effect without TLS")
    if options.get("grpc.enable_http_proxy") and connection.proxy is not None:
        raise ConfigurationError("options: grpc.enable_http_proxy: leave it out where proxy= says what is to be used")


def _why_grpcio(connection: ConnectionInfo, interceptors: Sequence[Any]) -> str | None:
    """Return the beginning of an error about a setting that only grpcio supports, else None."""
    if connection.is_xds:
        return f'hostname: {connection.target}: only engine="grpcio" speaks xDS'
    if foreign := unknown_options(connection.options):
        return f'options: {foreign[0]}: only engine="grpcio" knows it'
    return 'interceptors: only engine="grpcio" calls them' if interceptors else None


def _requested_engine(connection: ConnectionInfo, environment: Mapping[str, str] | None) -> tuple[Engine | None, str]:
    """Return the engine that the settings or the environment name, if any, and which of the two does."""
    if connection.engine is not None:
        return connection.engine, "engine"
    named: Any = (os.environ if environment is None else environment).get(ENVIRONMENT) or None
    if named is not None and named not in get_args(Engine):
        raise ConfigurationError(f"{ENVIRONMENT}: must be {' or '.join(get_args(Engine))}, not {named!r}")
    return named, ENVIRONMENT


def _check_http(engine: Engine | None, interceptors: Sequence[Any]) -> None:
    if engine == "grpcio":
        raise ConfigurationError('engine: "grpcio" is for gRPC; the protocol here is HTTP')
    if interceptors:
        raise ConfigurationError("interceptors: they are gRPC's; the protocol here is HTTP")
