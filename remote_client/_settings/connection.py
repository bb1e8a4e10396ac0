"""The settings of a connection, and the targets that name one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, get_args

from .._objects.exports import exported_from
from .._version import __version__
from ..errors import ConfigurationError, InputError
from .checked import Bounds, Conversion, Count, Positive, Settings, checked
from .durations import Limit, Seconds
from .numbers import size
from .proxies import ProxySetting
from .retries import RetryPolicy, retry_policy
from .targets import NO_PATH, check_host, check_socket, is_number, is_segment, normal_host, normal_path, read_target
from .tls import ConnectionTlsInfo

Protocol = Literal["grpc", "http"]
"""The protocol of targets without a scheme, of finders and of schemas."""
Engine = Literal["asyncio", "grpcio"]
"""The implementation of gRPC: this package's own, on `asyncio.Protocol`, or grpc.aio."""
Compression = Literal["gzip"]
USER_AGENT = f"remote-client/{__version__}"
"""The default user agent."""
MAX_RESPONSE_SIZE = 64 * 1024 * 1024
"""The default limit of an answer in bytes, after decompression."""

_NO_TLS = ConnectionTlsInfo()
_NULLABLE = ("timeout", "retries", "max_response_size")
"""Settings of which null is a value."""
_PORT, _TLS_PORT = 80, 443
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESPONSE_LIMIT = "grpc.max_receive_message_length"
_XDS = re.compile(r"xds://[A-Za-z0-9_.-]*/[A-Za-z0-9_.~:/%-]+")


def _base_path(path: Any) -> str:
    if not isinstance(path, str):
        raise ValueError(f"must be text, not {type(path).__name__}")
    return normal_path(path)


def _user_agent(text: Any) -> str:
    if not (isinstance(text, str) and text.isascii() and text.isprintable() and text and text == text.strip()):
        raise ValueError(f"must be printable ASCII text without blanks around it, not {text!r:.80}")
    return text


# The annotations are no strings: the check of the arguments reads them.


