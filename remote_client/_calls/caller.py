"""Calls of one server's methods, and the streams of answers that some of them return."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Generic, Self, TypeVar

from .._concurrency import fork as _fork
from .._concurrency.iterators import END, Source, source_of
from .._objects.exports import exported_from
from .._schema.rpc import RemoteRPCDescriptor
from .._settings.durations import lasting
from .._text.redaction import because, forget, redacted
from .._transport.balance import Balancer, Health
from .._transport.call import Answered, ByteStream, Call, Transport
from .._transport.fetch import fetch
from .._transport.manager import ConnectionManager, Lease
from .._transport.metadata import RawMetadata, resolve_metadata
from .._transport.pending import Place
from .._transport.retry import NOT_HERE, may_retry, pause
from ..auth import Credentials
from ..errors import (
    STREAM_CLOSED,
    ClosedError,
    DeadlineExceededError,
    InputError,
    PicklingError,
    RemoteCallError,
    RemoteClientError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
    WrongLoopError,
    lost,
)
from ..hooks import AttemptFailed, CallEnded, tell
from ..settings import CallOptions

T = TypeVar("T")
Body = bytes | AsyncIterator[bytes]
Prepared = tuple[RemoteRPCDescriptor, Body]
LARGE = 64 * 1024
"""Bytes of an answer that is decoded by another thread: of small nested messages they take 4 ms."""
logger = logging.getLogger("remote_client")
_NO_CALL = Call("")
"""Takes a call's place in the variables of a function that raises: its traceback keeps them."""


