import abc
from typing import ClassVar

from aconfig import Config

class FactoryConstructible(abc.ABC):
    name: ClassVar[str]

    @abc.abstractmethod
    def __init__(self, config: Config, instance_name: str) -> None: ...

class Factory:
    def __init__(self, name: str) -> None: ...
    def register(self, constructible: type[FactoryConstructible]) -> None: ...

class ImportableFactory(Factory): ...
