"""A server for tests of the gRPC engine, in the test's own loop: strict (see `h2_model.Peer`), and told what to do.

What the client may not send is a violation, which ends the connection; the test's end complains about it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

from h2.exceptions import ProtocolError

from remote_client._transport.grpc.frames import GOAWAY, frame

from .h2_model import Peer, Received

PREFIX = 5


def message(data: bytes) -> bytes:
    """A message of gRPC."""
    return b"\0" + len(data).to_bytes(4) + data


class Connection(asyncio.Protocol):
    """One connection of a `StrictServer`.

    Attributes:
        number: which of the server's connections it is, from 0.
        peer: what it knows; None until it speaks.
        begun: when it was made.
        most: requests that were open at a time, at most.
        pings: when PINGs arrived.
    """

    transport: asyncio.Transport

    def __init__(self, server: StrictServer) -> None:
        self.server = server
        self.number = len(server.connections)
        server.connections.append(self)
        self.peer = Peer(**server.settings)
        self.pings: list[float] = []
        self.open = self.most = 0
        self._begun: set[int] = set()
        self._handled: set[int] = set()
        self._silent = server.greeting_delay > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.begun = asyncio.get_running_loop().time()
        if self._silent:
            asyncio.get_running_loop().call_later(self.server.greeting_delay, self._greet)
        else:
            self.flush()

    def _greet(self) -> None:
        self._silent = False
        self.flush()

    def data_received(self, data: bytes) -> None:
        pings = self.peer.asked
        try:
            self.peer.receive(data)
        except ProtocolError as error:
            self.server.violations.append(f"{type(error).__name__}: {error}")
            self.flush()
            self.transport.close()
            return
        self.pings += [asyncio.get_running_loop().time()] * (self.peer.asked - pings)
        if self.server.reads:
            for stream in list(self.peer.unread):
                self.peer.read(stream, 1 << 30)
        if self.peer.asked > pings:
            self.server.on_ping(self)
        for stream, request in self.peer.requests.items():
            if stream not in self._begun:
                self._begun.add(stream)
                self.server.requests.append((self, stream, request))
                self.most = max(self.most, sum(each.open for each in self.peer.requests.values()))
            if request.ended and request.open and stream not in self._handled:
                self._handled.add(stream)
                self.server.handler(self, stream, request)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.lost += 1

    # -- what handlers do ---------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if not self._silent and not self.transport.is_closing():
            self.transport.write(self.peer.data_to_send())

    def raw(self, data: bytes) -> None:
        """Send bytes of any kind, after what there is to say."""
        self.flush()
        self.transport.write(data)

    def echo(self, stream: int) -> None:
        """Answer a unary call with its own message."""
        self.peer.answer(stream, bytes(self.peer.requests[stream].body))
        self.flush()

    def goaway(self, last: int, code: int = 0, text: bytes = b"") -> None:
        self.raw(frame(GOAWAY, 0, 0, last.to_bytes(4) + code.to_bytes(4) + text))


Handler = Callable[[Connection, int, Received], Any]


class StrictServer:
    """An async context manager; each whole request is given to `handler`, which echoes it unless it is told otherwise.

    Attributes:
        greeting_delay: seconds until a connection's settings are sent.
        on_ping: called with the connection for each PING.
        reads: whether what arrives is acknowledged at once.
        connections, requests, violations: what was seen.
        lost: connections that are closed.
    """

    def __init__(self, handler: Handler | None = None, *, greeting_delay: float = 0, **settings: int) -> None:
        self.handler: Handler = handler or (lambda connection, stream, _: connection.echo(stream))
        self.greeting_delay = greeting_delay
        self.settings = settings
        self.on_ping: Callable[[Connection], None] = lambda _: None
        self.reads = True
        self.connections: list[Connection] = []
        self.requests: list[tuple[Connection, int, Received]] = []
        self.violations: list[str] = []
        self.lost = 0
        self.port = 0
        self.host = "127.0.0.1"

    def at(self, host: str) -> Self:
        self.host = host
        return self

    async def __aenter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        loop = asyncio.get_running_loop()
        if self.host.startswith(("/", "\0")):  # a unix socket's path, or an abstract one's name
            self._server = await loop.create_unix_server(lambda: Connection(self), self.host)
            return self
        self._server = await loop.create_server(lambda: Connection(self), self.host, 0, family=family)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()
        await asyncio.sleep(0)
        if kind is None:
            assert self.violations == []

    def stop(self) -> None:
        """Take no more connections, and end those there are."""
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()

    @property
    def bodies(self) -> list[bytes]:
        """The messages of the requests that came, in order."""
        return [bytes(request.body)[PREFIX:] for _, _, request in self.requests]