class Caller:
    """Calls the methods of one server, or of several alike, for one model or for none, with one set of options.

    Args:
        connections: the server's connections.
        model_key: the metadata key that names the model.
        model: the model's name; None for what belongs to no model.
        options: timeouts, metadata, retries, and the form of answers.
        balancer: chooses the server of each call, where there are several.
        changed: called with the error of a call; returns what to add to it where it suggests that the server's
            interface is another than the method's, else an empty string.
    """

    def __init__(
        self,
        connections: ConnectionManager,
        *,
        model_key: str,
        model: str | None,
        options: CallOptions,
        balancer: Balancer[ConnectionManager] | None = None,
        changed: Callable[[RemoteCallError], str] | None = None,
    ) -> None:
        self.connections = connections
        self.model = model
        self.options = options
        self._model_key = model_key
        self._balancer = balancer
        self._changed = changed
        self._calls: dict[str, Call] = {}
        """The records of calls that are alike each time, by their paths."""
        self._sent = [_NO_CALL]
        """The newest record of a call, of its copies too: its metadata is what errors of decoding must not tell."""

    @property
    def target(self) -> str:
        """The server's address as error messages show it."""
        return self.connections.target

    def replace(self, **changes: Any) -> Caller:
        """A caller with other options, on the same connections."""
        return self._copy(options=replace(self.options, **changes))

    def for_model(self, name: str | None) -> Caller:
        """A caller for another model or none, on the same connections."""
        return self._copy(model=name)

    def pinned(self) -> Caller:
        """A caller of one server: what is started there can be asked about there alone."""
        return self if self._balancer is None else self._copy(connections=self.pick(), balancer=None)

    def _copy(self, **changes: Any) -> Caller:
        other = Caller(**{**self.fields(), "changed": self._changed, **changes})
        other._sent = self._sent
        return other

    def fields(self) -> dict[str, Any]:
        """What it was made of, without `changed`."""
        return {
            "connections": self.connections,
            "model_key": self._model_key,
            "model": self.model,
            "options": self.options,
            "balancer": self._balancer,
        }

    def pick(self, tried: Collection[ConnectionManager] = ()) -> ConnectionManager:
        """The server for the next attempt."""
        return self.connections if self._balancer is None else self._balancer.pick(monotonic(), tried)

    async def call(self, path: str, *, idempotent: bool = True) -> Call:
        """Return the record of a call that is to be made.

        Raises:
            DeadlineExceededError: a function did not give its metadata within the call's time. Nothing was sent.
        """
        call = self._calls.get(path) if idempotent else None
        if call is None:
            changing, begun = any(map(callable, self.options.metadata)), monotonic()
            metadata = await (self._metadata_in_time(path) if changing else self._metadata())
            options = self.options
            call = Call(path, metadata, options.timeout, options.total_timeout, idempotent, model_key=self._model_key)
            self._sent[0] = call
            if changing:
                return _shortened(call, monotonic() - begun)
            if idempotent:
                self._calls[path] = call
        return call

    def refuse(self, call: Call) -> tuple[Credentials, ...]:
        """Tell credentials that a server refused them."""
        credentials = tuple(each for each in self.options.metadata if isinstance(each, Credentials))
        sent = dict(call.metadata) if credentials else {}
        for each in credentials:
            each.refused(sent)
        return credentials

    async def renewed(self, call: Call) -> Call | None:
        """Return a call with other credentials than the refused ones; None where there are none."""
        credentials = self.refuse(call)
        if not credentials:
            return None
        fresh = await self.call(call.path, idempotent=call.idempotent)
        # Other sources may give something new each time, and the server would refuse the call just so.
        own = await resolve_metadata(credentials, fetch=self._fetch)
        return None if set(own) <= set(call.metadata) else replace(fresh, max_size=call.max_size)

    async def _metadata(self) -> RawMetadata:
        metadata = await resolve_metadata(self.options.metadata, reserved=self._model_key, fetch=self._fetch)
        return metadata if self.model is None else ((self._model_key, self.model), *metadata)

    async def _fetch(self, url: str, body: bytes | None = None, **more: Any) -> bytes:
        """Send a request of credentials, through the proxy of the calls."""
        return await fetch(url, body, proxy=self.connections.proxy, **more)

    async def _metadata_in_time(self, path: str) -> RawMetadata:
        seconds = _shortest(self.options)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._metadata()
        except TimeoutError:
            if not limit.expired():
                raise
            told = f"no metadata within {lasting(seconds)}: its function did not return"
            raise _unsent(told, path, self.connections, self.model) from None
        finally:
            del limit  # see `RemoteStream._read`

    async def send(
        self, path: str, body: Body | Exchange, *, idempotent: bool = True, max_size: int | None = None
    ) -> bytes:
        """Make a call of one answer, bytes out and in; again where that is allowed.

        Args:
            path: see `Call`.
            body: the request.
            idempotent: whether it may be made again.
            max_size: see `Call`.

        Raises:
            RemoteCallError: the call failed.
        """
        try:
            begun = monotonic()
            # Looked up here too: a coroutine costs more than that.
            call = (self._calls.get(path) if idempotent else None) or await self.call(path, idempotent=idempotent)
            if max_size is not None:
                call = replace(call, max_size=max_size)
            connections = self.connections if self._balancer is None else self.pick()
            connections.budget.calls += 1
            # A call that works at once, with nobody listening, needs no record of its attempts.
            attempts = Attempts(self, call, connections, begun) if self.options.hooks else None
            while True:
                attempt = call if self._balancer is None else self._as_probe(call, body, connections)
                try:
                    data = await self._attempt(attempt, body, connections)
                except RemoteCallError as error:
                    if attempts is None:
                        attempts = Attempts(self, call, connections, begun)
                    again = await attempts.again(error, call, body, probing=attempt is not call)
                    if again is None:
                        raise
                    call, connections = again, attempts.connections
                except BaseException as error:
                    if attempts is not None:
                        attempts.ended(error)
                    raise
                else:
                    if connections.health.ailing:
                        connections.health.succeeded()
                    if attempts is not None:
                        attempts.ended(None)
                    return data
        except BaseException as error:
            call = attempt = again = _NO_CALL
            body = b""
            forget(error)
            raise

    async def exchange(self, path: str, messages: Sequence[bytes], max_size: int) -> list[bytes]:
        """Call a bidirectional method that answers each message with one; again, from the start, where that is allowed.

        Returns:
            The answers, fewer than the messages where they exceed `max_size` bytes or the server ends the call early.

        Raises:
            RemoteCallError: the call failed.
        """
        exchange = Exchange(messages, max_size)
        await self.send(path, exchange)
        return exchange.answers

    async def _attempt(self, call: Call, body: Body | Exchange, connections: ConnectionManager) -> bytes:
        """Send a call once, when its turn has come."""
        health, place = connections.health, connections.pending.enter()
        health.in_flight += 1
        try:
            if place is None:
                place, call = await wait_for_turn(connections, call)
            lease = connections.lease()
            try:
                if isinstance(body, Exchange):
                    return await body.make(lease.transport, call, place.answered)
                return await lease.transport.unary(call, body, place.answered)
            except RemoteCallError as error:
                if error.shed:
                    place.shed()
                raise
            finally:
                lease.release()
        finally:
            health.in_flight -= 1
            if place is not None:
                place.free()

    def _as_probe(self, call: Call, body: Body | Exchange, connections: ConnectionManager) -> Call:
        """The call, with half of its time where its server was given up: the other half is for another server."""
        may = call.idempotent and isinstance(body, bytes) and self.options.retry.retries
        if not may or not connections.health.until or call.timeout is None:
            return call
        return replace(call, timeout=call.timeout / 2)

    async def unary(self, descriptor: RemoteRPCDescriptor, body: Body) -> Any:
        """Make a call of one answer."""
        try:
            data = await self.send(descriptor.path, body)
            return self.decode(descriptor, data) if len(data) < LARGE else await self.decode_large(descriptor, data)
        except BaseException as error:
            body = data = b""
            forget(error)
            raise

    def decode(self, descriptor: RemoteRPCDescriptor, data: bytes) -> Any:
        """An answer, in the form that the options want."""
        try:
            return descriptor.codec.decode(data, self.options.output)
        except RemoteCallError as error:
            self.blame(error, descriptor)
            raise

    async def decode_large(self, descriptor: RemoteRPCDescriptor, data: bytes) -> Any:
        """As `decode`, in another thread: it takes long enough to hold up everything else."""
        try:
            return await self.connections.worker.run(descriptor.codec.decode, data, self.options.output)
        except RemoteCallError as error:
            self.blame(error, descriptor)
            raise

    def blame(self, error: RemoteCallError, descriptor: RemoteRPCDescriptor) -> None:
        """Tell an error of decoding whose answer it was, and hide what that repeats of the metadata."""
        self.hide(error)
        error.method, error.target, error.model = descriptor.path.removeprefix("/"), self.target, self.model
        self.check_interface(error)

    def hide(self, error: RemoteClientError) -> None:
        """Take from an error what it repeats of the metadata of the newest call."""
        (sent,) = self._sent
        error.args = tuple(redacted(list(error.args), sent.secrets))
        if isinstance(error, RemoteCallError):
            error.details = redacted(error.details, sent.secrets)
        if error.__cause__ is not None:
            because(error, error.__cause__, sent.secrets)

    def check_interface(self, error: RemoteCallError) -> None:
        """Mark the schema as stale if the error suggests that the server was redeployed."""
        if self._changed is not None and (hint := self._changed(error)):
            error.details += f"; {hint}"


