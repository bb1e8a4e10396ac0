"""Remote modules: a class with one method per remote method."""

from __future__ import annotations

import copy
import inspect
import re
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self
from weakref import WeakValueDictionary

from .._calls.caller import Caller
from .._calls.inputs import request_messages
from .._calls.stream import RemoteStream
from .._concurrency.iterators import END, source_of
from .._concurrency.threads import aside
from .._objects.copying import Handle
from .._objects.exports import exported_from
from .._objects.late_attribute import LateAttribute
from .._schema.codec import AmbiguousCodec, UnboundCodec
from .._schema.declared.caikit_modules import is_caikit_module
from .._schema.declared.schemas import schema_for
from .._schema.rpc import JobMethods, RemoteRPCDescriptor
from .._settings.durations import Duration
from .._text.cleaning import clean
from .._text.closest import closest
from .._text.redaction import forget, forgetful
from .._text.tables import table
from .._transport.balance import Balancer
from .._transport.engine import open_connections
from .._transport.manager import ConnectionManager
from ..errors import (
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteCallError,
    SchemaError,
    UnsupportedError,
)
from ..settings import CallOptions, MetadataSource, Output, check_protocol
from . import jobs
from .introspection import parse_schema
from .job_servers import FindJobServer, JobServer, can_probe, lacks, probe_methods
from .jobs import PredictionJob, TrainingJob
from .module_config import RemoteModuleConfig, name_of
from .schema_refusals import with_class
from .shared_connections import forget_description, server_description
from .single_flight import SingleFlight
from .stale_schemas import outdated_schema_hint, redeployment_hint
from .started_trainings import StartedTrainings
from .training import choose, doc_of, is_named, signature_of

UNSET = object()
_STREAMED_INPUT = re.compile(r"run_(\w+_)?(stream_in|bidi_stream)")


