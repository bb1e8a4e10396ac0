"""HTTP over aiohttp: requests, answers and server-sent events, bytes in and bytes out.

httpx's own pool is slow under concurrency and leaks its slots when calls are cancelled (encode/httpcore#1093), so the
engine is aiohttp; any httpx transport can take its place. Time limits are this file's own, one for a
whole call: an engine's limits count from byte to byte, and a slow drip would never meet them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import sys
import time
import warnings
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from email.message import Message
from functools import lru_cache, partial
from typing import Any, NoReturn, Self

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from pydantic_core import from_json

from .._body import Body
from ..errors import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidResponseError,
    RemoteCallError,
    RemoteClientError,
    ResponseTooLargeError,
    StreamTruncatedError,
    TlsError,
    UnavailableError,
    UnsupportedError,
    because,
    causes,
    clean,
    http_error_class,
    redacted,
)
from ..settings import ConnectionInfo, ConnectionTlsInfo
from .base import MAX_RESPONSE_SIZE, ByteStream, Call, RawMetadata, Transport
from .events import EventReader
from .retry import retry_after

MAX_CONNECTIONS = 1000
"""Connections to one server at once; further calls wait for a free one, inside their time limit."""
MAX_ERROR_SIZE = 64 * 1024
"""Bytes that are read of an answer that reports an error."""

MAX_KEPT_HEADERS = 64
"""Sets of headers a connection keeps made."""
_SLICE = 256 * 1024
"""Bytes of a body that are written at once."""

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, UnicodeError)
"""What an engine raises where a call did not work; UnicodeError of a host name that can be none."""
_kept: ContextVar[_Protocol | None] = ContextVar("kept", default=None)
"""The connection that the request being sent got, if it was used before."""


class HttpTransport(Transport):
    """Connections to one server. See `Transport`.

    Args:
        connection: the server.
        engine: an httpx transport to use, which is left open at the end; without it a pool of its own is opened.
    """

    def __init__(self, connection: ConnectionInfo, engine: httpx.AsyncBaseTransport | None = None) -> None:
        super().__init__()
        self.target = connection.target
        limit = int(connection.options.get("grpc.max_receive_message_length", MAX_RESPONSE_SIZE))
        self.limit = limit if limit >= 0 else sys.maxsize  # as gRPC reads it
        self.reason: Callable[[], RemoteClientError] | None = None
        self._base = f"http{'s' if connection.tls.enabled else ''}://{connection.target}"
        self._shared = engine is not None
        self._engine = engine or _Engine(connection)
        self._routes: dict[str, tuple[str, httpx.URL, str]] = {}
        self._kept: dict[tuple[RawMetadata, str, str | None], Mapping[str, str]] = {}
        self.limits: set[_Limit] = set()
        self._streams: set[_EventStream] = set()
        self.nothing: asyncio.Future[None] = self.loop.create_future()
        """What a stream waits for that has its head."""
        self.nothing.set_result(None)

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes]) -> bytes:
        until = None if call.timeout is None else self.loop.time() + call.timeout
        async with _Limit(self, call, until, f"no answer within {call.timeout} seconds"):
            answer = await self.send(call, _whole(body), "application/json")
            try:
                headers = answer.headers
                data = await self._read(call, answer)
            finally:
                await answer.aclose()
        disposition = headers.get(b"content-disposition")
        if disposition is None:
            return data
        kind = headers.get(b"content-type", b"application/octet-stream")
        return Body(data, kind.decode("latin-1"), _filename(disposition.decode("latin-1")))

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes]) -> ByteStream:
        stream = _EventStream(self, call, _whole(body))
        self._streams.add(stream)
        return stream

    def forget(self, stream: _EventStream) -> None:
        """A stream is over."""
        self._streams.discard(stream)

    async def send(self, call: Call, body: bytes, accept: str) -> _Answer:
        """Send a request; the answer's head, if it is a success."""
        if self.reason is not None:
            raise self.reason()
        _kept.set(None)
        try:
            answer = await self._head(call, body, accept)
        except _FAILURES as error:
            failure = self.failure(call, error)
        else:
            try:
                await self._check(call, answer)
            except BaseException:
                await answer.aclose()
                raise
            return answer
        try:
            raise failure
        finally:
            del failure  # no reference leads from an exception back to it

    async def _head(self, call: Call, body: bytes, accept: str) -> _Answer:
        try:
            return await self._exchange(call, body, accept)
        except _FAILURES as error:
            # A server may end a kept connection just when a request is on its way.
            if not (call.idempotent and _was_dropped(error)):
                raise
        return await self._exchange(call, body, accept)

    async def _exchange(self, call: Call, body: bytes, accept: str) -> _Answer:
        verb, url, shown = self._route(call.path)
        if body and verb != "POST":  # its arguments are the query
            url, body = url.copy_with(query=body), b""
            shown = str(url)
        # The runtime refuses any other form of its type, a charset included.
        kind = body.content_type if isinstance(body, Body) else "application/json" if body else None
        headers = self._headers(call.metadata, accept, kind)
        content: bytes | _Slices = body
        if len(body) > _SLICE:
            headers, content = {**headers, "content-length": str(len(body))}, _Slices(body)
        if isinstance(self._engine, _Engine):
            return await self._engine.exchange(verb, shown, headers, content)
        request = httpx.Request(verb, url, headers=headers, content=content)
        return _answer_of(await self._engine.handle_async_request(request))

    def _route(self, path: str) -> tuple[str, httpx.URL, str]:
        route = self._routes.get(path)
        if route is None:
            verb, _, rest = path.partition(" ")
            url = httpx.URL(self._base + rest)
            route = self._routes[path] = (verb, url, str(url))
        return route

    def _headers(self, metadata: RawMetadata, accept: str, kind: str | None) -> Mapping[str, str]:
        """A request's headers; the latest are kept."""
        if kind is not None and kind != "application/json":
            return _made(metadata, accept, kind)
        key = (metadata, accept, kind)
        headers = self._kept.get(key)
        if headers is None:
            if len(self._kept) >= MAX_KEPT_HEADERS:
                self._kept.clear()  # of metadata that changes with each call
            headers = self._kept[key] = _made(metadata, accept, kind)
        return headers

    async def _check(self, call: Call, answer: _Answer) -> None:
        if not 200 <= answer.status < 300:
            error = await self._error_body(answer)
            raise self._problem(call, answer, error)
        if answer.headers.get(b"content-encoding", b"identity") != b"identity":
            raise self.broken(call, "it is compressed, though nothing but identity was accepted")

    def _problem(self, call: Call, answer: _Answer, body: bytes) -> RemoteCallError:
        failure = problem(answer.status, body, call, self.target)
        wait = answer.headers.get(b"retry-after")
        failure.pushback = retry_after(None if wait is None else wait.decode("latin-1"), time.time())
        return failure

    async def _error_body(self, answer: _Answer) -> bytes:
        held = bytearray()
        with contextlib.suppress(*_FAILURES):  # what there is of it
            async for chunk in answer.chunks:
                held += chunk[: MAX_ERROR_SIZE - len(held)]
                if len(held) >= MAX_ERROR_SIZE:
                    break
        return bytes(held)

    async def _read(self, call: Call, answer: _Answer) -> bytes:
        announced = answer.headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self.limit:
            raise self.too_large(call)
        held: list[bytes] = []
        size = 0
        try:
            async for chunk in answer.chunks:
                size += len(chunk)
                if size > self.limit:
                    raise self.too_large(call)
                held.append(chunk)
        except _FAILURES as error:
            failure = self.failure(call, error)
        else:
            return b"".join(held)
        try:
            raise failure
        finally:
            del failure

    def expired(self, call: Call, told: str) -> RemoteClientError:
        """What ended a limit."""
        if self.reason is not None:
            return self.reason()
        return DeadlineExceededError(told, method=call.path, target=self.target)

    def failure(self, call: Call, error: Exception) -> RemoteClientError:
        """The typed error for what the engine raised: by its cause, as the engine's own classes mislead."""
        if self.reason is not None:
            return self.reason()
        found = list(causes(error))
        kind: type[RemoteCallError] = UnavailableError
        if any(isinstance(each, (ssl.SSLError, aiohttp.ClientSSLError)) for each in found):
            kind = TlsError
        elif any(isinstance(each, aiohttp.ClientResponseError) for each in found):
            kind = InvalidResponseError
        elif isinstance(error, httpx.TimeoutException) and len(found) == 1:
            kind = DeadlineExceededError  # of an engine from outside, with limits of its own
        unsent = isinstance(error, httpx.ConnectError) or any(map(_is_unsent, found))
        told = next((str(each) for each in found if str(each)), type(found[-1]).__name__)
        failure = kind(redacted(told, call.metadata), method=call.path, target=self.target)
        failure.outcome_known = unsent
        error.__traceback__ = None  # aiohttp keeps the error, which would keep these frames, and they the call
        return because(failure, error, call.metadata)

    def broken(self, call: Call, why: str) -> InvalidResponseError:
        """An answer that is no answer."""
        return InvalidResponseError(
            f"the answer cannot be read: {redacted(why, call.metadata)}", method=call.path, target=self.target
        )

    def too_large(self, call: Call) -> ResponseTooLargeError:
        """An answer that is too large."""
        return ResponseTooLargeError(
            f"the answer is larger than {self.limit} bytes", method=call.path, target=self.target
        )

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
        if not self._shared:
            await self._engine.aclose()