async def wait_for_turn(connections: ConnectionManager, call: Call) -> tuple[Place, Call]:
    """Wait until fewer calls wait for the server; returns the place, and the call with the time that is left.

    Raises:
        DeadlineExceededError: its turn did not come within the call's time. Nothing was sent.
    """
    begun, limit = monotonic(), _shortest(call)
    place = await connections.turn(limit)
    if place is None:
        told = f"no answer within {lasting(limit)}: too many calls wait for the server (max_pending)"
        raise _unsent(told, call.path, connections)
    return place, _shortened(call, monotonic() - begun)


def _shortest(limits: Call | CallOptions) -> float | None:
    """Return the seconds a call may take before its first answer."""
    return min((each for each in (limits.timeout, limits.total_timeout) if each is not None), default=None)


def _shortened(call: Call, passed: float) -> Call:
    """Return a call with the time that is left after so many seconds."""
    timeout, total = (
        None if each is None else max(each - passed, 0.001) for each in (call.timeout, call.total_timeout)
    )
    return replace(call, timeout=timeout, total_timeout=total)


def _unsent(told: str, path: str, connections: ConnectionManager, model: str | None = None) -> DeadlineExceededError:
    failure = DeadlineExceededError(told, method=path.removeprefix("/"), target=connections.target, model=model)
    failure.outcome_known = True
    return failure