@exported_from("remote_client")
class RemoteModuleBase(Handle):
    """A model on a server. Subclasses, made by `construct_remote_module_class`, have its methods.

    A method of one answer returns a coroutine; a method of many returns a `RemoteStream`. Arguments are checked and
    encoded when the method is called: an `InputError` comes from there, and nothing was sent.

    Args:
        model_config: the model.
        connections: connections to share. Without them the module opens its own, and `aclose` closes them.
        options: what calls use unless `with_options` says otherwise.
        balancer: chooses the connections of each call, where several servers have the model.
        changed: called when an answer shows that the server's interface is another than the one that was read.
        trainings: notes what was trained, for whoever looks for models.
    """

    _rpcs: tuple[RemoteRPCDescriptor, ...] = ()

    def __init__(
        self,
        model_config: RemoteModuleConfig,
        *,
        connections: ConnectionManager | None = None,
        options: CallOptions | None = None,
        balancer: Balancer[ConnectionManager] | None = None,
        changed: Callable[[], None] | None = None,
        trainings: StartedTrainings | None = None,
    ) -> None:
        check_protocol(model_config.connection, model_config.protocol)
        name = model_config.model_path
        # Servers and proxies strip blanks around metadata: "foo " would arrive as "foo", which is another model.
        if not name or not name.isascii() or not name.isprintable() or name != name.strip():
            raise InputError(
                f"model: {name!r} cannot be sent: metadata takes printable ASCII names without blanks around them"
            )
        self._config = model_config
        self._owned = connections is None
        self._trainings = trainings or StartedTrainings()
        self._binding = _Binding(model_config, changed)
        # Of methods that somebody made for this module nothing was read that could have changed.
        was_read = changed is not None or not model_config.bound or model_config.schema is not None
        self._caller = Caller(
            connections or open_connections(model_config.connection, model_config.protocol),
            model_key=model_config.model_key,
            model=name,
            options=options
            or CallOptions(timeout=model_config.connection.timeout, retry=model_config.connection.retry_policy),
            balancer=balancer,
            changed=self._binding.changed if was_read else None,
        )

    @property
    def config(self) -> RemoteModuleConfig:
        """The configuration this module was made from."""
        return self._config

    def with_options(
        self,
        *,
        timeout: Duration | object | None = UNSET,
        total_timeout: Duration | object | None = UNSET,
        retries: int | None = None,
        metadata: MetadataSource | None = None,
        output: Output | None = None,
    ) -> Self:
        """A cheap copy with other options; it shares the connection.

        Args:
            timeout: seconds (or a `timedelta`) for a unary call, and between two items of a stream; None or `math.inf`
                for no limit.
            total_timeout: the same for a whole stream.
            retries: attempts after the first, of calls that may be sent again; 0 for none.
            metadata: sent in addition to what is sent already; the same key overrides.
            output: `"pydantic"`, `"dict"`, `"numpy"` for dicts with the repeated numbers as arrays, `"proto"` for the
                protobuf messages themselves, or `"caikit"` for caikit's data objects.

        Raises:
            ConfigurationError: an option has no sense, or numpy is not installed.
            UnsupportedError: `output="proto"` or `"numpy"` over HTTP, which has no protobuf messages; `output="caikit"`
                of a module that was not made of a caikit class.
        """
        declaration = self._config.declaration
        if output == "caikit" and not (declaration and is_caikit_module(declaration.module)):
            raise UnsupportedError('output="caikit": this module was not made of one of caikit\'s own classes')
        if output in ("proto", "numpy") and self._config.protocol == "http":
            raise UnsupportedError(
                f'output="{output}": HTTP has no protobuf messages; connect to the runtime\'s gRPC port'
            )
        changes: dict[str, Any] = {}
        if timeout is not UNSET:
            changes["timeout"] = timeout
        if total_timeout is not UNSET:
            changes["total_timeout"] = total_timeout
        if retries is not None:
            changes["retry"] = self._caller.options.retry.replace(retries=retries)
        if metadata is not None:
            changes["metadata"] = (*self._caller.options.metadata, metadata)
        if output is not None:
            changes["output"] = output
        other = copy.copy(self)
        other._caller = self._caller.replace(**changes)
        return other

    def remote_method_request(self, descriptor: RemoteRPCDescriptor, /, *args: Any, **kwargs: Any) -> Any:
        """Call one remote method. All methods of the class come through here.

        Returns:
            A coroutine of the answer, or a `RemoteStream` of the answers. Of a method that starts a prediction job the
            answer is a `PredictionJob`.

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
            if descriptor.output_streaming:
                return RemoteStream(self._caller, descriptor, self._body(descriptor, args, kwargs))
            body = self._body(descriptor, args, kwargs)
            if descriptor.job is not None:
                return self._start(descriptor, body, descriptor.job)
            return self._caller.unary(descriptor, body)
        except BaseException as error:
            args, kwargs, body = (), {}, b""
            forget(error)
            raise

    def _body(
        self, descriptor: RemoteRPCDescriptor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | AsyncIterator[bytes]:
        codec = descriptor.codec
        if descriptor.input_streaming:
            constants, streams = codec.split(args, kwargs)
            return request_messages(descriptor, constants, streams)
        return codec.encode(self._config.model_path, args, kwargs)

    async def _bound(self, rpc: RemoteRPCDescriptor) -> RemoteRPCDescriptor:
        """A method, as the server describes it.

        Raises:
            SchemaError: the server has no such method.
        """
        if not isinstance(rpc.codec, UnboundCodec):
            return rpc
        config = await self._binding.config(self._caller)
        if rpc.module:
            named = [each for each in config.trainings if each.rpc_name == rpc.rpc_name]
        else:
            named = [
                each
                for key, methods in config.task_methods
                for each in methods
                if each.name == rpc.name and rpc.task in (key, each.task)
            ]
        same = [each for each in named if each.path == rpc.path] or named
        if len(same) != 1:
            count = "several methods" if same else "no method"
            who = f"the server at {self._caller.target}" if config.schema is None else name_of(config.schema)
            raise SchemaError(f"{who} has {count} {rpc.name} of {rpc.task}")
        return same[0]

    @forgetful
    async def _request_bound(self, unbound: RemoteRPCDescriptor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self.remote_method_request(await self._bound(unbound), *args, **kwargs)

    async def _prepared(
        self, unbound: RemoteRPCDescriptor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[RemoteRPCDescriptor, bytes | AsyncIterator[bytes]]:
        rpc = await self._bound(unbound)
        return rpc, self._body(rpc, args, kwargs)

    @forgetful
    async def _start(self, descriptor: RemoteRPCDescriptor, body: Any, job: JobMethods) -> PredictionJob:
        caller = self._caller.pinned()
        answer = await caller.send_once(descriptor, body)
        return PredictionJob(jobs.job_of(answer, job.key, descriptor), _Started(self, caller, descriptor))

    @forgetful
    async def _train(self, *args: Any, **kwargs: Any) -> TrainingJob[RemoteModuleBase]:
        args = tuple([await _held(each) for each in args])
        kwargs = {name: await _held(each) for name, each in kwargs.items()}
        config = await self._binding.config(self._caller)
        training, model_name, body = choose(config, args, kwargs)
        home = await _Started(self, self._caller.pinned(), training)._home()
        with self._trainings.starting(model_name):
            if is_named(kwargs) and can_probe(home, model_name):
                await self._trainings.check(model_name, partial(lacks, home, model_name), home.caller.target)
            return await self._start_training(training, model_name, body, home)

    async def _start_training(
        self, training: RemoteRPCDescriptor, model_name: str, body: bytes, home: JobServer
    ) -> TrainingJob[RemoteModuleBase]:
        try:
            answer = await home.caller.send_once(training, body, model_name)
        except OutcomeUnknownError:
            self._trainings.add(model_name, partial(lacks, home, model_name))
            raise
        name = answer.get("model_name") or model_name
        job = TrainingJob(
            jobs.job_of(answer, home.methods.key, training),
            _Started(self, home.caller, training),
            model_name=name,
            find=self._trained,
        )
        self._trainings.add(name, partial(lacks, home, name), partial(jobs.is_running, job))
        return job

    async def _trained(self, name: str, home: JobServer) -> RemoteModuleBase | NotFoundError:
        """The module of a model that was trained, once it can be called; before, the server's answer."""
        if (missing := await lacks(home, name)) is not None:
            return missing
        config = replace(await self._binding.config(self._caller), model_path=name, module_id="", module_name="")
        return construct_remote_module_class(config)(
            config, connections=home.caller.connections, options=self._caller.options
        )

    async def aclose(self) -> None:
        """Close the connection, if it is the module's own. Calls still in flight raise a ClosedError. Idempotent."""
        if self._owned:
            await self._caller.connections.aclose()
            await self._binding.flights.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> Any:
        return _unpickled, (self._config, self._caller)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        if self._config.protocol == "http" and _STREAMED_INPUT.fullmatch(name):
            raise _NoStreamedInputError(
                f"{name}: HTTP has no streamed inputs; connect to the runtime's gRPC port", name=name, obj=self
            )
        methods = [each for each in dir(type(self)) if each.startswith("run")]
        close = closest(name, methods)
        hint = f"did you mean {close}?" if close else clean(f"its methods are {', '.join(methods) or 'none'}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; {hint}", name=name, obj=self)

    def __repr__(self) -> str:
        config = self._config
        tasks = ", ".join(task for task, _ in config.task_methods)
        which = "" if config.tasks_known else "all tasks of the runtime, as none is known to be the model's: "
        return f"<{type(self).__name__} {config.model_path!r} at {config.connection.target}: {which}{tasks}>"

    def _repr_html_(self) -> str:
        config = self._config
        rows = [_call_and_answer(rpc) for rpc in self._rpcs]
        if hasattr(type(self), "train"):
            rows.append((f"train{signature_of(config)}", "TrainingJob"))
        which = "" if config.tasks_known else ": all methods of the runtime, as no task is known to be the model's"
        return table(f"{type(self).__name__} {config.model_path!r} at {config.connection.target}{which}", rows)


