"""How fast the server is by itself: requests made up before, over a plain socket, answers only counted."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator

from .. import library
from ..backend import HOST
from ..harness import Case
from ..worker import Bench
from .http import BODY

AT_ONCE = 256
HUGE = 2**31 - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Batches = Callable[[], Iterator[bytes]]
"""Makes what is sent: a connection's first words, and then batches of requests without end."""


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """The cheapest client there is, in Python: the server may be faster still."""
    h2, h1 = bench.backend.grpc_port, bench.backend.http_port
    grpc, stream = library.rpc("Tiny"), library.rpc("Tiny", "ServerStreaming")
    request, route = library.text_request("Tiny"), library.route("tiny")
    end, item = b"grpc-status", library.TINY["greeting"].encode()
    told: list[tuple[str, int, str, int, Batches, bytes]] = [
        ("grpc unary tiny", h2, "call", AT_ONCE, lambda: _http2(grpc, request, AT_ONCE), end),
        ("stream out tiny", h2, "item", library.ITEMS, lambda: _http2(stream, request, 1), item),
        ("http unary tiny", h1, "call", AT_ONCE, lambda: _http1(route, AT_ONCE), b"HTTP/1.1 200"),
    ]
    if not bench.backend.in_c:
        told = told[-1:]  # gRPC's own server wants more of a client; the floors of the other cases are what it can do
    for name, port, unit, step, batches, mark in told:
        yield Case(f"ceiling of {name}", {"a plain socket": _load(port, batches, mark, step)}, unit=unit, step=step)


def _load(port: int, batches: Batches, mark: bytes, at_once: int) -> Callable[[int], None]:
    """Sends a batch, waits for all its answers by counting `mark`, and sends the next."""

    def run(units: int) -> None:
        with socket.create_connection((HOST, port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made = batches()
            connection.sendall(next(made))
            for _ in range(units // at_once):
                connection.sendall(next(made))
                _await(connection, mark, at_once)

    return run


def _await(connection: socket.socket, mark: bytes, times: int) -> None:
    tail = b""
    while times > 0:
        data = connection.recv(1 << 20)
        if not data:
            raise ConnectionError("the server hung up")
        seen = tail + data
        times -= seen.count(mark)
        tail = seen[-len(mark) + 1 :]


def _http1(route: str, count: int) -> Iterator[bytes]:
    head = (
        f"POST {route} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    )
    yield b""
    while True:
        yield (head.encode() + BODY) * count


def _http2(path: str, message: bytes, count: int) -> Iterator[bytes]:
    """Calls with the headers a server needs, and windows so large that nothing ever waits."""
    settings = struct.pack(">HIHI", 1, 0, 4, HUGE)  # without a table, so that each answer has its marks in full
    yield PREFACE + _frame(4, 0, 0, settings) + _frame(8, 0, 0, struct.pack(">I", HUGE - 65535))
    block = b"\x83\x86\x04" + bytes((len(path),)) + path.encode()
    body = b"\0" + struct.pack(">I", len(message)) + message
    stream = 1
    while True:
        made = []
        for each in range(stream, stream + 2 * count, 2):
            made += [_frame(1, 4, each, block), _frame(0, 1, each, body)]
        stream += 2 * count
        yield b"".join(made)


def _frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    return struct.pack(">IBBI", len(data), kind, flags, stream)[1:] + data
