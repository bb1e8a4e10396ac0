import abc
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..data_model import JobStatus
from ..toolkit.factory import FactoryConstructible

@dataclass
class JobInfo:
    status: JobStatus
    errors: list[Exception] | None = None
    submission_time: datetime | None = None
    completion_time: datetime | None = None

class JobFutureBase(abc.ABC):
    ID_DELIMITER: str

    def __init__(self, future_name: str, future_id: str, use_reversible_hash: bool = True, **kwargs: Any) -> None: ...
    @property
    def id(self) -> str: ...
    @abc.abstractmethod
    def get_info(self) -> JobInfo: ...
    @abc.abstractmethod
    def cancel(self) -> None: ...
    @abc.abstractmethod
    def wait(self) -> None: ...
    @abc.abstractmethod
    def result(self) -> Any: ...

class JobBase(FactoryConstructible):
    @abc.abstractmethod
    def get_future(self, job_id: str) -> JobFutureBase: ...
