"""Sockets across a fork: a child must neither speak on its parent's connections nor keep them open."""

from __future__ import annotations

import os
import weakref
from typing import Any

_open: weakref.WeakSet[Any] = weakref.WeakSet()
"""Protocols whose `transport` is open."""


def register(protocol: Any) -> None:
    """Remember a connected protocol; its `transport` attribute holds the transport, or None once that is closed."""
    _open.add(protocol)


def _after_fork() -> None:
    """Turn inherited sockets into /dev/null.

    The peer then sees the parent's close while the child lives. Closing them through asyncio would take the parent's
    sockets out of the selector that both processes share.
    """
    protocols = list(_open)
    if not protocols:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for protocol in protocols:
        transport = protocol.transport
        opened = None if transport is None else transport.get_extra_info("socket")
        descriptor = -1 if opened is None else opened.fileno()
        if descriptor >= 0:
            os.dup2(null, descriptor)
    os.close(null)
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
