"""A gateway in front of an HTTP server: routes below its prefix lead there without it, and others nowhere."""

from __future__ import annotations

import asyncio

from .http_server import Request, read_head
from .proxy import Proxy


class Gateway(Proxy):
    """Passes requests on whose path begins with `prefix`, and takes that off; an async context manager.

    Attributes:
        requests: what came in, as it came.
    """

    def __init__(self, port: int, prefix: str) -> None:
        super().__init__(port)
        self.prefix = prefix
        self.requests: list[Request] = []

    @property
    def target(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while request := await read_head(source):
                self.requests.append(request)
                if not request.target.startswith(f"{self.prefix}/"):
                    break  # and the client meets a connection that ends without an answer
                lines = [f"{request.method} {request.target.removeprefix(self.prefix)} HTTP/1.1"]
                lines += [f"{name}: {value}" for name, value in request.headers]
                body = await source.readexactly(int(request.header("content-length") or 0))
                sink.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
                await sink.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(sink)
            sink.close()
