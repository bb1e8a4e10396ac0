"""The connections to one server: resolves its name, connects with backoff, and balances calls over its addresses."""

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
"""Connections that may end at once before there is a pause: one may have been opened just when the server restarts."""


class _Endpoint:
    """The addresses of one connection, the connection while it is open, and the pause before the next attempt."""

    __slots__ = ("addresses", "backoff", "connection", "task", "useless")

    def __init__(self, addresses: Group | str, backoff: Backoff) -> None:
        self.addresses = addresses
        self.backoff = backoff
        self.connection: GrpcConnection | None = None
        self.task: asyncio.Task[None] | None = None
        self.useless = 0
        """The number of connections in a row that ended before they carried a response."""


class Channel:
    """The connections to a server's addresses, opened when calls need them.

    Args:
        owner: the transport of the calls.
        info: the server.
        options: limits and times.
        memory: findings of earlier connections to the server.

    Attributes:
        has_served: whether the server has ever spoken HTTP/2.
    """

    def __init__(self, owner: GrpcTransport, info: ConnectionInfo, options: GrpcOptions, memory: ServerMemory) -> None:
        self.owner = owner
        self.options = options
        self.info = info
        self.target = info.target
        self._memory = memory
        self._endpoints: list[_Endpoint] = []
        self._connections: set[GrpcConnection] = set()
        """All open connections, with those that take no new calls."""
        self._ready: list[GrpcConnection] = []
        self._turn = 0
        self._has_gaps = False
        """Whether an address has no connection, or the name must be resolved, at `_next_try`."""
        self._next_try = 0.0
        self._addresses: list[Address] = []
        self._route = Route.to(info, "grpc")
        # One address of a proxy is enough: it leads to all of the server's.
        balanced = self._route.proxy is None
        self._policy: Policy = (options.policy or policy_for(info.hostname, info.is_unix)) if balanced else "pick_first"
        self._family: int | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._resolved_at = float("-inf")
        self._stale = True
        """Whether the name must be resolved before the next connection attempt."""
        self._names = Backoff(options.initial_backoff, options.max_backoff)
        self.has_served = False
        self._failure: RemoteClientError | None = None
        """The error of the latest connection attempt, if it failed."""

    def pick(self) -> GrpcConnection | None:
        """Return the next connection that can take a call now, if any."""
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
        """Resolve the name and connect as far as backoff allows, or return the error of the calls that wait."""
        now = monotonic()
        may_resolve = now >= self._resolved_at + self.options.resolve_interval or not self._endpoints
        if self._stale and self._resolving is None and may_resolve and now >= self._names.until:
            task = self.owner.own(self._resolve())
            self._resolving = None if task.done() else task  # an eager task may be done
        for endpoint in self._endpoints:
            if endpoint.connection is None and endpoint.task is None and now >= endpoint.backoff.until:
                task = self.owner.own(self._connect(endpoint))
                endpoint.task = None if task.done() else task
        self._note_gaps()
        busy = self._resolving is not None or any(endpoint.task is not None for endpoint in self._endpoints)
        return None if busy or self._ready else self._failure

    async def aclose(self) -> None:
        """Close all connections, and wait until their sockets are closed."""
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([connection.closed for connection in connections])

    def _note_gaps(self) -> None:
        gaps = [endpoint for endpoint in self._endpoints if endpoint.connection is None and endpoint.task is None]
        self._has_gaps = bool(gaps) or (self._stale and bool(self._endpoints))
        times = [endpoint.backoff.until for endpoint in gaps]
        if self._stale:
            times.append(max(self._resolved_at + self.options.resolve_interval, self._names.until))
        self._next_try = min(times, default=0.0)

    async def _resolve(self) -> None:
        """Resolve the server's name, and connect to its addresses."""
        info = self.info
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
            reason = str(error) or f"resolving {self.target} took too long"
            self._failure = connect_error(OSError(reason), self._route)
            self._names.failed(monotonic())
        finally:
            self._resolved_at = monotonic()
            self._resolving = None
            self.owner.schedule()
        self.connect()

    def _place(self, groups: list[Group | str]) -> None:
        """Keep the endpoints whose addresses are still the server's, add the missing ones, and retire the others."""
        kept = {frozenset(endpoint.addresses): endpoint for endpoint in self._endpoints}
        old = self._endpoints
        self._endpoints = [kept.get(frozenset(addresses)) or self._endpoint(addresses) for addresses in groups]
        for endpoint in old:
            if endpoint not in self._endpoints:
                if endpoint.task is not None:
                    endpoint.task.cancel()
                if endpoint.connection is not None:
                    self._retire(endpoint.connection)

    def _endpoint(self, addresses: Group | str) -> _Endpoint:
        return _Endpoint(addresses, Backoff(self.options.initial_backoff, self.options.max_backoff))

    async def _connect(self, endpoint: _Endpoint) -> None:
        """Connect an endpoint, and wait for the server's settings, which prove that it speaks HTTP/2."""
        connection: GrpcConnection | None = None
        failure: RemoteClientError | None = None
        self.owner.loop.call_later(DOUBTED_AFTER, self._check_attempt, endpoint, asyncio.current_task())
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                connection = await self._open_connection(endpoint)
                failure = await asyncio.shield(connection.settled)
        except Exception as error:  # also ValueError and others, from names and addresses that cannot be used
            if connection is not None and isinstance(error, TimeoutError):
                error = self._silent()
            failure = _failure_of(error, self._route)
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

    def _check_attempt(self, endpoint: _Endpoint, task: asyncio.Task[None] | None) -> None:
        """Resolve the name again while a connection attempt takes long: its address may have changed."""
        if task is not None and endpoint.task is task:
            self.doubt()
            self.owner.loop.call_later(DOUBTED_AFTER, self._check_attempt, endpoint, task)

    def _silent(self) -> TimeoutError:
        """Return the error of a server that accepts connections, and sends nothing."""
        advice = "" if self.has_served else closed_early(self.info, "grpc")
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
            self._family = None  # the other family may work
        self._failure = None if failure is None else _failure_of(failure, self._route)

    def _connected(self, endpoint: _Endpoint, connection: GrpcConnection) -> None:
        if connection.leaving or connection.transport is None:
            # Without a pause, the server and this client could repeat that endlessly.
            failure = UnavailableError("the server ended the connection at once", target=self.target)
            self._not_connected(endpoint, connection, failure)
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
        """Give every other address of the family that won a connection of its own."""
        groups = group(self._addresses, self._policy, self._family)
        if isinstance(endpoint.addresses, str) or len(endpoint.addresses) < 2:
            return
        peer = getattr(opened, "getpeername")()[:2]  # noqa: B009
        endpoint.addresses = next((addresses for addresses in groups if addresses[0][4][:2] == peer), groups[0])
        others = [addresses for addresses in groups if addresses != endpoint.addresses]
        self._endpoints = [endpoint, *map(self._endpoint, others)]
        self.connect()

    # -- called by connections ----------------------------------------------------------------------------------------

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
        """Double the keepalive interval: the server closed a connection because of its PINGs."""
        self._memory.ping_factor *= 2

    def doubt(self) -> None:
        """React to a silent peer: resolve the name again, and let other connections carry the calls that wait."""
        self._stale = True
        self.connect()
        self.owner.schedule()

    def made(self, connection: GrpcConnection) -> None:
        """Add a connection whose socket, TLS included, is open."""
        self._connections.add(connection)

    def left(self, connection: GrpcConnection) -> None:
        """Give a connection no new calls; those that run on it continue."""
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
        """Pause before the next attempt after useless connections: a waiting call would flood the server with them."""
        if connection.serves or self.owner.loop.time() - connection.born > self.options.max_backoff:
            endpoint.useless = 0
            endpoint.backoff.succeeded()
            return
        endpoint.useless += 1
        if endpoint.useless <= _USELESS:
            return
        endpoint.backoff.failed(monotonic())
        details = "the server closed the connection before it answered a call"
        self._failure = UnavailableError(details, target=self.target)

    def _retire(self, connection: GrpcConnection) -> None:
        connection.leaving = connection.moved = True
        self.left(connection)

    def lost(self, connection: GrpcConnection) -> None:
        """Drop a closed connection."""
        self.left(connection)
        self._connections.discard(connection)


def _failure_of(error: BaseException, route: Route) -> RemoteClientError:
    """Return the error of the calls that waited for a failed connection attempt."""
    if isinstance(error, RemoteCallError) and not isinstance(error, TlsError):
        known = error.details.startswith("failed to connect")
        details = error.details if known else f"failed to connect: {error.details}"
        failure = type(error)(details, target=route.connection.target, http_status=error.http_status)
        failure.pushback = error.pushback
        return failure
    if isinstance(error, ConfigurationError):
        return error
    return connect_error(error, route)
