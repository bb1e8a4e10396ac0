"""The blocking classes: the names of `remote_client`, each over the asyncio class of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

from .._client import client as _client
from .._client.client_settings import ClientSettings, takes_settings_of
from .._objects.exports import exported_from
from .._settings.callables import off_loop
from .._settings.durations import OUTAGE
from ._facade import TWINS, Blocking, Closable
from ._inputs import collected
from ._loop_thread import run
from ._modules import RemoteModuleBase, asyncio_metadata, construct_remote_module_class, wrapped

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from .._client import finder as _finder
    from .._client import health_watch as _health_watch
    from .._client import jobs as _jobs
    from .._client.deployment import Links
    from .._client.health import HealthStatus
    from .._client.job_status import JobInfo, Progress
    from .._client.module_config import RemoteModuleConfig
    from .._schema.differences import Difference
    from .._schema.rpc import ServiceDescription
    from .._schema.runtime_info import ModelInfo, RuntimeInfo
    from .._schema.schema_file import Schema
    from .._settings.durations import Duration
    from .._transport.engines.httpx_library import AsyncTransport
    from ..settings import CallOptions, ConnectionInfo, FinderConfig, MetadataSource, Output

M = TypeVar("M")
D = TypeVar("D", bound="RemoteModuleBase")


class _Job(Blocking):
    @property
    def id(self) -> str:
        """The server's id of the job."""
        return str(self._twin.id)

    def status(self) -> JobInfo:
        """Ask for the status; see `remote_client.PredictionJob.status`."""
        info: JobInfo = run(self._twin.status)
        return info

    def cancel(self) -> JobInfo:
        """Cancel the job; see `remote_client.PredictionJob.cancel`."""
        info: JobInfo = run(self._twin.cancel)
        return info

    def wait(
        self,
        timeout: Duration | None = None,
        outage: Duration | None = OUTAGE,
        *,
        poll: Duration | None = None,
        progress: Progress = False,
    ) -> JobInfo:
        """Wait until the job is done; see `remote_client.PredictionJob.wait`."""
        info: JobInfo = run(self._twin.wait, timeout, outage, poll=poll, progress=_progress(progress))
        return info


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
        from .._client import finder  # here, as this loads all that calls need

        twin = finder.RemoteModelFinder(
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
        from .._client import initializer

        self.instance_name: str = initializer.RemoteModelInitializer(config, instance_name).instance_name

    def init(self, model_config: RemoteModuleConfig) -> RemoteModuleBase | None:
        """Return a model's module, which owns its connection, or None for a configuration of another kind. No I/O."""
        from .._client.module_config import RemoteModuleConfig

        if not isinstance(model_config, RemoteModuleConfig):
            return None
        return self.construct_module_class(model_config)(model_config)

    def construct_module_class(self, model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
        """Return the class of a model's module."""
        return construct_remote_module_class(model_config)


@exported_from("remote_client.sync")
class HealthWatch(Closable, Iterator["HealthStatus"]):
    """The health of a client's servers as it changes: an iterator; see `remote_client.HealthWatch`."""

    _twin: _health_watch.HealthWatch

    def __next__(self) -> HealthStatus:
        try:
            return run(self._twin.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        run(self._twin.__aenter__)
        return self

    def __reduce__(self) -> Any:
        return self._twin.__reduce__()  # raises


@exported_from("remote_client.sync")
class RemoteClient(Closable):
    """A blocking client of caikit runtimes; see `remote_client.RemoteClient` for the arguments.

    Any thread may use it. Close it with `with` or `close()`. Callables for `metadata` run in a thread, and may block.
    """

    _twin: _client.RemoteClient

    @takes_settings_of(_client.RemoteClient.__init__)
    def __init__(
        self,
        target: str | ConnectionInfo | Iterable[str | ConnectionInfo],
        **settings: Unpack[ClientSettings],
    ) -> None:
        self._adopt(_client.RemoteClient(target, **_asyncio_settings(settings)))

    @classmethod
    @takes_settings_of(_client.RemoteClient.__init__)
    def from_config(cls, config: str | PathLike[str] | Mapping[str, Any], **settings: Unpack[ClientSettings]) -> Self:
        """Create a client from caikit's configuration; see `remote_client.RemoteClient.from_config`."""
        client = cls.__new__(cls)
        client._adopt(_client.RemoteClient.from_config(config, **_asyncio_settings(settings)))
        return client

    @classmethod
    @takes_settings_of(_client.RemoteClient.__init__)
    def from_env(
        cls,
        target: str | ConnectionInfo | Iterable[str | ConnectionInfo] | None = None,
        **settings: Unpack[ClientSettings],
    ) -> Self:
        """Create a client from the environment; see `remote_client.RemoteClient.from_env`."""
        client = cls.__new__(cls)
        client._adopt(_client.RemoteClient.from_env(target, **_asyncio_settings(settings)))
        return client

    def with_options(
        self,
        *,
        timeout: Duration | EllipsisType | None = ...,
        total_timeout: Duration | EllipsisType | None = ...,
        retries: int | None = None,
        metadata: MetadataSource | None = None,
        output: Output | None = None,
    ) -> Self:
        """Return a cheap copy with other options; see `remote_client.RemoteClient.with_options`."""
        metadata = asyncio_metadata(metadata)
        twin = self._twin.with_options(
            timeout=timeout, total_timeout=total_timeout, retries=retries, metadata=metadata, output=output
        )
        client = type(self).__new__(type(self))
        client._adopt(twin)
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

    def wait_until_ready(self, timeout: Duration | None = 60, models: Iterable[str] = ()) -> None:
        """Wait until servers are healthy and list models; see `remote_client.RemoteClient.wait_until_ready`."""
        run(self._twin.wait_until_ready, timeout, collected(models))

    def watch_health(self, *, poll: Duration = 5) -> HealthWatch:
        """Return an iterator over the health of all servers; see `remote_client.RemoteClient.watch_health`."""
        return HealthWatch._of(self._twin.watch_health(poll=poll))

    @overload
    def call(
        self,
        path: str,
        message: bytes | bytearray | memoryview = b"",
        *,
        model: str | None = ...,
        target: str | None = ...,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = ...,
        idempotent: bool = ...,
    ) -> bytes: ...
    @overload
    def call(
        self,
        path: str,
        message: Mapping[str, Any],
        *,
        model: str | None = ...,
        target: str | None = ...,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = ...,
        idempotent: bool = ...,
    ) -> dict[str, Any]: ...
    @overload
    def call(
        self,
        path: str,
        message: object,
        *,
        model: str | None = ...,
        target: str | None = ...,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = ...,
        idempotent: bool = ...,
    ) -> Any: ...
    def call(
        self,
        path: str,
        message: object = b"",
        *,
        model: str | None = None,
        target: str | None = None,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Call a unary gRPC method by its path; see `remote_client.RemoteClient.call`."""
        metadata = asyncio_metadata(metadata)
        options: dict[str, Any] = {"timeout": timeout, "metadata": metadata, "idempotent": idempotent}
        call: Any = self._twin.call  # it has overloads
        return run(call, path, message, model=model, target=target, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: MetadataSource | None = None,
        target: str | None = None,
        timeout: Duration | EllipsisType | None = ...,
        idempotent: bool | None = None,
    ) -> Any:
        """Send an HTTP request; see `remote_client.RemoteClient.request`."""
        headers = asyncio_metadata(headers)
        options: dict[str, Any] = {"timeout": timeout, "headers": headers, "idempotent": idempotent}
        return run(self._twin.request, method, path, json=json, params=params, target=target, **options)

    def prediction_job(self, task: str, prediction_id: str) -> PredictionJob:
        """Return the handle of a prediction job; see `remote_client.RemoteClient.prediction_job`."""
        job: PredictionJob = wrapped(self._twin.prediction_job(task, prediction_id))
        return job

    def training(self, training_id: str, model_name: str | None = None) -> TrainingJob[RemoteModuleBase]:
        """Return the handle of a training; see `remote_client.RemoteClient.training`."""
        job: TrainingJob[RemoteModuleBase] = wrapped(self._twin.training(training_id, model_name))
        return job


def _asyncio_settings(settings: ClientSettings) -> ClientSettings:
    """Return the settings for a client that runs in the loop's thread."""
    return {**settings, "metadata": asyncio_metadata(settings.get("metadata"))}


def _progress(progress: Progress) -> Progress:
    return off_loop(progress) if callable(progress) else progress


TWINS.update({"PredictionJob": PredictionJob, "TrainingJob": TrainingJob})
