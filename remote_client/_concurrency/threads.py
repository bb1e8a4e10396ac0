"""Daemon threads for work that may take long or for ever: who waits for it can leave, and the process can end."""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_IDLE_TIME = 10.0
"""Seconds a thread waits for more work before it ends."""
_Inbox = queue.SimpleQueue[tuple[contextvars.Context, "Future[Any]", Callable[..., Any], tuple[Any, ...]]]
_idle: deque[_Inbox] = deque()
"""The threads without work; the newest first, so that the others end."""
os.register_at_fork(after_in_child=_idle.clear)  # a child has no other threads


def start(function: Callable[..., T], *args: Any) -> Future[T]:
    """Call a function in another thread, with this one's context variables. What it returns cannot be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # else one of several waiters that leaves would cancel it for all
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = queue.SimpleQueue()
        threading.Thread(target=_work, args=(inbox,), name="remote-client-work", daemon=True).start()
    inbox.put((contextvars.copy_context(), future, function, args))
    return future


async def aside(function: Callable[..., T], *args: Any) -> T:
    """Wait for a function that runs in another thread. Cancelled, this leaves the thread to itself."""
    return await asyncio.wrap_future(start(function, *args))


def _work(inbox: _Inbox) -> None:
    while True:
        try:
            job = inbox.get(timeout=_IDLE_TIME)
        except queue.Empty:
            try:
                _idle.remove(inbox)
            except ValueError:  # it was chosen for work just now
                continue
            return
        _do(*job)
        del job  # what the work was made of does not wait for the next
        _idle.append(inbox)


def _do(context: contextvars.Context, future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = context.run(function, *args)
    except BaseException as error:
        here = error.__traceback__
        assert here is not None
        # Without this frame, which still runs when the error is seen, and knows what the work was made of.
        future.set_exception(error.with_traceback(here.tb_next))
        del here
    else:
        future.set_result(result)
