from collections.abc import Callable
from typing import Any, TypeVar

from .data_model import DataBase

_Method = TypeVar("_Method", bound=Callable[..., Any])

class TaskBase:
    @classmethod
    def taskmethod(
        cls, input_streaming: bool = False, output_streaming: bool = False, context_arg: str | None = None
    ) -> Callable[[_Method], _Method]: ...
    @classmethod
    def get_required_parameters(cls, input_streaming: bool) -> dict[str, Any]: ...

def task(
    unary_parameters: dict[str, Any] | None = None,
    streaming_parameters: dict[str, Any] | None = None,
    unary_output_type: type[DataBase] | None = None,
    streaming_output_type: Any = None,
    visible: bool = True,
    metadata: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Callable[[type[TaskBase]], type[TaskBase]]: ...
