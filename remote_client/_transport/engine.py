"""Which engine carries the calls to a server, and what engines take: gRPC's channel options, httpx's transports.

Decisions only: no engine is imported or made here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, Self, get_args
from typing import Protocol as Interface

from .._settings.proxies import Proxy
from ..errors import ConfigurationError
from ..settings import ConnectionInfo, Engine, Protocol
from .call import MAX_RESPONSE_SIZE

ENVIRONMENT = "REMOTE_CLIENT_ENGINE"
"""The environment variable that names the engine of clients that name none."""

Policy = Literal["round_robin", "pick_first"]
Value = str | int | float


class AsyncTransport(Interface):
    """httpx's interface of transports for asyncio; httpx2 has it too."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request, and return the response with its head and a stream of its body."""

    async def aclose(self) -> None:
        """Close all connections."""


def check_transport(transport: Any) -> None:
    """Refuse what cannot carry calls.

    Raises:
        ConfigurationError: it has not httpx's interface of transports for asyncio.
    """
    name = f"{type(transport).__module__}.{type(transport).__qualname__}"
    if isinstance(transport, type):
        raise ConfigurationError(f"transport: {transport.__name__} is a class; give an object of it")
    if all(callable(getattr(transport, method, None)) for method in ("handle_async_request", "aclose")):
        return
    if callable(getattr(transport, "handle_request", None)):
        raise ConfigurationError(f"transport: {name} blocks; give one for asyncio, such as httpx.AsyncHTTPTransport()")
    raise ConfigurationError(
        f"transport: {name} is no transport for asyncio: it needs the coroutine methods handle_async_request and "
        "aclose, as httpx.AsyncHTTPTransport() has them"
    )


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """The limits of a gRPC connection: this client's defaults, overridden by `ConnectionInfo.options`.

    Attributes:
        max_receive_size: bytes of the largest answer, after decompression; None for no limit.
        max_send_size: bytes of the largest request, before compression; None for no limit.
        keepalive_time: seconds of silence before a PING; None for no PINGs.
        ping_timeout: seconds to wait for a PING's answer before the connection counts as lost.
        keepalive_without_calls: whether to send PINGs while no call is running.
        max_pings_without_data: PINGs between two frames that carry something; None for no limit.
        initial_backoff: seconds until the second try to connect.
        max_backoff: seconds of the longest pause between two tries.
        connect_timeout: seconds one try may take.
        primary_user_agent: text in front of the client's own user agent.
        secondary_user_agent: text behind it.
        authority: the `:authority` of calls; None for the target's.
        tls_name: the name the server's certificate must hold; None for the host's.
        max_metadata_size: bytes of the largest header list accepted from the server.
        transparent_retries: whether to send calls again that the server surely did not process.
        policy: how calls are spread over the addresses of a name; None to decide by the host: `round_robin` for names,
            `pick_first` for addresses, unix sockets and localhost.
        resolve_interval: seconds between two resolutions of a name, at least.
        idle_timeout: seconds without a call until the connection is closed, to be opened again by the next; None for
            never.
        compression: how requests are compressed; None for not at all.
    """

    max_receive_size: int | None = MAX_RESPONSE_SIZE
    max_send_size: int | None = None
    # A caikit runtime ends connections that ping more often ("Too many pings").
    keepalive_time: float | None = 60.0
    ping_timeout: float = 10.0
    keepalive_without_calls: bool = False
    max_pings_without_data: int | None = 2
    # A server that comes back is found in half a second; with gRPC's defaults it takes more than three.
    initial_backoff: float = 0.1
    max_backoff: float = 1.0
    connect_timeout: float = 5.0
    primary_user_agent: str = ""
    secondary_user_agent: str = ""
    authority: str | None = None
    tls_name: str | None = None
    max_metadata_size: int = 16 * 1024
    transparent_retries: bool = True
    policy: Policy | None = None
    resolve_interval: float = 1.0
    idle_timeout: float | None = 1800.0
    compression: Literal["gzip"] | None = None

    @classmethod
    def of(cls, connection: ConnectionInfo) -> Self:
        """The options of a connection; those the own engine does not know are left out, see `unknown_options`.

        Raises:
            ConfigurationError: a value is of the wrong kind.
        """
        given = {OPTIONS[key].field: value for key, value in _read(connection.options) if value is not _UNKNOWN}
        return cls(**{each.name: given[each.name] for each in fields(cls) if each.name in given})


_UNKNOWN: Any = object()
"""A value that only grpcio knows."""
_INT_MAX = 2**31 - 1
"""gRPC's way to write "never" for milliseconds."""


