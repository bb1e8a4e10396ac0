"""HTTP over connections of our own: requests, answers and server-sent events, bytes in and bytes out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from ...errors import RemoteClientError
from ...settings import ConnectionInfo
from ..call import MAX_RESPONSE_SIZE, Answered, ByteStream, Call, RawMetadata, Transport
from ..deadlines import Deadlines
from ..net.proxy import Route
from .exchange import Exchange, UnaryExchange
from .http1 import encode_head
from .pool import Pool
from .requests import content_type, headers_of, host_of, quoted, split_path, whole
from .stream import EventStream

MAX_KEPT_HEADS = 64
"""Heads of requests that a transport keeps made."""


class HttpTransport(Transport):
    """Connections to one server, made when calls need them. See `Transport`.

    Args:
        connection: the server.
    """

    def __init__(self, connection: ConnectionInfo) -> None:
        super().__init__()
        self.target = connection.target
        self.limit = answer_limit(connection)
        self.deadlines = Deadlines(self.loop)
        self.route = Route.to(connection, "http")
        self.pool = Pool(self.route)
        self._host = host_of(connection)
        # A proxy that passes requests on wants the whole URL, and its credentials with each of them.
        proxy = None if self.route.is_tunnel else self.route.proxy
        self._prefix = ("" if proxy is None else f"http://{self._host}") + connection.base_path
        self._credentials = () if proxy is None else proxy.metadata
        self._running: set[Exchange] = set()
        """Calls that are not over, and streams that are not read to their end."""
        self._reason: Callable[[], RemoteClientError] | None = None
        self._heads: dict[tuple[str, RawMetadata, str, str | None], bytes] = {}

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        # The head has secrets: in no variable, as some tools show those of a traceback's frames.
        call = self._passed_on(call)
        exchange = UnaryExchange(self, call, *self._request(call, whole(body), "application/json"), answered)
        self._start(exchange)
        try:
            await exchange.done
            return exchange.result()
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        finally:
            del exchange  # a traceback would keep it, and it the answer

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        call = self._passed_on(call)
        exchange = EventStream(self, call, *self._request(call, whole(body), "text/event-stream"), answered)
        self._start(exchange)
        return exchange

    def _passed_on(self, call: Call) -> Call:
        """Return the call with what a proxy wants to see; errors then know it for a secret."""
        return replace(call, metadata=(*call.metadata, *self._credentials)) if self._credentials else call

    def _start(self, exchange: Exchange) -> None:
        self._running.add(exchange)
        self.pool.submit(exchange)

    def forget(self, exchange: Exchange) -> None:
        """Nobody waits for a call any more."""
        self._running.discard(exchange)

    def _request(self, call: Call, body: bytes, accept: str) -> tuple[bytes, bytes]:
        """Return the head and the body of a request."""
        if self._reason is not None:
            raise self._reason()
        kind = content_type(body)
        key = (call.path, call.metadata, accept, kind)
        head = self._heads.get(key)
        if head is None:
            verb, target, body = split_path(call.path, body)
            head = self._make_head(verb, target, call.metadata, accept, kind if body else None)
            if verb != "POST":
                return head + b"\r\n", b""
            if kind in (None, "application/json"):
                if len(self._heads) >= MAX_KEPT_HEADS:
                    self._heads.clear()  # of metadata that changes with each call
                self._heads[key] = head
        return head + b"content-length: %d\r\n\r\n" % len(body), body

    def _make_head(self, verb: str, target: str, metadata: RawMetadata, accept: str, kind: str | None) -> bytes:
        headers = [("host", self._host), *headers_of(metadata, accept, kind).items()]
        return encode_head(verb, self._prefix + quoted(target), headers)

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self._reason is None:
            self._reason = reason
            for exchange in list(self._running):
                exchange.cancel(reason())
            self.deadlines.close()
        await self.pool.aclose()


def answer_limit(connection: ConnectionInfo) -> int:
    """Return the bytes of the largest answer that is accepted, by gRPC's option for that: -1 for any."""
    limit = int(connection.options.get("grpc.max_receive_message_length", MAX_RESPONSE_SIZE))
    return limit if limit >= 0 else sys.maxsize
