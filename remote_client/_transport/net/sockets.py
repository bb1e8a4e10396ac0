"""The process's open sockets: what becomes of them when it forks, and when their event loop ends without a goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections.abc import AsyncGenerator
from typing import Any

from ... import _fork

_open: dict[asyncio.AbstractEventLoop, weakref.WeakSet[Any]] = {}
"""Protocols whose `transport` is open, by their loop: a set of one thread, which no other changes while it is read."""
_ends: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
"""What each running loop calls when it ends."""


def register(protocol: Any) -> None:
    """Remember a connected protocol; its `transport` attribute holds the transport, or None once that is closed."""
    loop = asyncio.get_running_loop()
    if loop not in _ends:
        for each in list(_ends):  # a copy: other threads have loops that begin and end
            if each.is_closed():
                _ends.pop(each, None)
                _open.pop(each, None)
        _open[loop] = weakref.WeakSet()
        _ends[loop] = end = _abort_at_end(loop)
        with contextlib.suppress(StopIteration):  # at its `yield`
            end.asend(None).send(None)
    _open[loop].add(protocol)


async def _abort_at_end(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    """Close the sockets of a loop's clients that nobody closed.

    `asyncio.run` closes the asynchronous generators that are left, and that is the one thing it lets others do at its
    end. Without it each such socket would stay open until the garbage collector complains about its transport.
    """
    try:
        yield
    finally:
        _ends.pop(loop, None)
        for protocol in list(_open.pop(loop, ())):
            if protocol.transport is not None:
                protocol.transport.abort()


def _after_fork() -> None:
    """Turn inherited sockets into /dev/null.

    The peer then sees the parent's close while the child lives. Closing them through asyncio would take the parent's
    sockets out of the selector that both processes share.
    """
    protocols = [protocol for each in _open.values() for protocol in each]
    if not protocols:
        return
    _fork.keep(*_ends.values())
    null = os.open(os.devnull, os.O_RDWR)
    for protocol in protocols:
        transport = protocol.transport
        opened = None if transport is None else transport.get_extra_info("socket")
        descriptor = -1 if opened is None else opened.fileno()
        if descriptor >= 0:
            os.dup2(null, descriptor)
    os.close(null)
    for each in _open.values():
        each.clear()


os.register_at_fork(after_in_child=_after_fork)
