"""A relay that answers as HTTP/1.0 does: without chunks, and with a connection for each request."""

from __future__ import annotations

import asyncio
import re

from .http_server import Request, read_body, read_head
from .proxy import Proxy

_REFUSAL = b"HTTP/1.0 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\n\r\nHTTP/1 is all there is here.\n"


class OldRelay(Proxy):
    """Passes requests of HTTP/1 on and refuses others; an async context manager."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            request = await read_head(reader)
            if request is not None and request.version.startswith("HTTP/1."):
                request.body = await read_body(reader, request)
                await self._answer(request, writer)
            else:
                writer.write(_REFUSAL)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            lines = [f"{request.method} {request.target} HTTP/1.0", *(": ".join(pair) for pair in request.headers)]
            back.write("\r\n".join([*lines, "", ""]).encode("latin-1") + request.body)
            head = await there.readuntil(b"\r\n\r\n")
            writer.write(re.sub(rb"(?i)transfer-encoding: chunked\r\n", b"", head).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            if b"chunked" in head:
                while size := int(await there.readuntil(b"\r\n"), 16):
                    writer.write((await there.readexactly(size + 2))[:-2])
                    await writer.drain()
            else:
                writer.write(await there.read())
            await writer.drain()
        finally:
            back.close()
