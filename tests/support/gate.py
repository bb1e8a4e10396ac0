"""A gate before a server, that shuts and opens again on the same port, or holds up what comes."""

from __future__ import annotations

import asyncio
from typing import Self
from weakref import WeakSet

from .proxy import Proxy


class Gate(Proxy):
    """Passes bytes on to `to`, and knows what was sent there; an async context manager.

    Attributes:
        to: the server's port; another one may take its place.
        sent: the bytes that came for the server.
    """

    def __init__(self, to: int) -> None:
        super().__init__(to)
        self.sent = bytearray()
        self._inward: WeakSet[asyncio.StreamWriter] = WeakSet()
        self._passing = asyncio.Event()
        self._passing.set()

    @property
    def to(self) -> int:
        return self._to

    @to.setter
    def to(self, port: int) -> None:
        self._to = port

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def shut(self) -> None:
        """Cut all connections and refuse new ones."""
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self) -> None:
        """Listen again."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def hold(self) -> None:
        """Pass nothing on; connections stay."""
        self._passing.clear()

    def release(self) -> None:
        """Pass on what was held up, and what comes."""
        self._passing.set()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self._inward.add(sink)
        await self._pass(source, sink)

    async def _write(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        if sink in self._inward:
            self.sent += data
        await self._passing.wait()
        await super()._write(data, sink)
