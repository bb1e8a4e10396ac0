"""Settings of connections, finders and calls: frozen dataclasses, checked at construction.

Names, defaults and rules of `ConnectionInfo` and `ConnectionTlsInfo` are those of caikit 0.29
(`caikit.interfaces.common.data_model.remote`), so that its configuration files can be used unchanged.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from ._objects.copying import Immutable
from ._settings.callables import WAYS, ByName, OffLoop
from ._settings.checked import Settings, checked
from ._settings.connection import ConnectionInfo, Engine, Protocol, check_protocol
from ._settings.durations import Duration, Pause, limit
from ._settings.retries import ONCE, RetryPolicy
from ._settings.secret import Secret
from ._settings.tls import ConnectionTlsInfo
from .auth import Credentials, Metadata
from .errors import ConfigurationError, PicklingError
from .hooks import Hook, accepts, check_hooks, name_of
from .middleware import Middleware, check_middleware

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
    "Secret",
    "SupportedModel",
]

Output = Literal["pydantic", "proto", "dict", "numpy", "caikit"]
"""The form of answers; `RemoteModuleBase.with_options` describes the values."""
MetadataSource = Metadata | Callable[[], Metadata | Awaitable[Metadata]] | Credentials
"""Metadata, a sync or async callable that returns it for every call, or credentials of `remote_client.auth`."""

# The annotations are no strings: the check of the arguments reads them.


@checked
@dataclass(frozen=True, kw_only=True, repr=False)
class SupportedModel(Settings):
    """A model that is known without asking a server.

    Attributes:
        module_id: the id of its module.
        tasks: the names of its module's tasks, such as `SampleTask`; None if they are not known.
    """

    module_id: str
    tasks: tuple[str, ...] | None = None

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return the value itself, or the settings that a mapping or a module's id describes."""
        return cls(module_id=value) if isinstance(value, str) else super().of(value)


@checked
@dataclass(frozen=True, kw_only=True, repr=False)
class FinderConfig(Settings):
    """The configuration of a `RemoteModelFinder`; keys and defaults are upstream's.

    Attributes:
        connection: the default server, or a template for one server per model.
        remote_connections: more servers; of two that list the same model the first is used.
        model_key: the metadata key that names the model.
        protocol: `grpc` or `http`.
        engine: the implementation of gRPC for all servers; it overrides those of the connections.
        min_poll_time: seconds after which a missing model is looked for again.
        discover_models: whether to ask the servers which models they have.
        supported_models: models known in advance: name -> module id, or name -> {module_id, tasks}. They need
            `connection`, and no poll removes them.
        schema: the interface of all servers, as `RemoteClient` takes it. The finder then asks no server, and with
            `discover_models` finds a model of any name.
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
        if any(connection.is_template for connection in self.remote_connections):
            raise ValueError("remote_connections: only connection may have {} in its host name or base path")
        if not re.fullmatch(r"[0-9a-z_.-]+", self.model_key) or self.model_key.startswith("grpc-"):
            raise ValueError("model_key: must be a metadata key: lower-case letters, digits, '_', '.' and '-'")
        for connection in (self.connection, *self.remote_connections):
            if connection is not None:
                check_protocol(connection, self.protocol)
        if self.engine is not None:
            self._set_engine(self.engine)

    def _set_engine(self, engine: Engine) -> None:
        """Set the engine of the connections, which modules use without the finder."""
        others = tuple(connection.replace(engine=engine) for connection in self.remote_connections)
        object.__setattr__(self, "remote_connections", others)
        if self.connection is not None:
            object.__setattr__(self, "connection", self.connection.replace(engine=engine))


def check_metadata(source: Any) -> None:
    """Check a source of metadata, but not the values, which are checked at a call and never shown.

    Raises:
        ConfigurationError: it is no mapping with text keys, no callable without arguments, and no `Credentials`.
    """
    if isinstance(source, Credentials):
        if not accepts(source, None):
            raise ConfigurationError(
                f"metadata: {name_of(source)} must be callable with one argument, as Credentials are"
            )
        return
    if callable(source):
        if not accepts(source):
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
    """Hooks, middleware or metadata sources that are checked already: some users call `with_options` for every call."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CallOptions(Immutable):
    """What `with_options` sets for calls.

    Attributes:
        timeout: seconds (or a `timedelta`) for a unary call, and between two items of a stream in either direction;
            None or `math.inf` for no limit.
        total_timeout: the same for a whole stream, sent to the server as its deadline. Default None.
        metadata: sources of metadata; later ones override earlier ones.
        output: the form of answers: pydantic models, dicts, dicts with numpy arrays (over gRPC), protobuf messages
            (over gRPC), or caikit's data objects (of a module that was made of a caikit class).
        retry: the policy of retries.
        hooks: functions that get the events of `remote_client.hooks`.
        middleware: functions around every attempt, the outermost first; see `remote_client.middleware`.
    """

    timeout: float | None = 60
    total_timeout: float | None = None
    metadata: tuple[MetadataSource, ...] = field(default=(), repr=False)
    output: Output = "pydantic"
    retry: RetryPolicy = ONCE
    hooks: tuple[Hook, ...] = field(default=(), repr=False)
    middleware: tuple[Middleware, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.middleware, _Checked):
            object.__setattr__(self, "middleware", _Checked(check_middleware(self.middleware)))
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
        if self.output == "numpy":
            from importlib.util import find_spec

            if find_spec("numpy") is None:
                raise ConfigurationError('output: "numpy" needs numpy: pip install remote-client[numpy]')

    def __reduce__(self) -> Any:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["metadata"] = tuple(map(_pickled_form, self.metadata))
        return CallOptions, tuple(values.values())


def _pickled_form(source: MetadataSource) -> Any:
    if isinstance(source, Mapping):
        if source:
            raise PicklingError(
                f"metadata: the values of a mapping are not pickled, as they may be credentials. {WAYS}"
            )
        return source
    return source if isinstance(source, (Credentials, OffLoop)) else ByName(source, "metadata")
