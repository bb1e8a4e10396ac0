from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from aconfig import Config

from ..signature_parsing import CaikitMethodSignature
from ..task import TaskBase

_Module = TypeVar("_Module", bound=ModuleBase)

class _ModuleBaseMeta(type):
    @property
    def tasks(cls) -> list[type[TaskBase]]: ...

class ModuleBase(metaclass=_ModuleBaseMeta):
    MODULE_ID: ClassVar[str]
    MODULE_NAME: ClassVar[str]
    TRAIN_SIGNATURE: ClassVar[CaikitMethodSignature | None]

    def __init__(self) -> None: ...
    @classmethod
    def get_inference_signatures(cls, task: type[TaskBase]) -> list[tuple[bool, bool, CaikitMethodSignature]]: ...

class ModuleConfig(Config):
    reserved_keys: list[str]

    def __init__(self, config_dict: dict[str, Any]) -> None: ...

def module(
    id: str | None = None,
    name: str | None = None,
    version: str | None = None,
    task: type[TaskBase] | None = None,
    tasks: list[type[TaskBase]] | None = None,
    backend_type: str = "LOCAL",
    base_module: str | type[ModuleBase] | None = None,
    backend_config_override: dict[str, Any] | None = None,
) -> Callable[[type[_Module]], type[_Module]]: ...