class Attempts:
    """The attempts of one call: whether there is another, when, and where; and what hooks are told.

    The rules are those of `_transport.retry`, and one attempt more for fresh credentials. All attempts and pauses are
    inside of the call's one deadline.
    """

    __slots__ = ("_begun", "_caller", "_path", "_previous", "_renewals", "_tried", "connections")

    def __init__(self, caller: Caller, call: Call, connections: ConnectionManager, begun: float) -> None:
        self.connections = connections
        self._caller = caller
        self._path = call.path
        self._begun = begun
        self._previous: list[RemoteCallError] = []
        self._renewals = 0
        self._tried: list[ConnectionManager] = []

    async def again(self, error: RemoteCallError, call: Call, body: Any, probing: bool = False) -> Call | None:
        """Wait until the next attempt may begin, and the call that it is; None where there is none: raise the error.

        With `probing` the attempt had just a part of the call's time, and that it passed is not the end.
        """
        error.model = self._caller.model
        self._note(error)
        # Who answers 407 is a proxy, and 511 a network: these credentials are neither's.
        if isinstance(error, UnauthenticatedError) and error.http_status not in (407, 511) and not self._renewals:
            fresh = await self._renewed(error, call, body)
            if fresh is not None:
                return self._in_time(fresh)
        following = self._caller.pick([*self._tried, self.connections])
        expired = probing and isinstance(error, DeadlineExceededError)
        wait = self._wait(error, call, body, following, expired)
        self._tell(error, wait)
        if wait is None:
            self._caller.check_interface(error)
            error.previous = tuple(self._previous)
            self.ended(error)
            return None
        self._previous.append(error.with_traceback(None))
        self._tried.append(self.connections)
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError as cancelled:
            self.ended(cancelled)
            raise
        self.connections = following
        return self._in_time(call)

    async def _renewed(self, error: UnauthenticatedError, call: Call, body: Any) -> Call | None:
        """Return the call with fresh credentials, if there are any and nothing of its input is gone.

        It is one attempt outside of `retries`, of calls that are sent once too: the server refused to do anything.
        """
        if getattr(body, "taken", False):
            self._caller.refuse(call)
            return None
        limit = asyncio.timeout(self._shortest_left())
        try:
            async with limit:
                fresh = await self._caller.renewed(call)
        except TimeoutError:
            if not limit.expired():
                raise
            return None
        except BaseException as failure:
            self._tell(error, None)
            self.ended(failure)
            raise
        finally:
            del limit  # see `RemoteStream._read`
        if fresh is not None:
            self._tell(error, 0.0)
            self._previous.append(error.with_traceback(None))
            self._renewals = 1
        return fresh

    def _in_time(self, call: Call) -> Call:
        return replace(call, timeout=self._left("timeout"), total_timeout=self._left("total_timeout"))

    def _shortest_left(self) -> float | None:
        left = [each for each in (self._left("timeout"), self._left("total_timeout")) if each is not None]
        return min(left, default=None)

    def _left(self, name: str) -> float | None:
        limit: float | None = getattr(self._caller.options, name)
        return None if limit is None else max(limit - (monotonic() - self._begun), 0.001)

    def _wait(
        self, error: RemoteCallError, call: Call, body: Any, following: ConnectionManager, expired: bool
    ) -> float | None:
        policy, failed = self._caller.options.retry, len(self._previous) + 1 - self._renewals
        if not call.idempotent or failed > policy.retries or getattr(body, "taken", False):
            return None
        if not expired and not may_retry(error, policy):
            return None
        # Another server was not asked to do anything yet.
        elsewhere = following is not self.connections and following not in self._tried
        if not elsewhere and error.pushback == NOT_HERE:
            return None
        wait = 0.0 if elsewhere else pause(error, policy, failed)
        left = self._shortest_left()
        if left is not None and wait >= left:
            return None
        return wait if following.budget.spend(monotonic()) else None

    def _note(self, error: RemoteCallError) -> None:
        """What an error says about its server."""
        health = self.connections.health
        if isinstance(error, (UnavailableError, TlsError)):
            health.failed(monotonic())
        elif isinstance(error, DeadlineExceededError):
            health.expired(monotonic())
        else:
            health.succeeded()

    def _tell(self, error: RemoteCallError, wait: float | None) -> None:
        attempt = len(self._previous) + 1
        if wait is not None:
            logger.debug("%s at %s: attempt %d failed (%s)", self._path, self.connections.target, attempt, error.status)
        if self._caller.options.hooks:
            event = AttemptFailed(
                self._path.removeprefix("/"), self.connections.target, self._caller.model, attempt, error, wait
            )
            tell(self._caller.options.hooks, event)

    def ended(self, error: BaseException | None) -> None:
        """The call is over."""
        hooks = self._caller.options.hooks
        if hooks:
            method, target, attempts = self._path.removeprefix("/"), self.connections.target, len(self._previous) + 1
            seconds = monotonic() - self._begun
            tell(hooks, CallEnded(method, target, self._caller.model, attempts, seconds, error))


