"""Trains on another runtime, for caikit's `model_management`."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from inspect import Signature
from typing import Any
from urllib.parse import urlencode

from caikit.core import ModuleBase
from caikit.core.data_model import JobStatus
from caikit.core.exceptions.caikit_core_exception import CaikitCoreException, CaikitCoreStatusCode
from caikit.core.model_management import ModelTrainerBase, ModelTrainerFutureBase, TrainingInfo, model_trainer_factory
from caikit.interfaces.common.data_model.stream_sources import S3Path
from caikit.interfaces.runtime.data_model import TrainingInfoRequest, TrainingStatusResponse
from caikit.runtime.names import TRAINING_MANAGEMENT_ENDPOINT, ServiceType

from .._client.introspection import introspect
from .._client.job_servers import FindJobServer, JobServer, missing_model_error, probe_methods
from .._client.job_status import JobInfo
from .._client.jobs import TrainingJob
from .._objects.exports import exported_from
from .._schema.codec import BaseCodec
from .._schema.rpc import JobMethods, RemoteRPCDescriptor, ServiceDescription
from ..errors import (
    ConfigurationError,
    JobError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteCallError,
    RemoteClientError,
)
from ..settings import FinderConfig, Output, Protocol
from ..sync._loop_thread import run
from ._config import RemoteModuleConfig
from ._connections import RemoteModel
from ._data_objects import from_json, from_proto
from ._errors import as_runtime_exceptions
from ._initializer import RemoteModelInitializer
from ._requests import remote_method
from ._settings import caikit_settings_of, part_settings
from ._trainings import remember, training_parameters

_KEYS = frozenset(["connection", "protocol", "model_key"])
_LOCAL_KEYS = frozenset(["retention_duration", "use_subprocess", "subprocess_start_method"])
_SERVICE = "caikit.runtime.training.TrainingManagement"
_STATES = {state.value: state for state in JobStatus}
_STATUS = {
    "NOT_FOUND": CaikitCoreStatusCode.NOT_FOUND,
    "INVALID_ARGUMENT": CaikitCoreStatusCode.INVALID_ARGUMENT,
    "UNAVAILABLE": CaikitCoreStatusCode.CONNECTION_ERROR,
    "DEADLINE_EXCEEDED": CaikitCoreStatusCode.CONNECTION_ERROR,
    "UNAUTHENTICATED": CaikitCoreStatusCode.UNAUTHORIZED,
    "PERMISSION_DENIED": CaikitCoreStatusCode.FORBIDDEN,
}


@exported_from("remote_client.caikit")
class RemoteModelTrainer(ModelTrainerBase):
    """Trains the modules of this process on another runtime: a gateway serves trainings as its own.

    ```yaml
    model_management:
      trainers:
        default:
          type: REMOTE_CLIENT
          import_class: remote_client.caikit.RemoteModelTrainer
          config:
            connection: {hostname: models.example.com, port: 8085}
    ```

    `protocol` and `model_key` are as for the finder. The other runtime chooses where it saves the model, unless
    `save_path` is an `S3Path`. A training's id holds the other runtime's id, the module's and the model's name, so that
    any process with the same configuration finds the training and loads its model.

    Raises:
        ConfigurationError: a ValueError; the configuration is wrong.
    """

    name = "REMOTE_CLIENT"

    def __init__(self, config: Mapping[str, Any], instance_name: str) -> None:
        self._instance_name = instance_name
        self._server = _TrainingServer(_settings(config, instance_name))

    def train(
        self,
        module_class: type[ModuleBase],
        *args: Any,
        save_path: str | S3Path | None = None,
        save_with_id: bool = False,
        model_name: str | None = None,
        **kwargs: Any,
    ) -> RemoteModelFuture:
        """Start a training, and return its future.

        Raises:
            CaikitRuntimeException: the training could not be started.
            CaikitCoreException: the module has no training.
            InputError: the arguments do not fit the signature of the module's `train`.
        """
        name = model_name or f"{module_class.__name__}-{uuid.uuid4()}"
        s3_path = save_path if isinstance(save_path, S3Path) else None
        id = self._server.start(module_class, name, s3_path, args, kwargs)
        return RemoteModelFuture(self._instance_name, self._server, (module_class.MODULE_ID, name, id), s3_path)

    def get_model_future(self, training_id: str) -> RemoteModelFuture:
        """Return the future of a training, which any process may have started.

        A runtime that cannot be asked may know the training: the future's methods tell.

        Raises:
            CaikitCoreException: the other runtime does not know the training.
        """
        training = _training_of(training_id)
        if training is None:
            raise CaikitCoreException(CaikitCoreStatusCode.NOT_FOUND, f"Unknown training_id: {training_id}")
        future = RemoteModelFuture(self._instance_name, self._server, training)
        try:
            future.get_info()
        except CaikitCoreException as error:
            if error.status_code is CaikitCoreStatusCode.NOT_FOUND:
                raise
        return future


def _settings(config: Mapping[str, Any], instance_name: str) -> FinderConfig:
    given = part_settings(f"trainer {instance_name}", config, _KEYS, _LOCAL_KEYS)
    if "connection" not in given:
        raise ConfigurationError(f"trainer {instance_name}: connection is needed")
    settings = FinderConfig(**given)
    if settings.connection is not None and settings.connection.is_template:
        raise ConfigurationError(f"trainer {instance_name}: connection must name one server, without {{}}")
    return settings


_Training = tuple[str, str, str]
"""The id of the module, the model's name, and the other runtime's id of a training."""


def _future_id(training: _Training) -> str:
    module_id, model_name, id = training
    return ModelTrainerFutureBase.ID_DELIMITER.join([_encoded(module_id), _encoded(model_name), id])


def _training_of(future_id: str) -> _Training | None:
    """Return the training that a future's id names; None if the id is none of a future's."""
    parts = future_id.split(ModelTrainerFutureBase.ID_DELIMITER, 3)
    if len(parts) < 4 or not parts[3]:
        return None
    try:
        return _decoded(parts[1]), _decoded(parts[2]), parts[3]
    except ValueError:
        return None


def _encoded(text: str) -> str:
    """Return text without characters that have a meaning in an id or a URL."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


