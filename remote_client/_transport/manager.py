"""ConnectionManager: keeps a connection no longer than its age allows, without ever losing a call.

Connections come in generations. A call leases the current one; when that is too old, the next call finds a new one in
its place, and the old one is closed when its last lease ends, after hours if that is a stream's (make before break:
closing a gRPC channel kills what is in flight, https://github.com/grpc/grpc/issues/41875).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from .._concurrency import fork as _fork
from .._objects.copying import Immutable
from ..errors import ClosedError, ForkedError, RemoteClientError, UnavailableError, WrongLoopError
from ..settings import ConnectionInfo, Protocol
from .balance import Health
from .call import Transport
from .engine import GrpcOptions, choose_engine
from .net import sockets
from .pending import MAX_PENDING, Joining, Pending, Place, shared
from .retry import Budget

T = TypeVar("T")


class _Generation:
    """One connection and how many calls use it."""

    __slots__ = ("expires", "finalizer", "leases", "retired", "transport")

    def __init__(self, transport: Transport, expires: float, finalizer: weakref.finalize[Any, Any]) -> None:
        self.transport = transport
        self.finalizer = finalizer
        self.expires = expires
        self.leases = 0
        self.retired = False


class Lease:
    """The right to use `transport` until `release()`, which must be called exactly once, in the loop's thread."""

    __slots__ = ("_generation", "manager", "transport")

    def __init__(self, manager: ConnectionManager, generation: _Generation) -> None:
        self.manager = manager
        self._generation = generation
        self.transport = generation.transport

    def check(self) -> None:
        """Raise a ForkedError if the connection is a parent process's."""
        if self.manager.born != _fork.count:
            raise _forked()

    def release(self) -> None:
        generation = self._generation
        generation.leases -= 1
        if generation.retired and not generation.leases:
            self.manager._close(generation, _replaced)


