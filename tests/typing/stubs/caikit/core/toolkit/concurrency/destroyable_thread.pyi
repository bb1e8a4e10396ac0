import threading
from collections.abc import Callable
from typing import Any

class DestroyableThread(threading.Thread):
    def __init__(
        self,
        runnable_func: Callable[..., Any],
        *runnable_args: Any,
        work_done_event: threading.Event | None = None,
        **runnable_kwargs: Any,
    ) -> None: ...
