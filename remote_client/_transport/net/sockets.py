"""The process's open connections: checks them for silent peers, and ends them with their event loop or after a fork."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from ..._concurrency import fork as _fork
from ...errors import ClosedError
from .connection import Connection
from .silent_peers import IS_KNOWN, Peer, Silence, unanswered

if TYPE_CHECKING:
    from ..call import Transport

_CHECK_INTERVAL = 0.5
"""Seconds between two checks for silent peers."""
_open: dict[asyncio.AbstractEventLoop, weakref.WeakKeyDictionary[Connection, Silence]] = {}
"""Connections by their loop: only its thread changes them, even while they are iterated over."""
_checks: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle] = {}
"""The next check of every loop with connections."""
_transports: dict[asyncio.AbstractEventLoop, weakref.WeakSet[Transport]] = {}
"""Transports with connections of another library."""
_finalizers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
"""The generators that running loops close at their end."""


def register(connection: Connection) -> None:
    """Check the peer of an open connection from now on, and call `on_peer` while it is silent."""
    loop = asyncio.get_running_loop()
    _add_finalizer(loop)
    _open[loop][connection] = Silence()
    if IS_KNOWN and loop not in _checks:
        _checks[loop] = loop.call_later(_CHECK_INTERVAL, _check, loop)


def _check(loop: asyncio.AbstractEventLoop) -> None:
    del _checks[loop]
    connections = [(connection, silence) for connection, silence in _open[loop].items() if connection.transport]
    for connection, silence in connections:
        if connection.transport is None:  # the end of another one ended it
            continue
        seen = unanswered(connection.transport.get_extra_info("socket"))
        before = silence.peer
        if seen is not None and max(before, silence.look(loop.time(), seen)) is not Peer.HEARD:
            connection.on_peer(silence.peer)
    if connections:
        _checks[loop] = loop.call_later(_CHECK_INTERVAL, _check, loop)


def close_with_loop(transport: Transport) -> None:
    """Close a transport, if it still exists, when the running loop ends: the other library would not."""
    loop = asyncio.get_running_loop()
    _add_finalizer(loop)
    _transports[loop].add(transport)


def _add_finalizer(loop: asyncio.AbstractEventLoop) -> None:
    if loop not in _finalizers:
        end_orphans()
        _open[loop], _transports[loop] = weakref.WeakKeyDictionary(), weakref.WeakSet()
        _finalizers[loop] = finalizer = _close_with_loop(loop)
        with contextlib.suppress(StopIteration):  # it has reached its `yield`
            finalizer.asend(None).send(None)


async def _close_with_loop(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    """Close the connections that a loop's clients left open.

    Closing asynchronous generators is the only thing that `asyncio.run` does for others at its end. Without one, such
    sockets would stay open until the garbage collector warns of their transports.
    """
    try:
        yield
    finally:
        _finalizers.pop(loop, None)
        if (check := _checks.pop(loop, None)) is not None:
            check.cancel()
        for connection in list(_open.pop(loop, ())):
            if connection.transport is not None:
                connection.transport.abort()
        for transport in list(_transports.pop(loop, ())):
            await transport.aclose(lambda: ClosedError("its event loop has ended"))


def end_orphans() -> bool:
    """End the connections of loops that were closed without closing their generators; return whether there were any."""
    found = False
    for loop in list(_finalizers):  # a copy, as loops of other threads begin and end
        if loop.is_closed():
            _finalizers.pop(loop, None)
            _checks.pop(loop, None)
            _transports.pop(loop, None)
            for connection in list(_open.pop(loop, ())):
                found = _shut_down(connection.transport) or found
    return found


def _shut_down(transport: asyncio.Transport | None) -> bool:
    """End a connection without its loop. asyncio closes the socket, with a warning, when it collects the transport."""
    opened = None if transport is None else transport.get_extra_info("socket")
    if opened is None:
        return False
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    return True


def _after_fork() -> None:
    """Replace inherited sockets by /dev/null, so that the peer sees when the parent closes them.

    Closing them through asyncio would remove the parent's sockets from the selector that both processes share.
    """
    transports = [connection.transport for connections in _open.values() for connection in connections]
    if not transports:
        return
    _fork.leak(*_finalizers.values())
    null = os.open(os.devnull, os.O_RDWR)
    for transport in transports:
        opened = None if transport is None else transport.get_extra_info("socket")
        descriptor = -1 if opened is None else opened.fileno()
        if descriptor >= 0:
            os.dup2(null, descriptor)
    os.close(null)
    for connections in _open.values():
        connections.clear()


_fork.at_fork(after_in_child=_after_fork)
