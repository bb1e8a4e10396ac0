"""Connections for calls that are made in the thread of who makes them, without an event loop.

As `manager.ConnectionManager` does, a connection that is too old is replaced, and closed when its last call has ended.
"""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic

from ..errors import ClosedError
from .base import Call, lifetime

FEW = 8
"""Unary calls at a time that threads make themselves: of up to so many each takes less than through one loop, which
has to be woken up for it; of 32 it takes a fifth more.
"""


class DirectStream(ABC):
    """The answers of one call, one by one, for one thread at a time."""

    @abstractmethod
    def read(self) -> bytes | None:
        """The next answer, or None after the last one.

        Raises:
            RemoteCallError: the call failed.
            ClosedError: it was cancelled, or the connection closed.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the call if it is still running. Idempotent, never blocks; from any thread."""

    @abstractmethod
    def finish(self) -> None:
        """Wait until nothing is left of a call that is over or cancelled, which takes no time to speak of."""


class DirectTransport(ABC):
    """One connection to one server, for any thread."""

    @abstractmethod
    def unary(self, call: Call, body: bytes) -> bytes:
        """Send one message, and wait for the answer. Broken off, as by Ctrl-C, the call is cancelled.

        Raises:
            RemoteCallError: the call failed.
        """

    @abstractmethod
    def stream(self, call: Call, body: bytes) -> DirectStream:
        """Start a call with any number of answers."""

    @abstractmethod
    def close(self) -> None:
        """End the connection; calls still in flight raise a ClosedError. Idempotent."""


class DirectLease:
    """The right to use `transport` until `release()`."""

    __slots__ = ("_connections", "expires", "leases", "retired", "transport")

    def __init__(self, connections: DirectConnections, transport: DirectTransport, expires: float) -> None:
        self.transport = transport
        self.expires = expires
        self.leases = 0
        self.retired = False
        self._connections = connections

    def release(self) -> None:
        """Must be called exactly once for each `lease()`, in any thread."""
        self._connections.release(self)


class DirectConnections:
    """Leases connections to one server to any threads.

    Args:
        connect: makes a transport; does no I/O.
        max_session_age: see `ConnectionManager`.
        jitter: gives a number from 0 to 1.
    """

    def __init__(
        self,
        connect: Callable[[], DirectTransport],
        max_session_age: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connect = connect
        self._jitter = jitter
        self._max_age = max_session_age
        # Reentrant: garbage is collected anywhere, and what is found may have a lease.
        self._lock = threading.RLock()
        self._calls = 0
        self._current: DirectLease | None = None
        self._draining: set[DirectLease] = set()
        self._closed = False
        self.opened = 0
        """How many connections were made so far."""

    def enter(self) -> bool:
        """A unary call begins: whether few are under way. Where many are, they cost less in one loop. Then `leave`."""
        with self._lock:
            self._calls += 1
            return self._calls <= FEW

    def leave(self) -> None:
        """A unary call has ended."""
        with self._lock:
            self._calls -= 1

    def lease(self) -> DirectLease:
        """The current connection, made or replaced if need be.

        Raises:
            ClosedError: after `close`.
        """
        with self._lock:
            if self._closed:
                raise ClosedError("it was closed; make a new client")
            lease = old = self._current
            if lease is None or monotonic() >= lease.expires:
                lease = self._open()
            lease.leases += 1
        if old is not None and old is not lease and not old.leases:
            self._end(old)
        return lease

    def _open(self) -> DirectLease:
        if self._current is not None:
            self._retire(self._current)
        made = self._current = DirectLease(self, self._connect(), monotonic() + lifetime(self._max_age, self._jitter))
        self.opened += 1
        if self._max_age == 0:  # its one lease follows at once, and it ends with that
            self._current = None
            self._retire(made)
        return made

    def _retire(self, lease: DirectLease) -> None:
        lease.retired = True
        self._draining.add(lease)

    def release(self, lease: DirectLease) -> None:
        """See `DirectLease.release`."""
        with self._lock:
            lease.leases -= 1
            over = lease.retired and not lease.leases
        if over:
            self._end(lease)

    def _end(self, lease: DirectLease) -> None:
        self._draining.discard(lease)
        lease.transport.close()

    def close(self) -> None:
        """Close all connections, for good. Calls still in flight raise a ClosedError. Idempotent."""
        with self._lock:
            self._closed = True
            left = [*self._draining, *([self._current] if self._current else [])]
            self._current = None
            self._draining.clear()
        for each in left:
            each.transport.close()