class _Limit:
    """A time limit around a part of a call, which `HttpTransport.aclose` ends, too."""

    __slots__ = ("_call", "_timeout", "_told", "_transport")

    def __init__(self, transport: HttpTransport, call: Call, until: float | None, told: str) -> None:
        self._transport = transport
        self._call = call
        self._told = told
        self._timeout = asyncio.timeout_at(until)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._transport.limits.add(self)
        return self

    async def __aexit__(self, *raised: Any) -> None:
        self._transport.limits.discard(self)
        try:
            await self._timeout.__aexit__(*raised)
        except TimeoutError:
            raise self._transport.expired(self._call, self._told) from None

    def end(self) -> None:
        """Let it be over now."""
        with contextlib.suppress(RuntimeError):  # it is just ending by itself
            self._timeout.reschedule(self._transport.loop.time())


class _EventStream(ByteStream):
    """See `ByteStream`. The request is sent by a task, at once; everything else is done by whoever reads."""

    __slots__ = (
        "_answer",
        "_call",
        "_chunks",
        "_closing",
        "_events",
        "_expiry",
        "_failure",
        "_head",
        "_over",
        "_reader",
        "_transport",
        "_until",
        "_waiting",
    )

    def __init__(self, transport: HttpTransport, call: Call, body: bytes) -> None:
        self._transport = transport
        self._call = call
        self._head: asyncio.Future[Any] = transport.own(transport.send(call, body, "text/event-stream"))
        self._until = None if call.total_timeout is None else transport.loop.time() + call.total_timeout
        self._reader = EventReader(transport.limit)
        self._events: deque[tuple[bytes, bytes]] = deque()
        self._answer: _Answer | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._waiting: _Limit | None = None
        self._closing: asyncio.Task[None] | None = None
        self._over = False
        self._failure: RemoteClientError | None = None
        # Who reads has an eye on the time; this is for a stream that nobody reads.
        self._expiry = None if self._until is None else transport.loop.call_at(self._until, self._expire)

    def _expire(self) -> None:
        if self._waiting is None:
            self.cancel(self._transport.expired(self._call, self._until_next()[1]))

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
                raise problem(None, data, self._call, self._transport.target)
        except BaseException:
            self.cancel()
            raise
        return data

    async def _fill(self) -> None:
        """Read until there is an event, or no more."""
        call, transport = self._call, self._transport
        try:
            async with _Limit(transport, call, *self._until_next()) as self._waiting:
                while not self._events:
                    if self._reader.too_large:
                        raise transport.too_large(call)
                    if self._chunks is None:
                        self._chunks = await self._begin()
                    chunk = await anext(self._chunks, None)
                    if chunk is None:
                        self._finish()
                        return
                    self._take(chunk)
        except _FAILURES as error:
            if self._over:
                return  # ended by somebody else, while this one waited
            if isinstance(error, RemoteClientError):
                raise
            self._failure = self._truncated(error)
            if self._answer is not None:
                self._take(self._answer.held_back())  # the failure is raised once what came before is read
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
        self._events.extend(each for each in self._reader.feed(chunk) if each[0] in (b"message", b"error"))

    def _until_next(self) -> tuple[float | None, str]:
        """When the wait for the next event must be over: each event has its own time, all of them have the total."""
        timeout, until = self._call.timeout, self._until
        next_one = None if timeout is None else self._transport.loop.time() + timeout
        if until is not None and (next_one is None or until < next_one):
            return until, f"the stream was not over within {self._call.total_timeout} seconds"
        return next_one, f"no answer within {timeout} seconds"

    async def _begin(self) -> AsyncIterator[bytes]:
        await asyncio.wait((self._head,))
        head, self._head = self._head, self._transport.nothing
        if head.cancelled():
            raise self._transport.expired(self._call, "it was given up")
        try:
            answer: _Answer = head.result()
            self._answer = answer
        finally:
            del head
        kind = answer.headers.get(b"content-type", b"")
        if kind.partition(b";")[0].strip().lower() != b"text/event-stream":
            told = kind.decode("latin-1") or "without a type"
            raise self._transport.broken(self._call, f"it is {told}, not a stream of events")
        return answer.chunks

    def _finish(self) -> None:
        """The body is over. Only its framing tells a whole stream from one that was cut."""
        assert self._answer is not None
        headers = self._answer.headers
        framed = b"chunked" in headers.get(b"transfer-encoding", b"") or b"content-length" in headers
        if self._reader.pending or not framed:
            raise self._truncated(None)

    def _truncated(self, error: Exception | None) -> RemoteClientError:
        transport = self._transport
        truncated = StreamTruncatedError(
            "the connection was lost before the stream had ended", method=self._call.path, target=transport.target
        )
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