class _TrainingServer:
    """The runtime that trains."""

    def __init__(self, settings: FinderConfig) -> None:
        self._settings = settings
        assert settings.connection is not None
        self._connection = settings.connection
        self._remote = RemoteModel(self._connection, settings.protocol, settings.model_key, None)
        self._initializer = RemoteModelInitializer({}, "trainer")
        self._methods = _job_methods(settings.protocol)
        self._description: ServiceDescription | None = None

    def start(
        self, module: type[ModuleBase] | str, name: str, path: S3Path | None, args: tuple[Any, ...], kwargs: Any
    ) -> str:
        """Start a training, and return the runtime's id of it."""
        method = self._config(module, name).train_method
        if method is None:
            raise CaikitCoreException(CaikitCoreStatusCode.INVALID_ARGUMENT, f"{module} has no training")
        with as_runtime_exceptions():
            parameters = training_parameters(method, args, kwargs)
            fields = {"model_name": name, "output_path": path, "parameters": parameters}
            remote = remote_method(method, ServiceType.TRAINING, self._settings.protocol)
            body: Any = remote.encode(name, (), fields)
            id: str = remote.decode(self._remote.start(method.rpc_name, remote.path, body, name)).training_id
            if not id:
                raise OutcomeUnknownError(
                    "the server started a training but returned no training_id", method=remote.path.removeprefix("/")
                )
        remember(name, partial(self._config, module, name))
        return id

    def job(self, id: str, model_name: str) -> TrainingJob[bool]:
        """Return the handle of a training. Sends nothing."""
        return TrainingJob(id, self._find, model_name=model_name, find=self._is_served)

    def module(self, module_id: str, name: str) -> ModuleBase:
        """Return a module for a model. Sends nothing."""
        module: Any = self._initializer.init(self._config(module_id, name))
        made: ModuleBase = module
        return made

    def _config(self, module: type[ModuleBase] | str, name: str) -> RemoteModuleConfig:
        settings, connection = self._settings, caikit_settings_of(self._connection)
        return RemoteModuleConfig.load_from_module(module, connection, settings.protocol, settings.model_key, name)

    def _find(self) -> dict[str, FindJobServer]:
        return {self._remote.caller.target: self._job_server}

    async def _job_server(self) -> JobServer:
        return JobServer(self._remote.caller, self._methods)

    async def _is_served(self, name: str, server: JobServer) -> bool | NotFoundError:
        """Return whether a model can be called, or the runtime's answer that it does not have it yet."""
        if self._description is None:
            self._description = await introspect(server.caller, self._settings.protocol)
        tasks = ((task.name, task.methods) for task in self._description.tasks.values())
        methods = self._description.training_job or server.methods
        return await missing_model_error(JobServer(server.caller, methods, probe_methods(tasks)), name) or True


