"""The connection manager: leases connections to one server, replaces them by age, and closes them once they are unused.

Connections come in generations. A call leases the current one. Once that has expired, the next call opens a new one,
and the old one is closed when its last lease ends, which for a stream may take hours (make before break: closing a gRPC
channel kills its calls, https://github.com/grpc/grpc/issues/41875).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from .._concurrency import fork as _fork
from .._concurrency.worker_thread import WorkerThread
from .._objects.copying import Immutable
from ..errors import ClosedError, ForkedError, RemoteClientError, UnavailableError, WrongLoopError
from ..settings import ConnectionInfo, Protocol
from .balance import Health
from .call import Transport
from .net import sockets
from .pending import MAX_PENDING, Joining, Pending, Place, shared
from .retry import Budget


class _Generation:
    """A connection and the number of calls that use it."""

    __slots__ = ("expires", "finalizer", "leases", "retired", "transport")

    def __init__(self, transport: Transport, expires: float, finalizer: weakref.finalize[Any, Any]) -> None:
        self.transport: Transport = transport
        self.finalizer: weakref.finalize[Any, Any] = finalizer
        self.expires: float = expires
        self.leases: int = 0
        self.retired: bool = False


class Lease:
    """The right to use `transport` until `release()`, which must be called exactly once, in the loop's thread."""

    __slots__ = ("_generation", "manager", "transport")

    def __init__(self, manager: ConnectionManager, generation: _Generation) -> None:
        self.manager: ConnectionManager = manager
        self._generation = generation
        self.transport: Transport = generation.transport

    def check(self) -> None:
        """Raise a ForkedError if the connection belongs to a parent process."""
        if self.manager.born != _fork.count:
            raise _forked()

    def release(self) -> None:
        """Return the connection; the last lease of an expired one closes it."""
        generation = self._generation
        generation.leases -= 1
        if generation.retired and not generation.leases:
            self.manager._close(generation, _replaced)


