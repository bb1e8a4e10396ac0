"""gRPC's channel options: those the own engine honours, and how it reads their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Self, get_args

from .._settings.connection import MAX_RESPONSE_SIZE, Compression
from .._settings.numbers import Value, integer, size
from ..errors import ConfigurationError
from ..settings import ConnectionInfo

Policy = Literal["round_robin", "pick_first"]


class GrpcOptions(NamedTuple):
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
        transparent_retries: whether to send calls again that the server certainly did not process.
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
    compression: Compression | None = None

    @classmethod
    def of(cls, connection: ConnectionInfo) -> Self:
        """Return a connection's options without those that only grpcio supports; see `unknown_options`.

        The connection's own settings override options of the same meaning.

        Raises:
            ConfigurationError: a value has the wrong type or is out of range.
        """
        given = {OPTIONS[key].field: value for key, value in _read(connection.options) if value is not _UNKNOWN}
        given.pop(_UNUSED, None)
        given["max_receive_size"] = connection.max_response_size
        if connection.compression is not None:
            given["compression"] = connection.compression
        return cls(**given)


_UNKNOWN: Any = object()
"""Stands for a value that only grpcio supports."""
_INT_MAX = 2**31 - 1
"""The number of milliseconds that means "never" to gRPC."""


def _seconds(value: Value) -> float:
    return integer(value) / 1000


def _seconds_or_never(value: Value) -> float | None:
    milliseconds = integer(value)
    return None if milliseconds >= _INT_MAX else milliseconds / 1000


def _count(value: Value) -> int | None:
    return integer(value) or None


def _flag(value: Value) -> bool:
    return bool(integer(value))


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
    return {0: None, 2: "gzip"}.get(integer(value), _UNKNOWN)


class Option(NamedTuple):
    """A channel option that the own engine honours: the field it sets, how its value is read, what it means."""

    field: str
    read: Callable[[Value], Any]
    meaning: str


_UNUSED = ""
"""The field of an option that has no effect here."""

OPTIONS: dict[str, Option] = {
    "grpc.max_receive_message_length": Option("max_receive_size", size, "bytes of the largest answer, -1: any"),
    "grpc.max_send_message_length": Option("max_send_size", size, "bytes of the largest request, -1: any"),
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
        "max_metadata_size", integer, "bytes of the largest header list accepted from the server"
    ),
    "grpc.absolute_max_metadata_size": Option(
        "max_metadata_size", integer, "the same; goes before `grpc.max_metadata_size`"
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
"""The options that the own engine honours. Of two that set the same field, the later one wins."""


def _read(options: Mapping[str, Value]) -> Iterator[tuple[str, Any]]:
    """Yield the given options with their converted values, in the table's order."""
    for key, option in OPTIONS.items():
        if key not in options:
            continue
        try:
            yield key, option.read(options[key])
        except ValueError as error:
            raise ConfigurationError(f"options: {key}: {error}") from None


def unknown_options(options: Mapping[str, Value]) -> list[str]:
    """Return the options that only grpcio supports, as such or with their value."""
    foreign = {key for key, value in _read(options) if value is _UNKNOWN}
    return [key for key in options if key not in OPTIONS or key in foreign]
