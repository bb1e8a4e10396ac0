"""Remote modules: a class with one method per remote method."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from .._calls.caller import Caller
from .._calls.inputs import request_messages
from .._calls.stream import RemoteStream
from .._concurrency.threads import run_in_thread
from .._objects.copying import Handle
from .._objects.exports import exported_from
from .._schema.codec import UnboundCodec
from .._schema.declaration import check_has_bodies
from .._schema.declared.caikit_modules import is_caikit_module
from .._schema.lazy_methods import complete_all
from .._schema.rpc import JobMethods, RemoteRPCDescriptor, call_and_answer
from .._settings.connection import check_protocol
from .._settings.durations import Duration
from .._text.cleaning import clean
from .._text.closest import closest
from .._text.redaction import clear_frames, clears_frames
from .._text.tables import table
from .._transport.balance import Balancer
from .._transport.engine import open_connections
from .._transport.manager import ConnectionManager
from .._transport.metadata import name_problem
from ..errors import InputError, NotFoundError, OutcomeUnknownError, UnsupportedError
from ..settings import CallOptions, MetadataSource, Output
from .config_completion import ConfigCompletion
from .module_class import make_module_class
from .module_config import RemoteModuleConfig
from .option_changes import OptionChanges, changed_fields, check_output, given_changes
from .shared_connections import forget_description
from .started_trainings import StartedTrainings

if TYPE_CHECKING:
    from .job_servers import FindJobServer, JobServer
    from .jobs import PredictionJob, TrainingJob

_STREAMED_INPUT = re.compile(r"run_(\w+_)?(stream_in|bidi_stream)")
_SHORT_NAME = re.compile("run(_stream_out|_stream_in|_bidi_stream)?")


@exported_from("remote_client")
class RemoteModuleBase(Handle):
    """A model on a server. `construct_remote_module_class` makes subclasses with the model's methods.

    A method with one answer returns a coroutine, a method with many a `RemoteStream`. Methods check and encode their
    arguments when they are called: an `InputError` comes from the call itself, and nothing was sent.

    Args:
        model_config: the model. Only a declared class is also made without: `FakeRuntime` then serves its bodies.
        connections: connections to share. Without them the module opens its own, which `aclose` closes.
        options: the options of calls; `with_options` replaces them.
        balancer: chooses the connections of each call, if several servers have the model.
        changed: called when an error suggests that the server has another interface by now.
        trainings: records the trainings that this module starts.
    """

    _rpcs: tuple[RemoteRPCDescriptor, ...] = ()

    def __init__(
        self,
        model_config: RemoteModuleConfig | None = None,
        *,
        connections: ConnectionManager | None = None,
        options: CallOptions | None = None,
        balancer: Balancer[ConnectionManager] | None = None,
        changed: Callable[[], None] | None = None,
        trainings: StartedTrainings | None = None,
    ) -> None:
        if model_config is None:
            check_has_bodies(type(self))
            return
        check_protocol(model_config.connection, model_config.protocol)
        name = model_config.model_path
        if (problem := name_problem(name)) is not None:
            raise InputError(f"model: {problem}")
        self._config = model_config
        self._owned = connections is None
        self._trainings = trainings or StartedTrainings()
        self._completion = ConfigCompletion(model_config, changed)
        # Without a description that was read, none can be stale.
        was_read = changed is not None or not model_config.bound or model_config.schema is not None
        self._caller = Caller(
            connections or open_connections(model_config.connection, model_config.protocol),
            model_key=model_config.model_key,
            model=name,
            options=options
            or CallOptions(timeout=model_config.connection.timeout, retry=model_config.connection.retry_policy),
            balancer=balancer,
            changed=self._completion.stale_schema_hint if was_read else None,
        )

    @property
    def config(self) -> RemoteModuleConfig:
        """The configuration that this module was made of."""
        return self._config

    def with_options(
        self,
        *,
        timeout: Duration | EllipsisType | None = ...,
        total_timeout: Duration | EllipsisType | None = ...,
        retries: int | None = None,
        metadata: MetadataSource | None = None,
        output: Output | None = None,
    ) -> Self:
        """Return a cheap copy with other options; it shares the connection.

        Args:
            timeout: seconds (or a `timedelta`) for a unary call, and between two items of a stream; None or `math.inf`
                for no limit.
            total_timeout: the same for a whole stream.
            retries: attempts after the first, for calls that may be sent again; 0 for none.
            metadata: sent in addition; overrides equal keys.
            output: `"pydantic"`, `"dict"`, `"numpy"` (dicts with arrays of numbers), `"proto"` (the protobuf messages),
                or `"caikit"` (caikit's data objects).

        Raises:
            ConfigurationError: an option is invalid, or numpy is not installed.
            UnsupportedError: `output="proto"` or `"numpy"` over HTTP, which has no protobuf messages; `output="caikit"`
                of a module that was not made of a caikit class.
        """
        return self._changed(given_changes(timeout, total_timeout, retries, metadata, output))

    def _changed(self, given: OptionChanges) -> Self:
        """As `with_options`, with the arguments that are given."""
        self._check_output(given.get("output"))
        other = copy.copy(self)
        other._caller = self._caller.replace(**changed_fields(self._caller.options, given))
        return other

    def with_response(self) -> Any:
        """Return a copy whose methods of one answer return a `Response`: the answer with its circumstances.

        Streams have these as attributes, and errors carry them. Methods that start a job or a training are unchanged.
        The methods' signatures and types stay those of the module, hence the `Any`.
        """
        other = copy.copy(self)
        other._caller = replace(self._caller, responds=True)
        return other

    def _check_output(self, output: Output | None) -> None:
        declaration = self._config.declaration
        if output == "caikit" and not (declaration and is_caikit_module(declaration.module)):
            raise UnsupportedError('output="caikit": this module was not made of one of caikit\'s own classes')
        check_output(output, [self._config.protocol])

    def remote_method_request(self, descriptor: RemoteRPCDescriptor, /, *args: Any, **kwargs: Any) -> Any:
        """Call one remote method. All methods of the class call this.

        Returns:
            A coroutine of the answer, or a `RemoteStream` of the answers. A method that starts a prediction job answers
            with a `PredictionJob`.

        Raises:
            InputError: the arguments do not fit the method's signature. Nothing was sent.
        """
        try:
            codec = descriptor.codec
            if isinstance(codec, UnboundCodec):
                codec.check(args, kwargs)
                if descriptor.output_streaming:
                    return RemoteStream(self._caller, descriptor, partial(self._prepared, descriptor, args, kwargs))
                return self._request_bound(descriptor, args, kwargs)
            body = self._body(descriptor, args, kwargs)
            if descriptor.output_streaming:
                return RemoteStream(self._caller, descriptor, body)
            if descriptor.job is not None:
                return self._start(descriptor, body, descriptor.job)
            return self._caller.unary(descriptor, body)
        except BaseException as error:
            args, kwargs, body = (), {}, b""
            clear_frames(error)
            raise

    def _body(
        self, descriptor: RemoteRPCDescriptor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | AsyncIterator[bytes]:
        codec = descriptor.codec
        if descriptor.input_streaming:
            constants, streams = codec.split(args, kwargs)
            return request_messages(descriptor, constants, streams)
        return codec.encode(self._config.model_path, args, kwargs)

    @clears_frames
    async def _request_bound(self, unbound: RemoteRPCDescriptor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self.remote_method_request(await self._completion.method(unbound, self._caller), *args, **kwargs)

    async def _prepared(
        self, unbound: RemoteRPCDescriptor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[RemoteRPCDescriptor, bytes | AsyncIterator[bytes]]:
        rpc = await self._completion.method(unbound, self._caller)
        return rpc, self._body(rpc, args, kwargs)

    @clears_frames
    async def _start(self, descriptor: RemoteRPCDescriptor, body: Any, job: JobMethods) -> PredictionJob:
        from . import jobs  # here, as few programs start jobs and trainings

        caller = self._caller.pinned()
        answer = await caller.send_once(descriptor, body)
        return jobs.PredictionJob(jobs.id_of(answer, job.key, descriptor), _StartedOn(self, caller, descriptor))

    @clears_frames
    async def _train(self, *args: Any, **kwargs: Any) -> TrainingJob[RemoteModuleBase]:
        from .job_servers import can_probe, missing_model_error
        from .training import choose_training, is_named, materialized

        args = tuple([await materialized(value) for value in args])
        kwargs = {name: await materialized(value) for name, value in kwargs.items()}
        config = await self._completion.complete(self._caller)
        await run_in_thread(complete_all, config.trainings)
        training, model_name, body = choose_training(config, args, kwargs)
        server = await _StartedOn(self, self._caller.pinned(), training)._find()
        with self._trainings.starting(model_name):
            if is_named(kwargs) and can_probe(server, model_name):
                probe = partial(missing_model_error, server, model_name)
                await self._trainings.check_is_free(model_name, probe, server.caller.target)
            return await self._start_training(training, model_name, body, server)

    async def _start_training(
        self, training: RemoteRPCDescriptor, model_name: str, body: bytes, server: JobServer
    ) -> TrainingJob[RemoteModuleBase]:
        from . import jobs
        from .job_servers import missing_model_error

        try:
            answer = await server.caller.send_once(training, body, model_name)
        except OutcomeUnknownError:
            self._trainings.add(model_name, partial(missing_model_error, server, model_name))
            raise
        name = answer.get("model_name") or model_name
        job = jobs.TrainingJob(
            jobs.id_of(answer, server.methods.key, training),
            _StartedOn(self, server.caller, training),
            model_name=name,
            find=self._trained,
        )
        self._trainings.add(name, partial(missing_model_error, server, name), partial(jobs.is_running, job))
        return job

    async def _trained(self, name: str, server: JobServer) -> RemoteModuleBase | NotFoundError:
        """Return the module of a trained model, or the server's answer if it does not have the model yet."""
        from .job_servers import missing_model_error

        if (missing := await missing_model_error(server, name)) is not None:
            return missing
        config = await self._completion.complete(self._caller)
        config = replace(config, model_path=name, module_id="", module_name="")
        return construct_remote_module_class(config)(
            config, connections=server.caller.connections, options=self._caller.options
        )

    async def aclose(self) -> None:
        """Close the connection if it is the module's own. Calls in flight raise a ClosedError. Idempotent."""
        if self._owned:
            await self._caller.connections.aclose()
            await self._completion.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> Any:
        return _unpickle, (self._config, self._caller)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        config = vars(self).get("_config")
        if config is not None and config.protocol == "http" and _STREAMED_INPUT.fullmatch(name):
            raise _NoStreamedInputError(
                f"{name}: HTTP has no streamed inputs; connect to the runtime's gRPC port", name=name, obj=self
            )
        declared = {} if config is None or config.declaration is None else config.methods
        methods = sorted({*declared, *(method for method in dir(type(self)) if method.startswith("run"))})
        close = closest(name, methods)
        hint = f"did you mean {close}?" if close else clean(f"its methods are {', '.join(methods) or 'none'}")
        if config is not None and not config.tasks_known and _SHORT_NAME.fullmatch(name):
            hint = f"the short names need the model's task: client.model({config.model_path!r}, task=...)"
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; {hint}", name=name, obj=self)

    def __repr__(self) -> str:
        if "_config" not in vars(self):
            return f"<{type(self).__name__} of no server>"
        config = self._config
        tasks = ", ".join(task for task, _ in config.task_methods)
        which = "" if config.tasks_known else "all tasks of the runtime, as none is known to be the model's: "
        return f"<{type(self).__name__} {config.model_path!r} at {config.connection.target}: {which}{tasks}>"

    def _repr_html_(self) -> str:
        config = self._config
        rows = [call_and_answer(rpc) for rpc in self._rpcs]
        if hasattr(type(self), "train"):
            from .training import train_signature

            rows.append((f"train{train_signature(config)}", "TrainingJob"))
        which = "" if config.tasks_known else ": all methods of the runtime, as no task is known to be the model's"
        return table(f"{type(self).__name__} {config.model_path!r} at {config.connection.target}{which}", rows)


def _unpickle(config: RemoteModuleConfig, caller: Caller) -> RemoteModuleBase:
    connections, options, balancer = (caller.fields()[name] for name in ("connections", "options", "balancer"))
    changed = partial(forget_description, connections)
    module = construct_remote_module_class(config)(
        config, connections=connections, options=options, balancer=balancer, changed=changed
    )
    if caller.responds:
        module = module.with_response()
    module._owned = True  # its `aclose` gives back the share of an unpickled handle
    return module


@dataclass(eq=False, repr=False)
class _StartedOn:
    """The one server that has a job, as the job was started there; a `FindJobServers`.

    Attributes:
        module: the module that started the job.
        caller: calls the server.
        rpc: the method that started the job.
    """

    module: RemoteModuleBase
    caller: Caller
    rpc: RemoteRPCDescriptor

    def __call__(self) -> dict[str, FindJobServer]:
        return {self.caller.target: self._find}

    async def _find(self) -> JobServer:
        from .job_servers import JobServer, probe_methods

        completion = self.module._completion
        rpc = await completion.method(self.rpc, self.module._caller)
        assert rpc.job is not None
        config = await completion.complete(self.caller)
        return JobServer(self.caller, rpc.job, probe_methods(config.task_methods), rpc.task)


class _NoStreamedInputError(UnsupportedError, AttributeError):
    """Also an AttributeError, so that `hasattr` is False: OpenAPI documents name no methods with streamed inputs."""


@exported_from("remote_client")
def construct_remote_module_class(model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    """Return the class with the methods of the model's tasks, `run_<task>`, and for a single task their short names.

    Equal configurations share one class.
    """
    key = model_config.class_key
    return _classes.get(key) or _classes.setdefault(key, make_module_class(model_config, RemoteModuleBase))


_classes: WeakValueDictionary[Hashable, type[RemoteModuleBase]] = WeakValueDictionary()
