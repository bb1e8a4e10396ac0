"""RemoteClient: finds models on caikit runtimes, and makes their modules."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from os import PathLike
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from .._calls.logs import log_as_environment_says
from .._concurrency.threads import run_in_thread
from .._objects.copying import Handle
from .._objects.exports import exported_from
from .._settings.variables import variable
from .._text.closest import WORK, closest
from .._text.redaction import clears_frames
from ..errors import ConfigurationError, InputError, InvalidResponseError, ModelNotFoundError, UnsupportedError
from ..hooks import Hook, check_hooks
from ..middleware import Middleware, check_middleware
from ..settings import (
    CallOptions,
    ConnectionInfo,
    ConnectionTlsInfo,
    Engine,
    FinderConfig,
    MetadataSource,
    Output,
    Protocol,
)
from .client_settings import OF_CLIENT, ClientSettings, check_names, takes_settings_of
from .option_changes import OptionChanges, changed_fields, check_output, given_changes, packed, unpacked
from .raw_calls import RawCalls
from .readiness import Readiness
from .targets import connections_of, given_of, overridden

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from .._schema.declaration import Declaration
    from .._schema.differences import Difference
    from .._schema.rpc import ServiceDescription
    from .._schema.runtime_info import ModelInfo, RuntimeInfo
    from .._schema.schema_file import Schema
    from .._settings.connection import Compression
    from .._settings.durations import Duration
    from .._transport.engines.httpx_library import AsyncTransport
    from ..errors import NotFoundError
    from .deployment import Links
    from .job_servers import JobServer
    from .jobs import PredictionJob, TrainingJob
    from .module import RemoteModuleBase
    from .servers import Server

M = TypeVar("M")
log_as_environment_says()


@exported_from("remote_client")
class RemoteClient(Readiness, RawCalls, Handle):
    """A client of one or several caikit runtimes.

    Nothing is dialled before the first call. Use it in one event loop, as an async context manager or with `aclose()`.

    Args:
        target: `host:port` or `grpc://host:port`, `grpcs://host:port` (TLS), `unix:/path`, `xds:///service`;
            `http://host:port`, `https://host:port/base/path`; a `ConnectionInfo`; or a list of these, for several
            servers: of two that list the same model the first is used. docs/targets.md has all forms.
        protocol: `"grpc"` or `"http"`, for targets that do not name it. Default gRPC.
        retries: attempts after the first, for calls that may be sent again: a unary call, a stream before its first
            answer, a streamed input before its first item is taken. Trainings, jobs and deployments are sent once.
            Default 2, or that of the `ConnectionInfo`.
        timeout: seconds (or a `timedelta`) for a unary call, and between two items of a stream; None or `math.inf` for
            no limit. Default 60.
        max_session_age: seconds after which a new connection replaces the old one; no call is lost. `0` opens a
            connection per call; a negative value (the default) disables rotation.
        tls: TLS settings; they turn TLS on.
        metadata: sent with every call, over HTTP as headers: a mapping, a sync or async callable that returns one (for
            tokens that change), or credentials of `remote_client.auth`.
        hooks: functions that get the events of `remote_client.hooks`: the start of a call, an attempt that failed, the
            end of a call.
        transport: an httpx transport for HTTP to use, such as `httpx.MockTransport`, a respx router's, or any object
            with httpx's interface of async transports. `aclose()` closes it.
        engine: the gRPC engine: `"asyncio"` (this package) or `"grpcio"` (grpc.aio). Default the connection's, else the
            environment's `REMOTE_CLIENT_ENGINE`, else `"asyncio"`, unless `xds:///`, an option or `interceptors` need
            grpcio.
        interceptors: grpc.aio's client interceptors; they need grpcio.
        max_pending: calls that may wait for a server's first answer at the same time; more wait in the client.
            Default 256.
        proxy: the URL of a proxy for all connections, `http://user:password@host:port` or `https://...`; `"env"` for
            the one in the environment (`HTTPS_PROXY`, `grpc_proxy`, ...). Default none, whatever the environment says.
        schema: the interface of the servers, which are then not asked for it: the path or the bytes of a
            `FileDescriptorSet` (gRPC) or an OpenAPI document (HTTP), as `remote-client schema` writes them; the path of
            a `.proto` file or a folder of them (gRPC, extra `proto`); or a `ServiceDescription`. `model()` then accepts
            any name; the first call of a wrong one fails with NOT_FOUND. See docs/schemas.md.
        middleware: coroutine functions around every attempt of every call, the outermost first; see
            `remote_client.middleware`.
        compression: `"gzip"` compresses requests that it makes smaller; gRPC only. Default none. Answers may be
            compressed in any case.
        user_agent: the user agent that servers see. Default `remote-client/VERSION`; grpcio appends its own.
        max_response_size: bytes of the largest answer, after decompression; of a stream, of the largest item. None for
            no limit. Default 64 MiB.

    Raises:
        ConfigurationError: a setting is wrong.
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
        middleware: Iterable[Middleware] = (),
        compression: Compression | None = None,
        user_agent: str | None = None,
        max_response_size: int | EllipsisType | None = ...,
    ) -> None:
        connections, protocol = connections_of(
            target,
            protocol,
            tls,
            timeout=timeout,
            retries=retries,
            max_session_age=max_session_age,
            engine=engine,
            max_pending=max_pending,
            proxy=proxy,
            compression=compression,
            user_agent=user_agent,
            max_response_size=max_response_size,
        )
        config = FinderConfig(
            remote_connections=connections[:-1], connection=connections[-1], protocol=protocol, schema=schema
        )
        self._set_up({"remote": config}, metadata, hooks, transport, interceptors, middleware)

    def _set_up(
        self,
        configs: Mapping[str, FinderConfig],
        metadata: MetadataSource | None = None,
        hooks: Iterable[Hook] = (),
        transport: AsyncTransport | None = None,
        interceptors: Sequence[ClientInterceptor] = (),
        middleware: Iterable[Middleware] = (),
    ) -> None:
        # Here, as these load all that calls need, and many programs import this class for its name only.
        from .finder import RemoteModelFinder
        from .finder_group import FinderGroup
        from .initializer import RemoteModelInitializer

        self._metadata = () if metadata is None else (metadata,)
        self._hooks = check_hooks(hooks)
        self._middleware = check_middleware(middleware)
        finders = [
            RemoteModelFinder(
                config,
                name,
                options=CallOptions(
                    timeout=_timeout(config),
                    metadata=self._metadata,
                    hooks=self._hooks,
                    middleware=self._middleware,
                ),
                transport=transport,
                interceptors=interceptors,
            )
            for name, config in configs.items()
        ]
        self._own_finder = self._finder = FinderGroup(finders)
        self._changes: OptionChanges = {}
        self._transport = transport
        self._sharing: WeakSet[RemoteClient] = WeakSet([self])
        self._initializer = RemoteModelInitializer()

    @classmethod
    @takes_settings_of(__init__)
    def from_config(cls, config: str | PathLike[str] | Mapping[str, Any], **settings: Unpack[ClientSettings]) -> Self:
        """Return a client of the remote finders in caikit's configuration (`model_management.finders`).

        Remote finders are of the type `REMOTE`, or of `remote_client.caikit`'s, `REMOTE_CLIENT`. Of two that find the
        same model the first is used. Environment variables override their settings, such
        as `MODEL_MANAGEMENT_FINDERS_<NAME>_CONFIG_CONNECTION_HOSTNAME`.

        Args:
            config: a mapping, or the path of a YAML file.
            settings: the keyword arguments of the class. Those that are given override the configuration, for all of
                its servers.

        Raises:
            ConfigurationError: a setting is wrong, or there is no such finder.
            OSError: the file cannot be read.
        """
        check_names("from_config", settings)
        from .configuration import remote_finders  # loads PyYAML

        given: dict[str, Any] = dict(settings)
        of_client = {name: given.pop(name) for name in OF_CLIENT if name in given}
        client = cls.__new__(cls)
        client._set_up(
            {name: overridden(found, **given) for name, found in remote_finders(config).items()}, **of_client
        )
        return client

    @classmethod
    @takes_settings_of(__init__)
    def from_env(
        cls,
        target: str | ConnectionInfo | Iterable[str | ConnectionInfo] | None = None,
        **settings: Unpack[ClientSettings],
    ) -> Self:
        """Return a client with the settings in the environment. docs/settings.md lists the variables.

        They are `REMOTE_CLIENT_TARGET`; `REMOTE_CLIENT_TOKEN_FILE` for a `BearerToken`; `REMOTE_CLIENT_CA_FILE`,
        `_CERT_FILE` and `_KEY_FILE`, which turn TLS on; `REMOTE_CLIENT_TIMEOUT` in seconds, `inf` for no limit; and
        `REMOTE_CLIENT_SCHEMA`, a path. An empty variable counts as unset. They are read once, by this method.

        Args:
            target: the target in the place of `REMOTE_CLIENT_TARGET`.
            settings: the keyword arguments of the class. Those that are given override variables: `metadata` the
                token's, `tls` all of TLS.

        Raises:
            ConfigurationError: a setting is wrong, or there is no target. The message names the variable.
        """
        check_names("from_env", settings)
        from .environment import settings_in, with_variable

        given = given_of({"target": target, **settings})
        found = settings_in(os.environ, given)
        if not found.keys() | given.keys() >= {"target"}:
            raise ConfigurationError(f"{variable('target')}: it is not set, and no target is given")
        try:
            return cls(**found, **given)
        except ConfigurationError as error:
            raise with_variable(error, found) from None

    def with_options(
        self,
        *,
        timeout: Duration | EllipsisType | None = ...,
        total_timeout: Duration | EllipsisType | None = ...,
        retries: int | None = None,
        metadata: MetadataSource | None = None,
        output: Output | None = None,
    ) -> Self:
        """Return a cheap copy with other options for its own calls and for those of its models, jobs and trainings.

        A copy shares the client's connections and owns none: its `aclose()`, and the end of an `async with` on it,
        leave them open. The client closes them, for all copies, or the last copy if the client itself was dropped.
        A copy also knows what the client learnt from the servers, but not with other `metadata`: a server may show
        another user other models, so such a copy asks for itself.

        Args:
            timeout: seconds (or a `timedelta`) for a unary call, and between two items of a stream; None or `math.inf`
                for no limit.
            total_timeout: the same for a whole stream.
            retries: attempts after the first, for calls that may be sent again; 0 for none.
            metadata: sent in addition; overrides equal keys.
            output: the form of models' answers, as for models.

        Raises:
            ConfigurationError: an option is invalid, or numpy is not installed.
            UnsupportedError: `output="proto"` or `"numpy"` over HTTP. `model()` raises it for `output="caikit"` unless
                the model is of a caikit class.
        """
        given = given_changes(timeout, total_timeout, retries, metadata, output)
        check_output(output, self._own_finder.protocols)
        replace(CallOptions(), **changed_fields(CallOptions(), given))  # checks them
        if "metadata" in given:
            given["metadata"] = (*self._changes.get("metadata", ()), *given["metadata"])
        other = copy.copy(self)
        other._change({**self._changes, **given})
        self._sharing.add(other)
        return other

    def _change(self, changes: OptionChanges) -> None:
        self._changes = changes
        self._finder = self._own_finder.with_options(changes) if changes else self._own_finder

    @overload
    async def model(self, name: str, declared: type[M], *, task: None = None) -> M: ...
    @overload
    async def model(self, name: str, declared: None = None, *, task: str | type | None = None) -> RemoteModuleBase: ...
    @overload
    async def model(self, name: str, declared: object, *, task: None = None) -> Any: ...
    async def model(self, name: str, declared: object = None, *, task: str | type | None = None) -> Any:
        """Return a model's module, whose methods call the model. It shares the client's connections.

        Args:
            name: the name that `models()` lists.
            declared: a class declared with `remote_client.declare.module`, or caikit's class of a module; an instance
                or the id of one. The module has its methods, names and types. Default the class that is declared for
                the module's id, if there is one.
            task: one task: its class or the class's name, such as `SampleTask`, a declared class, or the full RPC name
                or route of one of its methods. The module then has the short names `run`, `run_stream_out`,
                `run_stream_in` and `run_bidi_stream` as well. No server tells which tasks a model has: without `task`
                the module offers all tasks of the runtime, and refuses names that several methods share.

        Raises:
            ModelNotFoundError: no server lists the model. A client with a schema asks no server; neither does a client
                of one server for a class with a schema, or for caikit's class if caikit is configured with its library.
            InputError: the name is no text; or the runtime has no such task, or several, which the message lists.
            SchemaUnavailableError: the servers refuse to describe themselves; the message says what to do.
            SchemaError: the declared class disagrees with the runtime; the message lists all differences.
            ConfigurationError: the class is not declared, or its schema cannot be read.
            RemoteCallError: no server could be asked.
        """
        if not isinstance(name, str):
            raise InputError(f"name: expected the name of a model, not {name!r:.80}")
        declaration, task = _declaration_and_task(declared, task)
        found = await self._finder.locate(name, declaration)
        if found is None:
            raise await self._not_found(name)
        server, config, description = found
        known = config.declaration
        if declaration is not None and (known is None or known.module is not declaration.module):
            config.bind(declaration, description)
        elif known is not None and task is not None:
            config.declare(known.module, description, task=task)
        if task is not None:
            config.choose_task(task)
        options = CallOptions(
            timeout=server.connection.timeout,
            metadata=self._metadata,
            retry=server.connection.retry_policy,
            hooks=self._hooks,
            middleware=self._middleware,
        )
        module = self._initializer.construct_module_class(config)(
            config,
            connections=server.caller.connections,
            options=options,
            balancer=await self._finder.of(server).balancer_for(name, server),
            changed=server.forget,
            trainings=self._finder.discovery(server).trainings,
        )
        return module._changed(self._changes) if self._changes else module

    async def _not_found(self, name: str) -> ModelNotFoundError:
        servers = self._finder.servers
        known = chain.from_iterable(server.models for server in servers)
        close = await run_in_thread(closest, name, known, 10 * WORK)
        hint = f"; did you mean {close!r}?" if close else ""
        silent = "".join(
            f"; {server.connection.target} could not be asked ({server.error})" for server in servers if server.error
        )
        targets = ", ".join(server.connection.target for server in servers)
        return ModelNotFoundError(f"no server lists the model {name!r}{hint}{silent}", target=targets, model=name)

    async def models(self, ids: Iterable[str] | None = None) -> list[ModelInfo]:
        """Ask the servers for their models, and return these; of a model that several list, the first server's.

        `print()` shows the list as a table.

        Once a server has answered, the others have six seconds, or one if their last question failed. A slower server
        contributes its earlier list, and its late answer counts for the next call.

        Args:
            ids: the names of the wanted models; default all. A name that no server lists waits for all servers.

        Raises:
            ModelNotFoundError: no server lists one of the names.
            SchemaUnavailableError: over gRPC, the servers refuse to describe themselves.
            RemoteCallError: no server could be asked.
        """
        names = [] if ids is None else [ids] if isinstance(ids, str) else list(ids)
        models = await self._finder.discover(names)
        from .._schema.runtime_info import ModelList  # here, as it loads pydantic

        if ids is None:
            return ModelList(models.values())
        for name in names:
            if name not in models:
                raise await self._not_found(name)
        return ModelList(models[name] for name in names)

    @clears_frames
    async def deploy_model(
        self, name: str, files: Mapping[str, bytes] | str | PathLike[str], *, links: Links = None
    ) -> ModelInfo:
        """Deploy a model on the (first) runtime, which loads it at its first call. The request is sent once.

        A folder is sent as a whole or not at all, including hidden files and the targets of links. Empty folders are
        not sent, as requests have files only.

        Args:
            name: the model's name.
            files: the files by name, including `config.yml`; or the path of their folder.
            links: what to do with links that lead out of the folder, as those of a Hugging Face cache do: None refuses
                them, `"follow"` sends their targets.

        Raises:
            InputError: there are no files, or a file cannot be read, changed while the folder was read, or leads out of
                the model's folder. The message names the file; nothing was sent.
            AlreadyExistsError: the runtime has a model of that name.
            OutcomeUnknownError: the connection broke midway; the runtime may have the model.
        """
        from .deployment import deploy

        return await deploy(self._finder, name, files, links)

    async def undeploy_model(self, name: str) -> None:
        """Undeploy a model from the (first) runtime. The request is sent once.

        Raises:
            NotFoundError: the runtime has no such model.
            OutcomeUnknownError: the connection broke midway; the runtime may have the model still.
        """
        from .deployment import undeploy

        await undeploy(self._finder, name)

    def prediction_job(self, task: str, prediction_id: str) -> PredictionJob:
        """Return a handle of a prediction job by its id, which another process may have started. Sends nothing.

        Args:
            task: the task's name, such as `SampleTask`; or the full RPC name or route of one of its methods.
            prediction_id: the job's `id`.

        Raises:
            UnsupportedError: the client was made by `with_options(output="caikit")`.
        """
        output = self._changes.get("output", "pydantic")
        if output == "caikit":
            raise UnsupportedError('output="caikit": it is for models of a caikit class, and for the jobs they start')
        from .job_servers import PredictionJobServers
        from .jobs import PredictionJob

        return PredictionJob(prediction_id, PredictionJobServers(self._finder, task, output))

    def training(self, training_id: str, model_name: str | None = None) -> TrainingJob[RemoteModuleBase]:
        """Return a handle of a training by its id, which another process may have started. Sends nothing.

        Args:
            training_id: the training's `training_id`.
            model_name: the name of the model that it makes, for `TrainingJob.model()`.
        """
        from .job_servers import TrainingJobServers
        from .jobs import TrainingJob

        return TrainingJob(training_id, TrainingJobServers(self._finder), model_name=model_name, find=self._trained)

    async def _trained(self, name: str, server: JobServer) -> RemoteModuleBase | NotFoundError:
        """Return the module of a trained model, or the server's answer if it does not have the model yet."""
        from .job_servers import missing_model_error

        if (missing := await missing_model_error(server, name)) is not None:
            return missing
        await self._finder.discover([name])
        return await self.model(name)

    async def runtime_info(self) -> RuntimeInfo:
        """Return the versions of the first runtime that answers."""
        return await self._finder.first_answer(self._info_of)

    @clears_frames
    async def _info_of(self, server: Server) -> RuntimeInfo:
        answer = await self._finder.discovery(server).call(server, "GetRuntimeInfo")
        from .._schema.runtime_info import RuntimeInfo, validation_reason

        try:
            return RuntimeInfo(**answer)
        except ValueError as error:
            reason = validation_reason(error)
        # Raised here: the error above holds the server's values, and would be this one's context.
        raise InvalidResponseError(
            f"GetRuntimeInfo did not answer with versions: {reason}", target=server.caller.target
        )

    async def describe(self) -> ServiceDescription:
        """Return the tasks, methods with signatures, and types of the first runtime that answers. `print()` shows them.

        The next runtime is asked if one is unreachable, refuses, or is silent for a second.

        Raises:
            SchemaUnavailableError: the runtimes refuse to describe themselves.
            RemoteCallError: no runtime could be asked.
        """
        return await self._finder.description()

    async def check_schema(self, schema: str | PathLike[str] | bytes | Schema | None = None) -> list[Difference]:
        """Compare a schema with the interface of the first runtime that answers.

        A difference is `breaking` if callers of the schema call, send or read something that the runtime removed,
        changed or refuses. Additions are listed as well. docs/schemas.md has the rules.

        Args:
            schema: a schema as the class takes it, or that of a model (`model.config.schema`). Default the client's.

        Raises:
            ConfigurationError: neither the client nor the caller has a schema, or it cannot be read.
            SchemaUnavailableError: the runtime refuses to describe itself.
            SchemaError: the schema or the runtime's description cannot be used.
        """
        return await self._finder.check_schema(schema)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in ("_finder", "_sharing")}
        # In options, which know how to pickle metadata.
        return {**state, "_metadata": CallOptions(metadata=self._metadata), "_changes": packed(self._changes)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_metadata": state["_metadata"].metadata, "_sharing": WeakSet([self])})
        self._change(unpacked(state["_changes"]))

    async def aclose(self) -> None:
        """Close all connections, for good. Calls in flight raise a ClosedError. Idempotent.

        A copy that `with_options` returned leaves them open, as long as the client itself or another copy is there.
        """
        self._sharing.discard(self)
        if self._finder is not self._own_finder and self._sharing:
            return
        await self._own_finder.aclose()
        if self._transport is not None:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if "_finder" not in vars(self):  # in a traceback of `__init__`
            return "<RemoteClient, not made>"
        servers = self._finder.servers
        opened = sum(server.caller.connections.opened for server in servers)
        targets = ", ".join(server.connection.target for server in servers)
        return f"<RemoteClient of {targets}: {opened} connection{'' if opened == 1 else 's'} opened>"


def _timeout(config: FinderConfig) -> float | None:
    return next(each.timeout for each in (*config.remote_connections, config.connection) if each is not None)


def _declaration_and_task(declared: object, task: str | type | None) -> tuple[Declaration | None, str | None]:
    """Return the declaration and the task's name in the arguments of `RemoteClient.model`."""
    if declared is None and not isinstance(task, type):
        return None, task
    from .._schema.declaration import is_declared
    from .._schema.declared.caikit_modules import is_caikit_module
    from .module_config import declaration_from, module_of

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
    return None if declared is None else declaration_from(declared), task