class _Slices(httpx.AsyncByteStream):
    """A large body, piece by piece: written at once it would hold up the loop, and aiohttp warns of that."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), _SLICE):
            yield self._body[start : start + _SLICE]


def problem(status: int | None, body: bytes, call: Call, target: str) -> RemoteCallError:
    """The typed error of an answer that reports one. Without a status the body tells it, as in an `error` event.

    The body is caikit's `{details, code, id, additional_info}`, FastAPI's `{detail}`, or any text.
    """
    try:
        # Each has an id of its own: kept, as short texts are by default, thousands of them would never be asked for.
        told = from_json(body, cache_strings="keys")
    except ValueError:
        told = None
    if not isinstance(told, Mapping):
        told = {"details": body.decode("utf-8", "replace")}
    told = redacted(told, call.metadata)
    if status is None:
        code = told.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
    info = told.get("additional_info")
    details = _paths(info) or _paths(told.get("detail")) or told.get("details") or told.get("detail")
    if 300 <= status < 400:
        details = "the server answered with a redirect, which is not followed: calls carry credentials"
    error_id = told.get("id")
    failure = http_error_class(status)(
        details if isinstance(details, str) else "",
        method=call.path,
        target=target,
        http_status=status,
        error_id=clean(error_id, 100) if isinstance(error_id, str) else None,
        additional_info=info,
    )
    failure.outcome_known = status not in (408, 499, 502, 503, 504)  # which a gateway answers, too
    return failure


def _paths(errors: Any) -> str:
    """What a validation of FastAPI's found: where, and what."""
    if not isinstance(errors, list):
        return ""
    told = [each for each in errors[:5] if isinstance(each, Mapping) and isinstance(each.get("loc"), list)]
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each.get('msg')}" for each in told)