class Exchange:
    """Messages to a bidirectional method that answers each with one; each attempt sends all of them.

    Attributes:
        answers: those of the last attempt.
    """

    def __init__(self, messages: Sequence[bytes], max_size: int) -> None:
        self.answers: list[bytes] = []
        self._messages = messages
        self._max_size = max_size

    async def make(self, transport: Transport, call: Call, answered: Answered) -> bytes:
        """Make an attempt of the call. It keeps its place until the server answers, not just until it is sent."""
        self.answers, size = [], 0
        stream = transport.stream(call, _Ready(self._messages))
        try:
            while len(self.answers) < len(self._messages) and size <= self._max_size:
                data = await stream.read()
                if data is None:
                    break
                answered()
                size += len(data)
                self.answers.append(data)
        finally:
            await stream.aclose()
        return b""


@exported_from("remote_client")
class RemoteStream(AsyncIterator[T], Generic[T]):
    """The answers of one call: an async iterator, and an async context manager.

    The call starts at `async with` or at the first item. It ends with the last item, an error, `aclose()`, the end of
    `async with`, or when the stream is garbage, as after a `break`; unless it was over, it is then cancelled on the
    server. A stream is read once: iterating it again gives nothing and sends nothing. A read that is broken off, by a
    timeout or by cancelling its task, ends the call too: reads after it, or after one that failed, raise a ClosedError.
    """

    def __init__(
        self,
        caller: Caller,
        descriptor: RemoteRPCDescriptor,
        body: Body | Callable[[], Coroutine[Any, Any, Prepared]],
    ) -> None:
        self._caller = caller
        self._descriptor = descriptor
        self._body: Body | Callable[[], Coroutine[Any, Any, Prepared]] | None = body
        self._stream: ByteStream | None = None
        self._lease: Lease | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._busy = False
        self._attempts: Attempts | None = None
        self._unread: Prepared | None = None
        """What the call is sent with once more, as long as there was no answer."""
        self._call: Call | None = None
        self._place: Place | None = None
        self._take: Callable[[], bytes | None] | None = None
        """Gives an answer that is here already, from the second on."""
        self._born = _fork.count
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lost = ""
        """Why the stream ended before it was complete."""

    async def _start(self) -> None:
        body, self._body = self._body, None
        if body is None:
            return
        if not isinstance(body, (bytes, AsyncIterator)):  # the server has to be asked first how it is sent
            self._descriptor, body = await body()
        begun = monotonic()
        call = await self._caller.call(self._descriptor.path)
        if call.timeout != self._caller.options.timeout:  # less what its metadata took: here it is between two answers
            call = replace(call, timeout=self._caller.options.timeout)
        if self._closed:  # meanwhile, by another task
            return
        self._unread = (self._descriptor, body)
        connections = self._caller.pick()
        connections.budget.calls += 1
        self._attempts = Attempts(self._caller, call, connections, begun)
        await self._open(call, body)

    async def _open(self, call: Call, body: Body) -> None:
        assert self._attempts is not None
        connections = self._attempts.connections
        place = connections.pending.enter()
        if place is None:
            place, waited = await wait_for_turn(connections, call)
            call = replace(call, total_timeout=waited.total_timeout)
            if self._attempts is None:  # closed meanwhile
                place.free()
                return
        lease: Lease | None = None
        try:
            lease = connections.lease()
            stream = lease.transport.stream(call, body, place.answered)
        except BaseException:
            place.free()
            if lease is not None:
                lease.release()
            raise
        connections.health.in_flight += 1
        self._call, self._stream, self._lease, self._place = call, stream, lease, place
        # grpc.aio never cancels a call that is dropped (#43462).
        self._loop = loop = asyncio.get_running_loop()
        self._finalizer = weakref.finalize(self, _abandon, loop, stream, lease, connections.health, place)
        self._finalizer.atexit = False

    async def __anext__(self) -> T:
        take = self._take
        if take is None or self._busy or self._born != _fork.count or self._loop is not asyncio.get_running_loop():
            return await self._begin()
        data = take()
        if data is None:
            assert self._stream is not None
            self._busy = True
            try:
                data = await self._stream.read()
            except BaseException as error:
                take = None
                await self._failed_inside(error)
                raise
            finally:
                self._busy = False
        if data is None or len(data) >= LARGE:
            return await self._last_or_large(data)
        try:
            answer: T = self._caller.decode(self._descriptor, data)
        except BaseException as error:
            take, data = None, b""
            await self._failed_inside(error)
            raise
        return answer

    async def _begin(self) -> T:
        """Return the first answer, of a call that is begun if need be."""
        if (lease := self._lease) is not None:
            if lease.manager.born != _fork.count:
                lease.check()  # raises
            if self._loop is not asyncio.get_running_loop():
                raise WrongLoopError("the stream was begun in another event loop; read it there")
        if self._busy:
            raise RuntimeError("the stream is already being read by another task")
        if self._lost:
            raise ClosedError(self._lost)
        if self._closed:
            raise StopAsyncIteration
        self._busy = True
        try:
            if self._stream is None:
                await self._start()
            data = await self._first()
        except BaseException as error:
            await self._failed_inside(error)
            raise
        finally:
            self._busy = False
        return await self._last_or_large(data)

    async def _last_or_large(self, data: bytes | None) -> T:
        """Return an answer that may be large; None for the end of the stream."""
        if data is None:
            closed = self._closed
            self._finished(None)
            await self.aclose()
            raise ClosedError(STREAM_CLOSED) if closed else StopAsyncIteration
        self._busy = True
        try:
            if len(data) >= LARGE:
                answer: T = await self._caller.decode_large(self._descriptor, data)
            else:
                answer = self._caller.decode(self._descriptor, data)
            return answer
        except BaseException as error:
            data = None
            await self._failed_inside(error)
            raise
        finally:
            self._busy = False

    def _failed(self, error: BaseException) -> ByteStream | None:
        if isinstance(error, RemoteCallError):
            error.model = self._caller.model
        self._lost = "" if self._closed else lost(error)
        stream = self._end()
        self._finished(error)
        forget(error)
        return stream

    async def _failed_inside(self, error: BaseException) -> None:
        """As `_failed`, and wait until a streamed input is closed."""
        streamed = self._descriptor.input_streaming
        stream = self._failed(error)
        if streamed and stream is not None:
            await stream.aclose()

    async def _first(self) -> bytes | None:
        """The first answer: before it the call may be made again."""
        attempts, timeout = self._attempts, None
        while True:
            stream, call, unread = self._stream, self._call, self._unread
            if attempts is None or stream is None or call is None or unread is None:
                return None  # it was over, or closed meanwhile
            try:
                data = await self._read(stream, timeout)
            except RemoteCallError as error:
                if self._place is not None:
                    if error.shed:
                        self._place.shed()
                    self._place.free()  # for others, while this call waits for its next attempt
                again = await attempts.again(error, call, unread[1])
                if again is None:
                    raise
            else:
                self._unread = None
                if self._stream is stream:
                    self._take = stream.take
                if attempts.connections.health.ailing:
                    attempts.connections.health.succeeded()
                return data
            if self._stream is not stream:
                return None
            self._end()
            self._unread = unread
            # The limit of what follows is that between two answers; the first is inside of the whole call's.
            timeout = again.timeout
            await self._open(replace(again, timeout=self._caller.options.timeout), unread[1])

    async def _read(self, stream: ByteStream, timeout: float | None) -> bytes | None:
        """One answer, within a time of its own."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await stream.read()
        except TimeoutError:
            if not limit.expired():
                raise
            attempts, options = self._attempts, self._caller.options
            raise DeadlineExceededError(
                f"no answer within {lasting(options.timeout)}",
                method=self._descriptor.path.removeprefix("/"),
                target=attempts.connections.target if attempts else None,
            ) from None
        finally:
            # It knows its task, and a cancelled task the exception that leads here: a call must not wait for the
            # garbage collector to give back its connection.
            del limit

    def _finished(self, error: BaseException | None) -> None:
        """Tell hooks, once."""
        attempts, self._attempts = self._attempts, None
        if attempts is not None and not (isinstance(error, RemoteCallError) and error.previous):
            attempts.ended(error)

    def __aiter__(self) -> Self:
        return self

    def _end(self) -> ByteStream | None:
        """Cancel what still runs, and give the connection back."""
        stream, lease, self._body, self._unread = self._stream, self._lease, None, None
        if stream is None or lease is None:
            return None
        self._stream = self._lease = self._place = self._take = self._call = None
        if self._finalizer is not None and (dropped := self._finalizer.detach()) is not None:
            _drop(*dropped[2][1:])
        return stream

    async def aclose(self) -> None:
        """Cancel the call if it still runs, and wait until nothing of it is left. Idempotent."""
        if self._lease is not None:
            self._lease.check()
        self._closed = True
        stream = self._end()
        self._finished(None)
        if stream is not None:
            await stream.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException as error:
            self._failed(error)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> Any:
        raise PicklingError("a stream belongs to its process: give the other one the method, or a list of the answers")

    def __repr__(self) -> str:
        state = "not started" if self._body is not None else "over" if self._stream is None else "running"
        return f"<RemoteStream of {self._descriptor.name} of {self._caller.model!r}: {state}>"


def _abandon(loop: asyncio.AbstractEventLoop, stream: ByteStream, lease: Lease, health: Health, place: Place) -> None:
    """End a call nobody reads any more. Garbage may be found in any thread."""
    if lease.manager.born != _fork.count:
        return  # what wakes a parent's loop is the parent's
    try:
        loop.call_soon_threadsafe(_drop, stream, lease, health, place)
    except RuntimeError:  # the loop is closed, and the call with it
        return


def _drop(stream: ByteStream, lease: Lease, health: Health, place: Place) -> None:
    stream.cancel()
    lease.release()
    place.free()
    health.in_flight -= 1


def frames(descriptor: RemoteRPCDescriptor, constants: bytes, streams: dict[str, Any]) -> AsyncIterator[bytes]:
    """The messages of a streamed input. Lists are encoded at once: what does not fit is told before the call."""
    if not all(isinstance(stream, (list, tuple)) for stream in streams.values()):
        return _Frames(descriptor, constants, streams)
    lengths = {name: len(stream) for name, stream in streams.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length} items" for name, length in lengths.items())
        raise InputError(f"{descriptor.name}(): streams must be of equal length: {told}")
    rows = zip(*streams.values(), strict=True)
    frame = descriptor.codec.frame
    return _Ready([frame(constants, dict(zip(streams, row, strict=True)), index) for index, row in enumerate(rows)])


class _Ready(AsyncIterator[bytes]):
    taken = False
    """Whether a message was taken: then the call may not be made again."""

    def __init__(self, frames: Iterable[bytes]) -> None:
        self._frames = iter(frames)

    async def __anext__(self) -> bytes:
        self.taken = True
        frame = next(self._frames, None)
        if frame is None:
            raise StopAsyncIteration
        return frame


class _Frames(AsyncIterator[bytes]):
    """Advances several streams in step and encodes their items."""

    def __init__(self, descriptor: RemoteRPCDescriptor, constants: bytes, streams: dict[str, Any]) -> None:
        self._descriptor = descriptor
        self._constants = constants
        self._streams = streams
        self._sources: dict[str, Source] = {}
        self._index = 0
        self.taken = False

    async def __anext__(self) -> bytes:
        self.taken = True
        if not self._sources:
            for name, stream in self._streams.items():
                self._sources[name] = source_of(stream)
        items = {name: await source.advance() for name, source in self._sources.items()}
        ended = [name for name, item in items.items() if item is END]
        if len(ended) == len(items):
            raise StopAsyncIteration
        if ended:
            raise InputError(
                f"{self._descriptor.name}(): streams must be of equal length: {', '.join(ended)} ended after "
                f"{self._index} items, {', '.join(items.keys() - set(ended))} did not"
            )
        frame = self._descriptor.codec.frame(self._constants, items, self._index)
        self._index += 1
        return frame

    async def aclose(self) -> None:
        """Close the streams, in the task that read them."""
        for source in self._sources.values():
            await source.aclose()