def _unpickled(config: RemoteModuleConfig, caller: Caller) -> RemoteModuleBase:
    connections, options, balancer = (caller.fields()[name] for name in ("connections", "options", "balancer"))
    changed = partial(forget_description, connections)
    module = construct_remote_module_class(config)(
        config, connections=connections, options=options, balancer=balancer, changed=changed
    )
    module._owned = True  # it shares them, and gives its share back
    return module


@dataclass(frozen=True)
class _Started:
    """The one server that has a job: the one it was started on.

    Attributes:
        module: the module that started it.
        caller: calls that server.
        rpc: the method that started it.
    """

    module: RemoteModuleBase
    caller: Caller
    rpc: RemoteRPCDescriptor

    def __call__(self) -> dict[str, FindJobServer]:
        return {self.caller.target: self._home}

    async def _home(self) -> JobServer:
        rpc = await self.module._bound(self.rpc)
        assert rpc.job is not None
        config = await self.module._binding.config(self.caller)
        return JobServer(self.caller, rpc.job, probe_methods(config.task_methods), rpc.task)


class _Binding:
    """A module's configuration with what its server tells of itself: read at most once for all copies of the module."""

    def __init__(self, config: RemoteModuleConfig, changed: Callable[[], None] | None) -> None:
        self._config = config
        self._changed = changed
        self.flights = SingleFlight()

    def changed(self, error: RemoteCallError) -> str:
        """Note that the server's interface is another if an error suggests it, and return what to tell of that."""
        schema = self._config.schema
        if schema is not None:
            return outdated_schema_hint(error, name_of(schema))
        hint = redeployment_hint(error)
        if hint and self._changed is not None:
            self._changed()
        return hint

    async def config(self, caller: Caller) -> RemoteModuleConfig:
        if not self._config.bound:
            self._config = await self.flights.join(None, partial(self._read, caller))
        return self._config

    async def _read(self, caller: Caller) -> RemoteModuleConfig:
        config = replace(self._config)
        if config.schema is None and config.declaration is not None:
            config.schema = await aside(schema_for, config.declaration, config.protocol)
        if config.schema is None:
            with with_class(config.declaration, config.protocol):
                description = await server_description(caller.for_model(None).replace(output="dict"), config.protocol)
        else:
            description = await parse_schema(config.schema)
        config.trainings = list(description.trainings.values())
        if config.declaration is None:
            config.bind_learned(description)
        else:
            config.bind(config.declaration, description)
        return config


