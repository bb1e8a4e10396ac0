"""A TCP proxy that makes connections slow, or cuts them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Proxy:
    """Passes bytes on to `port`; an async context manager.

    Attributes:
        delay: seconds before anything of a new connection is passed on.
        accepted: connections taken so far.
    """

    def __init__(self, port: int, *, delay: float = 0) -> None:
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.delay = delay
        self.accepted = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End all connections, without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        await asyncio.sleep(self.delay)
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for way, source, sink in ((self._forward, reader, back), (self._pass, there, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(way(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        await self._pass(source, sink)

    async def _write(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        sink.write(data)
        await sink.drain()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                await self._write(data, sink)
        except ConnectionError:
            pass
        finally:
            self._writers.discard(sink)
            sink.close()
