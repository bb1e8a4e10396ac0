"""gRPC over connections of our own: waiting calls, connections to all addresses of a server, and the way to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from time import monotonic

from ... import __version__
from ...errors import (
    ConfigurationError,
    RemoteCallError,
    RemoteClientError,
    ResourceExhaustedError,
    TlsError,
    UnavailableError,
)
from ...settings import ConnectionInfo
from ..base import Answered, ByteStream, Call, Transport
from ..deadlines import Deadlines
from ..engine import GrpcOptions
from ..net.dial import Address, connect, connect_error, resolve
from ..net.tls import tls_context
from .connection import GrpcConnection
from .endpoints import Backoff, Group, group, policy_for
from .exchange import Block, Exchange, StreamExchange, UnaryExchange
from .heads import FIELD_OVERHEAD, encode, encode_request
from .keepalive import Keepalive
from .messages import encode_metadata, encode_timeout, frame_message

_KEPT_BLOCKS = 256
"""Header blocks of requests that a transport keeps made."""


@dataclass(slots=True)
class ServerMemory:
    """What outlives the connections to a server.

    Attributes:
        ping_factor: how many times the keepalive interval was found too short for it, as a factor.
    """

    ping_factor: int = 1


class _Endpoint:
    """One connection's place: its addresses, the connection once there is one, and when it may be tried again."""

    __slots__ = ("addresses", "backoff", "connection", "task")

    def __init__(self, addresses: Group | str, backoff: Backoff) -> None:
        self.addresses = addresses
        self.backoff = backoff
        self.connection: GrpcConnection | None = None
        self.task: asyncio.Task[None] | None = None


