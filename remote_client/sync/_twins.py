"""The blocking classes: the names of `remote_client`, each over the asyncio class of the same name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, get_args, get_origin, overload
from weakref import WeakValueDictionary

from .._calls.stream import RemoteStream as _RemoteStream
from .._client import client as _client
from .._client import finder as _finder
from .._client import initializer as _initializer
from .._client import jobs as _jobs
from .._client import module as _module
from .._client.job_polling import OUTAGE
from .._client.model_files import Links
from .._client.module import UNSET
from .._client.module_config import RemoteModuleConfig
from .._objects.exports import exported_from
from .._objects.lazy_attribute import LazyAttribute
from .._schema.codec import UnboundCodec
from .._schema.differences import Difference
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription, TypeName
from .._schema.schema_file import Schema
from .._settings.callables import off_loop
from .._settings.durations import Duration
from .._transport.engines.httpx_library import AsyncTransport
from ..auth import Credentials
from ..hooks import Hook
from ..settings import (
    CallOptions,
    ConnectionInfo,
    ConnectionTlsInfo,
    Engine,
    FinderConfig,
    MetadataSource,
    Output,
    Protocol,
    check_metadata,
)
from ._facade import Blocking, Closable
from ._inputs import collected, threaded
from ._loop_thread import loop_thread, run
from ._streams import RemoteStream

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from .._client.job_status import JobInfo, Progress
    from .._schema.runtime_info import ModelInfo, RuntimeInfo

M = TypeVar("M")
D = TypeVar("D", bound="RemoteModuleBase")
_ITERATOR: Any = Iterator


@exported_from("remote_client.sync")
class RemoteModuleBase(Closable):
    """A model on a server; see `remote_client.RemoteModuleBase`. Streamed answers come as a `RemoteStream`."""

    is_blocking = True
    """Marks declared modules of the blocking client, whose streams are plain iterables."""
    _module_class: type[_module.RemoteModuleBase]
    _twin: _module.RemoteModuleBase

    def __init__(self, model_config: RemoteModuleConfig) -> None:
        self._adopt(self._module_class(model_config))

    @property
    def config(self) -> RemoteModuleConfig:
        """The module's configuration."""
        return self._twin.config

    def with_options(
        self,
        *,
        timeout: Duration | object | None = UNSET,
        total_timeout: Duration | object | None = UNSET,
        retries: int | None = None,
        metadata: MetadataSource | None = None,
        output: Output | None = None,
    ) -> Self:
        """Return a cheap copy with other options; see `remote_client.RemoteModuleBase.with_options`."""
        twin = self._twin.with_options(
            timeout=timeout, total_timeout=total_timeout, retries=retries, metadata=_metadata(metadata), output=output
        )
        return type(self)._of(twin)

    def remote_method_request(self, descriptor: RemoteRPCDescriptor, /, *args: Any, **kwargs: Any) -> Any:
        """Call one remote method; see `remote_client.RemoteModuleBase.remote_method_request`."""
        thread = loop_thread()
        if descriptor.input_streaming or isinstance(descriptor.codec, UnboundCodec):
            # Arguments of an unbound method are encoded in the loop's thread, which an iterator could block.
            take = threaded if descriptor.input_streaming else collected
            args, kwargs = tuple(map(take, args)), {name: take(value) for name, value in kwargs.items()}
        try:
            answer = self._twin.remote_method_request(descriptor, *args, **kwargs)
        finally:
            del args, kwargs  # else tracebacks would keep them
        if isinstance(answer, _RemoteStream):
            return RemoteStream._of(answer)
        return wrapped(thread.call(answer))

    def __reduce__(self) -> Any:
        return wrapped, (self._twin,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        return getattr(self._twin, name)  # raises an AttributeError that lists the methods


class _Job(Blocking):
    _twin: _jobs.PredictionJob | _jobs.TrainingJob[Any]

    @property
    def id(self) -> str:
        """The server's id of the job."""
        return self._twin.id

    def status(self) -> JobInfo:
        """Ask for the status; see `remote_client.PredictionJob.status`."""
        return run(self._twin.status)

    def cancel(self) -> JobInfo:
        """Cancel the job; see `remote_client.PredictionJob.cancel`."""
        return run(self._twin.cancel)

    def wait(
        self,
        timeout: Duration | None = None,
        outage: Duration | None = OUTAGE,
        *,
        poll: Duration | None = None,
        progress: Progress = False,
    ) -> JobInfo:
        """Wait until the job is done; see `remote_client.PredictionJob.wait`."""
        return run(self._twin.wait, timeout, outage, poll=poll, progress=_progress(progress))


@exported_from("remote_client.sync")
class PredictionJob(_Job):
    """A prediction that runs on the server; see `remote_client.PredictionJob`."""

    _twin: _jobs.PredictionJob

    def result(self) -> Any:
        """Return the answer of a completed job; see `remote_client.PredictionJob.result`."""
        return run(self._twin.result)


@exported_from("remote_client.sync")
class TrainingJob(_Job, Generic[M]):
    """A training; see `remote_client.TrainingJob`."""

    _twin: _jobs.TrainingJob[Any]

    @property
    def training_id(self) -> str:
        """The server's id of the training."""
        return self.id

    @property
    def model_name(self) -> str | None:
        """The name of the trained model."""
        return self._twin.model_name

    def model(
        self,
        timeout: Duration | None = None,
        outage: Duration | None = OUTAGE,
        *,
        progress: Progress = False,
    ) -> M:
        """Wait until the trained model can be called, and return it; see `remote_client.TrainingJob.model`."""
        module: M = wrapped(run(self._twin.model, timeout, outage, progress=_progress(progress)))
        return module


@exported_from("remote_client.sync")
class RemoteModelFinder(Closable):
    """Finds models on one or several servers; see `remote_client.RemoteModelFinder`."""

    _twin: _finder.RemoteModelFinder

    def __init__(
        self,
        config: FinderConfig | Mapping[str, Any],
        instance_name: str = "remote",
        *,
        options: CallOptions | None = None,
        transport: AsyncTransport | None = None,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        twin = _finder.RemoteModelFinder(
            config, instance_name, options=options, transport=transport, interceptors=interceptors
        )
        self._adopt(twin)

    def find_model(self, model_path: str) -> RemoteModuleConfig | None:
        """Return a model's configuration, or None; see `remote_client.RemoteModelFinder.find_model`."""
        return run(self._twin.find_model, model_path)

    def discover(self, name: str | None = None) -> dict[str, ModelInfo]:
        """Poll the servers, and return all known models; see `remote_client.RemoteModelFinder.discover`."""
        return run(self._twin.discover, name)

    @property
    def config(self) -> FinderConfig:
        """The finder's configuration."""
        return self._twin.config

    @property
    def instance_name(self) -> str:
        """The finder's name in a configuration."""
        return self._twin.instance_name


@exported_from("remote_client.sync")
class RemoteModelInitializer:
    """Creates modules; see `remote_client.RemoteModelInitializer`."""

    def __init__(self, config: Mapping[str, Any] | None = None, instance_name: str = "remote") -> None:
        self.instance_name: str = _initializer.RemoteModelInitializer(config, instance_name).instance_name

    def init(self, model_config: RemoteModuleConfig) -> RemoteModuleBase | None:
        """Return a model's module, which owns its connection, or None for a configuration of another kind. No I/O."""
        if not isinstance(model_config, RemoteModuleConfig):
            return None
        return self.construct_module_class(model_config)(model_config)

    def construct_module_class(self, model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
        """Return the class of a model's module."""
        return construct_remote_module_class(model_config)


@exported_from("remote_client.sync")
class RemoteClient(Closable):
    """A blocking client of caikit runtimes; see `remote_client.RemoteClient` for the arguments.

    Any thread may use it. Close it with `with` or `close()`. Callables for `metadata` run in a thread, and may block.
    """

    _twin: _client.RemoteClient

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
        self._adopt(
            _client.RemoteClient(
                target,
                protocol=protocol,
                retries=retries,
                timeout=timeout,
                max_session_age=max_session_age,
                tls=tls,
                metadata=_metadata(metadata),
                hooks=hooks,
                transport=transport,
                engine=engine,
                interceptors=interceptors,
                max_pending=max_pending,
                proxy=proxy,
                schema=schema,
            )
        )

    @classmethod
    def from_config(
        cls, config: str | PathLike[str] | Mapping[str, Any], *, metadata: MetadataSource | None = None
    ) -> Self:
        """Create a client from caikit's configuration; see `remote_client.RemoteClient.from_config`."""
        client = cls.__new__(cls)
        client._adopt(_client.RemoteClient.from_config(config, metadata=_metadata(metadata)))
        return client

    @overload
    def model(self, name: str, declared: type[D], *, task: None = None) -> D: ...
    @overload
    def model(self, name: str, declared: None = None, *, task: str | type | None = None) -> RemoteModuleBase: ...
    @overload
    def model(self, name: str, declared: object, *, task: None = None) -> Any: ...
    def model(self, name: str, declared: object = None, *, task: str | type | None = None) -> Any:
        """Return a model's module; see `remote_client.RemoteClient.model`.

        Args:
            name: the name that `models()` lists.
            declared: a declared class with the base `remote_client.sync.RemoteModuleBase`, a class of caikit, or an
                instance or the id of one. The methods of a class that was declared for asyncio block, too.
            task: the only task: its class, the class's name, or a method's full RPC name or route.
        """
        method: Any = self._twin.model  # overloaded: type checkers do not take it as one callable
        return wrapped(run(method, name, declared, task=task))

    def models(self, ids: Iterable[str] | None = None) -> list[ModelInfo]:
        """List the models of all servers; see `remote_client.RemoteClient.models`."""
        return run(self._twin.models, ids)

    def deploy_model(
        self, name: str, files: Mapping[str, bytes] | str | PathLike[str], *, links: Links = None
    ) -> ModelInfo:
        """Deploy a model to the first runtime; see `remote_client.RemoteClient.deploy_model`."""
        try:
            return run(self._twin.deploy_model, name, files, links=links)
        finally:
            del files  # else tracebacks would keep them

    def undeploy_model(self, name: str) -> None:
        """Remove a model from the first runtime; see `remote_client.RemoteClient.undeploy_model`."""
        run(self._twin.undeploy_model, name)

    def runtime_info(self) -> RuntimeInfo:
        """Return the versions of a runtime; see `remote_client.RemoteClient.runtime_info`."""
        return run(self._twin.runtime_info)

    def describe(self) -> ServiceDescription:
        """Return all tasks of a runtime and their methods; see `remote_client.RemoteClient.describe`."""
        return run(self._twin.describe)

    def check_schema(self, schema: str | PathLike[str] | bytes | Schema | None = None) -> list[Difference]:
        """Compare a schema with a runtime's; see `remote_client.RemoteClient.check_schema`."""
        return run(self._twin.check_schema, schema)

    def healthy(self) -> bool:
        """Return whether all servers are healthy; see `remote_client.RemoteClient.healthy`."""
        return run(self._twin.healthy)

    def prediction_job(self, task: str, prediction_id: str) -> PredictionJob:
        """Return the handle of a prediction job; see `remote_client.RemoteClient.prediction_job`."""
        job: PredictionJob = wrapped(self._twin.prediction_job(task, prediction_id))
        return job

    def training(self, training_id: str, model_name: str | None = None) -> TrainingJob[RemoteModuleBase]:
        """Return the handle of a training; see `remote_client.RemoteClient.training`."""
        job: TrainingJob[RemoteModuleBase] = wrapped(self._twin.training(training_id, model_name))
        return job


@exported_from("remote_client.sync")
def construct_remote_module_class(model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    """Return a class with the methods of the model's tasks; see `remote_client.construct_remote_module_class`."""
    return _twin_class(_module.construct_remote_module_class(model_config), model_config)


def wrapped(value: Any) -> Any:
    """Return the blocking twin of an object of the asyncio client; any other value as it is."""
    if (twin := _TWINS.get(type(value))) is not None:
        return twin._of(value)
    if isinstance(value, _module.RemoteModuleBase):
        return _twin_class(type(value), value.config)._of(value)
    return value


_TWINS: dict[type, Any] = {
    _RemoteStream: RemoteStream,
    _jobs.PredictionJob: PredictionJob,
    _jobs.TrainingJob: TrainingJob,
}


def _twin_class(module_class: type[_module.RemoteModuleBase], config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    """Return the blocking class for an asyncio module's class, made once."""
    found: type[RemoteModuleBase] | None = _twin_classes.get(module_class)
    return found or _twin_classes.setdefault(module_class, _make_twin_class(module_class, config))


_twin_classes: WeakValueDictionary[type, type[RemoteModuleBase]] = WeakValueDictionary()


def _make_twin_class(
    module_class: type[_module.RemoteModuleBase], config: RemoteModuleConfig
) -> type[RemoteModuleBase]:
    bases: tuple[type, ...] = (RemoteModuleBase,)
    declared = None if config.declaration is None else config.declaration.module
    if declared is not None and issubclass(declared, RemoteModuleBase):
        bases = (declared,)
    space: dict[str, Any] = {
        name: LazyAttribute(partial(_method_of, module_class, name))
        for name, method in vars(module_class).items()
        if (inspect.isfunction(method) or isinstance(method, LazyAttribute)) and not name.startswith("_")
    }
    space["__doc__"] = LazyAttribute(partial(getattr, module_class, "__doc__"))
    return type(
        module_class.__name__,
        bases,
        {"__module__": RemoteModuleBase.__module__, "_module_class": module_class, **space},
    )


def _method_of(module_class: type[_module.RemoteModuleBase], name: str) -> Callable[..., Any]:
    return _method(name, getattr(module_class, name))


def _method(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    rpc: RemoteRPCDescriptor | None = getattr(method, "rpc", None)

    def call(self: RemoteModuleBase, /, *args: Any, **kwargs: Any) -> Any:
        try:
            if rpc is not None:
                return self.remote_method_request(rpc, *args, **kwargs)
            kwargs = {argument: collected(value) for argument, value in kwargs.items()}  # of a training
            return wrapped(run(getattr(self._twin, name), *map(collected, args), **kwargs))
        finally:
            del args, kwargs  # else tracebacks would keep them

    functools.update_wrapper(call, method, updated=())  # without attributes, which mark coroutine functions
    call.rpc = rpc  # type: ignore[attr-defined]  # pyright: ignore
    signature = inspect.signature(method)
    result = signature.return_annotation
    if get_origin(result) is AsyncIterator:
        result = _ITERATOR[get_args(result)]
    elif isinstance(result, TypeName):
        result = TypeName(result.replace("AsyncIterator", "Iterator"))
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        return_annotation=_TWINS.get(result, result) if isinstance(result, type) else result
    )
    return call


def _metadata(source: MetadataSource | None) -> Any:
    if source is None:
        return None
    check_metadata(source)
    if isinstance(source, Credentials):
        return source
    return off_loop(source) if callable(source) else source


def _progress(progress: Progress) -> Progress:
    return off_loop(progress) if callable(progress) else progress
