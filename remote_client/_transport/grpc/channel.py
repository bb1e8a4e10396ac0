"""The connections to one server: its addresses resolved, dialled, tried again, and given out by turns."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from ...errors import ConfigurationError, RemoteCallError, RemoteClientError, TlsError, UnavailableError
from ...settings import ConnectionInfo
from ..grpc_options import GrpcOptions, Policy
from ..net.addresses import Address, Group, group, policy_for, resolve
from ..net.backoff import Backoff
from ..net.connect import connect, connect_error
from ..net.diagnosis import closed_early, no_http2
from ..net.proxy import Route
from ..net.silent_peers import DOUBTED_AFTER
from .connection import GrpcConnection
from .keepalive import Keepalive, ServerMemory

if TYPE_CHECKING:
    from .transport import GrpcTransport


_USELESS = 2
"""Connections that may end at once until there is a pause: one may have been made just when the server restarts."""


class _Endpoint:
    """One connection's place: its addresses, the connection once there is one, and when it may be tried again."""

    __slots__ = ("addresses", "backoff", "connection", "task", "useless")

    def __init__(self, addresses: Group | str, backoff: Backoff) -> None:
        self.addresses = addresses
        self.backoff = backoff
        self.connection: GrpcConnection | None = None
        self.task: asyncio.Task[None] | None = None
        self.useless = 0
        """Connections in a row that ended before a call was answered."""


