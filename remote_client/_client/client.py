"""RemoteClient: the parts put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from os import PathLike
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from .._concurrency.threads import aside
from .._objects.copying import Handle
from .._objects.exports import exported_from
from .._schema.declaration import is_declared
from .._schema.declared.caikit_modules import is_caikit_module
from .._schema.differences import Difference
from .._schema.rpc import ServiceDescription
from .._schema.schema_file import Schema
from .._settings.connection import parse_target
from .._settings.durations import Duration
from .._text.closest import WORK, closest
from .._text.redaction import forgetful
from .._transport.engines.httpx_library import AsyncTransport
from ..errors import ConfigurationError, InputError, InvalidResponseError, ModelNotFoundError, NotFoundError
from ..hooks import Hook, check_hooks
from ..settings import (
    CallOptions,
    ConnectionInfo,
    ConnectionTlsInfo,
    Engine,
    FinderConfig,
    MetadataSource,
    Protocol,
    RetryPolicy,
)
from .finder import RemoteModelFinder
from .finder_group import FinderGroup
from .initializer import RemoteModelInitializer
from .job_servers import JobServer, PredictionJobServers, TrainingJobServers, missing_model_error
from .jobs import PredictionJob, TrainingJob
from .model_files import GRPC_LIMIT, Links, check_name, model_files
from .module import RemoteModuleBase
from .module_config import declaration_from, module_of
from .servers import Server

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from .._schema.runtime_info import ModelInfo, RuntimeInfo

M = TypeVar("M")


@exported_from("remote_client")
class RemoteClient(Handle):
    """A client of one or several caikit runtimes.

    Nothing is dialled before the first call. Use it in one event loop, as an async context manager or with `aclose()`.

    Args:
        target: `host:port` or `grpc://host:port`, `grpcs://host:port` (TLS), `unix:/path`, `xds:///service`;
            `http://host:port`, `https://host:port/base/path`; a `ConnectionInfo`; or a list of these, for several
            servers: of two that list the same model the first is used. docs/targets.md has all forms.
        protocol: `"grpc"` or `"http"`, for targets that do not name it; the default is gRPC.
        retries: attempts after the first, of calls that may be sent again: a call of one answer, a stream that gave
            none yet, a streamed input of which nothing was taken. Trainings, jobs and deployments are sent once.
            Default 2; of a `ConnectionInfo` its own.
        timeout: seconds (or a `timedelta`) for a unary call, and between two items of a stream; None or `math.inf` for
            no limit. Default 60.
        max_session_age: seconds until a connection is replaced by a new one, without loss; below 0 (the default) never,
            0 a new connection for each call.
        tls: TLS settings; giving them turns TLS on.
        metadata: sent with every call: a mapping, a sync or async callable that gives one (for tokens that change), or
            credentials of `remote_client.auth`. Over HTTP they are headers.
        hooks: functions that get the events of `remote_client.hooks`: each attempt that failed, each call's end.
        transport: a transport for HTTP to use instead of its own: `httpx.MockTransport`, a respx router's, httpx2's, or
            any other object with httpx's interface of transports for asyncio. `aclose()` closes it.
        engine: what speaks gRPC: `"asyncio"` (this package) or `"grpcio"` (grpc.aio). Without it the connection's, then
            the environment's `REMOTE_CLIENT_ENGINE`; then `"asyncio"`, unless `xds:///`, an option or `interceptors`
            need grpcio.
        interceptors: grpc.aio's client interceptors; grpcio calls them.
        max_pending: calls to a server that may wait for its first answer at a time; further ones wait in the client.
            Default 256.
        proxy: the URL of a proxy that all connections go through, `http://user:password@host:port` or `https://...`;
            `"env"` for the one that the environment names (`HTTPS_PROXY`, `grpc_proxy`, ...), if it does. By default
            the environment's is not used.
        schema: the interface of the servers, which the client then does not ask for: the path or the bytes of a
            `FileDescriptorSet` (gRPC) or an OpenAPI document (HTTP), as `remote-client schema` writes them; the path of
            a `.proto` file or a folder of them (gRPC, extra `proto`); or a `ServiceDescription`. `model()` then accepts
            any name: a wrong one is the server's NOT_FOUND at the first call. docs/schemas.md has more.

    Raises:
        ConfigurationError: something of that is wrong.
    """

    def __init__(
        self,
        target: str | ConnectionInfo | Iterable[str | ConnectionInfo],
        *,
        protocol: Protocol | None = None,
        retries: int | None = None,
        timeout: Duration | EllipsisType | None = ...,
        max_session_age: Duration | None = None,
        tls: ConnectionTlsInfo | Mapping[str, Any] | None = None,
        metadata: MetadataSource | None = None,
        hooks: Iterable[Hook] = (),
        transport: AsyncTransport | None = None,
        engine: Engine | None = None,
        interceptors: Sequence[ClientInterceptor] = (),
        max_pending: int | None = None,
        proxy: str | None = None,
        schema: str | PathLike[str] | bytes | ServiceDescription | None = None,
    ) -> None:
        is_one = isinstance(target, (str, bytes, ConnectionInfo)) or not isinstance(target, Iterable)
        targets: Iterable[Any] = [target] if is_one else target
        parsed = [
            _connection(each, protocol, retries, timeout, max_session_age, tls, engine, max_pending, proxy)
            for each in targets
        ]
        if len({speaks for _, speaks in parsed}) != 1:
            raise ConfigurationError("target: give at least one, and all of one protocol")
        connections = tuple(connection for connection, _ in parsed)
        self._metadata = () if metadata is None else (metadata,)
        self._hooks = check_hooks(hooks)
        finder = RemoteModelFinder(
            FinderConfig(
                remote_connections=connections[:-1], connection=connections[-1], protocol=parsed[0][1], schema=schema
            ),
            options=CallOptions(timeout=connections[0].timeout, metadata=self._metadata, hooks=self._hooks),
            transport=transport,
            interceptors=interceptors,
        )
        self._finder = FinderGroup([finder])
        self._transport = transport
        self._initializer = RemoteModelInitializer()

    @classmethod
    def from_config(
        cls, config: str | PathLike[str] | Mapping[str, Any], *, metadata: MetadataSource | None = None
    ) -> Self:
        """A client made of caikit's configuration: the finders of the type REMOTE under `model_management.finders`.

        Of two finders that find the same model the first is used. The environment overrides what a finder is given, as
        in `MODEL_MANAGEMENT_FINDERS_<NAME>_CONFIG_CONNECTION_HOSTNAME`.

        Args:
            config: a mapping, or the path of a YAML file.
            metadata: as for the class.

        Raises:
            ConfigurationError: something of it is wrong, or there is no such finder.
            OSError: the file cannot be read.
        """
        from .configuration import remote_finders  # loads PyYAML

        client = cls.__new__(cls)
        client._metadata = () if metadata is None else (metadata,)
        client._hooks = ()
        finders = remote_finders(config)
        client._finder = FinderGroup(
            [
                RemoteModelFinder(found, name, options=CallOptions(timeout=_timeout(found), metadata=client._metadata))
                for name, found in finders.items()
            ]
        )
        client._transport = None
        client._initializer = RemoteModelInitializer()
        return client

    @overload
    async def model(self, name: str, declared: type[M], *, task: None = None) -> M: ...
    @overload
    async def model(self, name: str, declared: None = None, *, task: str | type | None = None) -> RemoteModuleBase: ...
    @overload
    async def model(self, name: str, declared: object, *, task: None = None) -> Any: ...
    async def model(self, name: str, declared: object = None, *, task: str | type | None = None) -> Any:
        """A model's module: its methods call the model. It shares the client's connections.

        Args:
            name: as `models()` lists it.
            declared: a class declared with `remote_client.declare.module`, or caikit's own class of a module; an
                instance or the id of one. The module has its methods, names and types. Without it the class that is
                declared for the module's id, if there is one.
            task: one task: its class or the class's name, such as `SampleTask`, a declared class, or the full RPC name
                or the route of one of its methods. The module then has the short names `run`, `run_stream_out`,
                `run_stream_in` and `run_bidi_stream` too. A server does not tell which tasks a model has; without
                `task` the module offers all tasks of the runtime, and refuses calls of a name that several methods
                have.

        Raises:
            ModelNotFoundError: no server lists it. A client with a schema asks no server; neither does a client of one
                server for a class with a schema, or for caikit's class if caikit is configured with its library.
            InputError: the runtime has no such task, or several; the message lists them.
            SchemaUnavailableError: the servers refuse to describe themselves; the message names the ways to do without.
            SchemaError: the declared class disagrees with the runtime; all differences are told.
            ConfigurationError: the class is not declared, or its schema cannot be read.
            RemoteCallError: no server could be asked.
        """
        if isinstance(task, type):
            is_module = declared is None and (is_declared(task) or is_caikit_module(task))
            declared, task = (task, None) if is_module else (declared, task.__name__)
        if declared is not None and task is not None:
            raise InputError("model(): give a declared class, or the name of a task as task=")
        if isinstance(declared, str) and module_of(declared) is None:
            raise InputError(
                f"model(): no module is known by the id {declared!r}: import the file that declares it, or give a "
                "task's name as task="
            )
        declaration = None if declared is None else declaration_from(declared)
        found = await self._finder.locate(name, declaration)
        if found is None:
            raise await self._not_found(name)
        server, config, description = found
        known = config.declaration
        if declaration is not None and (known is None or known.module is not declaration.module):
            config.bind(declaration, description)
        elif known is not None and task is not None:  # of the model's own declaration the task that is meant
            config.declare(known.module, description, task=task)
        if task is not None:
            config.choose_task(task)
        options = CallOptions(
            timeout=server.connection.timeout,
            metadata=self._metadata,
            retry=server.connection.retry_policy,
            hooks=self._hooks,
        )
        return self._initializer.construct_module_class(config)(
            config,
            connections=server.caller.connections,
            options=options,
            balancer=await self._finder.balancer_for(name, server),
            changed=server.forget,
            trainings=self._finder.discovery(server).trainings,
        )

    async def _not_found(self, name: str) -> ModelNotFoundError:
        servers = self._finder.servers
        known = chain.from_iterable(server.models for server in servers)
        close = await aside(closest, name, known, 10 * WORK)
        hint = f"; did you mean {close!r}?" if close else ""
        silent = "".join(
            f"; {each.connection.target} could not be asked ({each.error})" for each in servers if each.error
        )
        targets = ", ".join(server.connection.target for server in servers)
        return ModelNotFoundError(f"no server lists the model {name!r}{hint}{silent}", target=targets, model=name)

    async def models(self, ids: Iterable[str] | None = None) -> list[ModelInfo]:
        """The models of all servers, as they are now. Of a model that several list, the first server's.

        Once a server has answered, the silent ones have six seconds, or one where their last question failed. Of those
        that take longer the models they listed before are returned; what they list then is known the next time.

        Args:
            ids: the names of those that are wanted; all without it. A name that no server lists is not given up before
                all have answered or failed.

        Raises:
            ModelNotFoundError: no server lists one of the names.
            SchemaUnavailableError: over gRPC, the servers refuse to describe themselves.
            RemoteCallError: no server could be asked.
        """
        names = [] if ids is None else [ids] if isinstance(ids, str) else list(ids)
        models = await self._finder.discover(names)
        if ids is None:
            return list(models.values())
        for name in names:
            if name not in models:
                raise await self._not_found(name)
        return [models[name] for name in names]

    @forgetful
    async def deploy_model(
        self, name: str, files: Mapping[str, bytes] | str | PathLike[str], *, links: Links = None
    ) -> ModelInfo:
        """Give the (first) runtime a model. It is sent once, and loaded by its first call.

        A folder is sent whole or not at all, with its hidden files and what links in it lead to. The wire has files
        only: an empty folder does not arrive.

        Args:
            name: the model's name.
            files: the files by their names, with `config.yml` among them; or the folder that has them.
            links: links that lead out of the folder, as all of a Hugging Face cache do: None refuses them, `"follow"`
                sends what they lead to. Others are always followed.

        Raises:
            InputError: there are no files, or one cannot be read, changed while the folder was read, or would lead out
                of the model's folder. The message names it; nothing was sent.
            AlreadyExistsError: the runtime has a model of that name.
            OutcomeUnknownError: the call was lost on the way, and nobody knows whether the runtime has the model.
        """
        check_name(name)
        first = self._finder.known[0]
        limit = GRPC_LIMIT if self._finder.of(first).config.protocol == "grpc" else None
        found = await aside(partial(model_files, files, links, limit=limit))
        rpc = await self._finder.runtime_method(first, "DeployModel")
        body = await aside(rpc.codec.encode, "", (), {"model_id": name, "model_files": found})
        discovery = self._finder.discovery(first)
        try:
            answer = await first.caller.send_once(rpc, body, name)
        finally:  # also if the outcome is unknown
            discovery.invalidate_polls()
        from .._schema.runtime_info import ModelInfo

        info = ModelInfo(**{key: value for key, value in answer.items() if value is not None})
        discovery.record_deployed(first, name, info)
        return info

    async def undeploy_model(self, name: str) -> None:
        """Take a model from the (first) runtime.

        Raises:
            NotFoundError: it has no such model.
            OutcomeUnknownError: the call was lost on the way, and nobody knows whether it has it still.
        """
        check_name(name)
        first = self._finder.known[0]
        rpc = await self._finder.runtime_method(first, "UndeployModel")
        discovery = self._finder.discovery(first)
        try:
            await first.caller.send_once(rpc, rpc.codec.encode("", (), {"model_id": name}), name)
        except NotFoundError:
            discovery.record_undeployed(first, name)
            raise
        except BaseException:  # the outcome may be unknown: the server's next list decides
            first.deployed.pop(name, None)
            discovery.invalidate_polls()
            raise
        discovery.record_undeployed(first, name)

    def prediction_job(self, task: str, prediction_id: str) -> PredictionJob:
        """A handle of a prediction job by its id, as another process may have started it. Sends nothing.

        Args:
            task: the task's name, such as `SampleTask`; or the full RPC name or the route of one of its methods.
            prediction_id: the job's `id`.
        """
        return PredictionJob(prediction_id, PredictionJobServers(self._finder, task))

    def training(self, training_id: str, model_name: str | None = None) -> TrainingJob[RemoteModuleBase]:
        """A handle of a training by its id, as another process may have started it. Sends nothing.

        Args:
            training_id: the training's `training_id`.
            model_name: the name of the model it makes, for `TrainingJob.model()`.
        """
        return TrainingJob(training_id, TrainingJobServers(self._finder), model_name=model_name, find=self._trained)

    async def _trained(self, name: str, server: JobServer) -> RemoteModuleBase | NotFoundError:
        """Return the module of a trained model, or the server's answer if it does not have the model yet."""
        if (missing := await missing_model_error(server, name)) is not None:
            return missing
        await self._finder.discover([name])
        return await self.model(name)

    async def runtime_info(self) -> RuntimeInfo:
        """The versions of the first runtime that can be asked."""
        return await self._finder.first_answer(self._info_of)

    @forgetful
    async def _info_of(self, server: Server) -> RuntimeInfo:
        answer = await self._finder.call(server, "GetRuntimeInfo")
        from .._schema.runtime_info import RuntimeInfo, validation_reason

        try:
            return RuntimeInfo(**answer)
        except ValueError as error:
            told = validation_reason(error)
        raise InvalidResponseError(  # here, without the server's values
            f"GetRuntimeInfo did not answer with versions: {told}", target=server.caller.target
        )

    async def describe(self) -> ServiceDescription:
        """All tasks of the first runtime that can be asked, their methods with signatures, and their types.

        `print()` shows it. Where a runtime cannot be reached, refuses, or is silent for a second, the next is asked.

        Raises:
            SchemaUnavailableError: the runtimes refuse to describe themselves.
            RemoteCallError: none could be asked.
        """
        return await self._finder.description()

    async def check_schema(self, schema: str | PathLike[str] | bytes | Schema | None = None) -> list[Difference]:
        """Compare a schema with the interface of the first runtime that answers.

        A difference is `breaking` if callers of the schema call, send or read something that is removed, changed or
        refused now. Additions are listed, too. docs/schemas.md has the rules.

        Args:
            schema: a schema as the class takes it, or that of a model (`model.config.schema`). The default is the
                client's own.

        Raises:
            ConfigurationError: neither the client nor the caller has a schema, or it cannot be read.
            SchemaUnavailableError: the runtime refuses to describe itself.
            SchemaError: the schema, or what the runtime tells, cannot be used.
        """
        return await self._finder.check_schema(schema)

    def __getstate__(self) -> dict[str, Any]:
        # In options: they know how metadata travels.
        return {**vars(self), "_metadata": CallOptions(metadata=self._metadata)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_metadata": state["_metadata"].metadata})

    async def healthy(self) -> bool:
        """Whether every server answers that it serves. Unreachable ones do not; what refuses to tell is raised.

        A server that cannot be reached or refuses is asked again, as other calls are made again (`retries`). One that
        is silent for six seconds while all others serve does not serve.
        """
        return await self._finder.healthy()

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
        if "_finder" not in vars(self):  # seen in a traceback's frame
            return "<RemoteClient, not made>"
        servers = self._finder.servers
        opened = sum(server.caller.connections.opened for server in servers)
        return f"<RemoteClient of {', '.join(each.connection.target for each in servers)}: {opened} connections opened>"


def _timeout(config: FinderConfig) -> float | None:
    return (config.connection or config.remote_connections[0]).timeout


def _connection(
    target: object,
    protocol: Protocol | None,
    retries: int | None,
    timeout: Duration | EllipsisType | None,
    max_session_age: Duration | None,
    tls: ConnectionTlsInfo | Mapping[str, Any] | None,
    engine: Engine | None,
    max_pending: int | None,
    proxy: str | None,
) -> tuple[ConnectionInfo, Protocol]:
    """A target with the client's own settings over it."""
    if isinstance(target, ConnectionInfo):
        connection, speaks = target, protocol or "grpc"
    elif isinstance(target, str):
        connection, speaks = parse_target(target, protocol)
    else:
        raise ConfigurationError(
            f"target: expected text, ConnectionInfo or a list of them, not {type(target).__name__}"
        )
    changes: dict[str, Any] = {}
    if not isinstance(timeout, EllipsisType):
        changes["timeout"] = timeout
    if retries is None and not isinstance(target, ConnectionInfo):
        retries = RetryPolicy().retries
    more = {
        "retries": retries,
        "max_session_age": max_session_age,
        "engine": engine,
        "max_pending": max_pending,
        "proxy": proxy,
    }
    changes |= {name: value for name, value in more.items() if value is not None}
    if tls is not None:
        given: dict[str, Any] = dict(tls) if isinstance(tls, Mapping) else tls.given
        if connection.tls.enabled and given.get("enabled") is False:
            raise ConfigurationError("tls: the target asks for TLS, and tls= turns it off")
        given.setdefault("enabled", True)
        changes["tls"] = ConnectionTlsInfo(**given)
    return connection.replace(**changes) if changes else connection, speaks
