"""A server that speaks as much HTTP/2 as a test wants, for answers that no gRPC server would give."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Any, Self

from .http_server import Out, run_script

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *range(2),
    *range(3, 10),
)
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
LARGEST_FRAME = 16384
HEAD = ((":status", "200"), ("content-type", "application/grpc"))


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _string(text: str) -> bytes:
    """A string of HPACK: its length in seven bits and as many more bytes as it takes, then itself."""
    data = text.encode("latin-1")
    size, length = len(data), b""
    if size >= 127:
        length, size = b"\x7f", size - 127
        while size >= 128:
            length += bytes((size % 128 + 128,))
            size //= 128
    return length + bytes((size,)) + data


def block(*pairs: tuple[str, str]) -> bytes:
    """Headers in HPACK, none of them compressed or remembered."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in pairs)


def headers(*pairs: tuple[str, str], end: bool = False, stream: int = 1) -> bytes:
    """A block of headers in as many frames as it takes."""
    data = block(*pairs)
    pieces = [data[start : start + LARGEST_FRAME] for start in range(0, len(data), LARGEST_FRAME)] or [b""]
    made = []
    for number, piece in enumerate(pieces):
        flags = END_HEADERS * (piece is pieces[-1]) | END_STREAM * (end and not number)
        made.append(frame(CONTINUATION if number else HEADERS, piece, flags, stream))
    return b"".join(made)


def head(*more: tuple[str, str]) -> bytes:
    """The headers of a good answer, and more."""
    return headers(*HEAD, *more)


def trailers(status: str = "0", *more: tuple[str, str], stream: int = 1) -> bytes:
    return headers(("grpc-status", status), *more, end=True, stream=stream)


def message(data: bytes, *, packed: int = 0, length: int | None = None, stream: int = 1) -> bytes:
    """A gRPC message in a frame; its length may be a lie."""
    return frame(DATA, struct.pack(">BI", packed, len(data) if length is None else length) + data, stream=stream)


class Http2Server:
    """Runs scripts (see `http_server.run_script`) of bytes; an async context manager.

    Attributes:
        greeting: the script of a new connection; None for the settings that HTTP/2 begins with.
        steps: the script of each request, whose stream is the connection's first; None for a good answer.
    """

    def __init__(self, steps: list[Any] | None = None, greeting: list[Any] | None = None) -> None:
        self.steps = steps
        self.greeting = greeting
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.close()
        await self.behave()

    async def behave(self) -> None:
        """End all connections; whoever connects now gets good answers."""
        self.steps = self.greeting = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=1)
        self._start(self._serve(reader, writer))

    def _start(self, deed: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(deed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                if self.greeting is not None:
                    self._start(self._run(self.greeting, writer))
                    while await reader.read(1 << 16):
                        pass
                    return
                writer.write(frame(SETTINGS, stream=0))
                await reader.readexactly(PREFACE)
                while True:
                    await self._frame(reader, writer)
                    await asyncio.sleep(0)  # the client is in this loop, and must not wait for all answers to a flood
            finally:
                writer.transport.abort()

    async def _frame(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(3))
        kind, flags = await reader.readexactly(2)
        stream = int.from_bytes(await reader.readexactly(4))
        payload = await reader.readexactly(size)
        if kind == SETTINGS and not flags:
            writer.write(frame(SETTINGS, flags=1, stream=0))
        elif kind == PING and not flags:
            writer.write(frame(PING, payload, flags=1, stream=0))
        elif kind == HEADERS and self.steps is not None:
            self._start(self._run(self.steps, writer))
        elif kind == HEADERS:
            answer = headers(*HEAD, stream=stream) + message(b"well", stream=stream)
            writer.write(answer + trailers(stream=stream))

    async def _run(self, steps: list[Any], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            out = Out(writer, "close")
            await run_script(steps, out)
            if out.ending == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            elif out.ending == "close":
                writer.close()
