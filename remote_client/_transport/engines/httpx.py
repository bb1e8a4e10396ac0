"""HTTP over a user's httpx transport, such as `httpx.MockTransport` or respx's.

Its timeouts apply to whole calls. Those of httpx count from byte to byte, so a server that sends slowly never exceeds
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from functools import partial
from typing import Any, NoReturn, Self

from ..._text.redaction import causes, redacted, with_cause
from ...errors import (
    ConfigurationError,
    DeadlineExceededError,
    RemoteCallError,
    RemoteClientError,
    StreamTruncatedError,
    TlsError,
    UnavailableError,
)
from ...hooks import foreign_calls
from ...settings import ConnectionInfo
from ..call import Answered, ByteStream, Call, Transport, add_metadata, deadline_exceeded, sent_metadata, total_exceeded
from ..http.errors import cut, invalid_response, response_error, too_large
from ..http.requests import (
    as_answer,
    content_type,
    headers_of,
    host_of,
    is_answer,
    is_compressed,
    is_cut,
    is_event_stream,
    metadata_in,
    split_path,
    whole,
)
from ..http.sse import LOST_WITHIN, UNFRAMED, EventReader, says_it_is_last
from ..http.transport import response_limit
from ..http_errors import MAX_ERROR_SIZE, PATIENCE, event_error
from .httpx_library import AsyncTransport, library_of

_JSON = "application/json"
_MAX_DIGITS = 20
"""Digits of a content length; int() raises for thousands."""


class HttpxTransport(Transport):
    """Calls over an httpx transport, which is left open at the end. See `Transport`.

    Args:
        connection: the server.
        engine: the httpx transport, or an object with its interface.
    """

    def __init__(self, connection: ConnectionInfo, engine: AsyncTransport) -> None:
        super().__init__(connection.target)
        self.library = library_of(engine)
        self.limit = response_limit(connection)
        self.limits: set[_Limit] = set()
        self._base = f"http{'s' if connection.tls.enabled else ''}://{connection.target}"
        self._host = host_of(connection)
        self._user_agent = connection.user_agent
        self._engine = engine
        self._streams: set[_HttpxStream] = set()
        self.nothing: asyncio.Future[None] = self.loop.create_future()
        """The future of streams whose head has arrived."""
        self.nothing.set_result(None)

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        until = None if call.timeout is None else self.loop.time() + call.timeout
        async with _Limit(self, call, until, deadline_exceeded):
            answer = await self.send(call, whole(body), _JSON, answered)
            try:
                headers = headers_in(answer)
                data = await self._read(call, answer, headers)
                if call.answer is not None:
                    call.answer.end(tuple)
            finally:
                await answer.aclose()
        return as_answer(data, headers, call.metadata)

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        stream = _HttpxStream(self, call, whole(body), answered)
        self._streams.add(stream)
        return stream

    def forget(self, stream: _HttpxStream) -> None:
        """Drop a stream that is over."""
        self._streams.discard(stream)

    async def send(self, call: Call, body: bytes, accept: str, answered: Answered | None) -> Any:
        """Send a request, and return the response once its headers have arrived, if it is a success."""
        if self.reason is not None:
            raise self.reason()
        try:
            answer = await self._exchange(call, body, accept)
        except self.library.failures as error:
            failure = self.failure(call, error)
        else:
            if answered is not None:
                answered()
            try:
                await self._check(call, answer, accept)
            except BaseException:
                await answer.aclose()
                raise
            return answer
        try:
            raise failure
        finally:
            del failure  # no reference leads from an exception back to it

    async def _exchange(self, call: Call, body: bytes, accept: str) -> Any:
        verb, target, content = split_path(call.path, body)
        headers = {
            "host": self._host,
            **headers_of(sent_metadata(call), accept, content_type(content), self._user_agent),
        }
        request = self.library.request(verb, self._base + target, headers, content)
        with foreign_calls.get()():
            return await self._engine.handle_async_request(request)

    async def _check(self, call: Call, answer: Any, accept: str) -> None:
        headers, status = headers_in(answer), answer.status_code
        if call.answer is not None:
            call.answer.begin(partial(metadata_in, headers), status)
        wanted = call.pages or is_answer(headers) if accept == _JSON else is_event_stream(headers)
        if not (200 <= status < 300 and wanted):
            name = "JSON" if accept == _JSON else "a stream of events"
            failure = response_error(status, await self._error_body(answer), call, self.target, headers, name)
            add_metadata(failure, call, metadata_in(headers))
            raise failure
        if is_compressed(headers):
            raise invalid_response("it is compressed, though nothing but identity was accepted", call, self.target)

    async def _error_body(self, answer: Any) -> bytes:
        held = bytearray()
        with contextlib.suppress(TimeoutError, *self.library.failures):  # the part that has arrived
            async with asyncio.timeout(PATIENCE):
                await self._hold(answer, held)
        return bytes(held)

    async def _hold(self, answer: Any, held: bytearray) -> None:
        async for chunk in _chunks(answer):
            held += chunk[: MAX_ERROR_SIZE - len(held)]
            if len(held) >= MAX_ERROR_SIZE:
                break

    async def _read(self, call: Call, answer: Any, headers: dict[bytes, bytes]) -> bytes:
        limit = self.limit if call.max_size is None else min(call.max_size, self.limit)
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and (len(announced) > _MAX_DIGITS or int(announced) > limit):
            raise too_large(limit, call, self.target)
        held: list[bytes] = []
        size = 0
        try:
            async for chunk in _chunks(answer):
                size += len(chunk)
                if size > limit:
                    raise too_large(limit, call, self.target)
                held.append(chunk)
        except self.library.failures as error:
            failure = self.failure(call, error)
        else:
            data = b"".join(held)
            if not _is_framed(headers) and is_cut(data):
                raise cut(call, self.target)
            return data
        try:
            raise failure
        finally:
            del failure

    def failure(self, call: Call, error: Exception) -> RemoteClientError:
        """Return the typed error of the engine's exception, by its cause: the engine's own classes are misleading."""
        if self.reason is not None:
            return self.reason()
        found = list(causes(error))
        kind: type[RemoteCallError] = UnavailableError
        # httpcore raises its error without a cause in some places.
        if any(isinstance(cause, ssl.SSLError) for each in found for cause in (each, each.__context__)):
            kind = TlsError
        elif isinstance(error, self.library.timeouts) and len(found) == 1:
            kind = DeadlineExceededError  # the engine's own timeout
        details = next((str(cause) for cause in found if str(cause)), type(found[-1]).__name__)
        failure = kind(redacted(details, call.secrets), method=call.method, target=self.target)
        failure.outcome_known = isinstance(error, self.library.unsent)
        error.__traceback__ = None  # an engine may keep the error, and with these frames the call
        return with_cause(failure, error, call.secrets)

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        for limit in list(self.limits):
            limit.end()
        for stream in list(self._streams):
            stream.cancel(reason())
        for _ in range(100):
            if not self.limits and not self._tasks:
                break
            await asyncio.sleep(0 if self.limits else 0.01)


class _Limit:
    """A timeout around a part of a call, which `HttpxTransport.aclose` also ends."""

    __slots__ = ("_call", "_late", "_timeout", "_transport")

    def __init__(
        self,
        transport: HttpxTransport,
        call: Call,
        until: float | None,
        late: Callable[[Call, str], DeadlineExceededError],
    ) -> None:
        self._transport = transport
        self._call = call
        self._late = late
        self._timeout = asyncio.timeout_at(until)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._transport.limits.add(self)
        return self

    async def __aexit__(self, *raised: Any) -> None:
        transport = self._transport
        transport.limits.discard(self)
        if isinstance(raised[1], asyncio.CancelledError):
            raised[1].__traceback__ = None  # the engine's frames refer to the request
        try:
            await self._timeout.__aexit__(*raised)
        except TimeoutError:
            raise (transport.reason or self._error)() from None

    def _error(self) -> RemoteClientError:
        return self._late(self._call, self._transport.target)

    def end(self) -> None:
        """Let it expire now."""
        with contextlib.suppress(RuntimeError):  # it is ending anyway
            self._timeout.reschedule(self._transport.loop.time())


class _HttpxStream(ByteStream):
    """See `ByteStream`. A task sends the request at once; the reader does everything else."""

    def __init__(self, transport: HttpxTransport, call: Call, body: bytes, answered: Answered | None) -> None:
        self._transport = transport
        self._call = call
        self._head: asyncio.Future[Any] = transport.own(transport.send(call, body, "text/event-stream", answered))
        self._until = None if call.total_timeout is None else transport.loop.time() + call.total_timeout
        self._reader = EventReader(transport.limit)
        self._events: deque[tuple[bytes, bytes]] = deque()
        self._last = b""
        self._answer: Any | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._waiting: _Limit | None = None
        self._closing: asyncio.Task[None] | None = None
        self._over = False
        self._failure: RemoteClientError | None = None
        # For a stream without a reader: a reader observes the time limit itself.
        self._expiry = None if self._until is None else transport.loop.call_at(self._until, self._expire)

    def _expire(self) -> None:
        if self._waiting is None:
            reason = self._transport.reason
            self.cancel(total_exceeded(self._call, self._transport.target) if reason is None else reason())

    async def read(self) -> bytes | None:
        try:
            if not self._over and not self._events and self._failure is None:
                await self._fill()
            if not self._events:
                if self._failure is not None:
                    self._fail()
                self.cancel()
                return None
            name, data = self._events.popleft()
            if name == b"error":
                failure = event_error(data, self._call, self._transport.target)
                add_metadata(failure, self._call, metadata_in(headers_in(self._answer)))
                raise failure
        except BaseException:
            self.cancel()
            raise
        return data

    async def _fill(self) -> None:
        """Read until the next event, or the end."""
        call, transport = self._call, self._transport
        try:
            async with _Limit(transport, call, *self._until_next()) as self._waiting:
                while not self._events:
                    if self._reader.too_large:
                        raise too_large(transport.limit, call, transport.target)
                    if self._chunks is None:
                        self._chunks = await self._begin()
                    chunk = await anext(self._chunks, None)
                    if chunk is None:
                        self._finish()
                        return
                    self._take(chunk)
        except transport.library.failures as error:
            if self._over:
                return  # ended by another task meanwhile
            if isinstance(error, RemoteClientError):
                raise
            self._failure = self._truncated(error)
        finally:
            self._waiting = None

    def _fail(self) -> NoReturn:
        failure, self._failure = self._failure, None
        assert failure is not None
        try:
            raise failure
        finally:
            del failure  # no reference leads from an exception back to it

    def _take(self, chunk: bytes) -> None:
        found = self._reader.feed(chunk)
        if found:
            self._last = found[-1][1]
            self._events.extend(event for event in found if event[0] in (b"message", b"error"))

    def _until_next(self) -> tuple[float | None, Callable[[Call, str], DeadlineExceededError]]:
        """Return the deadline for the next event, and the error of a missed one."""
        timeout, until = self._call.timeout, self._until
        next_one = None if timeout is None else self._transport.loop.time() + timeout
        if until is not None and (next_one is None or until < next_one):
            return until, total_exceeded
        return next_one, deadline_exceeded

    async def _begin(self) -> AsyncIterator[bytes]:
        await asyncio.wait((self._head,))
        head, self._head = self._head, self._transport.nothing
        call, target = self._call, self._transport.target
        if head.cancelled():
            raise (self._transport.reason or (lambda: invalid_response("it was given up", call, target)))()
        try:
            answer: Any = head.result()
            self._answer = answer
        finally:
            del head
        return _chunks(answer)

    async def until_head(self) -> None:
        async with _Limit(self._transport, self._call, *self._until_next()):
            if self._chunks is None and not self._over:
                self._chunks = await self._begin()

    def _finish(self) -> None:
        """Check that the body is complete, which only its framing shows."""
        assert self._answer is not None
        framed = _is_framed(headers_in(self._answer))
        if self._reader.pending:
            raise self._truncated(None, "the stream ended in the middle of an event")
        if not framed and not says_it_is_last(self._last):
            raise self._truncated(None, UNFRAMED)
        if self._call.answer is not None:
            self._call.answer.end(tuple)

    def _truncated(self, error: Exception | None, details: str = LOST_WITHIN) -> RemoteClientError:
        transport = self._transport
        truncated = StreamTruncatedError(details, method=self._call.method, target=transport.target)
        if error is not None:
            failure = transport.failure(self._call, error)
            if transport.reason is not None or not isinstance(failure, UnavailableError):
                return failure
            truncated.__cause__ = failure.__cause__
        return truncated

    def cancel(self, failure: RemoteClientError | None = None) -> None:
        if self._over:
            return
        self._over = True
        self._failure = failure
        if self._expiry is not None:
            self._expiry.cancel()
        self._events.clear()
        self._transport.forget(self)
        if self._waiting is not None:
            self._waiting.end()
        self._head.cancel()
        self._closing = self._transport.own(self._close())

    async def _close(self) -> None:
        await asyncio.wait((self._head,))
        if self._answer is None and not self._head.cancelled() and self._head.exception() is None:
            self._answer = self._head.result()
        if self._answer is not None:
            await self._answer.aclose()

    async def aclose(self) -> None:
        self.cancel()
        if self._closing is not None:
            await asyncio.wait((self._closing,))


def headers_in(answer: Any) -> dict[bytes, bytes]:
    """Return response headers by their names in lower case."""
    return {name.lower(): value for name, value in answer.headers.raw}


def _is_framed(headers: dict[bytes, bytes]) -> bool:
    return b"chunked" in headers.get(b"transfer-encoding", b"") or b"content-length" in headers


def _chunks(answer: Any) -> AsyncIterator[bytes]:
    if not isinstance(answer.stream, AsyncIterable):
        raise ConfigurationError("transport: it answers with a blocking stream; give one for asyncio")
    return aiter(answer.stream)
