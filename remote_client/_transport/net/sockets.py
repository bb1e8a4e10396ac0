"""The process's open connections: which peers are silent, and what becomes of them when the process forks and when
their event loop ends before them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import weakref
from collections.abc import AsyncGenerator
from typing import Any

from ..._concurrency import fork as _fork
from ...errors import ClosedError
from .silent_peers import IS_KNOWN, Peer, Silence, unanswered

_LOOK_INTERVAL = 0.5
"""Seconds between two looks for silent peers, as long as there are connections."""
_open: dict[asyncio.AbstractEventLoop, weakref.WeakKeyDictionary[Any, Silence]] = {}
"""Protocols whose `transport` is open, by their loop: of one thread, no other changes them while they are read."""
_looks: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle] = {}
"""The next look of each loop that has connections."""
_others: dict[asyncio.AbstractEventLoop, weakref.WeakSet[Any]] = {}
"""Transports whose connections are another library's."""
_ends: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
"""What each running loop calls when it ends."""


def register(protocol: Any) -> None:
    """Remember a connected protocol.

    Args:
        protocol: its `transport` attribute holds the transport, or None once that is closed; its method `on_peer` is
            told what the silence of its peer means, each time that is looked at, until the peer is heard.
    """
    loop = asyncio.get_running_loop()
    _watch(loop)
    _open[loop][protocol] = Silence()
    if IS_KNOWN and loop not in _looks:
        _looks[loop] = loop.call_later(_LOOK_INTERVAL, _look, loop)


def _look(loop: asyncio.AbstractEventLoop) -> None:
    """Tell the connections of a loop whose peer is silent."""
    del _looks[loop]
    connections = [(each, silence) for each, silence in _open[loop].items() if each.transport is not None]
    for protocol, silence in connections:
        if protocol.transport is None:  # the end of another one ended it
            continue
        seen = unanswered(protocol.transport.get_extra_info("socket"))
        before = silence.peer
        if seen is not None and max(before, silence.look(loop.time(), seen)) is not Peer.HEARD:
            protocol.on_peer(silence.peer)
    if connections:
        _looks[loop] = loop.call_later(_LOOK_INTERVAL, _look, loop)


def close_at_end(transport: Any) -> None:
    """Close a transport when the running loop ends, if it still exists: the other library would not."""
    loop = asyncio.get_running_loop()
    _watch(loop)
    _others[loop].add(transport)


def _watch(loop: asyncio.AbstractEventLoop) -> None:
    if loop not in _ends:
        end_left_ones()
        _open[loop], _others[loop] = weakref.WeakKeyDictionary(), weakref.WeakSet()
        _ends[loop] = end = _close_at_end(loop)
        with contextlib.suppress(StopIteration):  # at its `yield`
            end.asend(None).send(None)


async def _close_at_end(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    """Close what a loop's clients left open.

    `asyncio.run` closes the asynchronous generators that are left, and that is the one thing it lets others do at its
    end. Without it each such socket would stay open until the garbage collector complains about its transport.
    """
    try:
        yield
    finally:
        _ends.pop(loop, None)
        if (look := _looks.pop(loop, None)) is not None:
            look.cancel()
        for protocol in list(_open.pop(loop, ())):
            if protocol.transport is not None:
                protocol.transport.abort()
        for transport in list(_others.pop(loop, ())):
            await transport.aclose(lambda: ClosedError("its event loop has ended"))


def end_left_ones() -> bool:
    """End the connections of loops that were closed without letting others close anything; whether there was one."""
    found = False
    for loop in list(_ends):  # a copy: other threads have loops that begin and end
        if loop.is_closed():
            _ends.pop(loop, None)
            _looks.pop(loop, None)
            _others.pop(loop, None)
            for protocol in list(_open.pop(loop, ())):
                found = _shut_down(protocol.transport) or found
    return found


def _shut_down(transport: asyncio.Transport | None) -> bool:
    """End a connection without its loop. asyncio closes the socket when it collects the transport, and tells of it."""
    opened = None if transport is None else transport.get_extra_info("socket")
    if opened is None:
        return False
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    return True


def _after_fork() -> None:
    """Turn inherited sockets into /dev/null.

    The peer then sees the parent's close while the child lives. Closing them through asyncio would take the parent's
    sockets out of the selector that both processes share.
    """
    protocols = [protocol for each in _open.values() for protocol in each]
    if not protocols:
        return
    _fork.leak(*_ends.values())
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
