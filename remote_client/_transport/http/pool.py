"""Connections to one server: idle ones, those that carry calls, calls that wait for one, and the way to new ones."""

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
"""Connections to one server at once; further calls wait for a free one, inside their time limit."""
IDLE_TIME = 15.0
"""Seconds after which a connection that nobody uses is closed."""
_NAMES_KEPT = 10.0
"""Seconds that a name's addresses are used without asking again, as long as all goes well."""
_RESOLVE_INTERVAL = 1.0
"""Seconds between two resolutions of a name, at least."""
_FIRST_PAUSE = 0.1
"""Seconds until a name that could not be resolved is looked up again; doubles up to `_RESOLVE_INTERVAL`."""


@dataclass(slots=True)
class _Dial:
    """A connection that is being made: since when, and to which addresses, once they are known."""

    begun: float
    addresses: Sequence[Address] = ()


class Pool:
    """The connections of one transport.

    Args:
        route: the way to the server.
    """

    def __init__(self, route: Route) -> None:
        self.loop = asyncio.get_running_loop()
        self._route = route
        self._info = route.connection
        self._open: set[HttpConnection] = set()
        """Connections that carry a call or can carry one."""
        self._closing: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        """The one used last is at the end, and is used first."""
        self._waiting: deque[HttpExchange] = deque()
        self._dials: dict[asyncio.Task[HttpConnection], _Dial] = {}
        self._given_up: set[asyncio.Task[HttpConnection]] = set()
        """Dials that were cancelled, until they are over."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._addresses: list[Address] = []
        self._turn = 0
        self._stale = True
        """Whether an address may have moved: a connection was lost or not made."""
        self._resolved_at = float("-inf")
        self._resolving: asyncio.Task[list[Address]] | None = None
        self._names = Backoff(_FIRST_PAUSE, _RESOLVE_INTERVAL)
        self._unresolved: BaseException = OSError("it was never looked up")
        """Why the name has no addresses, as long as it has none."""
        self._slow: asyncio.TimerHandle | None = None
        self._closed = False
        self.has_served = False
        """Whether the server ever gave an answer."""

    @property
    def busy(self) -> int:
        """Connections that carry calls."""
        return len(self._open) - len(self._idle)

    @property
    def idle(self) -> int:
        """Connections kept for the next calls."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return len(self._waiting)

    # -- calls --------------------------------------------------------------------------------------------------------

    def submit(self, exchange: HttpExchange, *, fresh: bool = False) -> None:
        """Send a call as soon as there is a connection for it; first come, first served.

        Args:
            exchange: the call.
            fresh: whether it goes first, on a new connection: a kept one was dead.
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
        self._dial_more()

    def withdraw(self, exchange: HttpExchange) -> None:
        """A call that waits is over."""
        self._waiting.remove(exchange)
        if len(self._dials) > len(self._waiting):
            self._give_up(next(reversed(self._dials)))

    def release(self, connection: HttpConnection) -> None:
        """A connection can carry the next call."""
        exchange = self._next_for_kept()
        if exchange is not None:
            connection.used = True
            connection.send(exchange)
            return
        connection.idle_since = self.loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(IDLE_TIME, self._sweep)

    def _next_for_kept(self) -> HttpExchange | None:
        """Take the first waiting call out that a kept connection may carry; one that met a dead one gets a new one."""
        for exchange in self._waiting:
            if not exchange.again:
                self._waiting.remove(exchange)
                return exchange
        return None

    def lost(self, connection: HttpConnection, exc: Exception | None) -> None:
        """A connection has ended, by the server or by us."""
        if connection in self._open:
            self._stale = True  # not by us
        self.forget(connection)
        if connection.transport is None:
            self._closing.discard(connection)

    def forget(self, connection: HttpConnection) -> None:
        """A connection is not to be used any more."""
        if connection in self._open:
            self._open.discard(connection)
            self._closing.add(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._dial_more()

    def _sweep(self) -> None:
        """Close what nobody used for long."""
        self._sweeper = None
        until = self.loop.time() - IDLE_TIME + 0.001
        for connection in [each for each in self._idle if each.idle_since <= until]:
            connection.close()
        if self._idle:
            self._sweeper = self.loop.call_at(self._idle[0].idle_since + IDLE_TIME, self._sweep)

    # -- new connections ----------------------------------------------------------------------------------------------

    def _dial_more(self) -> None:
        """Open a connection for each call that waits, as far as the limit goes."""
        while (
            len(self._dials) < len(self._waiting)
            and len(self._dials) + len(self._open) < MAX_CONNECTIONS
            and not self._closed
        ):
            dial = _Dial(self.loop.time())
            task = self.loop.create_task(self._dial(dial))
            self._dials[task] = dial
            task.add_done_callback(self._dialled)
        if self._slow is None and self._dials:
            self._slow = self.loop.call_later(DOUBTED_AFTER, self._look_at_dials)

    def _look_at_dials(self) -> None:
        """Ask, while connecting takes long, whether the name has moved meanwhile."""
        self._slow = None
        if self._dials:
            oldest = next(iter(self._dials.values())).begun
            if self.loop.time() >= oldest + DOUBTED_AFTER:
                self._stale = True
                self._refresh()
            self._slow = self.loop.call_later(DOUBTED_AFTER, self._look_at_dials)

    def _give_up(self, dial: asyncio.Task[HttpConnection]) -> None:
        del self._dials[dial]
        self._given_up.add(dial)
        dial.cancel()

    async def _dial(self, dial: _Dial) -> HttpConnection:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            addresses = dial.addresses = await self._resolve()
            return await connect(partial(HttpConnection, self), addresses, self._route)

    def _dialled(self, task: asyncio.Task[HttpConnection]) -> None:
        self._dials.pop(task, None)
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
        self._dial_more()

    def _add(self, connection: HttpConnection) -> None:
        if not connection.is_free:
            connection.close()
            if connection.transport is None:
                self._ended_at_once(connection)
            else:  # why it ends, as by an alert of TLS, comes with its end
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
        """A connection ended before it carried a call."""
        if self._waiting:  # each try may end like this: without an error they would go on for ever
            advice = "" if self.has_served or self._route.passes_on else closed_early(self._info, "http")
            ended = ConnectionResetError(f"the server ended the connection at once{advice}")
            self._waiting.popleft().on_unsent(connection.error or ended)
        self._dial_more()

    async def _resolve(self) -> list[Address]:
        """Return the addresses to connect to, each time beginning with another one."""
        self._refresh()
        if self._resolving is not None:
            # A name that cannot be resolved just now may still have the addresses it had.
            await asyncio.wait((self._resolving,), timeout=_RESOLVE_INTERVAL if self._addresses else None)
        found = self._addresses
        if not found:
            raise copy(self._unresolved)
        if is_localhost(self._route.first[0]):
            return found  # one machine, and another server may listen at its other address
        self._turn += 1
        turn = self._turn % len(found)
        return found[turn:] + found[:turn]

    def _refresh(self) -> None:
        """Begin to resolve the name where it is time to: a name that failed has pauses, as a server has."""
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
        for dial, each in list(self._dials.items()):
            if each.addresses and not set(each.addresses) & set(self._addresses):
                self._give_up(dial)  # the name has moved
        self._dial_more()

    def doubt(self, connection: HttpConnection) -> None:
        """The peer of a connection is silent: idle ones to it are no better, and the name may have moved."""
        peer = connection.peer
        for each in [each for each in self._idle if each.peer == peer]:
            each.close(abort=True)
        self._stale = True
        self._refresh()

    def is_named(self, connection: HttpConnection) -> bool:
        """Whether the name still means the address of a connection, as far as is known."""
        return connection.peer in [each[4][:2] for each in self._addresses]

    # -- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close all connections, and wait until they are. The calls that wait are over already."""
        self._closed = True
        self._waiting.clear()
        for timer in (self._sweeper, self._slow):
            if timer is not None:
                timer.cancel()
        tasks = [*self._dials, *self._given_up, *([self._resolving] if self._resolving else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # `_dialled` sees those that were made just now
        for connection in list(self._open):
            connection.close()
        if self._closing:
            await asyncio.wait([each.closed for each in self._closing])
