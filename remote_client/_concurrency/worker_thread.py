"""A single thread for work that would block the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerThread:
    """Runs functions in one thread, one at a time: the interpreter lock allows no more anyway.

    The loop's default executor would not do: its threads may all run code of the user's that waits for this work.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._closed = False

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function in the thread, or in this one after `close`, and return its result."""
        if self._closed:
            return function(*args)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="remote-client-worker")
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    def close(self) -> None:
        """Let the thread end after the work it was given."""
        self._closed = True
        if self._executor is not None:
            self._executor.shutdown(wait=False)
