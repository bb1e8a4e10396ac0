from collections.abc import Callable
from typing import Any, TypeVar

_Method = TypeVar("_Method", bound=Callable[..., Any])

class TaskBase:
    @classmethod
    def taskmethod(
        cls, input_streaming: bool = False, output_streaming: bool = False, context_arg: str | None = None
    ) -> Callable[[_Method], _Method]: ...
    @classmethod
    def get_required_parameters(cls, input_streaming: bool) -> dict[str, Any]: ...
