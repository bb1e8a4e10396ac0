"""Trains on another runtime, for caikit's `model_management`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from caikit.core import ModuleBase
from caikit.core.data_model import JobStatus
from caikit.core.exceptions.caikit_core_exception import CaikitCoreException, CaikitCoreStatusCode
from caikit.core.model_management import ModelTrainerBase, ModelTrainerFutureBase, TrainingInfo, model_trainer_factory
from caikit.interfaces.common.data_model.stream_sources import S3Path
from caikit.runtime.names import MODEL_MESH_MODEL_ID_KEY, ServiceType

from .._objects.exports import exported_from
from ..errors import ConfigurationError, JobError, RemoteCallError, RemoteClientError
from ..settings import ConnectionInfo, Protocol
from ..sync import RemoteClient, TrainingJob
from ._config import RemoteModuleConfig
from ._connections import RemoteModel, caikit_settings_of
from ._errors import as_runtime_exceptions
from ._module import construct_remote_module_class
from ._requests import remote_method
from ._trainings import training_parameters

logger = logging.getLogger("remote_client")
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

    model_management:
        trainers:
            default:
                type: REMOTE_CLIENT
                import_class: remote_client.caikit.RemoteModelTrainer
                config:
                    connection: {hostname: models.example.com, port: 8085}

    `protocol` and `model_key` are as for the finder. A training's id holds the other runtime's, so that it is found
    again after a restart of this process. The other runtime chooses where it saves the model, unless `save_path` is an
    `S3Path`.

    Raises:
        ConfigurationError: a ValueError; the configuration is wrong.
    """

    name = "REMOTE_CLIENT"

    def __init__(self, config: Any, instance_name: str) -> None:
        self._instance_name = instance_name
        # Other keys are ignored: caikit merges its local trainer's into a trainer called `default`.
        if not config.get("connection"):
            raise ConfigurationError(f"trainer {instance_name}: connection is needed")
        self._connection = ConnectionInfo.of(config["connection"])
        self._protocol: Protocol = config.get("protocol") or "grpc"
        self._model_key: str = config.get("model_key") or MODEL_MESH_MODEL_ID_KEY
        self._client = RemoteClient(self._connection, protocol=self._protocol)
        self._starts = RemoteModel(self._connection, self._protocol, self._model_key, None)
        self._started: dict[str, RemoteModuleConfig] = {}

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
            InputError: the arguments do not fit the signature of the module's `train`.
        """
        name = model_name or f"{module_class.__name__}-{uuid.uuid4()}"
        connection: Any = caikit_settings_of(self._connection)
        config = RemoteModuleConfig.load_from_module(module_class, connection, self._protocol, self._model_key, name)
        method = config.train_method
        if method is None:
            raise CaikitCoreException(CaikitCoreStatusCode.INVALID_ARGUMENT, f"{module_class.__name__} has no training")
        fields = {
            "model_name": name,
            "output_path": save_path if isinstance(save_path, S3Path) else None,
            "parameters": training_parameters(method, args, kwargs),
        }
        with as_runtime_exceptions():
            remote = remote_method(method, ServiceType.TRAINING, self._protocol)
            body: Any = remote.encode(name, (), fields)
            job = remote.decode(self._starts.start(method.rpc_name, remote.path, body, name))
        self._started[job.training_id] = config
        return self._future(job.training_id)

    def get_model_future(self, training_id: str) -> RemoteModelFuture:
        """Return the future of a training. Whether the other runtime knows it, its methods tell."""
        _, delimiter, id = training_id.partition(ModelTrainerFutureBase.ID_DELIMITER)
        if not delimiter:
            raise CaikitCoreException(CaikitCoreStatusCode.NOT_FOUND, f"Unknown training_id: {training_id}")
        return self._future(id)

    def _future(self, id: str) -> RemoteModelFuture:
        return RemoteModelFuture(self._instance_name, self._client.training(id), self._started.get(id))


class RemoteModelFuture(ModelTrainerFutureBase):
    """A training on another runtime.

    Args:
        trainer_name: the name of the trainer in the configuration.
        job: the training.
        config: of the model that it makes; None in a process that did not start the training.
    """

    def __init__(self, trainer_name: str, job: TrainingJob[Any], config: RemoteModuleConfig | None) -> None:
        super().__init__(future_name=trainer_name, future_id=job.id)
        self._job = job
        self._config = config

    def get_info(self) -> TrainingInfo:
        """Ask for the status."""
        with _as_core_exceptions():
            return _as_caikit(self._job.status())

    def cancel(self) -> None:
        """Cancel the training."""
        with _as_core_exceptions():
            self._job.cancel()

    def wait(self) -> None:
        """Wait until the training is over, however it ended."""
        with _as_core_exceptions(), suppress(JobError):
            self._job.wait()

    def load(self) -> ModuleBase:
        """Wait for the model, and return it as a remote module."""
        config = self._config
        if config is None:
            raise CaikitCoreException(
                CaikitCoreStatusCode.NOT_FOUND, f"training {self.id} was started by another process: load its model"
            )
        with _as_core_exceptions():
            self._job.model()
        module: Any = construct_remote_module_class(config)
        made: ModuleBase = module(config.connection, config.protocol, config.model_key, config.model_path)
        return made


def _as_caikit(info: Any) -> TrainingInfo:
    return TrainingInfo(
        status=JobStatus[info.state.name],
        errors=[RuntimeError(reason) for reason in info.reasons] or None,
        submission_time=info.submission_timestamp,
        completion_time=info.completion_timestamp,
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
