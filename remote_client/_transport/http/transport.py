"""HTTP over this package's own connections: requests, responses and server-sent events."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from ..._objects.content import Body
from ...errors import RemoteClientError
from ...settings import ConnectionInfo
from ..call import Answered, ByteStream, Call, Transport
from ..metadata import RawMetadata
from ..net.proxy import Route
from .exchange import HttpExchange, UnaryExchange
from .http1 import encode_head
from .pool import Pool
from .requests import content_type, headers_of, host_of, quoted, split_path, whole
from .stream import EventStream

MAX_KEPT_HEADS = 64
"""Request heads that a transport caches."""


class HttpTransport(Transport):
    """The connections to one server, opened when calls need them. See `Transport`."""

    def __init__(self, connection: ConnectionInfo) -> None:
        super().__init__(connection.target)
        self.limit = response_limit(connection)
        self.route = Route.to(connection, "http")
        self.pool = Pool(self.route)
        self._host = host_of(connection)
        self._user_agent = connection.user_agent
        # A proxy that forwards requests expects the whole URL, and its credentials in every request.
        proxy = None if self.route.is_tunnel else self.route.proxy
        self._prefix = ("" if proxy is None else f"http://{self._host}") + connection.base_path
        self._credentials = () if proxy is None else proxy.metadata
        self._running: set[HttpExchange] = set()
        """Calls that are not over, and streams that were not read to their end."""
        self._heads: dict[tuple[str, RawMetadata, str, str | None], bytes] = {}

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        # The head contains secrets: it stays out of variables, which tools show in tracebacks.
        call = self._with_credentials(call)
        exchange = UnaryExchange(self, call, *self._request(call, whole(body), "application/json"), answered)
        self._start(exchange)
        try:
            await exchange.done
            return exchange.result()
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        finally:
            del exchange  # else a traceback keeps it, and with it the response

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        call = self._with_credentials(call)
        exchange = EventStream(self, call, *self._request(call, whole(body), "text/event-stream"), answered)
        self._start(exchange)
        return exchange

    def _with_credentials(self, call: Call) -> Call:
        """Return the call with the proxy's credentials among its metadata, which errors never repeat."""
        return replace(call, metadata=(*call.metadata, *self._credentials)) if self._credentials else call

    def _start(self, exchange: HttpExchange) -> None:
        self._running.add(exchange)
        self.pool.submit(exchange)

    def forget(self, exchange: HttpExchange) -> None:
        """Drop a call whose caller left."""
        self._running.discard(exchange)

    def _request(self, call: Call, body: bytes, accept: str) -> tuple[bytes, bytes]:
        """Return the head and the body of a request."""
        if self.reason is not None:
            raise self.reason()
        kind = content_type(body)
        key = (call.path, call.metadata, accept, kind)
        head = self._heads.get(key)
        if head is None:
            verb, target, body = split_path(call.path, body)
            head = self._make_head(verb, target, call.metadata, accept, kind if body else None)
            if verb != "POST" and not isinstance(body, Body):
                return head + self._id(call) + b"\r\n", b""
            if kind in (None, "application/json"):
                if len(self._heads) >= MAX_KEPT_HEADS:
                    self._heads.clear()  # of metadata that changes with every call
                self._heads[key] = head
        return b"%b%bcontent-length: %d\r\n\r\n" % (head, self._id(call), len(body)), body

    @staticmethod
    def _id(call: Call) -> bytes:
        return b"x-request-id: %b\r\n" % call.request_id.encode() if call.sends_id else b""

    def _make_head(self, verb: str, target: str, metadata: RawMetadata, accept: str, kind: str | None) -> bytes:
        headers = [("host", self._host), *headers_of(metadata, accept, kind, self._user_agent).items()]
        return encode_head(verb, self._prefix + quoted(target), headers)

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self.reason is None:
            self.reason = reason
            for exchange in list(self._running):
                exchange.give_up(reason())
            self._running.clear()
            self.deadlines.close()
        await self.pool.aclose()


def response_limit(connection: ConnectionInfo) -> int:
    """Return the largest response in bytes that is accepted."""
    return sys.maxsize if connection.max_response_size is None else connection.max_response_size