def _made(metadata: RawMetadata, accept: str, kind: str | None) -> Mapping[str, str]:
    headers: dict[str, str] = {"accept": accept, "accept-encoding": "identity", "user-agent": "remote-client"}
    if kind is not None:
        headers["content-type"] = kind
    for name, value in metadata:
        headers[name] = value if isinstance(value, str) else base64.b64encode(value).decode()
    return headers


def _whole(body: bytes | AsyncIterator[bytes]) -> bytes:
    if not isinstance(body, bytes):
        raise UnsupportedError("HTTP has no streamed inputs; connect to the runtime's gRPC port")
    return body


def _filename(disposition: str) -> str | None:
    header = Message()
    header["content-disposition"] = disposition
    name = header.get_filename()
    return name or None


def _is_unsent(error: BaseException) -> bool:
    """Whether there was no connection to send anything on."""
    return isinstance(error, (aiohttp.ClientConnectorError, UnicodeError))


def _was_dropped(error: Exception) -> bool:
    """Whether a kept connection ended before any byte of an answer."""
    protocol = _kept.get()
    lost = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
    return protocol is not None and not protocol.heard and any(isinstance(each, lost) for each in causes(error))


class _Answer:
    """An answer, whose body is still to be read.

    Attributes:
        status: HTTP's.
        headers: by their names in lower case.
        chunks: the body; it may raise one of `_FAILURES`.
        aclose: gives the connection back, or ends it where the body was not read to its end.
    """

    __slots__ = ("_content", "aclose", "chunks", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        chunks: AsyncIterator[bytes],
        aclose: Callable[[], Awaitable[None]],
        content: Any = None,
    ) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.chunks = chunks
        self.aclose = aclose
        self._content = content

    def held_back(self) -> bytes:
        """What came before a cut and was not read: aiohttp's reader raises before it gives that."""
        try:
            data: bytes = self._content._read_nowait(-1)
        except Exception:  # of an engine from outside, or another version
            return b""
        return data