class ConnectionManager(Immutable):
    """Leases connections to one server, in the event loop of its first use.

    Args:
        connect: makes a transport; called in the loop, does no I/O.
        max_session_age: seconds until a connection is replaced (less a random part of up to 20 %, so that many clients
            do not reconnect at once); below 0 never, 0 a new connection for each call.
        jitter: gives a number from 0 to 1.
        target: the server's address as error messages show it.
        max_pending: calls that wait for an answer at most, of all clients of the loop; see `pending`.

    Attributes:
        health: what calls have told about the server.
        pending: the calls that wait for an answer.
        budget: how many more attempts its calls may get.
    """

    def __init__(
        self,
        connect: Callable[[], Transport],
        *,
        max_session_age: float = -1,
        jitter: Callable[[], float] = random.random,
        target: str = "",
        max_pending: float = MAX_PENDING,
    ) -> None:
        self.target = target
        self.pending: Pending = Joining(self._join)
        self._max_pending = max_pending
        self.health = Health()
        self.budget = Budget(time.monotonic())
        self._connect = connect
        self._max_age = max_session_age
        self._jitter = jitter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._current: _Generation | None = None
        self._draining: set[_Generation] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._aside: ThreadPoolExecutor | None = None
        self.opened_with: tuple[ConnectionInfo, Protocol, Any, tuple[Any, ...]] | None = None
        """What `open_connections` was given."""
        self.proxy: str | None = None
        """The connection's `proxy`, for the requests of credentials."""
        self._untold = [f"the client of {target} was dropped with connections open: use `async with` or `aclose()`"]
        """What is told in debug mode, once, of a client that nobody closed."""
        self.opened = 0
        """How many connections were made so far."""
        self.born = _fork.count
        """The process of the first use, as the number of forks before it."""

    def check(self) -> None:
        """Raise what `lease` would: a ClosedError, WrongLoopError or ForkedError."""
        self._check(asyncio.get_running_loop())

    def _join(self) -> Pending:
        self.pending = shared(self.target, self._max_pending)
        return self.pending

    async def turn(self, seconds: float | None) -> Place | None:
        """Wait until fewer calls wait for the server; see `Pending.wait`."""
        return await self.pending.wait(seconds, self)

    def lease(self) -> Lease:
        """The current connection, made or replaced if need be. Must be called in a running event loop.

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
        """Put a new generation in place of the current one, which ends when its leases do."""
        old = self._current
        transport = self._connect()
        # The loop knows the sockets, and so keeps the connections of a client that was dropped without being closed.
        finalizer = weakref.finalize(self, _abandon, loop, transport, self.born, self._untold)
        finalizer.atexit = False
        self._current = new = _Generation(transport, loop.time() + _lifetime(self._max_age, self._jitter), finalizer)
        self.opened += 1
        if old is not None:
            self._retire(old)
        if self._max_age == 0:
            # Its one lease follows at once; retired from the start, it ends with it.
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

    async def aside(self, work: Callable[..., T], *args: Any) -> T:
        """Do in another thread what would hold up the loop for long. One at a time: Python does no more anyway.

        Not in the loop's own threads: they may all be waiting, with work of the user's, for just this.
        """
        if self._closed:
            return work(*args)
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, thread_name_prefix="remote-client-aside")
        return await asyncio.get_running_loop().run_in_executor(self._aside, work, *args)

    async def aclose(self) -> None:
        """Close all connections, for good. Calls still in flight raise a ClosedError. Idempotent.

        Raises:
            WrongLoopError: in another loop than the one it was used in, while that one lives.
            ForkedError: in a forked child of the process that used it.
        """
        self._check_fork()
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
            raise WrongLoopError("this client is used in another event loop; close it there")
        self._closed = True
        self.pending.close(self)
        self.pending = Pending(math.inf)
        if self._aside is not None:
            self._aside.shutdown(wait=False)
        left = [*self._draining, *([self._current] if self._current else [])]
        self._current = None
        for generation in left:
            self._close(generation, _closed)
        if self._loop is loop and self._closing:
            await asyncio.wait(self._closing)


_ending: set[asyncio.Task[None]] = set()
"""What closes the connections of clients that were dropped."""


def _abandon(loop: asyncio.AbstractEventLoop, transport: Transport, born: int, untold: list[str]) -> None:
    """Close the connections of a client that was dropped. Garbage may be found in any thread."""
    if born != _fork.count:
        return  # what wakes a parent's loop is the parent's
    try:
        loop.call_soon_threadsafe(_end, loop, transport)
    except RuntimeError:  # the loop is closed
        if sockets.end_left_ones():
            return  # asyncio tells of these
    if loop.get_debug() and untold:
        warnings.warn(untold.pop(), ResourceWarning, stacklevel=2)


def _end(loop: asyncio.AbstractEventLoop, transport: Transport) -> None:
    task = loop.create_task(transport.aclose(_closed))
    _ending.add(task)
    task.add_done_callback(_ending.discard)


def open_connections(
    connection: ConnectionInfo, protocol: Protocol, transport: Any = None, interceptors: Sequence[Any] = ()
) -> ConnectionManager:
    """The manager of the connections to one server. Dials nothing, and loads an engine only when a call needs it.

    Args:
        connection: the server.
        protocol: what it speaks.
        transport: an httpx transport for HTTP to use; it is shared by all connections, and left open at the end.
        interceptors: of grpc.aio.

    Raises:
        ConfigurationError: the engine asked for cannot do what else is asked for.
    """
    engine = choose_engine(connection, protocol, interceptors)
    connect: Callable[[], Transport]
    if protocol == "http":
        connect = partial(_connect_http, connection, transport)
    elif engine == "grpcio":
        connect = partial(_connect_grpcio, connection, tuple(interceptors))
    else:
        connect = _connecting(connection)
    manager = ConnectionManager(
        connect,
        max_session_age=connection.max_session_age,
        target=connection.target,
        max_pending=connection.max_pending,
    )
    manager.opened_with = (connection, protocol, transport, tuple(interceptors))
    manager.proxy = connection.proxy
    return manager


# Imports inside: importing this package must load neither grpc nor httpx.


def _connect_http(connection: ConnectionInfo, transport: Any) -> Transport:
    if transport is not None:
        from .engines.httpx import HttpxTransport

        return HttpxTransport(connection, transport)
    from .http.transport import HttpTransport

    return HttpTransport(connection)


def _connect_grpcio(connection: ConnectionInfo, interceptors: tuple[Any, ...]) -> Transport:
    from .engines.grpcio import GrpcioTransport

    return GrpcioTransport(connection, interceptors)


def _connecting(connection: ConnectionInfo) -> Callable[[], Transport]:
    """What makes connections of the own engine, which share what they learn about the server."""
    options = GrpcOptions.of(connection)
    memory: Any = None

    def connect() -> Transport:
        from .grpc.transport import GrpcTransport, ServerMemory

        nonlocal memory
        memory = memory or ServerMemory()
        return GrpcTransport(connection, options, memory)

    return connect


def _lifetime(max_age: float, jitter: Callable[[], float]) -> float:
    """Seconds a connection is kept: its age less a random part of up to 20 %, or for ever where that is below 0."""
    return float("inf") if max_age < 0 else max_age * (1 - 0.2 * jitter())


def _forked() -> ForkedError:
    return ForkedError(
        "this client was used before the process forked, and its connections are the parent's; make a new client in "
        "the child, or start workers with the `spawn` method"
    )


def _closed() -> RemoteClientError:
    return ClosedError("it was closed while the call was in flight")


def _replaced() -> RemoteClientError:
    return UnavailableError("the connection was replaced")
