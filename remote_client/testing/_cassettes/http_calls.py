"""HTTP of cassettes: requests passed on to a server as they are, and requests answered from a file, as ASGI."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ..._transport.call import Call
from ..._transport.http.exchange import HttpExchange
from ..._transport.http.http1 import Head, encode_head
from ..._transport.http.requests import quoted
from ..._transport.http.transport import HttpTransport
from ...errors import RemoteClientError
from .differences import not_recorded
from .format import RecordedCall
from .matching import Shelf
from .secrets import Pairs
from .taking import PARTIAL, Taking, is_stream

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_OF_A_CONNECTION = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-length",
        "date",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers that are not passed on: they are those of one connection."""
_MOST_UNREAD = 16
"""Reads of a socket that wait for the client; then the server has to."""


def method_of(scope: Scope) -> str:
    """Return the verb and the route, with its query, of a request."""
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    return f"{scope['method']} {path}" + (f"?{query}" if query else "")


def headers_of(scope: Scope) -> Pairs:
    """Return the headers of a request, without those of its connection."""
    pairs = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    return tuple((name, value) for name, value in pairs if name not in _OF_A_CONNECTION)


async def body_of(receive: Receive) -> bytes | None:
    """Return the whole body of a request; None if its client left."""
    parts = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        parts.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(parts)


async def left(receive: Receive) -> None:
    """Wait until the client leaves, or its answer is complete."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_head(send: Send, status: int, headers: Pairs, length: int | None = None) -> None:
    """Begin an answer; of unknown length, if none is given."""
    kept = [(name, str(value)) for name, value in headers if name not in _OF_A_CONNECTION]
    if length is not None:
        kept.append(("content-length", str(length)))
    encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in kept]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def send_part(send: Send, data: bytes, *, more: bool) -> None:
    """Send a part of a body, the last one unless there is `more`."""
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def send_error(send: Send, status: int, details: str) -> None:
    """Answer with an error as caikit has them."""
    body = _error(status, details)
    await send_head(send, status, (("content-type", "application/json"),), len(body))
    await send_part(send, body, more=False)


def _error(status: int, details: str) -> bytes:
    return json.dumps({"details": details, "code": status, "id": None}).encode()


# -- answered from a file ---------------------------------------------------------------------------------------------


async def answer(shelf: Shelf, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request as it was when it was recorded."""
    body = await body_of(receive)
    if body is None:
        return
    playing = shelf.playing(method_of(scope), headers_of(scope))
    playing.receive(body)
    step = playing.receive(None)
    if step is None:
        await send_error(send, 412, not_recorded(shelf, playing))
    elif step.ended is not None:
        await _send_recorded(step.ended, send)


async def _send_recorded(call: RecordedCall, send: Send) -> None:
    parts = [each.data for each in call.answers]
    streams = is_stream(call.headers)
    await send_head(send, int(call.status), call.headers, None if streams else sum(map(len, parts)))
    for part in parts:
        await send_part(send, part, more=True)
    if not call.is_whole:
        await send_part(send, b"event: error\ndata: " + _error(500, PARTIAL) + b"\n\n", more=True)
    await send_part(send, b"", more=False)


# -- passed on --------------------------------------------------------------------------------------------------------


class RawExchange(HttpExchange):
    """A request whose answer is passed on as it comes, whatever it is."""

    __slots__ = ("_parts", "_woken")
    wanted = "an answer"

    def __init__(self, transport: RawTransport, call: Call, head: bytes, body: bytes) -> None:
        super().__init__(transport, call, head, body, None)
        self._parts: deque[bytes] = deque()
        self._woken = asyncio.Event()

    def on_head(self, head: Head) -> None:
        self._answer = head
        self._woken.set()

    def on_data(self, data: bytes) -> None:
        self._parts.append(data)
        self._woken.set()
        if len(self._parts) > _MOST_UNREAD and self.connection is not None:
            self.connection.pause_reading()

    def on_end(self) -> None:
        self.finish()

    def finish(self) -> None:
        super().finish()
        self.transport.forget(self)
        self._woken.set()

    async def answer(self) -> Head:
        """Return the head of the answer.

        Raises:
            RemoteCallError: the server could not be reached, or sent no HTTP.
        """
        while self._answer is None:
            self._raise_failure()
            await self._wait()
        return self._answer

    async def part(self) -> bytes | None:
        """Return the next part of the body, or None after the last one.

        Raises:
            RemoteCallError: the connection was lost.
        """
        while not self._parts:
            if self.over:
                self._raise_failure()
                return None
            await self._wait()
        return self._parts.popleft()

    async def _wait(self) -> None:
        self._woken.clear()
        if self.connection is not None:
            self.connection.resume_reading()
        await self._woken.wait()


class RawTransport(HttpTransport):
    """The connections to the server of a recorder, one for each request: none is reused that may be dead."""

    def send(self, verb: str, target: str, headers: Pairs, body: bytes) -> RawExchange:
        """Send a request with these headers."""
        sent = [("host", self._host), ("accept-encoding", "identity"), ("connection", "close")]
        sent += [(name, str(value)) for name, value in (*headers, *self._credentials)]
        if body or verb not in ("GET", "HEAD", "DELETE"):
            sent.append(("content-length", str(len(body))))
        head = encode_head(verb, self._prefix + quoted(target), sent) + b"\r\n"
        exchange = RawExchange(self, Call(f"{verb} {target}", timeout=None, idempotent=False), head, body)
        self._running.add(exchange)
        self.pool.submit(exchange, fresh=True)
        return exchange


async def pass_on(transport: RawTransport, taking: Taking, body: bytes, send: Send, keep: Callable[[], Any]) -> None:
    """Pass on a request and its answer.

    Args:
        transport: to the server.
        taking: notes what passes.
        body: the body of the request.
        send: ASGI's.
        keep: awaited before the end of the answer is passed on. Without an answer it is not called.
    """
    verb, _, target = taking.method.partition(" ")
    exchange = transport.send(verb, target, taking.metadata, body)
    try:
        head = await exchange.answer()
        taking.status = head.status
        taking.headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers.items()
        )
        await (_pass_stream if is_stream(taking.headers) else _pass_whole)(exchange, taking, send, keep)
    except RemoteClientError as error:
        if taking.status:  # its client learns that the connection was lost
            raise
        await send_error(send, 503, f"record: {error}")
    finally:
        exchange.cancel()


async def _pass_stream(exchange: RawExchange, taking: Taking, send: Send, keep: Callable[[], Any]) -> None:
    await send_head(send, int(taking.status), taking.headers)
    while (part := await exchange.part()) is not None:
        taking.came(part)
        await send_part(send, part, more=True)
    await keep()
    await send_part(send, b"", more=False)


async def _pass_whole(exchange: RawExchange, taking: Taking, send: Send, keep: Callable[[], Any]) -> None:
    parts = []
    while (part := await exchange.part()) is not None:
        parts.append(part)
    body = b"".join(parts)
    taking.came(body)
    await keep()
    await send_head(send, int(taking.status), taking.headers, len(body))
    await send_part(send, body, more=False)