def _integer(value: Value, least: int = 0) -> int:
    if isinstance(value, str) or value != int(value) or value < least:
        raise ValueError(f"expected an integer from {least}, got {value!r}")
    return int(value)


def _size(value: Value) -> int | None:
    size = _integer(value, -1)
    return None if size == -1 else size


def _seconds(value: Value) -> float:
    return _integer(value) / 1000


def _seconds_or_never(value: Value) -> float | None:
    milliseconds = _integer(value)
    return None if milliseconds >= _INT_MAX else milliseconds / 1000


def _count(value: Value) -> int | None:
    return _integer(value) or None


def _flag(value: Value) -> bool:
    return bool(_integer(value))


def _text(value: Value) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError(f"expected printable ASCII text, got {value!r}")
    return value


def _policy(value: Value) -> Any:
    return value if value in get_args(Policy) else _UNKNOWN


def _no_proxy(value: Value) -> Any:
    return _UNKNOWN if _flag(value) else False


def _local_pool(value: Value) -> Any:
    return True if _flag(value) else _UNKNOWN


def _compression(value: Value) -> Any:
    return {0: None, 2: "gzip"}.get(_integer(value), _UNKNOWN)


class Option(NamedTuple):
    """An option of gRPC's that the own engine honours: the field it sets, how its value is read, what it means."""

    field: str
    read: Callable[[Value], Any]
    meaning: str


_UNUSED = ""
"""The field of an option that has no effect."""

OPTIONS: dict[str, Option] = {
    "grpc.max_receive_message_length": Option("max_receive_size", _size, "bytes of the largest answer, -1: any"),
    "grpc.max_send_message_length": Option("max_send_size", _size, "bytes of the largest request, -1: any"),
    "grpc.keepalive_time_ms": Option("keepalive_time", _seconds_or_never, "silence before a PING"),
    # The later one wins where both are given: grpcio heeds only that (#39239).
    "grpc.keepalive_timeout_ms": Option("ping_timeout", _seconds, "wait for a PING's answer"),
    "grpc.http2.ping_timeout_ms": Option(
        "ping_timeout", _seconds, "wait for a PING's answer; goes before `grpc.keepalive_timeout_ms`"
    ),
    "grpc.keepalive_permit_without_calls": Option(
        "keepalive_without_calls", _flag, "1: send PINGs while no call is running"
    ),
    "grpc.http2.max_pings_without_data": Option(
        "max_pings_without_data", _count, "PINGs between two frames that carry something, 0: any number"
    ),
    "grpc.initial_reconnect_backoff_ms": Option("initial_backoff", _seconds, "pause after the first failed connect"),
    "grpc.min_reconnect_backoff_ms": Option("connect_timeout", _seconds, "limit of one try to connect"),
    "grpc.max_reconnect_backoff_ms": Option("max_backoff", _seconds, "longest pause between two tries to connect"),
    "grpc.primary_user_agent": Option("primary_user_agent", _text, "text in front of the user agent"),
    "grpc.secondary_user_agent": Option("secondary_user_agent", _text, "text behind the user agent"),
    "grpc.default_authority": Option("authority", _text, "the `:authority` of calls"),
    "grpc.ssl_target_name_override": Option("tls_name", _text, "the name the server's certificate must hold"),
    "grpc.max_metadata_size": Option(
        "max_metadata_size", _integer, "bytes of the largest header list accepted from the server"
    ),
    "grpc.absolute_max_metadata_size": Option(
        "max_metadata_size", _integer, "the same; goes before `grpc.max_metadata_size`"
    ),
    "grpc.use_local_subchannel_pool": Option(
        _UNUSED, _local_pool, "1, the default: connections are never shared (0: grpcio)"
    ),
    "grpc.enable_retries": Option(
        "transparent_retries", _flag, "0: do not send calls again that the server surely did not process"
    ),
    "grpc.enable_http_proxy": Option(_UNUSED, _no_proxy, "0, the default: no proxy but `proxy=` (1: grpcio)"),
    "grpc.lb_policy_name": Option("policy", _policy, "`round_robin` or `pick_first` (others: grpcio)"),
    "grpc.dns_min_time_between_resolutions_ms": Option(
        "resolve_interval", _seconds, "pause between two resolutions of a name, at least"
    ),
    "grpc.client_idle_timeout_ms": Option(
        "idle_timeout", _seconds_or_never, "time without a call until the connection is closed"
    ),
    "grpc.default_compression_algorithm": Option(
        "compression", _compression, "0: none; 2: requests are compressed by gzip (others: grpcio)"
    ),
}
"""The options that the own engine honours. A later one of two that set the same field wins."""