class ConnectionManager(Immutable):
    """Leases connections to one server, in the event loop of its first use.

    Args:
        connect: returns a new transport; called in the loop, does no I/O.
        max_session_age: seconds until a connection is replaced, less a random part of up to 20 % so that clients do not
            reconnect all at once. `0` opens a connection per call; a negative value disables rotation.
        jitter: returns a number from 0 to 1.
        target: the server's address as error messages show it.
        max_pending: the largest number of calls that wait for an answer, of all clients in the loop; see `pending`.
        opened_with: the arguments of `open_connections`, for whoever opens the same connections again.

    Attributes:
        health: the server's health as calls found it.
        pending: the calls that wait for an answer.
        budget: the retry budget of its calls.
        worker: a thread for work that would block the loop.
        proxy: the connection's `proxy`, for the requests of credentials.
        opened: the number of connections opened so far.
        born: the process of the first use, as the number of forks before it.
    """

    def __init__(
        self,
        connect: Callable[[], Transport],
        *,
        max_session_age: float = -1,
        jitter: Callable[[], float] = random.random,
        target: str = "",
        max_pending: float = MAX_PENDING,
        opened_with: tuple[ConnectionInfo, Protocol, Any, tuple[Any, ...]] | None = None,
    ) -> None:
        self.target = target
        self.pending: Pending = Joining(self._join)
        self._max_pending = max_pending
        self.health: Health = Health()
        self.budget: Budget = Budget(time.monotonic())
        self.worker: WorkerThread = WorkerThread()
        self._connect = connect
        self._max_age = max_session_age
        self._jitter = jitter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._current: _Generation | None = None
        self._draining: set[_Generation] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self.opened_with = opened_with
        self.proxy: str | None = None if opened_with is None else opened_with[0].proxy
        closing = "use `async with`, or `with` for the blocking client, or `aclose()`"
        self._warnings = [f"the client of {target} was dropped with connections open: {closing}"]
        """The ResourceWarning of debug mode for a client dropped with connections open; empty once issued."""
        self.opened: int = 0
        self.born: int = _fork.count

    def check(self) -> None:
        """Raise the ClosedError, WrongLoopError or ForkedError that `lease` would raise."""
        self._check(asyncio.get_running_loop())

    def _join(self) -> Pending:
        self.pending = shared(self.target, self._max_pending)
        return self.pending

    async def turn(self, seconds: float | None) -> Place | None:
        """Wait until fewer calls wait for the server; see `Pending.wait`."""
        return await self.pending.wait(seconds, self)

    def lease(self) -> Lease:
        """Lease the current connection, opened or replaced if need be. Must be called in a running event loop.

        Raises:
            ClosedError: after `aclose`.
            WrongLoopError: in another loop than the first one.
            ForkedError: in a forked child of the process that used it.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self._closed or self.born != _fork.count:
            self._check(loop)
        current = self._current
        if current is None or loop.time() >= current.expires:
            current = self._rotate(loop)
        current.leases += 1
        return Lease(self, current)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._check_fork()
        if self._closed:
            raise ClosedError("it was closed; make a new client")
        if self._loop is None:
            self._loop = loop
        elif self._loop.is_closed():
            raise WrongLoopError("the event loop this client was used in has ended; make a new client in this loop")
        elif self._loop is not loop:
            raise WrongLoopError("this client is used in another event loop; make one client for each loop")

    def _check_fork(self) -> None:
        if self.born != _fork.count:
            if self._loop is not None:
                raise _forked()
            self.born = _fork.count

    def _rotate(self, loop: asyncio.AbstractEventLoop) -> _Generation:
        """Replace the current generation by a new one, and retire it."""
        old = self._current
        transport = self._connect()
        # The loop refers to the sockets, so dropping a client does not close its connections.
        finalizer = weakref.finalize(self, _abandon, loop, transport, self.born, self._warnings)
        finalizer.atexit = False
        lifetime = math.inf if self._max_age < 0 else self._max_age * (1 - 0.2 * self._jitter())
        self._current = new = _Generation(transport, loop.time() + lifetime, finalizer)
        self.opened += 1
        if old is not None:
            self._retire(old)
        if self._max_age == 0:
            # Its one lease follows at once. Retired from the start, the connection is closed when that ends.
            self._current = None
            self._retire(new, leased=True)
        return new

    def _retire(self, generation: _Generation, leased: bool = False) -> None:
        generation.retired = True
        if not generation.leases and not leased:
            self._close(generation, _replaced)
            return
        self._draining.add(generation)

    def _close(self, generation: _Generation, reason: Callable[[], RemoteClientError]) -> None:
        self._draining.discard(generation)
        generation.finalizer.detach()
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        task = loop.create_task(generation.transport.aclose(reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close all connections for good. Calls in flight raise a ClosedError. Idempotent.

        Raises:
            WrongLoopError: in another loop than the one it was used in, unless that one has ended.
            ForkedError: in a forked child of the process that used it.
        """
        self._check_fork()
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
            raise WrongLoopError("this client is used in another event loop; close it there")
        self._closed = True
        self.pending.close(self)
        self.pending = Pending(math.inf)
        self.worker.close()
        generations = [*self._draining, *([self._current] if self._current else [])]
        self._current = None
        for generation in generations:
            self._close(generation, _closed)
        if self._loop is loop and self._closing:
            await asyncio.wait(self._closing)


_abandoned: set[asyncio.Task[None]] = set()
"""Tasks that close the connections of dropped clients."""


def _abandon(loop: asyncio.AbstractEventLoop, transport: Transport, born: int, messages: list[str]) -> None:
    """Close a connection whose client was dropped. The garbage collector may call this in any thread."""
    if born != _fork.count:
        return  # waking the parent's loop is up to the parent
    try:
        loop.call_soon_threadsafe(_close_abandoned, loop, transport)
    except RuntimeError:  # the loop is closed
        if sockets.end_orphans():
            return  # asyncio warns of these
    if loop.get_debug() and messages:
        warnings.warn(messages.pop(), ResourceWarning, stacklevel=2)


def _close_abandoned(loop: asyncio.AbstractEventLoop, transport: Transport) -> None:
    task = loop.create_task(transport.aclose(_closed))
    _abandoned.add(task)
    task.add_done_callback(_abandoned.discard)


def _forked() -> ForkedError:
    return ForkedError(
        "this client was used before the process forked, and its connections are the parent's; make a new client in "
        "the child, or start workers with the `spawn` method"
    )


def _closed() -> RemoteClientError:
    return ClosedError("it was closed while the call was in flight")


def _replaced() -> RemoteClientError:
    return UnavailableError("the connection was replaced")
