"""The call of a caikit server that a module's method serves: its deadline, and its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from caikit.core.toolkit.concurrency.destroyable_thread import DestroyableThread

from ..errors import ClosedError

_NO_DEADLINE = 3e9
"""Seconds beyond which gRPC means that a call has no deadline."""


class ServerCall:
    """The call of a server, by the context that caikit gives to a module's method.

    Over HTTP only an answer that is streamed is watched, by the task of the server that sends it: caikit interrupts the
    threads of other answers itself.

    Args:
        context: gRPC's `ServicerContext`, or FastAPI's `Request`.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            self._task = None

    @classmethod
    def of(cls, context: Any) -> ServerCall | None:
        """Return the call for a context; None without one, and in a job, which outlives the call that started it."""
        is_job = isinstance(threading.current_thread(), DestroyableThread)
        return None if context is None or is_job else cls(context)

    def seconds_left(self) -> float | None:
        """Return the seconds until the call's deadline; None if it has none, as over HTTP."""
        time_remaining = getattr(self._context, "time_remaining", None)
        seconds: float | None = None if time_remaining is None else time_remaining()
        return None if seconds is None or seconds > _NO_DEADLINE else max(seconds, 0.001)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call a function when the call ends, in any thread.

        Raises:
            ClosedError: the call is over.
        """
        add_callback = getattr(self._context, "add_callback", None)
        if add_callback is not None and not add_callback(callback):
            raise ClosedError("the call that this one serves is over: its client left, or its time is up")
        if self._task is not None:
            with suppress(RuntimeError):  # the loop was closed at exit
                self._task.get_loop().call_soon_threadsafe(self._task.add_done_callback, lambda _: callback())