def _answer_of(response: httpx.Response) -> _Answer:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return _Answer(response.status_code, response.headers.raw, aiter(response.stream), response.aclose)


class _Protocol(ResponseHandler):
    """One connection. Knows whether anything was heard of an answer, and does not linger over unsent bytes."""

    used = False
    heard = False

    def data_received(self, data: bytes) -> None:
        self.heard = True
        super().data_received(data)

    def close(self) -> None:
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size():
            self.abort()  # closing would wait for a server that may never take them
        else:
            super().close()


class _Connector(aiohttp.TCPConnector):
    """Tells, in `_kept`, about a connection that was used before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = partial(_Protocol, loop=self._loop)

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        connection = await super().connect(*args, **kwargs)
        protocol: Any = connection.protocol
        while protocol.used and protocol.should_close:
            connection.close()  # it said something nobody asked for, which would be taken for the next answer
            connection = await super().connect(*args, **kwargs)
            protocol = connection.protocol
        _kept.set(protocol if protocol.used else None)
        protocol.used, protocol.heard = True, False
        return connection


class _Engine:
    """aiohttp, set up to do nothing by itself. As httpx's transport it would take half as long again."""

    def __init__(self, connection: ConnectionInfo) -> None:
        self.client = aiohttp.ClientSession(
            connector=_Connector(limit=MAX_CONNECTIONS, ssl=_context(connection.tls)),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(),  # limits are this file's
        )
        # Its own retry of GET and DELETE knows nothing of what must be sent once.
        self.client._retry_connection = False

    async def exchange(
        self, verb: str, url: str, headers: Mapping[str, str], body: bytes | AsyncIterable[bytes]
    ) -> _Answer:
        """Send a request, and wait for the answer's head."""
        response = await self.client.request(verb, url, headers=headers, data=body or None, allow_redirects=False)

        async def aclose() -> None:
            response.release()
            await response.wait_for_close()

        content = response.content
        return _Answer(response.status, response.raw_headers, content.iter_any(), aclose, content)

    async def aclose(self) -> None:
        """End all connections."""
        await self.client.close()


def _context(tls: ConnectionTlsInfo) -> ssl.SSLContext:
    """The context of a TLS setting. Making one takes 20 ms, so each is made once, until its files change."""
    if not tls.enabled:
        return _NO_TLS
    files = (tls.ca_file, tls.cert_file, tls.key_file)
    try:
        told = [os.stat(file) for file in files if file]
        # A file that was replaced may come with an old time.
        changed = tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in told)
        return _make_context(*files, tls.insecure_verify, changed)
    except (OSError, ValueError) as error:
        names = ", ".join(file for file in files if file)
        raise ConfigurationError(f"tls: {names}: cannot be used any more: {error}") from None


def _no_password() -> str:
    """Without it OpenSSL would ask for one on the terminal, and everything would wait."""
    raise ValueError("the key is encrypted")


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used, but without one the engine makes one for each connection."""


@lru_cache(maxsize=64)
def _make_context(
    ca_file: str | None,
    cert_file: str | None,
    key_file: str | None,
    insecure: bool,
    changed: tuple[tuple[int, ...], ...],
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if cert_file and key_file:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    if insecure:
        warnings.warn("tls.insecure_verify is set: anybody can pose as the server", stacklevel=2)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