@exported_from("remote_client.settings")
@checked
@dataclass(frozen=True, kw_only=True, repr=False)
class ConnectionInfo(Settings):
    """One server (or, with `{}` in the host name, one server per model) and how to talk to it.

    Attributes:
        hostname: a DNS name, an IPv4 or IPv6 address (with its zone, as in `fe80::1%eth0`), `unix:<path>`,
            `unix-abstract:<name>`, or `xds:///<service>`, which an xDS control plane resolves (needs grpcio, see
            docs/engines.md). One `{}` stands for the model's name, which must then be a DNS label.
        port: 1 to 65535; the default is 443 with TLS and 80 without, as upstream. Unix sockets and `xds:///` have none.
        base_path: the path of a gateway before the runtime's routes, as in `/team/caikit` (HTTP only). One `{}` stands
            for the model's name, which must then need no escape and start without a dot.
        tls: TLS settings; off by default.
        timeout: seconds (or a `timedelta`) for a call, and between two items of a stream; None or `math.inf` for no
            limit. Default 60.
        options: gRPC channel arguments, which override this client's own, but no other setting.
        retries: attempts after the first, of calls that may be repeated. Default 1, as upstream.
        retry_options: options of gRPC's retry policy (`maxAttempts`, `initialBackoff`, `maxBackoff`,
            `backoffMultiplier`, `retryableStatusCodes`) or of urllib3's `Retry` (`total`, `backoff_factor`,
            `backoff_max`, `status_forcelist`), for either protocol.
        engine: the implementation of gRPC, `asyncio` (this package) or `grpcio`; see docs/engines.md for the default.
        max_pending: calls that may wait for the server's first answer at a time; further calls wait in the client.
            Clients of one event loop with the same target and limit share it. Default 256: a runtime refuses calls when
            about 1,000 of all its clients wait.
        proxy: the URL of a proxy, `http://user:password@host:port` or `https://...`; `"env"` for the proxy that the
            environment names, if any; None, the default, for no proxy. Its credentials are never shown.
        max_session_age: seconds until a connection is replaced. `0` opens a connection per call; a negative value (the
            default) disables rotation.
        compression: `"gzip"` compresses requests that it makes smaller (gRPC only); None, the default, compresses
            none. Compressed answers are read in any case.
        user_agent: the user agent that servers see. Default `remote-client/VERSION`. grpcio appends its own.
        max_response_size: bytes of the largest answer, after decompression; of a stream, of the largest item. None for
            no limit. Default 64 MiB, or the option `grpc.max_receive_message_length`, over HTTP too.
    """

    hostname: str
    port: Annotated[int, Bounds(1, 65535, strict=True)] | None = None
    base_path: Annotated[str, Conversion(_base_path)] = ""
    tls: ConnectionTlsInfo = _NO_TLS
    timeout: Limit = 60
    options: Mapping[str, str | int | float] = field(default_factory=dict, repr=False, hash=False)
    retries: Count | None = 1
    retry_options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    engine: Engine | None = None
    max_pending: Positive = 256
    proxy: ProxySetting = None
    max_session_age: Seconds = -1
    compression: Compression | None = None
    user_agent: Annotated[str, Conversion(_user_agent)] = USER_AGENT
    max_response_size: Positive | None = MAX_RESPONSE_SIZE

    @classmethod
    def prepare(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Drop nulls, which upstream allows in configuration files, and normalise the host name."""
        filled = {name: value for name, value in values.items() if name in _NULLABLE or value is not None}
        match filled.get("hostname"):
            case str(hostname):
                filled["hostname"] = normal_host(hostname)
            case [str(address)] if ":" in address:  # an IPv6 address in brackets is a list to YAML
                filled["hostname"] = normal_host(address)
        return filled

    @property
    def retry_policy(self) -> RetryPolicy:
        """The policy that `retries` and `retry_options` describe."""
        return retry_policy(self.retries, self.retry_options)

    def __post_init__(self) -> None:
        retry_policy(self.retries, self.retry_options)
        self._check_host()
        if "max_response_size" not in self._given and _RESPONSE_LIMIT in self.options:
            object.__setattr__(self, "max_response_size", _limit_in(self.options))

    def _check_host(self) -> None:
        if self.is_unix or self.is_xds:
            kind = "a unix socket" if self.is_unix else "an xDS target"
            if self.proxy is not None:
                raise ValueError(f"proxy: {kind} is never reached through one")
            if self.base_path:
                raise ValueError(f"base_path: {NO_PATH}")
        if self.is_unix:
            if self.port is not None:
                raise ValueError("port: a unix socket has none")
            _check("hostname", check_socket, self.hostname)
        elif self.is_xds:
            if self.port is not None:
                raise ValueError("port: an xDS target has none; one that the service's name ends with belongs there")
            if not _XDS.fullmatch(self.hostname.replace("{}", "x", 1)):
                raise ValueError("hostname: must be xds:///<service>, with at most one {} for the model's name")
        else:
            _check("hostname", check_host, self.hostname)
            if self.port is None:
                object.__setattr__(self, "port", _TLS_PORT if self.tls.enabled else _PORT)

    @property
    def is_unix(self) -> bool:
        """Whether this is a unix socket, with a path or, on Linux, a name (`unix-abstract:`)."""
        return self.hostname.startswith(("unix:", "unix-abstract:"))

    @property
    def is_xds(self) -> bool:
        """Whether an xDS control plane resolves the host name."""
        return self.hostname.startswith("xds://")

    @property
    def is_template(self) -> bool:
        """Whether the host name or the base path depends on the model's name."""
        return not self.is_unix and ("{}" in self.hostname or "{}" in self.base_path)

    @property
    def target(self) -> str:
        """The server's address in error messages: `host:port` and the base path, `unix:path`, or `xds:///service`."""
        if self.is_unix or self.is_xds:
            return self.hostname
        return _joined(self.hostname, self.port) + self.base_path

    @property
    def authority(self) -> str:
        """The value of `:authority`, without the zone of an address: it has a meaning on this machine only."""
        return self.hostname if self.is_xds else "localhost" if self.is_unix else _joined(self.tls_name, self.port)

    @property
    def tls_name(self) -> str:
        """The name that the server's certificate must have, without a trailing dot or a zone."""
        return "localhost" if self.is_unix else self.hostname.partition("%")[0].removesuffix(".")

    def for_model(self, name: str) -> Self:
        """Return the connection for a model, with its name in place of `{}` in the host name and the base path.

        Raises:
            InputError: the name could direct calls, with their credentials, to another server.
        """
        if not self.is_template:
            return self
        hostname = self.hostname.replace("{}", name)
        if "{}" in self.hostname and (not _DNS_LABEL.fullmatch(name) or is_number(hostname)):
            raise InputError(
                f"model {name!r}: its name becomes part of the host name {self.hostname!r}, so it must be a DNS label: "
                "at most 63 lower-case letters, digits and hyphens, no hyphen at either end, and no number that is an "
                "address"
            )
        if "{}" in self.base_path and not is_segment(name):
            raise InputError(
                f"model {name!r}: its name becomes part of the base path {self.base_path!r}, so it may only have "
                "letters, digits, '-', '.', '_' and '~', and no dot in front"
            )
        return self.replace(hostname=hostname, base_path=self.base_path.replace("{}", name))


def _limit_in(options: Mapping[str, str | int | float]) -> int | None:
    try:
        return size(options[_RESPONSE_LIMIT])
    except ValueError as error:
        raise ValueError(f"options: {_RESPONSE_LIMIT}: {error}") from None


def _joined(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check(name: str, check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def parse_target(target: str, protocol: Protocol | None = None) -> tuple[ConnectionInfo, Protocol]:
    """Return the connection and the protocol that a target names. docs/targets.md lists all forms.

    Args:
        target: the target.
        protocol: the protocol of a target that names none; gRPC by default.

    Raises:
        ConfigurationError: the target is invalid, or names another protocol. The message never repeats credentials.
    """
    try:
        parts, problem = read_target(target, "http" if protocol == "http" else "grpc"), ""
    except ValueError as error:
        parts, problem = None, str(error)
    if parts is None:
        del target  # a traceback shows a frame's variables, where it is asked to
        raise ConfigurationError(f"target: {problem}")
    if protocol is not None and parts.protocol != protocol:
        raise ConfigurationError(f"protocol: the target names {parts.protocol}, not {protocol}")
    tls = ConnectionTlsInfo(enabled=parts.secure)
    info = ConnectionInfo(hostname=parts.hostname, port=parts.port, base_path=parts.base_path, tls=tls)
    return info, parts.protocol


def check_protocol(connection: ConnectionInfo, protocol: Protocol) -> None:
    """Raise a ConfigurationError if the protocol is unknown, or does not support the settings of a connection."""
    if protocol not in get_args(Protocol):
        raise ConfigurationError(f"protocol: expected 'grpc' or 'http', not {protocol!r}")
    if protocol == "grpc" and connection.tls.enabled and connection.tls.insecure_verify:
        raise ConfigurationError(
            "tls.insecure_verify: gRPC cannot skip the verification of the server; give its certificate as ca_file"
        )
    if protocol == "grpc" and connection.base_path:
        raise ConfigurationError(f"base_path: {NO_PATH}")
    if protocol == "http" and connection.compression is not None:
        raise ConfigurationError("compression: it is for gRPC only: a runtime decompresses no HTTP requests")
    if protocol == "http" and connection.is_unix:
        raise ConfigurationError("hostname: a unix socket is for gRPC only")
    if protocol == "http" and connection.is_xds:
        raise ConfigurationError(f"hostname: {connection.target}: xDS is for gRPC only")