class _NoStreamedInputError(UnsupportedError, AttributeError):
    """Both, so that `hasattr` is False: an OpenAPI document does not tell which streamed inputs a task has."""


@exported_from("remote_client")
def construct_remote_module_class(model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    """A class with the methods of the model's tasks, `run_<task>`; of a single task they have their short names too.

    Equal configurations have one class.
    """
    key = model_config.class_key
    return _classes.get(key) or _classes.setdefault(key, _module_class(model_config))


_classes: WeakValueDictionary[Hashable, type[RemoteModuleBase]] = WeakValueDictionary()


def _module_class(model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    declared = None if model_config.declaration is None else model_config.declaration.module
    words = re.findall(r"[A-Za-z0-9]+", model_config.module_name if declared is None else declared.__name__)
    name = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789") or "RemoteModule"
    methods = model_config.methods
    rpcs = tuple(methods.values())
    named = methods | model_config.short_methods
    space: dict[str, Any] = {each: LateAttribute(partial(_method, rpc, each, name)) for each, rpc in named.items()}
    if model_config.trainings or model_config.train_method:
        space["train"] = LateAttribute(partial(_train_method, model_config, name))
    space["__doc__"] = LateAttribute(partial(_doc_of_class, model_config, rpcs))
    bases: tuple[type, ...] = (RemoteModuleBase,)
    if declared is not None and not is_caikit_module(declared) and not getattr(declared, "is_blocking", False):
        bases = (declared,) if issubclass(declared, RemoteModuleBase) else (declared, RemoteModuleBase)
    return type(name, bases, {"__module__": RemoteModuleBase.__module__, "_rpcs": rpcs, **space})


def _doc_of_class(config: RemoteModuleConfig, rpcs: Iterable[RemoteRPCDescriptor]) -> str:
    told = "\n".join(f"    {rpc}" for rpc in rpcs)
    which = "" if config.tasks_known else " No server tells which tasks a model has: these are all of the runtime's."
    return f"The model {config.model_path!r} at {config.connection.target}.{which} Methods:\n\n{told}\n"


def _call_and_answer(rpc: RemoteRPCDescriptor) -> tuple[str, str]:
    """A method's parameters, and what it gives, in words that hold for the blocking client too."""
    call, arrow, answer = str(rpc).rpartition(" -> ")
    if not arrow:
        call, answer = answer, ""
    if rpc.job is not None:
        return call, PredictionJob.__name__
    if rpc.output_streaming:
        return call, f"stream of {answer.partition('[')[2].removesuffix(']') or answer}"
    return call, answer


async def _held(value: Any) -> Any:
    """The items of an iterator, which more than one training may be offered."""
    if not isinstance(value, (AsyncIterable, Iterator)):
        return value
    source, items = source_of(value), []
    try:
        while (item := await source.advance()) is not END:
            items.append(item)
    finally:
        await source.aclose()
    return items


def mark_coroutine_function(function: Any) -> None:
    """Make `inspect` and `asyncio` see a coroutine function in a function that returns a coroutine.

    Frameworks decide by that whether to await. An `async def` would check its arguments when it is awaited, not called.
    """
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
    else:  # CPython 3.11 itself goes by the code's instructions, and never by this flag
        code = function.__code__
        function.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)


def _train_method(config: RemoteModuleConfig, class_name: str) -> Any:
    async def train(self: RemoteModuleBase, /, *args: Any, **kwargs: Any) -> TrainingJob[RemoteModuleBase]:
        return await self._train(*args, **kwargs)

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = signature_of(config)
    train.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[itself, *signature.parameters.values()], return_annotation=TrainingJob
    )
    train.__qualname__ = f"{class_name}.train"
    train.__doc__ = doc_of(config)
    return train


def _method(rpc: RemoteRPCDescriptor, name: str, class_name: str) -> Any:
    def method(self: RemoteModuleBase, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.remote_method_request(rpc, *args, **kwargs)
        finally:
            del args, kwargs  # a traceback would keep them

    method.rpc = rpc  # type: ignore[attr-defined]  # pyright: ignore
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [itself, *rpc.signature.parameters.values()]
    result = rpc.signature.return_annotation if rpc.job is None else PredictionJob
    method.__signature__ = rpc.signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=result
    )
    method.__name__, method.__qualname__ = name, f"{class_name}.{name}"
    if not rpc.output_streaming:
        mark_coroutine_function(method)
    kind = "each answer is" if rpc.output_streaming else "the answer is"
    if isinstance(rpc.codec, AmbiguousCodec):
        method.__doc__ = rpc.codec.explanation
        return method
    method.__doc__ = f"Calls {rpc.rpc_name} of {rpc.task}; {kind} a {rpc.response_dm_name}.\n\n{rpc}"
    return method
