"""Frozen settings, checked at construction: where to connect, how, and with which limits.

Names, defaults and rules of `ConnectionInfo` and `ConnectionTlsInfo` are those of caikit 0.29
(`caikit.interfaces.common.data_model.remote`), so that its configuration files can be used unchanged.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from http.client import HTTP_PORT, HTTPS_PORT
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self, get_args

from ._objects.copying import Immutable
from ._settings.base import Bounds, Conversion, Count, Positive, Settings, checked
from ._settings.callables import WAYS, ByName, OffLoop
from ._settings.durations import Duration, Limit, Pause, Seconds, limit
from ._settings.proxies import ProxySetting
from ._settings.retries import ONCE, RetryPolicy, retry_policy
from ._settings.targets import (
    NO_PATH,
    check_host,
    check_socket,
    is_number,
    is_segment,
    normal_host,
    normal_path,
    read_target,
)
from ._settings.tls import ConnectionTlsInfo
from .auth import Credentials, Metadata
from .errors import ConfigurationError, InputError, PicklingError
from .hooks import Hook, can_take, check_hooks, name_of

__all__ = [
    "CallOptions",
    "ConnectionInfo",
    "ConnectionTlsInfo",
    "Duration",
    "Engine",
    "FinderConfig",
    "MetadataSource",
    "Output",
    "Protocol",
    "RetryPolicy",
    "SupportedModel",
]

Protocol = Literal["grpc", "http"]
Engine = Literal["asyncio", "grpcio"]
"""What speaks gRPC: this package on `asyncio.Protocol`, or grpc.aio."""
Output = Literal["pydantic", "proto", "dict", "numpy", "caikit"]
MetadataSource = Metadata | Callable[[], Metadata | Awaitable[Metadata]] | Credentials
"""Metadata, or a sync or async callable that gives it anew for each call, or credentials of `remote_client.auth`."""

_NO_TLS = ConnectionTlsInfo()
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_XDS = re.compile(r"xds://[A-Za-z0-9_.-]*/[A-Za-z0-9_.~:/%-]+")


def _base_path(path: Any) -> str:
    if not isinstance(path, str):
        raise ValueError(f"must be text, not {type(path).__name__}")
    return normal_path(path)


# The annotations are no strings: the check of the arguments reads them.


@checked
@dataclass(frozen=True, kw_only=True)
class ConnectionInfo(Settings):
    """One server (or, with `{}` in the host name, one server per model) and how to talk to it.

    Attributes:
        hostname: DNS name, IPv4 or IPv6 address (with its zone, `fe80::1%eth0`), `unix:` and a socket's path,
            `unix-abstract:` and a socket's name, or `xds:///` and a service's name, for an xDS control plane to resolve
            (needs grpcio, see docs/engines.md). It may hold one `{}`: the model's name, which must then be a DNS label.
        port: 1 to 65535; without it 443 with TLS and 80 otherwise, as upstream; none for a unix socket or `xds:///`.
        base_path: what a gateway puts before every route of the runtime, as in `/team/caikit` (HTTP only). It may hold
            one `{}`: the model's name, which must then have no character that needs an escape, nor a dot in front.
        tls: see `ConnectionTlsInfo`; off by default.
        timeout: seconds (or a `timedelta`) for a call, and between two items of a stream; None or `math.inf` for no
            limit. Default 60.
        options: gRPC channel arguments, added to and overriding this client's own. One of them counts over HTTP too:
            `grpc.max_receive_message_length`, bytes of the largest answer (64 MiB).
        retries: attempts after the first, of calls that may be sent again. Default 1, as upstream's.
        retry_options: the names of gRPC's retry policy (`maxAttempts`, `initialBackoff`, `maxBackoff`,
            `backoffMultiplier`, `retryableStatusCodes`) or of urllib3's `Retry` (`total`, `backoff_factor`,
            `backoff_max`, `status_forcelist`), over either protocol.
        engine: what speaks gRPC: `asyncio` (this package), or `grpcio`; None to decide, see docs/engines.md.
        max_pending: calls that may wait for the server's first answer at a time; further ones wait in the client.
            Clients of one event loop with the same target and limit share it. Default 256: a runtime refuses calls
            beyond about 1,000 waiting ones of all its clients.
        proxy: the URL of a proxy to go through, `http://user:password@host:port` or `https://...`; `"env"` for the one
            that the environment names, if it does; None, the default, for none. It shows itself without credentials.
        max_session_age: seconds until a connection is replaced; below 0 never, 0 a new connection for each call.
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

    @classmethod
    def prepare(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Drop the nulls that configuration files have, as upstream does, and write the host name in its one form."""
        filled = {name: value for name, value in values.items() if name in ("timeout", "retries") or value is not None}
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
                object.__setattr__(self, "port", HTTPS_PORT if self.tls.enabled else HTTP_PORT)

    @property
    def is_unix(self) -> bool:
        """Whether this is a unix socket, of a path or (`unix-abstract:`, on Linux) of a name alone."""
        return self.hostname.startswith(("unix:", "unix-abstract:"))

    @property
    def is_xds(self) -> bool:
        """Whether this is a service whose servers an xDS control plane tells."""
        return self.hostname.startswith("xds://")

    @property
    def is_template(self) -> bool:
        """Whether the host name or the base path depends on the model's name."""
        return not self.is_unix and ("{}" in self.hostname or "{}" in self.base_path)

    @property
    def target(self) -> str:
        """`host:port`, `[v6]:port`, `unix:path` or `xds:///service`, and the base path: how errors name the server."""
        if self.is_unix or self.is_xds:
            return self.hostname
        return _joined(self.hostname, self.port) + self.base_path

    @property
    def authority(self) -> str:
        """How the server is named to itself, in `:authority`: a zone means something on this machine alone."""
        return self.hostname if self.is_xds else "localhost" if self.is_unix else _joined(self.tls_name, self.port)

    @property
    def tls_name(self) -> str:
        """The name that the server's certificate must hold: without the dot that only resolvers know, or a zone."""
        return "localhost" if self.is_unix else self.hostname.partition("%")[0].removesuffix(".")

    def for_model(self, name: str) -> Self:
        """The connection for a model: `{}` in the host name and the base path replaced by `name`, nothing else ever
        interpreted.

        Raises:
            InputError: the name could send the call, with its credentials, elsewhere.
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
                f"model {name!r}: its name becomes part of the base path {self.base_path!r}, so it must be of letters, "
                "digits, '-', '.', '_' and '~', without a dot in front"
            )
        return self.replace(hostname=hostname, base_path=self.base_path.replace("{}", name))


def _joined(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check(name: str, check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def parse_target(target: str, protocol: Protocol | None = None) -> tuple[ConnectionInfo, Protocol]:
    """The connection and protocol that a target names. docs/targets.md has all forms.

    Args:
        target: the target.
        protocol: of a target that names none; gRPC without it.

    Raises:
        ConfigurationError: it is none, or names another protocol. The message never repeats user information.
    """
    try:
        read, problem = read_target(target, "http" if protocol == "http" else "grpc"), ""
    except ValueError as error:
        read, problem = None, str(error)
    if read is None:
        del target  # a traceback shows a frame's variables, where it is asked to
        raise ConfigurationError(f"target: {problem}")
    if protocol is not None and read.protocol != protocol:
        raise ConfigurationError(f"protocol: the target names {read.protocol}, not {protocol}")
    tls = ConnectionTlsInfo(enabled=read.secure)
    info = ConnectionInfo(hostname=read.hostname, port=read.port, base_path=read.base_path, tls=tls)
    return info, read.protocol


@checked
@dataclass(frozen=True, kw_only=True)
class SupportedModel(Settings):
    """A model known without asking a server.

    Attributes:
        module_id: the id of its module.
        tasks: the names of the tasks its module has, such as `SampleTask`; None where that is not known.
    """

    module_id: str
    tasks: tuple[str, ...] | None = None

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return settings unchanged, or make them of a mapping or a module's id."""
        return cls(module_id=value) if isinstance(value, str) else super().of(value)


@checked
@dataclass(frozen=True, kw_only=True)
class FinderConfig(Settings):
    """The configuration of a `RemoteModelFinder`; keys and defaults are upstream's.

    Attributes:
        connection: the default server, or a template for one server per model.
        remote_connections: more servers; of two that list the same model the first is used.
        model_key: the metadata key that names the model.
        protocol: `grpc` or `http`.
        engine: what speaks gRPC to all its servers; goes before the engines that connections name.
        min_poll_time: seconds during which a model that is missing is not looked for again.
        discover_models: whether to ask the servers which models they have.
        supported_models: models known beforehand: name -> module id, or name -> {module_id, tasks}. They need
            `connection`, and survive every poll.
        schema: the interface of all servers, as `RemoteClient` takes it. The finder then asks
            no server, and with `discover_models` finds a model of any name.
    """

    connection: ConnectionInfo | None = None
    remote_connections: tuple[ConnectionInfo, ...] = ()
    model_key: str = "mm-model-id"
    protocol: Protocol = "grpc"
    engine: Engine | None = None
    min_poll_time: Pause = 30
    discover_models: bool = True
    supported_models: Mapping[str, SupportedModel] = field(default_factory=dict)
    schema: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.connection is None and not self.remote_connections:
            raise ValueError("connection or remote_connections is needed")
        if self.supported_models and self.connection is None:
            raise ValueError("supported_models needs connection")
        if self.connection is not None:
            for name in self.supported_models:
                self.connection.for_model(name)
        if any(each.is_template for each in self.remote_connections):
            raise ValueError("remote_connections: only connection may have {} in its host name or base path")
        if not re.fullmatch(r"[0-9a-z_.-]+", self.model_key) or self.model_key.startswith("grpc-"):
            raise ValueError("model_key: must be a metadata key: lower-case letters, digits, '_', '.' and '-'")
        for each in (self.connection, *self.remote_connections):
            if each is not None:
                check_protocol(each, self.protocol)
        if self.engine is not None:
            self._set_engine(self.engine)

    def _set_engine(self, engine: Engine) -> None:
        """Write the engine into the connections: modules that are made of them have it then."""
        others = tuple(each.replace(engine=engine) for each in self.remote_connections)
        object.__setattr__(self, "remote_connections", others)
        if self.connection is not None:
            object.__setattr__(self, "connection", self.connection.replace(engine=engine))


def check_protocol(connection: ConnectionInfo, protocol: Protocol) -> None:
    """Raise a ConfigurationError where the protocol cannot do what the connection asks for."""
    if protocol == "grpc" and connection.tls.enabled and connection.tls.insecure_verify:
        raise ConfigurationError(
            "tls.insecure_verify: gRPC cannot skip the verification of the server; give its certificate as ca_file"
        )
    if protocol == "grpc" and connection.base_path:
        raise ConfigurationError(f"base_path: {NO_PATH}")
    if protocol == "http" and connection.is_unix:
        raise ConfigurationError("hostname: a unix socket is spoken to over gRPC only")
    if protocol == "http" and connection.is_xds:
        raise ConfigurationError(f"hostname: {connection.target}: xDS is spoken over gRPC only")


def check_metadata(source: Any) -> None:
    """Refuse metadata that can never be sent. Values are not looked at before a call, and never shown.

    Raises:
        ConfigurationError: it is no mapping of text keys, no callable without arguments, and no `Credentials`.
    """
    if isinstance(source, Credentials):
        if not can_take(source, None):
            raise ConfigurationError(
                f"metadata: {name_of(source)} must be callable with one argument, as Credentials are"
            )
        return
    if callable(source):
        if not can_take(source):
            raise ConfigurationError(f"metadata: {name_of(source)} must be callable without arguments")
    elif not isinstance(source, Mapping):
        raise ConfigurationError(
            f"metadata: expected a mapping, as in {{'authorization': 'Bearer ...'}}, or a callable that returns one, "
            f"not {type(source).__name__}"
        )
    else:
        for key in source:
            if not isinstance(key, str):
                raise ConfigurationError(f"metadata: keys must be text, not {type(key).__name__}")


class _Checked(tuple[Any, ...]):
    """Hooks or sources of metadata that were checked: `with_options` is called for each call by some."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CallOptions(Immutable):
    """What `with_options` sets for calls.

    Attributes:
        timeout: seconds (or a `timedelta`) for a unary call, and between two items of a stream in either direction;
            None or `math.inf` for no limit.
        total_timeout: the same for a whole stream, sent to the server as its deadline. Default None.
        metadata: sources of the metadata sent, later ones override earlier ones.
        output: what answers are: pydantic models, dicts, dicts with arrays of numpy's (over gRPC), protobuf messages
            (over gRPC), or caikit's data objects (of a module that was made of a caikit class).
        retry: when a call is sent again.
        hooks: what is called with the events of `remote_client.hooks`.
    """

    timeout: float | None = 60
    total_timeout: float | None = None
    metadata: tuple[MetadataSource, ...] = field(default=(), repr=False)
    output: Output = "pydantic"
    retry: RetryPolicy = ONCE
    hooks: tuple[Hook, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.hooks, _Checked):
            object.__setattr__(self, "hooks", _Checked(check_hooks(self.hooks)))
        if not isinstance(self.metadata, _Checked):
            if not isinstance(self.metadata, tuple):
                raise ConfigurationError("metadata: expected a tuple of sources, as in (source,)")
            for source in self.metadata:
                check_metadata(source)
            object.__setattr__(self, "metadata", _Checked(self.metadata))
        for name in ("timeout", "total_timeout"):
            object.__setattr__(self, name, limit(getattr(self, name), name))
        if self.output not in get_args(Output):
            raise ConfigurationError(f"output: must be one of {', '.join(get_args(Output))}, not {self.output!r}")
        if self.output == "numpy" and find_spec("numpy") is None:
            raise ConfigurationError('output: "numpy" needs numpy: pip install remote-client[numpy]')

    def __reduce__(self) -> Any:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return CallOptions, tuple((values | {"metadata": tuple(map(_travelling, self.metadata))}).values())


def _travelling(source: MetadataSource) -> Any:
    """A source of metadata as it is pickled."""
    if isinstance(source, Mapping):
        if source:
            raise PicklingError(
                f"metadata: the values of a mapping are not pickled, as they may be credentials. {WAYS}"
            )
        return source
    return source if isinstance(source, (Credentials, OffLoop)) else ByName(source, "metadata")
