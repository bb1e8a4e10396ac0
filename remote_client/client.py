"""RemoteClient: the parts put together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self

import anyio

from ._schema.info import ModelInfo, RuntimeInfo
from ._schema.rpc import ServiceDescription
from .errors import (
    ConfigurationError,
    DeadlineExceededError,
    InputError,
    ModelNotFoundError,
    UnavailableError,
    UnimplementedError,
)
from .finder import RemoteModelFinder, Server
from .initializer import RemoteModelInitializer
from .module import RemoteModuleBase
from .settings import (
    CallOptions,
    ConnectionInfo,
    ConnectionTlsInfo,
    FinderConfig,
    MetadataSource,
    Protocol,
    parse_target,
)

if TYPE_CHECKING:
    import httpx

_HEALTH: dict[Protocol, tuple[str, bytes]] = {
    # what is asked, and what a healthy server answers
    "grpc": ("/grpc.health.v1.Health/Check", b"\x08\x01"),  # HealthCheckResponse{status: SERVING}
    "http": ("GET /health", b"OK"),
}


class RemoteClient:
    """A client of one or several caikit runtimes.

    Nothing is dialled before the first call. Use it in one event loop, as an async context manager or with `aclose()`.

    Args:
        target: `host:port` or `grpc://host:port`, `grpcs://host:port` (TLS), `unix:/path`; `http://host:port`,
            `https://host:port`; a `ConnectionInfo`; or a list of these, for several servers: of two that list the same
            model the first is used.
        protocol: `"grpc"` or `"http"`, for targets that do not name it; the default is gRPC.
        timeout: seconds for a unary call, and between two items of a stream; None for no limit. Default 60.
        max_session_age: seconds until a connection is replaced by a new one, without loss; below 0 (the default) never,
            0 a new connection for each call.
        tls: TLS settings; giving them turns TLS on.
        metadata: sent with every call: a mapping, or a sync or async callable that gives one (for tokens that
            change). Over HTTP they are headers.
        transport: an httpx transport for HTTP to use instead of its own: `httpx.MockTransport`, a respx router's, or
            any other. `aclose()` closes it.

    Raises:
        ConfigurationError: something of that is wrong.
    """

    def __init__(
        self,
        target: str | ConnectionInfo | Iterable[str | ConnectionInfo],
        *,
        protocol: Protocol | None = None,
        timeout: float | EllipsisType | None = ...,
        max_session_age: float | None = None,
        tls: ConnectionTlsInfo | Mapping[str, Any] | None = None,
        metadata: MetadataSource | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        targets = [target] if isinstance(target, (str, ConnectionInfo)) else target
        parsed = [_connection(each, protocol, timeout, max_session_age, tls) for each in targets]
        if len({speaks for _, speaks in parsed}) != 1:
            raise ConfigurationError("target: give at least one, and all of one protocol")
        connections = tuple(connection for connection, _ in parsed)
        self._metadata = () if metadata is None else (metadata,)
        self._finder = RemoteModelFinder(
            FinderConfig(remote_connections=connections[:-1], connection=connections[-1], protocol=parsed[0][1]),
            options=CallOptions(timeout=connections[0].timeout, metadata=self._metadata),
            transport=transport,
        )
        self._transport = transport
        self._initializer = RemoteModelInitializer()

    async def model(self, name: str, *, task: str | None = None) -> RemoteModuleBase:
        """A model's module: its methods call the model. It shares the client's connections.

        Args:
            name: as `models()` lists it.
            task: one task's name, such as `SampleTask`: the module then has the short names `run`, `run_stream_out`,
                `run_stream_in` and `run_bidi_stream` too. A server does not tell which tasks a model has; without
                `task` the module offers all tasks of the runtime.

        Raises:
            ModelNotFoundError: no server lists it.
            InputError: the runtime has no such task.
            RemoteCallError: no server could be asked.
        """
        found = await self._finder.locate(name)
        if found is None:
            raise self._not_found(name)
        server, config = found
        if task is not None:
            names = [each for each, _ in config.task_methods]
            if task not in names:
                close = difflib.get_close_matches(task, names, n=1)
                hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names)}"
                raise InputError(f"task: the runtime at {server.connection.target} has no task {task!r}; {hint}")
            config.task_methods = [(each, methods) for each, methods in config.task_methods if each == task]
        options = CallOptions(timeout=server.connection.timeout, metadata=self._metadata)
        module_class = self._initializer.construct_module_class(config)
        return module_class(config, connections=server.caller.connections, options=options)

    def _not_found(self, name: str) -> ModelNotFoundError:
        servers = self._finder.servers
        known = sorted({model for server in servers for model in server.models})
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        silent = "".join(
            f"; {each.connection.target} could not be asked ({each.error})" for each in servers if each.error
        )
        targets = ", ".join(server.connection.target for server in servers)
        return ModelNotFoundError(f"no server lists the model {name!r}{hint}{silent}", target=targets, model=name)

    async def models(self) -> list[ModelInfo]:
        """The models of all servers, as they are now. Of a model that several list, the first server's.

        Raises:
            RemoteCallError: no server could be asked.
        """
        return list((await self._finder.discover()).values())

    async def runtime_info(self) -> RuntimeInfo:
        """The versions of the (first) runtime."""
        return RuntimeInfo(**await self._finder.call(self._first, "GetRuntimeInfo"))

    async def describe(self) -> ServiceDescription:
        """All tasks of the (first) runtime, their methods with signatures, and their types. `print()` shows it."""
        return await self._finder.describe(self._first)

    @property
    def _first(self) -> Server:
        return self._finder.servers[0]

    async def healthy(self) -> bool:
        """Whether every server answers that it serves. Unreachable ones do not; other errors are raised."""
        method, serving = _HEALTH[self._finder.config.protocol]
        answers: list[bool] = []
        errors: list[Exception] = []

        async def ask(server: Server) -> None:
            try:
                answers.append(await server.caller.send(method, b"") == serving)
            except (UnavailableError, DeadlineExceededError, UnimplementedError):
                answers.append(False)
            except Exception as error:  # raised below: out of the task group it would come as a group
                errors.append(error)

        async with anyio.create_task_group() as group:
            for server in self._finder.servers:
                group.start_soon(ask, server)
        if errors:
            raise errors[0]
        return all(answers)

    async def aclose(self) -> None:
        """Close all connections, for good. Calls still in flight raise a ClosedError. Idempotent."""
        await self._finder.aclose()
        if self._transport is not None:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        servers = self._finder.servers
        opened = sum(server.caller.connections.opened for server in servers)
        return f"<RemoteClient of {', '.join(each.connection.target for each in servers)}: {opened} connections opened>"


def _connection(
    target: str | ConnectionInfo,
    protocol: Protocol | None,
    timeout: float | EllipsisType | None,
    max_session_age: float | None,
    tls: ConnectionTlsInfo | Mapping[str, Any] | None,
) -> tuple[ConnectionInfo, Protocol]:
    """A target with the client's own settings over it."""
    if isinstance(target, ConnectionInfo):
        connection, speaks = target, protocol or "grpc"
    else:
        connection, speaks = parse_target(target)
        if protocol is not None and protocol != speaks:
            if "://" in target or connection.is_unix:
                raise ConfigurationError(f"protocol: the target names {speaks}, not {protocol}")
            speaks = protocol
    changes: dict[str, Any] = {}
    if not isinstance(timeout, EllipsisType):
        changes["timeout"] = timeout
    if max_session_age is not None:
        changes["max_session_age"] = max_session_age
    if tls is not None:
        given: dict[str, Any] = dict(tls) if isinstance(tls, Mapping) else tls.model_dump(exclude_unset=True)
        if connection.tls.enabled and given.get("enabled") is False:
            raise ConfigurationError("tls: the target asks for TLS, and tls= turns it off")
        given.setdefault("enabled", True)
        changes["tls"] = ConnectionTlsInfo(**given)
    return connection.replace(**changes) if changes else connection, speaks