_ONLY_WITH = {
    "grpc.http_proxy": "grpc.enable_http_proxy",
    "grpc.address_http_proxy": "grpc.address_http_proxy_enabled_addresses",
    "grpc.address_http_proxy_enabled_addresses": "grpc.address_http_proxy",
}
"""Options to which gRPC pays no attention without another one."""


def _read(options: Mapping[str, Value]) -> Iterator[tuple[str, Any]]:
    """The given options of the table with their values as the own engine takes them, in the table's order."""
    for key, option in OPTIONS.items():
        if key not in options:
            continue
        try:
            yield key, option.read(options[key])
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(f"options: {key}: {error}") from None


def unknown_options(options: Mapping[str, Value]) -> list[str]:
    """The keys that only grpcio knows, or that have a value only grpcio knows."""
    foreign = {key for key, value in _read(options) if value is _UNKNOWN}
    return [key for key in options if key not in OPTIONS or key in foreign]


def choose_engine(
    connection: ConnectionInfo,
    protocol: Protocol,
    interceptors: Sequence[Any] = (),
    environment: Mapping[str, str] | None = None,
) -> Engine:
    """Decide which engine carries the calls.

    The connection's `engine` counts first, then the environment's. Without either the own engine is taken, unless
    something is asked for that only grpcio has: an xDS target, an option, or interceptors.

    Args:
        connection: the server.
        protocol: engines are gRPC's; over HTTP the environment does not count.
        interceptors: of grpc.aio.
        environment: the process's without it.

    Raises:
        ConfigurationError: the engine cannot do what is asked for.
    """
    asked, source = _asked(connection, {} if protocol == "http" else environment)
    _check_options(connection)
    if protocol == "http":
        _check_http(asked, interceptors)
        return "asyncio"
    needed = _needs_grpcio(connection, interceptors)
    if asked is None:
        asked = "grpcio" if needed else "asyncio"
    elif asked == "asyncio" and needed:
        raise ConfigurationError(f'{needed}, and {source} is "asyncio"')
    if asked == "grpcio" and connection.tls.enabled and connection.tls.key_password is not None:
        raise ConfigurationError("tls.key_password: grpcio takes unencrypted keys only; decrypt key_file for it")
    if asked == "grpcio" and isinstance(connection.proxy, Proxy) and connection.proxy.secure:
        raise ConfigurationError(f"proxy: {connection.proxy}: grpcio speaks to proxies without TLS only, http://")
    return asked


def _check_options(connection: ConnectionInfo) -> None:
    """Refuse options that have no effect: somebody counts on it."""
    options = connection.options
    for key, other in _ONLY_WITH.items():
        if key in options and not options.get(other):
            hint = "; use proxy= instead" if key == "grpc.http_proxy" else ""
            raise ConfigurationError(f"options: {key}: it has no effect without {other}{hint}")
    if "grpc.ssl_target_name_override" in options and not connection.tls.enabled:
        raise ConfigurationError("options: grpc.ssl_target_name_override: it has no effect without TLS")
    if options.get("grpc.enable_http_proxy") and connection.proxy is not None:
        raise ConfigurationError("options: grpc.enable_http_proxy: leave it out where proxy= says what is to be used")


def _needs_grpcio(connection: ConnectionInfo, interceptors: Sequence[Any]) -> str | None:
    """What is asked for that only grpcio has, as an error begins to tell it; None if nothing is."""
    if connection.is_xds:
        return f'hostname: {connection.target}: only engine="grpcio" speaks xDS'
    if foreign := unknown_options(connection.options):
        return f'options: {foreign[0]}: only engine="grpcio" knows it'
    return 'interceptors: only engine="grpcio" calls them' if interceptors else None


def _asked(connection: ConnectionInfo, environment: Mapping[str, str] | None) -> tuple[Engine | None, str]:
    """The engine that is asked for, if one is, and where."""
    if connection.engine is not None:
        return connection.engine, "engine"
    named: Any = (os.environ if environment is None else environment).get(ENVIRONMENT) or None
    if named is not None and named not in get_args(Engine):
        raise ConfigurationError(f"{ENVIRONMENT}: must be {' or '.join(get_args(Engine))}, not {named!r}")
    return named, ENVIRONMENT


def _check_http(asked: Engine | None, interceptors: Sequence[Any]) -> None:
    if asked == "grpcio":
        raise ConfigurationError('engine: "grpcio" is for gRPC; the protocol here is HTTP')
    if interceptors:
        raise ConfigurationError("interceptors: they are gRPC's; the protocol here is HTTP")