class Channel:
    """Connections to one server: one for each of its addresses, made when a call needs them.

    Args:
        owner: the transport whose calls need them.
        info: the server.
        options: limits and times.
        memory: what earlier connections to the server learned.
    """

    def __init__(self, owner: GrpcTransport, info: ConnectionInfo, options: GrpcOptions, memory: ServerMemory) -> None:
        self.owner = owner
        self.options = options
        self._info = info
        self._memory = memory
        self._endpoints: list[_Endpoint] = []
        self._connections: set[GrpcConnection] = set()
        """All that are not closed, those that take no new calls included."""
        self._ready: list[GrpcConnection] = []
        self._turn = 0
        self._has_gaps = False
        """Whether something is to be done for the connections while others carry calls, at `_next_try`."""
        self._next_try = 0.0
        self._addresses: list[Address] = []
        self._route = Route.to(info, "grpc")
        # Of a proxy one address is enough: behind it are all of the server's.
        balanced = self._route.proxy is None
        self._policy: Policy = (options.policy or policy_for(info.hostname, info.is_unix)) if balanced else "pick_first"
        self._family: int | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._resolved_at = float("-inf")
        self._stale = True
        """Whether the name is to be resolved anew before the next connection is made."""
        self._names = Backoff(options.initial_backoff, options.max_backoff)
        self.has_served = False
        """Whether the server ever spoke HTTP/2."""
        self._failure: RemoteClientError | None = None
        """Why the last try to connect failed; None after one that worked."""

    @property
    def info(self) -> ConnectionInfo:
        """The server."""
        return self._info

    @property
    def target(self) -> str:
        """The server's address as error messages show it."""
        return self._info.target

    def pick(self) -> GrpcConnection | None:
        """Return the next of the ready connections that takes a call now; None where none does."""
        ready = self._ready
        if self._has_gaps and monotonic() >= self._next_try:
            self.connect()
        for _ in range(len(ready)):
            self._turn = (self._turn + 1) % len(ready)
            connection = ready[self._turn]
            if connection.is_free:
                return connection
        return None

    def connect(self) -> RemoteClientError | None:
        """Begin what is needed for calls that wait; returns why they fail where nothing can be begun now."""
        now = monotonic()
        may_resolve = now >= self._resolved_at + self.options.resolve_interval or not self._endpoints
        if self._stale and self._resolving is None and may_resolve and now >= self._names.until:
            task = self.owner.own(self._resolve())
            self._resolving = None if task.done() else task  # eager tasks may be
        for endpoint in self._endpoints:
            if endpoint.connection is None and endpoint.task is None and now >= endpoint.backoff.until:
                task = self.owner.own(self._dial(endpoint))
                endpoint.task = None if task.done() else task
        self._note_gaps()
        busy = self._resolving is not None or any(each.task is not None for each in self._endpoints)
        return None if busy or self._ready else self._failure

    async def aclose(self) -> None:
        """Close all connections, and wait until their sockets are closed."""
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([each.closed for each in connections])

    def _note_gaps(self) -> None:
        gaps = [each for each in self._endpoints if each.connection is None and each.task is None]
        self._has_gaps = bool(gaps) or (self._stale and bool(self._endpoints))
        times = [each.backoff.until for each in gaps]
        if self._stale:
            times.append(max(self._resolved_at + self.options.resolve_interval, self._names.until))
        self._next_try = min(times, default=0.0)

    async def _resolve(self) -> None:
        """Find the server's addresses, and let each have its connection."""
        info = self._info
        try:
            if info.is_unix:
                kind, _, path = info.hostname.partition(":")
                self._place([f"\0{path}" if kind == "unix-abstract" else path])
            else:
                async with asyncio.timeout(self.options.connect_timeout):
                    addresses = await resolve(*self._route.first)
                self._addresses = addresses
                self._place(list(group(addresses, self._policy, self._family)))
            self._names.succeeded()
            self._stale = False
        except Exception as error:
            told = str(error) or f"resolving {self.target} took too long"
            self._failure = connect_error(OSError(told), self.target, route=self._route)
            self._names.failed(monotonic())
        finally:
            self._resolved_at = monotonic()
            self._resolving = None
            self.owner.schedule()
        self.connect()

    def _place(self, groups: list[Group | str]) -> None:
        """Keep the endpoints whose addresses are still the server's, in any order, and make the missing ones."""
        kept = {frozenset(each.addresses): each for each in self._endpoints}
        old = self._endpoints
        self._endpoints = [kept.get(frozenset(each)) or self._endpoint(each) for each in groups]
        for endpoint in old:
            if endpoint not in self._endpoints:
                if endpoint.task is not None:
                    endpoint.task.cancel()
                if endpoint.connection is not None:
                    self._retire(endpoint.connection)

    def _endpoint(self, addresses: Group | str) -> _Endpoint:
        return _Endpoint(addresses, Backoff(self.options.initial_backoff, self.options.max_backoff))

    async def _dial(self, endpoint: _Endpoint) -> None:
        """Connect an endpoint, until the server's settings are here: only then does it speak HTTP/2."""
        connection: GrpcConnection | None = None
        failure: RemoteClientError | None = None
        self.owner.loop.call_later(DOUBTED_AFTER, self._doubt_dial, endpoint, asyncio.current_task())
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                connection = await self._open_connection(endpoint)
                failure = await asyncio.shield(connection.settled)
        except Exception as error:  # ValueError and the like, too: of names and addresses that cannot be used
            if connection is not None and isinstance(error, TimeoutError):
                error = self._silent()
            failure = _failure_of(error, self.target, self._route)
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        finally:
            endpoint.task = None
        if failure is None and connection is not None:
            self._connected(endpoint, connection)
        else:
            self._not_connected(endpoint, connection, failure)
        self._note_gaps()
        self.owner.schedule()

    def _doubt_dial(self, endpoint: _Endpoint, task: asyncio.Task[None] | None) -> None:
        """Ask, while a try to connect takes long, whether the name has moved meanwhile."""
        if task is not None and endpoint.task is task:
            self.doubt()
            self.owner.loop.call_later(DOUBTED_AFTER, self._doubt_dial, endpoint, task)

    def _silent(self) -> TimeoutError:
        """Return the error of a server that takes connections, and says nothing on them."""
        advice = "" if self.has_served else closed_early(self._info, "grpc")
        return TimeoutError(f"it took too long until the server spoke HTTP/2{advice}")

    async def _open_connection(self, endpoint: _Endpoint) -> GrpcConnection:
        options = self.options
        connection = await connect(
            partial(GrpcConnection, self),
            endpoint.addresses,
            self._route,
            timeout=options.connect_timeout,
            tls_name=options.tls_name,
        )
        if self.info.tls.enabled and connection.alpn != "h2":  # it would read HTTP/2 as something else
            connection.close()
            raise TlsError(no_http2(self.info), target=self.target)
        return connection

    def _not_connected(
        self, endpoint: _Endpoint, connection: GrpcConnection | None, failure: RemoteClientError | None
    ) -> None:
        if connection is not None:
            connection.close()
        endpoint.backoff.failed(monotonic())
        self._stale = True
        if not self._ready:
            self._family = None  # the other one may work
        self._failure = None if failure is None else _failure_of(failure, self.target, self._route)

    def _connected(self, endpoint: _Endpoint, connection: GrpcConnection) -> None:
        if connection.leaving or connection.transport is None:
            # Tried again without a pause it may say so without end.
            told = UnavailableError("the server ended the connection at once", target=self.target)
            self._not_connected(endpoint, connection, told)
            return
        endpoint.connection = connection
        self.has_served = True
        self._failure = None
        opened = connection.transport.get_extra_info("socket")
        if self._policy == "round_robin" and self._family is None and opened is not None:
            self._family = opened.family
            self._split(endpoint, opened)
        self._ready.append(connection)
        self.owner.schedule()

    def _split(self, endpoint: _Endpoint, opened: object) -> None:
        """Give the other addresses of the family that won a connection each."""
        groups = group(self._addresses, self._policy, self._family)
        if isinstance(endpoint.addresses, str) or len(endpoint.addresses) < 2:
            return
        peer = getattr(opened, "getpeername")()[:2]  # noqa: B009
        mine = next((each for each in groups if each[0][4][:2] == peer), groups[0])
        endpoint.addresses = mine
        self._endpoints = [endpoint, *(self._endpoint(each) for each in groups if each != mine)]
        self.connect()

    # -- what connections tell ----------------------------------------------------------------------------------------

    def keepalive(self, now: float) -> Keepalive:
        """Return the times of a new connection."""
        options = self.options
        interval = options.keepalive_time
        return Keepalive(
            None if interval is None else interval * self._memory.ping_factor,
            options.ping_timeout,
            options.max_pings_without_data,
            options.keepalive_without_calls,
            options.idle_timeout,
            heard=now,
            used=now,
        )

    def ping_less(self) -> None:
        """The server closed a connection for its PINGs."""
        self._memory.ping_factor *= 2

    def doubt(self) -> None:
        """A peer is silent: the name may have moved, and other connections may carry the calls that wait."""
        self._stale = True
        self.connect()
        self.owner.schedule()

    def made(self, connection: GrpcConnection) -> None:
        """A connection's socket, TLS included, is open."""
        self._connections.add(connection)

    def left(self, connection: GrpcConnection) -> None:
        """A connection takes no new calls; those that run on it go on."""
        if connection in self._ready:
            self._ready.remove(connection)
        for endpoint in self._endpoints:
            if endpoint.connection is connection:
                endpoint.connection = None
                self._stale = True
                self._judge(endpoint, connection)
        self._note_gaps()
        self.owner.schedule(connection)

    def _judge(self, endpoint: _Endpoint, connection: GrpcConnection) -> None:
        """Pause before the next try where a connection was of no use: a waiting call would storm the server."""
        if connection.serves or self.owner.loop.time() - connection.born > self.options.max_backoff:
            endpoint.useless = 0
            endpoint.backoff.succeeded()
            return
        endpoint.useless += 1
        if endpoint.useless <= _USELESS:
            return
        endpoint.backoff.failed(monotonic())
        self._failure = UnavailableError(
            "the server closed the connection before it answered a call", target=self.target
        )

    def _retire(self, connection: GrpcConnection) -> None:
        connection.leaving = connection.moved = True
        self.left(connection)

    def lost(self, connection: GrpcConnection) -> None:
        """A connection is closed."""
        self.left(connection)
        self._connections.discard(connection)


def _failure_of(error: BaseException, target: str, route: Route) -> RemoteClientError:
    """Return the error of the calls that waited for a connection that could not be made."""
    if isinstance(error, TlsError):
        return TlsError(error.details, target=target)
    if isinstance(error, RemoteCallError):
        told = error.details if error.details.startswith("failed to connect") else f"failed to connect: {error.details}"
        failure = type(error)(told, target=target, http_status=error.http_status)
        failure.pushback = error.pushback
        return failure
    if isinstance(error, ConfigurationError):
        return error
    return connect_error(error, target, route=route)
