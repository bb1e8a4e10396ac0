"""A forward proxy for tests, run as `python -m tests.support.forward_server <JSON of options>`.

It opens tunnels (CONNECT) and passes requests on whose target is a URL. It chooses its port, tells it in one line of
JSON, answers commands on its standard input, and ends when that closes. See `forward_proxy` for the other end.

Options: `identity`, `host`, `port`, `tls` (`key`, `cert`), `credentials` (`user:password` that clients must show),
`names` (host name -> the address that it is here: `[host, port]`).

Faults, for new connections:
    answer: what is sent instead of the answer to CONNECT, as latin-1, once or (a list) one for each CONNECT; "" says
        nothing at all, for ever.
    then: "close", "reset" or "hold": what follows `answer`; without it "hold" after nothing, and "close".
    joined: the answer to CONNECT is sent together with the first bytes of the server.
    delay: seconds before CONNECT is answered.
    before: what is sent before the answer to CONNECT, as latin-1.
    split: the answer to CONNECT is sent byte by byte.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import struct
import sys
from typing import Any
from urllib.parse import urlsplit

from .obey import obey

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n"
REFUSED = (
    b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="p"\r\ncontent-length: 0\r\n\r\n'
)
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"


class State:
    """What was seen, and which faults are on."""

    def __init__(self) -> None:
        self.open = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.reset()

    def reset(self) -> None:
        self.accepts = 0
        self.tunnels: list[str] = []
        """The targets of CONNECT."""
        self.requests: list[str] = []
        """The request lines of the requests that were passed on."""
        self.authorizations: list[str | None] = []
        """What each CONNECT and request showed."""
        self.faults: dict[str, Any] = {}

    def stats(self) -> dict[str, Any]:
        if self.faults.pop("cut", False):
            for writer in self.writers:
                writer.transport.abort()
        shown = ("accepts", "open", "tunnels", "requests", "authorizations")
        return {name: getattr(self, name) for name in shown}


class Server:
    """The proxy."""

    def __init__(self, wish: dict[str, Any]) -> None:
        self.state = State()
        self._names: dict[str, list[Any]] = wish.get("names", {})
        given = wish.get("credentials")
        self._wanted = None if given is None else f"Basic {base64.b64encode(given.encode()).decode()}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = self.state
        state.accepts += 1
        state.open += 1
        state.writers.add(writer)
        try:
            with contextlib.suppress(OSError, EOFError, ssl.SSLError):
                await self._serve(reader, writer)
        finally:
            state.open -= 1
            state.writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(1)
        if head == b"\x16":  # TLS
            writer.write(BAD_REQUEST)
            return
        head += await reader.readuntil(b"\r\n\r\n")
        line, headers = _parsed(head)
        shown = headers.get("proxy-authorization")
        self.state.authorizations.append(shown)
        verb, target, _ = line.split(" ")
        if verb == "CONNECT":
            self.state.tunnels.append(target)
            await self._tunnel(target, shown, reader, writer)
        else:
            await self._pass_on(head, reader, writer)

    async def _tunnel(
        self, target: str, shown: str | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        faults = self.state.faults
        await asyncio.sleep(faults.get("delay", 0))
        answer = faults.get("answer")
        then = faults.get("then", "close" if answer else "hold")
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if answer is not None:
            await self._instead(answer, then, reader, writer)
            return
        if self._wanted not in (None, shown):
            writer.write(REFUSED)
            return
        try:
            there, back = await self._connect(target)
        except OSError:
            writer.write(BAD_GATEWAY)
            return
        first = await there.read(1 << 16) if faults.get("joined") else b""
        if faults.get("split"):
            for each in ESTABLISHED:
                writer.write(bytes([each]))
                await asyncio.sleep(0.001)
        else:
            writer.write(faults.get("before", "").encode("latin-1") + ESTABLISHED + first)
        await _both(_pump(reader, back), _pump(there, writer))

    async def _instead(
        self, answer: str, then: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(answer.encode("latin-1"))
        await writer.drain()
        if then == "hold":
            while await reader.read(1 << 16):
                pass
        if then == "reset":
            opened = writer.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _connect(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = target.rpartition(":")
        host, number = self._names.get(host, [host.strip("[]"), int(port)])
        there, back = await asyncio.open_connection(host, number)
        self.state.writers.add(back)
        return there, back

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on requests, all to the server of the first one, as long as the client sends some."""
        _, url, _ = _parsed(head)[0].split(" ")
        there, back = await self._connect(_server_of(url))
        answers = asyncio.create_task(_pump(there, writer))
        try:
            while True:
                line, headers = _parsed(head)
                if self._wanted not in (None, headers.get("proxy-authorization")):
                    writer.write(REFUSED)
                    return
                self.state.requests.append(line)
                back.write(_rewritten(head) + await reader.readexactly(int(headers.get("content-length", 0))))
                await back.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                self.state.authorizations.append(_parsed(head)[1].get("proxy-authorization"))
        finally:
            back.transport.abort()
            answers.cancel()


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    """The request line, and the headers by their names in lower case."""
    line, *fields = head.decode("latin-1").split("\r\n")[:-2]
    return line, {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}


def _server_of(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http":
        raise OSError("not a URL of http")
    return parts.netloc if parts.port else f"{parts.netloc}:80"


def _rewritten(head: bytes) -> bytes:
    """The head of a request as its server wants it."""
    lines = head.split(b"\r\n")
    verb, url, version = lines[0].split(b" ")
    parts = urlsplit(url)
    target = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
    kept = [each for each in lines[1:] if not each.lower().startswith(b"proxy-")]
    return b"\r\n".join([b" ".join((verb, target, version)), *kept])


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _both(*ways: Any) -> None:
    tasks = [asyncio.create_task(each) for each in ways]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait(tasks, timeout=1)
    for task in tasks:
        task.cancel()


async def serve(wish: dict[str, Any]) -> None:
    server = Server(wish)
    context = None
    if "tls" in wish:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(wish["tls"]["cert"], wish["tls"]["key"])
    listening = await asyncio.start_server(
        server.accept, wish.get("host", "127.0.0.1"), wish.get("port", 0), ssl=context, limit=1 << 20, backlog=512
    )
    port = listening.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "identity": wish["identity"]}), flush=True)
    await obey(server.state)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
