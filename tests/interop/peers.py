"""The servers that the client must work with, by themselves and behind proxies, each started once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Self

from remote_client.settings import ConnectionInfo
from tests.support.http_wire import HttpWire
from tests.support.wire import ServerProcess, Stats, WireServer

from .proxies import PROXIES, Proxy


class AsyncioServer(WireServer):
    """grpcio's asyncio server."""

    module = "tests.interop.servers.asyncio_server"


class BlockingServer(WireServer):
    """grpcio's blocking server."""

    module = "tests.interop.servers.blocking_server"


class StrictServer(WireServer):
    """A server on the h2 library that lists what the client should not have sent."""

    module = "tests.interop.servers.strict_server"


class AsgiServer(HttpWire):
    """uvicorn or hypercorn, by `server`."""

    module = "tests.interop.servers.asgi_server"


class Uvicorn(AsgiServer):
    def __init__(self, **wish: Any) -> None:
        super().__init__(server="uvicorn", **wish)


class Hypercorn(AsgiServer):
    def __init__(self, **wish: Any) -> None:
        super().__init__(server="hypercorn", **wish)


GRPC_SERVERS: dict[str, type[WireServer]] = {
    "asyncio": AsyncioServer,
    "blocking": BlockingServer,
    "strict": StrictServer,
}
HTTP_SERVERS: dict[str, type[HttpWire]] = {"uvicorn": Uvicorn, "hypercorn": Hypercorn}


class Peer:
    """What a test calls, and what it asks about it: a server, or a proxy and the server behind it.

    Attributes:
        name: how the parameter is called.
        server: whose statistics tell of the calls.
        port: where the calls go to.
        proxy: the proxy, if there is one.
    """

    def __init__(self, name: str, server: ServerProcess, port: int, proxy: Proxy | None = None) -> None:
        self.name, self.server, self.port, self.proxy = name, server, port, proxy

    def info(self, **changes: Any) -> ConnectionInfo:
        return self.server.info(**{"hostname": "127.0.0.1", "port": self.port} | changes)

    async def faults(self, **faults: Any) -> None:
        await self.server.faults(faults)

    async def stats(self) -> Stats:
        return await self.server.stats()

    async def until(self, wanted: Callable[[Stats], bool], within: float = 5.0) -> Stats:
        return await self.server.until(wanted, within)

    def restart(self) -> None:
        """Start anew, at once, what the client is connected to."""
        running = self.proxy
        if running is None:
            self.server.__exit__()
            self.server.__enter__()
        else:
            running.stop()
            running.start()


class Peers:
    """All peers, each started when it is asked for the first time; a context manager."""

    def __init__(self, tls: Mapping[str, str]) -> None:
        self._tls = tls
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def grpc(self, name: str) -> Peer:
        """A gRPC server by its name, or the asyncio server behind a proxy."""
        if name in PROXIES:
            proxy = self.proxy(name)
            return Peer(name, proxy.server, proxy.ports["grpc"], proxy)
        server = self.server(name)
        return Peer(name, server, server.port)

    def http(self, name: str) -> Peer:
        """An HTTP server by its name, or the wire tests' server behind a proxy."""
        if name in PROXIES:
            proxy = self.proxy(name)
            return Peer(name, proxy.web, proxy.ports["http"], proxy)
        server = self.server(name)
        return Peer(name, server, server.port)

    def server(self, name: str) -> Any:
        return self._started(name, ({"wire": HttpWire} | GRPC_SERVERS | HTTP_SERVERS)[name])

    def proxy(self, name: str) -> Proxy:
        kind = PROXIES[name]
        proxy: Proxy = self._started(name, lambda: kind(self.server("asyncio"), self.server("wire"), self._tls))
        return proxy

    def _started(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._running:
            self._running[name] = self._stack.enter_context(make())
        return self._running[name]