class _ManagementCodec(BaseCodec):
    """The request and the answer of the methods that take a training's id. They are the same on every runtime."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__("", Signature())
        self._is_grpc = protocol == "grpc"

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        if self._is_grpc:
            request: bytes = TrainingInfoRequest(**kwargs).to_proto().SerializeToString()
            return request
        return urlencode(kwargs).encode()

    def decode(self, data: bytes, output: Output) -> dict[str, Any]:
        decode = from_proto if self._is_grpc else from_json
        answer = decode(TrainingStatusResponse, data)
        values = {name: getattr(answer, name) for name in JobInfo.model_fields}
        return values | {"state": _STATES.get(answer.state, answer.state)}


def _job_methods(protocol: Protocol) -> JobMethods:
    codec = _ManagementCodec(protocol)
    status, cancel = (
        RemoteRPCDescriptor(Signature(), "", "", name, path=path if protocol == "grpc" else route, codec=codec)
        for name, path, route in (
            ("GetTrainingStatus", f"/{_SERVICE}/GetTrainingStatus", f"GET {TRAINING_MANAGEMENT_ENDPOINT}"),
            ("CancelTraining", f"/{_SERVICE}/CancelTraining", f"DELETE {TRAINING_MANAGEMENT_ENDPOINT}"),
        )
    )
    return JobMethods("training_id", status, cancel)


class RemoteModelFuture(ModelTrainerFutureBase):
    """A training on another runtime. Its errors are `CaikitCoreException`s, as caikit's servers expect of a trainer."""

    def __init__(
        self, trainer_name: str, server: _TrainingServer, training: _Training, save_path: S3Path | None = None
    ) -> None:
        super().__init__(future_name=trainer_name, future_id=_future_id(training), save_path=save_path)
        self._server = server
        self._module_id, self._model_name, id = training
        self._job = server.job(id, self._model_name)

    def get_info(self) -> TrainingInfo:
        """Ask for the status. Times are without a time zone, as caikit's own."""
        with _as_core_exceptions():
            return _as_caikit(run(self._job.status))

    def cancel(self) -> None:
        """Cancel the training."""
        with _as_core_exceptions():
            run(self._job.cancel)

    def wait(self) -> None:
        """Wait until the training is over, however it ended. Five minutes without an answer end the wait too."""
        with _as_core_exceptions(), suppress(JobError):
            run(self._job.wait)

    def load(self) -> ModuleBase:
        """Wait until the model can be called, and return it as a remote module."""
        with _as_core_exceptions():
            run(self._job.model)
        try:
            return self._server.module(self._module_id, self._model_name)
        except KeyError as error:
            raise CaikitCoreException(CaikitCoreStatusCode.NOT_FOUND, str(error.args[0])) from error


def _as_caikit(info: JobInfo) -> TrainingInfo:
    submitted, completed = info.submission_timestamp, info.completion_timestamp
    return TrainingInfo(
        status=JobStatus[info.state.name],
        errors=[RuntimeError(reason) for reason in info.reasons] or None,
        submission_time=submitted and submitted.replace(tzinfo=None),
        completion_time=completed and completed.replace(tzinfo=None),
    )


@contextmanager
def _as_core_exceptions() -> Iterator[None]:
    """Raise the exceptions that caikit's servers expect of a trainer."""
    try:
        yield
    except RemoteCallError as error:
        status = _STATUS.get(error.status, CaikitCoreStatusCode.UNKNOWN)
        raise CaikitCoreException(status, error.details or str(error)) from error
    except RemoteClientError as error:
        raise CaikitCoreException(CaikitCoreStatusCode.UNKNOWN, str(error)) from error


model_trainer_factory.register(RemoteModelTrainer)
