import abc
from typing import Any

from ...interfaces.common.data_model.stream_sources import S3Path
from ..modules import ModuleBase, ModuleConfig
from ..toolkit.factory import FactoryConstructible, ImportableFactory
from .job_base import JobBase, JobFutureBase, JobInfo

model_finder_factory: ImportableFactory
model_initializer_factory: ImportableFactory
model_trainer_factory: ImportableFactory

class ModelFinderBase(FactoryConstructible):
    @abc.abstractmethod
    def find_model(self, model_path: str, **kwargs: Any) -> ModuleConfig | None: ...

class ModelInitializerBase(FactoryConstructible):
    @abc.abstractmethod
    def init(self, model_config: ModuleConfig, **kwargs: Any) -> ModuleBase | None: ...

class TrainingInfo(JobInfo): ...

class ModelTrainerFutureBase(JobFutureBase):
    # It hands its arguments on to JobFutureBase, under these names or as trainer_name and training_id.
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def save_path(self) -> str | None: ...
    @abc.abstractmethod
    def load(self) -> ModuleBase: ...
    def result(self) -> ModuleBase: ...

class ModelTrainerBase(JobBase):
    @abc.abstractmethod
    def train(
        self,
        module_class: type[ModuleBase],
        *args: Any,
        save_path: str | S3Path | None = None,
        save_with_id: bool = False,
        model_name: str | None = None,
        **kwargs: Any,
    ) -> ModelTrainerFutureBase: ...
    @abc.abstractmethod
    def get_model_future(self, training_id: str) -> ModelTrainerFutureBase: ...
    def get_future(self, job_id: str) -> JobFutureBase: ...