class GrpcTransport(Transport):
    """Connections to one server: one for each of its addresses, made when a call needs them. See `Transport`.

    Args:
        connection: the server.
        options: limits and times.
        memory: what earlier connections to the server learned.
    """

    def __init__(self, connection: ConnectionInfo, options: GrpcOptions, memory: ServerMemory | None = None) -> None:
        super().__init__()
        self.target = connection.target
        self.options = options
        self.deadlines = Deadlines(self.loop)
        self.compresses = options.compression == "gzip"
        self._info = connection
        self._memory = memory or ServerMemory()
        self._running: set[Exchange] = set()
        self._waiting: deque[Exchange] = deque()
        self._endpoints: list[_Endpoint] = []
        self._connections: set[GrpcConnection] = set()
        """All that are not closed, those that take no new calls included."""
        self._ready: list[GrpcConnection] = []
        self._turn = 0
        self._has_gaps = False
        """Whether something is to be done for the connections while others carry calls, at `_next_try`."""
        self._next_try = 0.0
        self._addresses: list[Address] = []
        self._policy = options.policy or policy_for(connection.hostname, connection.is_unix)
        self._family: int | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._resolved_at = float("-inf")
        self._stale = True
        """Whether the name is to be resolved anew before the next connection is made."""
        self._names = Backoff(options.initial_backoff, options.max_backoff)
        self._failure: RemoteClientError | None = None
        """Why the last try to connect failed; None after one that worked."""
        self._scheduled = False
        self._dirty: set[GrpcConnection] = set()
        self._reason: Callable[[], RemoteClientError] | None = None
        self._blocks: dict[tuple[str, object], Block] = {}
        agent = (options.primary_user_agent, f"remote-client/{__version__}", options.secondary_user_agent)
        encodings = b"identity,gzip"
        fixed = [
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"user-agent", " ".join(filter(None, agent)).encode()),
            (b"grpc-accept-encoding", encodings),
        ]
        if self.compresses:
            fixed.append((b"grpc-encoding", b"gzip"))
        self._fixed = encode(fixed)
        self._fixed_size = sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in fixed)

    # -- calls --------------------------------------------------------------------------------------------------------

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        if not isinstance(body, bytes):
            return await self._stream_unary(call, body, answered)
        self._check(call, body)
        exchange = UnaryExchange(self, call, self._block(call), frame_message(body, self.compresses), answered)
        self.enqueue(exchange)
        try:
            await exchange.done
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        try:
            return exchange.result()
        finally:
            del exchange  # a traceback would keep it, and it the answer

    async def _stream_unary(self, call: Call, body: AsyncIterator[bytes], answered: Answered | None) -> bytes:
        # On the wire it is a stream of one answer; read as one, an early answer survives the messages it cuts short.
        stream = self.stream(call, body, answered)
        try:
            answer = await stream.read()
            extra = None if answer is None else await stream.read()
            if answer is None or extra is not None:
                assert isinstance(stream, Exchange)
                raise stream.not_one("no answer" if answer is None else "more than one answer")
        finally:
            await stream.aclose()
        return answer

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        whole: bytes | AsyncIterator[bytes] = body
        if isinstance(body, bytes):
            self._check(call, body)
            whole = frame_message(body, self.compresses)
        exchange = StreamExchange(self, call, self._block(call), whole, answered)
        self.enqueue(exchange)
        return exchange

    def _check(self, call: Call, body: bytes) -> None:
        if self._reason is not None:
            raise self._reason()
        limit = self.options.max_send_size
        if limit is not None and len(body) > limit:
            told = f"the request is larger than the limit of this client ({len(body)} vs. {limit} bytes)"
            raise _unsent(ResourceExhaustedError(told, method=call.path[1:], target=self.target))

    def enqueue(self, exchange: Exchange, *, first: bool = False) -> None:
        """Let a call wait for a connection; calls of one turn of the loop are written together."""
        if self._reason is not None:
            exchange.fail(self._reason())
            return
        self._running.add(exchange)
        if first:
            self._waiting.appendleft(exchange)
        else:
            self._waiting.append(exchange)
        self.schedule()

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait for a connection."""
        return bool(self._waiting)

    def forget(self, exchange: Exchange) -> None:
        """A call is over."""
        self._running.discard(exchange)

    def _block(self, call: Call) -> Block:
        """Return the header block of a request without its timeout; the latest are kept."""
        key = (call.path, call.metadata)
        found = self._blocks.get(key)
        if found is None:
            if len(self._blocks) >= _KEPT_BLOCKS:
                self._blocks.clear()  # of metadata that changes with each call
            found = self._blocks[key] = self._make_block(call)
        return found

    def _make_block(self, call: Call) -> Block:
        scheme = "https" if self._info.tls.enabled else "http"
        authority = self.options.authority or ("localhost" if self._info.is_unix else self.target)
        metadata = encode_metadata(call.metadata)
        block = encode_request(scheme, authority, call.path) + self._fixed + encode(metadata, secret=True)
        pseudo = (":method", "POST", ":scheme", scheme, ":path", call.path, ":authority", authority)
        size = sum(map(len, pseudo)) + 4 * FIELD_OVERHEAD + self._fixed_size
        return block, size + sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in metadata)

    # -- sending ------------------------------------------------------------------------------------------------------

    def schedule(self, connection: GrpcConnection | None = None) -> None:
        """Send what waits, and what a connection has to say, at the end of this turn of the loop."""
        if connection is not None:
            self._dirty.add(connection)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        waiting = self._waiting
        while waiting:
            if waiting[0].over:
                waiting.popleft()  # cancelled before anything of it was sent
                continue
            connection = self._pick()
            if connection is None:
                break
            self._open(waiting.popleft(), connection)
        dirty, self._dirty = self._dirty, set()
        for connection in dirty:
            connection.flush()
        if waiting:
            self._connect_more()

    def _open(self, exchange: Exchange, connection: GrpcConnection) -> None:
        """Send a call on a connection."""
        (block, size), limit = exchange.block, connection.header_list_limit
        if limit is not None and size > limit:
            told = f"the metadata is larger than the server accepts ({size} vs. {limit} bytes)"
            exchange.fail(_unsent(ResourceExhaustedError(told, method=exchange.call.path[1:], target=self.target)))
            return
        seconds = exchange.time_left()
        connection.open(exchange, block if seconds is None else block + _timeout(seconds))
        self._dirty.add(connection)

    def _pick(self) -> GrpcConnection | None:
        """Return the next of the ready connections that takes a call now; None where none does."""
        ready = self._ready
        if self._has_gaps and monotonic() >= self._next_try:
            self._connect_more()
        for _ in range(len(ready)):
            self._turn = (self._turn + 1) % len(ready)
            connection = ready[self._turn]
            if connection.is_free:
                return connection
        return None

    # -- connections --------------------------------------------------------------------------------------------------

    def _connect_more(self) -> None:
        """Begin what is needed for the calls that wait; fail them where nothing can be begun now."""
        if self._reason is not None:
            return
        now = monotonic()
        may_resolve = now >= self._resolved_at + self.options.resolve_interval or not self._endpoints
        if self._stale and self._resolving is None and may_resolve and now >= self._names.until:
            self._resolving = self.own(self._resolve())
        if self._resolving is None or self._endpoints:
            for endpoint in self._endpoints:
                if endpoint.connection is None and endpoint.task is None and now >= endpoint.backoff.until:
                    endpoint.task = self.own(self._dial(endpoint))
        self._note_gaps()
        busy = self._resolving is not None or any(each.task is not None for each in self._endpoints)
        if not busy and not self._ready and self._failure is not None:
            self._fail_waiting(self._failure)

    def _note_gaps(self) -> None:
        gaps = [each for each in self._endpoints if each.connection is None and each.task is None]
        self._has_gaps = bool(gaps) or (self._stale and bool(self._endpoints))
        times = [each.backoff.until for each in gaps]
        if self._stale:
            times.append(max(self._resolved_at + self.options.resolve_interval, self._names.until))
        self._next_try = min(times, default=0.0)

    def _fail_waiting(self, failure: RemoteClientError) -> None:
        """Fail the calls that wait: none of them was sent."""
        waiting, self._waiting = self._waiting, deque()
        for exchange in waiting:
            if not exchange.over:
                exchange.fail(self._copy_of(failure, exchange.call))

    def _copy_of(self, failure: RemoteClientError, call: Call) -> RemoteClientError:
        if not isinstance(failure, RemoteCallError):
            return ConfigurationError(str(failure))
        return _unsent(type(failure)(failure.details, method=call.path[1:], target=self.target))

    async def _resolve(self) -> None:
        """Find the server's addresses, and let each have its connection."""
        info = self._info
        try:
            if info.is_unix:
                path = info.hostname.removeprefix("unix:")
                self._place([path])
            else:
                assert info.port is not None
                async with asyncio.timeout(self.options.connect_timeout):
                    addresses = await resolve(info.hostname, info.port)
                self._addresses = addresses
                self._place(list(group(addresses, self._policy, self._family)))
            self._names.succeeded()
            self._stale = False
        except (OSError, TimeoutError) as error:
            told = str(error) or f"resolving {self.target} took too long"
            self._failure = connect_error(OSError(told), self.target)
            self._names.failed(monotonic())
        finally:
            self._resolved_at = monotonic()
            self._resolving = None
            self.schedule()
        if self._waiting or self._ready:
            self._connect_more()

    def _place(self, groups: list[Group | str]) -> None:
        """Keep the endpoints whose addresses are still the server's, and make the missing ones."""
        kept = {each.addresses: each for each in self._endpoints}
        old = self._endpoints
        self._endpoints = [kept.get(each) or self._endpoint(each) for each in groups]
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
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                connection = await self._open_connection(endpoint)
                failure = await asyncio.shield(connection.settled)
        except (OSError, TimeoutError, ConfigurationError, TlsError) as error:
            failure = _failure_of(error, self.target)
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
        if self._waiting:
            self._connect_more()

    async def _open_connection(self, endpoint: _Endpoint) -> GrpcConnection:
        tls = tls_context(self._info.tls, ("h2",))
        connection = await connect(
            partial(GrpcConnection, self),
            endpoint.addresses,
            tls=tls,
            server_hostname=None if tls is None else self._tls_name(),
            timeout=self.options.connect_timeout,
        )
        if tls is not None:
            try:
                self._check_alpn(connection)
            except TlsError:
                connection.close()
                raise
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
        self._failure = None if failure is None else _failure_of(failure, self.target)

    def _connected(self, endpoint: _Endpoint, connection: GrpcConnection) -> None:
        endpoint.backoff.succeeded()
        if connection.leaving or connection.transport is None:
            return  # it said GOAWAY at once
        endpoint.connection = connection
        self._failure = None
        opened = connection.transport.get_extra_info("socket")
        if self._policy == "round_robin" and self._family is None and opened is not None:
            self._family = opened.family
            self._split(endpoint, opened)
        self._ready.append(connection)
        self.schedule()

    def _split(self, endpoint: _Endpoint, opened: object) -> None:
        """Give the other addresses of the family that won a connection each."""
        groups = group(self._addresses, self._policy, self._family)
        if isinstance(endpoint.addresses, str) or len(endpoint.addresses) < 2:
            return
        peer = getattr(opened, "getpeername")()[:2]  # noqa: B009
        mine = next((each for each in groups if each[0][4][:2] == peer), groups[0])
        endpoint.addresses = mine
        self._endpoints = [endpoint, *(self._endpoint(each) for each in groups if each != mine)]
        self._connect_more()

    def _tls_name(self) -> str:
        info = self._info
        return self.options.tls_name or ("localhost" if info.is_unix else info.hostname.partition("%")[0])

    def _check_alpn(self, connection: GrpcConnection) -> None:
        """The server must have agreed to HTTP/2: one that did not would read our first bytes as something else."""
        assert connection.transport is not None
        opened = connection.transport.get_extra_info("ssl_object")
        chosen = None if opened is None else opened.selected_alpn_protocol()
        if chosen != "h2":
            told = f"the server does not offer HTTP/2 (ALPN chose {chosen or 'nothing'}, gRPC needs 'h2')"
            raise TlsError(told, target=self.target)

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
        self._note_gaps()
        self.schedule(connection)

    def _retire(self, connection: GrpcConnection) -> None:
        connection.leaving = True
        self.left(connection)

    def lost(self, connection: GrpcConnection) -> None:
        """A connection is closed."""
        self.left(connection)
        self._connections.discard(connection)
        self._dirty.discard(connection)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        for exchange in list(self._running):
            exchange.fail(reason())
        self._waiting.clear()
        self.deadlines.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([each.closed for each in connections])


@lru_cache(maxsize=256)
def _timeout(seconds: float) -> bytes:
    return encode(((b"grpc-timeout", encode_timeout(seconds)),))


def _unsent(failure: RemoteCallError) -> RemoteCallError:
    failure.outcome_known = True
    return failure


def _failure_of(error: BaseException, target: str) -> RemoteClientError:
    """Return the error of the calls that waited for a connection that could not be made."""
    if isinstance(error, TlsError):
        return TlsError(error.details, target=target)
    if isinstance(error, RemoteCallError):
        return UnavailableError(
            f"failed to connect: {error.details.removeprefix('failed to connect: ')}", target=target
        )
    if isinstance(error, ConfigurationError):
        return error
    return connect_error(error, target)
