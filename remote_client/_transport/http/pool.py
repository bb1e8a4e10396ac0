"""The connection pool of one server: idle and busy connections, waiting calls, and connection attempts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..net.addresses import Address, is_localhost, resolve
from ..net.backoff import Backoff
from ..net.connect import CONNECT_TIMEOUT, connect
from ..net.diagnosis import closed_early
from ..net.proxy import Route
from ..net.silent_peers import DOUBTED_AFTER
from .connection import HttpConnection

if TYPE_CHECKING:
    from .exchange import HttpExchange

MAX_CONNECTIONS = 1000
"""The largest number of connections to a server; further calls wait for a free one, within their timeout."""
IDLE_TIME = 15.0
"""Seconds after which an idle connection is closed."""
_NAMES_KEPT = 10.0
"""Seconds until a name is resolved again while all goes well."""
_RESOLVE_INTERVAL = 1.0
"""The least number of seconds between two resolutions of a name."""
_FIRST_PAUSE = 0.1
"""Seconds until a name that could not be resolved is tried again; doubles up to `_RESOLVE_INTERVAL`."""


@dataclass(slots=True)
class _Attempt:
    """A connection attempt: when it began, and its addresses once they are known."""

    begun: float
    addresses: Sequence[Address] = ()


class Pool:
    """The connections of one transport.

    Attributes:
        has_served: whether the server has ever sent a response.
    """

    def __init__(self, route: Route) -> None:
        self.loop = asyncio.get_running_loop()
        self._route = route
        self._info = route.connection
        self._open: set[HttpConnection] = set()
        """Connections that carry a call, or can."""
        self._closing: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        """The one used last is at the end, and is used next."""
        self._waiting: deque[HttpExchange] = deque()
        self._attempts: dict[asyncio.Task[HttpConnection], _Attempt] = {}
        self._given_up: set[asyncio.Task[HttpConnection]] = set()
        """Cancelled attempts, until they have ended."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._addresses: list[Address] = []
        self._turn = 0
        self._stale = True
        """Whether the addresses may have changed: a connection was lost, or an attempt failed."""
        self._resolved_at = float("-inf")
        self._resolving: asyncio.Task[list[Address]] | None = None
        self._names = Backoff(_FIRST_PAUSE, _RESOLVE_INTERVAL)
        self._unresolved: BaseException = OSError("it was never looked up")
        """The error of a name that has never been resolved."""
        self._slow: asyncio.TimerHandle | None = None
        self._closed = False
        self.has_served = False

    # -- calls --------------------------------------------------------------------------------------------------------

    def submit(self, exchange: HttpExchange, *, fresh: bool = False) -> None:
        """Send a call as soon as there is a connection for it; first come, first served.

        Args:
            exchange: the call.
            fresh: whether it goes first, on a new connection, because a reused one was dead.
        """
        if fresh:
            self._waiting.appendleft(exchange)
        else:
            idle, until = self._idle, self.loop.time() - IDLE_TIME
            while idle:
                connection = idle.pop()
                if connection.idle_since <= until:
                    connection.close()
                elif connection.is_free:
                    connection.used = True
                    connection.send(exchange)
                    return
            self._waiting.append(exchange)
        exchange.waiting = True
        self._connect_more()

    def withdraw(self, exchange: HttpExchange) -> None:
        """Drop a waiting call that is over."""
        self._waiting.remove(exchange)
        if len(self._attempts) > len(self._waiting):
            self._give_up(next(reversed(self._attempts)))

    def release(self, connection: HttpConnection) -> None:
        """Let a connection carry the next call, or idle."""
        exchange = self._next_for_reused()
        if exchange is not None:
            connection.used = True
            connection.send(exchange)
            return
        connection.idle_since = self.loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(IDLE_TIME, self._sweep)

    def _next_for_reused(self) -> HttpExchange | None:
        """Remove and return the first waiting call that a reused connection may carry; it may not if one was dead."""
        for exchange in self._waiting:
            if not exchange.resent:
                self._waiting.remove(exchange)
                return exchange
        return None

    def lost(self, connection: HttpConnection, exc: Exception | None) -> None:
        """Drop a connection that has ended."""
        if connection in self._open:
            self._stale = True  # the server ended it
        self.forget(connection)
        if connection.transport is None:
            self._closing.discard(connection)

    def forget(self, connection: HttpConnection) -> None:
        """Give a connection no more calls."""
        if connection in self._open:
            self._open.discard(connection)
            self._closing.add(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._connect_more()

    def _sweep(self) -> None:
        """Close the connections that have been idle for too long."""
        self._sweeper = None
        until = self.loop.time() - IDLE_TIME + 0.001
        for connection in [connection for connection in self._idle if connection.idle_since <= until]:
            connection.close()
        if self._idle:
            self._sweeper = self.loop.call_at(self._idle[0].idle_since + IDLE_TIME, self._sweep)

    # -- new connections ----------------------------------------------------------------------------------------------

    def _connect_more(self) -> None:
        """Open a connection for every waiting call, up to the limit."""
        attempts = self._attempts
        while len(attempts) < min(len(self._waiting), MAX_CONNECTIONS - len(self._open)) and not self._closed:
            attempt = _Attempt(self.loop.time())
            task = self.loop.create_task(self._connect(attempt))
            attempts[task] = attempt
            task.add_done_callback(self._connected)
        if self._slow is None and attempts:
            self._slow = self.loop.call_later(DOUBTED_AFTER, self._check_attempts)

    def _check_attempts(self) -> None:
        """Resolve the name again while an attempt takes long: its address may have changed."""
        self._slow = None
        if self._attempts:
            oldest = next(iter(self._attempts.values())).begun
            if self.loop.time() >= oldest + DOUBTED_AFTER:
                self._stale = True
                self._refresh()
            self._slow = self.loop.call_later(DOUBTED_AFTER, self._check_attempts)

    def _give_up(self, task: asyncio.Task[HttpConnection]) -> None:
        del self._attempts[task]
        self._given_up.add(task)
        task.cancel()

    async def _connect(self, attempt: _Attempt) -> HttpConnection:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            addresses = attempt.addresses = await self._resolve()
            return await connect(partial(HttpConnection, self), addresses, self._route)

    def _connected(self, task: asyncio.Task[HttpConnection]) -> None:
        self._attempts.pop(task, None)
        self._given_up.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._add(task.result())
            return
        self._stale = True
        error.__traceback__ = None
        if self._waiting:
            self._waiting.popleft().on_unsent(error)
        self._connect_more()

    def _add(self, connection: HttpConnection) -> None:
        if not connection.is_free:
            connection.close()
            if connection.transport is None:
                self._ended_at_once(connection)
            else:  # its end comes with the reason, such as a TLS alert
                self._closing.add(connection)
                connection.closed.add_done_callback(lambda _: self._ended_at_once(connection))
            return
        self._open.add(connection)
        if self._closed:
            connection.close()
        elif self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self.release(connection)

    def _ended_at_once(self, connection: HttpConnection) -> None:
        """Fail a waiting call: a connection ended before it carried a call, and all may end like that."""
        if self._waiting:
            advice = "" if self.has_served or self._route.passes_on else closed_early(self._info, "http")
            ended = ConnectionResetError(f"the server ended the connection at once{advice}")
            self._waiting.popleft().on_unsent(connection.error or ended)
        self._connect_more()

    async def _resolve(self) -> list[Address]:
        """Return the addresses to connect to, rotated by one with every call."""
        self._refresh()
        if self._resolving is not None:
            # If the name cannot be resolved just now, its old addresses may still be right.
            await asyncio.wait((self._resolving,), timeout=_RESOLVE_INTERVAL if self._addresses else None)
        found = self._addresses
        if not found:
            raise copy(self._unresolved)
        if is_localhost(self._route.first[0]):
            return found  # another server may listen at the other address
        self._turn += 1
        turn = self._turn % len(found)
        return found[turn:] + found[:turn]

    def _refresh(self) -> None:
        """Begin to resolve the name when it is due; after failures there are pauses."""
        now = self.loop.time()
        if not self._addresses:
            due = self._names.until
        else:
            due = self._resolved_at + (_RESOLVE_INTERVAL if self._stale else _NAMES_KEPT)
        if self._resolving is None and now >= due and not self._closed:
            self._resolving = self.loop.create_task(self._look_up())
            self._resolving.add_done_callback(self._looked_up)

    async def _look_up(self) -> list[Address]:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await resolve(*self._route.first)

    def _looked_up(self, task: asyncio.Task[list[Address]]) -> None:
        self._resolving = None
        self._resolved_at = self.loop.time()
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            error.__traceback__ = None
            self._unresolved = error
            self._names.failed(self._resolved_at)
            return
        self._names.succeeded()
        self._addresses = task.result()
        self._stale = False
        for attempt_task, attempt in list(self._attempts.items()):
            if attempt.addresses and not set(attempt.addresses) & set(self._addresses):
                self._give_up(attempt_task)  # the name has new addresses
        self._connect_more()

    def doubt(self, connection: HttpConnection) -> None:
        """Close the idle connections to a silent peer, and resolve the name again."""
        peer = connection.peer
        for idle in [idle for idle in self._idle if idle.peer == peer]:
            idle.close(abort=True)
        self._stale = True
        self._refresh()

    def is_named(self, connection: HttpConnection) -> bool:
        """Return whether the server's name still resolves to a connection's address, as far as is known."""
        return connection.peer in [address[4][:2] for address in self._addresses]

    # -- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close all connections, and wait until they are closed. No call may wait any more."""
        self._closed = True
        self._waiting.clear()
        for timer in (self._sweeper, self._slow):
            if timer is not None:
                timer.cancel()
        tasks = [*self._attempts, *self._given_up, *([self._resolving] if self._resolving else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # for `_connected`, which closes connections that were made just now
        for connection in list(self._open):
            connection.close()
        if self._closing:
            await asyncio.wait([connection.closed for connection in self._closing])
