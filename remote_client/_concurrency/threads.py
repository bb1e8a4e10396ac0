"""Daemon threads for work that may block for ever: it can be abandoned, and does not keep the process alive."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from . import fork as _fork

T = TypeVar("T")
_IDLE_TIME = 10.0
"""Seconds that a thread waits for more work before it ends."""
_Inbox = queue.SimpleQueue[tuple[contextvars.Context, "Future[Any]", Callable[..., Any], tuple[Any, ...]]]
_idle: deque[_Inbox] = deque()
"""The inboxes of idle threads. The last one is used first, so that the others end."""
_fork.at_fork(after_in_child=_idle.clear)  # a child has no other threads


def start(function: Callable[..., T], *args: Any) -> Future[T]:
    """Call a function in another thread, with the current context variables. Its future cannot be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # else one cancelled waiter would cancel it for all
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = queue.SimpleQueue()
        threading.Thread(target=_work, args=(inbox,), name="remote-client-work", daemon=True).start()
    inbox.put((contextvars.copy_context(), future, function, args))
    return future


async def run_in_thread(function: Callable[..., T], *args: Any) -> T:
    """Await a function that runs in another thread. Cancelling this abandons the thread."""
    return await asyncio.wrap_future(start(function, *args))


def _work(inbox: _Inbox) -> None:
    while True:
        try:
            job = inbox.get(timeout=_IDLE_TIME)
        except queue.Empty:
            try:
                _idle.remove(inbox)
            except ValueError:  # `start` took it meanwhile
                continue
            return
        _do(*job)
        del job  # else the function and its arguments would live until the next job
        _idle.append(inbox)


def _do(context: contextvars.Context, future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = context.run(function, *args)
    except BaseException as error:
        traceback = error.__traceback__
        assert traceback is not None
        # Without this frame: it still runs when the waiter clears the frames, and holds the function's arguments.
        future.set_exception(error.with_traceback(traceback.tb_next))
        del traceback
    else:
        future.set_result(result)
