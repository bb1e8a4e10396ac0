"""The same fixed answers by servers in Python, for machines without a C compiler.

`python -m benchmarks.python_server N`: N processes share two ports: one connection is one process's.
They are busy before the client is, so that most of what they serve looks cheaper for the client than it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from .answers import Answer

Table = dict[str, list[Answer]]
OPTIONS = (("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", -1))


def read_table() -> Table:
    """The table, as the server in C reads it."""
    table: Table = {}
    (count,) = _numbers(1)
    for _ in range(count):
        key = _bytes().decode()
        (length,) = _numbers(1)
        request = None if length < 0 else sys.stdin.buffer.read(length)
        times, pause = _numbers(2)
        table.setdefault(key, []).append(Answer(key, _bytes(), request, times, pause))
    return table


def _numbers(count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}i", sys.stdin.buffer.read(4 * count))


def _bytes() -> bytes:
    return sys.stdin.buffer.read(*_numbers(1))


def grpc_handlers(table: Table) -> list[Any]:
    """Every call is taken as a dialogue, which all kinds are on the wire."""
    services: dict[str, dict[str, Any]] = {}
    for path, answers in table.items():
        if path.startswith("/"):
            _, service, method = path.split("/")
            services.setdefault(service, {})[method] = grpc.stream_stream_rpc_method_handler(_talk(answers))
    return [grpc.method_handlers_generic_handler(*each) for each in services.items()]


def _talk(answers: list[Answer]) -> Any:
    async def talk(requests: AsyncIterator[bytes], context: Any) -> None:
        async for request in requests:
            answer = next(each for each in answers if each.request in (None, request))
            for _ in range(answer.times):
                if answer.pause:
                    await asyncio.sleep(answer.pause / 1e6)
                await context.write(answer.data)

    return talk


class Http:
    """HTTP/1.1 with kept connections."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = head.partition("content-length:")[2].partition("\r\n")[0]
                await reader.readexactly(int(length or 0))
                verb, path, _ = head.split(" ", 2)
                writer.write(self._table[f"{verb.upper()} {path.partition('?')[0]}"][0].data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def listener() -> socket.socket:
    """A port of the system's choice, that other processes can have as well."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", 0))
    return made


async def serve(table: Table, grpc_port: int, http_port: int) -> None:
    """Serve both protocols for ever."""
    server = grpc.aio.server(handlers=grpc_handlers(table), options=OPTIONS)
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    web = await asyncio.start_server(Http(table).talk, "127.0.0.1", http_port, reuse_port=True, limit=1 << 20)
    await web.serve_forever()


def main() -> None:
    """Start the processes, tell the ports, and end them when the input ends."""
    table = read_table()
    held = [listener(), listener()]  # never listened on: they keep the ports for the processes
    ports = [each.getsockname()[1] for each in held]
    children = []
    for _ in range(int(sys.argv[1])):
        child = os.fork()  # before gRPC is used
        if child == 0:
            asyncio.run(serve(table, *ports))
        children.append(child)
    for port in ports:
        _await(port)
    print(*ports, 0, flush=True)
    sys.stdin.buffer.read()
    for child in children:
        os.kill(child, signal.SIGKILL)


def _await(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            continue


if __name__ == "__main__":
    main()
