"""An HTTP/1.1 server for the wire tests, run as `python -m tests.support.http_server <JSON of options>`.

It has no framework under it: tests decide about every byte, about when a connection ends and how, and learn at once
that a client went away. It chooses its port, tells it in one line of JSON, answers commands on its standard input (so
that watching it opens no connection), and ends when that closes. See `tests.support.http_wire` for the other end.

Options: `identity`, `host`, `port`, `tls` (`key`, `cert`, and `ca` to ask clients for a certificate), `faults`.

Faults: "METHOD /path" -> what happens instead of the route's own deed, or a list of such, one for each request, after
which the route is itself again (None in a list is the route itself). "ACCEPT" is done before a connection's first
request. "pace": see `Pace`. "only" is a list: all requests but those to /token are refused with 401 if their
`authorization` is not in it, which is repeated to them. A fault is an object of
    steps: a script, see `run_script`; without "keep" at its end the connection is closed.
    status, body, headers: a plain answer. A body that is no string is sent as JSON.
    delay: seconds before anything else; alone, the route's own deed follows.
    unread: true leaves the request's body unread: a server that answers early, or never takes what it is sent. A
        client that goes away while its body is stuck is not noticed then, and closing meets it with a reset.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import itertools
import json
import socket
import ssl
import struct
import sys
import traceback
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any, Literal

from .obey import obey
from .pace import Pace

FOREVER = 3600
BODY_SHOWN = 100_000
BLOCK = 1 << 20
SLICE = 1 << 16
READ_LIMIT = 1 << 20

Headers = Mapping[str, Any]
Ending = Literal["keep", "close", "reset"]
ENDINGS: tuple[Ending, ...] = ("keep", "close", "reset")


# -- the words of HTTP ------------------------------------------------------------------------------------------------


def head(status: int = 200, headers: Headers | None = None) -> bytes:
    """The status line and the headers, with the empty line. Headers that are None are left out."""
    lines = [f"HTTP/1.1 {status} {responses.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def plain_head(length: int, status: int = 200, headers: Headers | None = None) -> bytes:
    """The head of an answer of a known length. Like the runtime's, an error has no content type unless one is given."""
    given = {name.lower(): value for name, value in (headers or {}).items()}
    made: dict[str, Any] = {} if status >= 400 else {"content-type": "application/json"}
    if "transfer-encoding" not in given:
        made["content-length"] = length
    return head(status, made | given)


def plain(body: bytes, status: int = 200, headers: Headers | None = None) -> bytes:
    """A whole answer."""
    return plain_head(len(body), status, headers) + body


def event_head(headers: Headers | None = None, status: int = 200) -> bytes:
    """The head of a stream of events, in chunks."""
    made = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
    return head(status, made | {"transfer-encoding": "chunked"} | dict(headers or {}))


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = chunk(b"")


def event(data: str, name: str = "message") -> bytes:
    """A server-sent event as the runtime writes it."""
    return f"event: {name}\r\ndata: {data}\r\n\r\n".encode()


def as_json(value: Any) -> bytes:
    """JSON as the runtime writes it: letters as they are, floats that are no numbers too."""
    return json.dumps(value, ensure_ascii=False).encode()


def as_body(value: Any) -> bytes:
    """Text as it is, and anything else as JSON."""
    return value.encode() if isinstance(value, str) else as_json(value)


# -- requests ---------------------------------------------------------------------------------------------------------


@dataclass
class Request:
    """What a client sent; the body is read after the rest."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def key(self) -> str:
        return f"{self.method} {self.target.partition('?')[0]}"

    @property
    def keeps(self) -> bool:
        """Whether the client wants to use the connection again."""
        return self.version == "HTTP/1.1" and self.header("connection").lower() != "close"

    def header(self, name: str) -> str:
        return next((value for each, value in self.headers if each.lower() == name), "")

    def wish(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body or b"{}")
        return found

    def stats(self) -> dict[str, Any]:
        body = self.body[:BODY_SHOWN].decode("latin-1")
        return {"method": self.method, "path": self.target, "headers": self.headers, "body": body}


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """The next request without its body; None where the client sends no more. Words that are none are a ValueError."""
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = data[:-4].decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    pairs = [line.partition(":") for line in lines]
    return Request(method, target, version, [(name, value.strip()) for name, _, value in pairs])


async def read_body(reader: asyncio.StreamReader, request: Request) -> bytes:
    if request.header("transfer-encoding").lower() != "chunked":
        return await reader.readexactly(int(request.header("content-length") or 0))
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return b"".join(pieces)


# -- answers ----------------------------------------------------------------------------------------------------------


class Out:
    """What goes back to the client, and what becomes of the connection afterwards."""

    def __init__(self, writer: asyncio.StreamWriter, ending: Ending) -> None:
        self._writer = writer
        self.ending = ending
        self.begun = False
        self.told: dict[str, str] = {}
        """Headers that answers have besides."""

    async def write(self, data: bytes) -> None:
        """Returns when the system has taken all of it, or nearly all with TLS."""
        await self.flood(memoryview(data)[start : start + SLICE] for start in range(0, len(data), SLICE))

    async def flood(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Many pieces, with a look at everything else between them: they may all fit in the system's buffers.

        There is none after the last: an answer that is complete must never look as if its client had left before.
        """
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0)
            self.begun = True
            self._writer.write(piece)
            await self._writer.drain()

    async def answer(self, body: bytes, status: int = 200, headers: Headers | None = None) -> None:
        await self.write(plain(body, status, self.last_words | dict(headers or {})))

    @property
    def last_words(self) -> dict[str, str]:
        """The header that tells the client not to use the connection again, where it must not."""
        return self.told | ({} if self.ending == "keep" else {"connection": "close"})


# -- scripts ----------------------------------------------------------------------------------------------------------


async def run_script(steps: list[list[Any]], out: Out) -> None:
    """Does exactly what it is told. The steps, each a list of its name and

    send TEXT, send64 BASE64: bytes; texts are latin-1.
    repeat TEXT TIMES, repeat64 BASE64 TIMES: the same bytes over and over.
    sleep SECONDS
    drip TEXT SECONDS: byte by byte, with that pause between them.
    gzip SIZE [HEADERS]: that many letters x, packed; with a status line and headers where HEADERS is true.
    close, reset, keep: the end of the script, and of the connection (by a FIN, by a RST) unless it is `keep`.
    """
    out.ending = "close"
    for name, *rest in steps:
        if name in ENDINGS:
            out.ending = name
            return
        await _STEPS[name](out, *rest)


async def _send(out: Out, text: str) -> None:
    await out.write(text.encode("latin-1"))


async def _send64(out: Out, data: str) -> None:
    await out.write(base64.b64decode(data))


async def _repeat(out: Out, text: str, times: int) -> None:
    await out.flood(_repeated(text.encode("latin-1"), times))


async def _repeat64(out: Out, data: str, times: int) -> None:
    await out.flood(_repeated(base64.b64decode(data), times))


def _repeated(data: bytes, times: int) -> Iterator[bytes]:
    """In pieces of a good size."""
    at_once = max(1, SLICE // max(1, len(data)))
    for _ in range(times // at_once):
        yield data * at_once
    if times % at_once:
        yield data * (times % at_once)


async def _sleep(out: Out, seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _drip(out: Out, text: str, seconds: float) -> None:
    for number, byte in enumerate(text.encode("latin-1")):
        await asyncio.sleep(seconds if number else 0)
        await out.write(bytes((byte,)))


async def _gzip(out: Out, size: int, headers: bool = False) -> None:
    blocks, rest = divmod(size, BLOCK)
    block, last = _packed(BLOCK, zlib.Z_FULL_FLUSH), _packed(rest, zlib.Z_FINISH)
    if headers:
        length = 10 + blocks * len(block) + len(last) + 8
        coding = {"content-encoding": "gzip", "content-length": length}
        await out.write(head(200, {"content-type": "application/json"} | coding))
    await out.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")
    await out.flood(_blocks(block, last, blocks, rest))


@functools.cache
def _packed(size: int, flush: int) -> bytes:
    """Deflated letters; after a full flush they need nothing that came before, so that blocks can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(b"x" * size) + packer.flush(flush)


def _blocks(block: bytes, last: bytes, blocks: int, rest: int) -> Iterator[bytes]:
    """The deflated blocks, and the checksum that closes them."""
    letters, checksum = b"x" * BLOCK, 0
    for _ in range(blocks):
        checksum = zlib.crc32(letters, checksum)
        yield block
    checksum = zlib.crc32(letters[:rest], checksum)
    yield last + struct.pack("<II", checksum, (blocks * BLOCK + rest) & 0xFFFFFFFF)


_STEPS: dict[str, Callable[..., Awaitable[None]]] = {
    "send": _send,
    "send64": _send64,
    "repeat": _repeat,
    "repeat64": _repeat64,
    "sleep": _sleep,
    "drip": _drip,
    "gzip": _gzip,
}


# -- plain routes -----------------------------------------------------------------------------------------------------


async def echo(request: Request, out: Out) -> None:
    await out.answer(request.body)


async def sleep(request: Request, out: Out) -> None:
    await asyncio.sleep(request.wish()["seconds"])
    await out.answer(b'"slept"')


async def big(request: Request, out: Out) -> None:
    size = request.wish()["size"]
    begin = plain_head(size + 2, headers=out.last_words) + b'"'
    await out.flood(itertools.chain((begin,), _repeated(b"x", size), (b'"',)))


async def fail(request: Request, out: Out) -> None:
    wish = request.wish()
    await out.answer(as_body(wish.get("body", "")), wish["status"], wish.get("headers"))


async def count(request: Request, out: Out) -> None:
    """`count` (or `n`, as over gRPC) events, `delay` seconds between them, of `size` letters; then `hang` or `fail`."""
    wish = request.wish()
    text = "x" * wish.get("size", 0)
    await out.write(event_head(out.told))
    for number in range(wish.get("count", wish.get("n", 0))):
        await asyncio.sleep(wish.get("delay", 0) if number else 0)
        await out.write(chunk(event(json.dumps({"number": number, "text": text}))))
    if wish.get("hang"):
        await asyncio.sleep(FOREVER)
    if wish.get("fail"):
        error = {"details": "after the events", "code": wish["fail"], "id": "0" * 32}
        await out.write(chunk(event(json.dumps(error), "error")))
    await out.write(LAST_CHUNK)


async def silent(request: Request, out: Out) -> None:
    await out.write(event_head())
    await asyncio.sleep(FOREVER)


async def script(request: Request, out: Out) -> None:
    await run_script(request.wish()["steps"], out)


async def health(request: Request, out: Out) -> None:
    await out.answer(b"OK", headers={"content-type": "text/plain; charset=utf-8"})


# -- the part of a caikit runtime that it plays -----------------------------------------------------------------------


async def echo_task(request: Request, out: Out) -> None:
    wish = request.wish()
    await asyncio.sleep((wish.get("parameters") or {}).get("delay", 0))
    await out.answer(as_json({"text": wish["inputs"]}))


async def echo_task_stream(request: Request, out: Out) -> None:
    wish = request.wish()
    parameters = wish.get("parameters") or {}
    data = as_json({"text": wish["inputs"]}).decode()
    await out.write(event_head())
    for _ in range(parameters.get("count", 3)):
        await asyncio.sleep(parameters.get("delay", 0))
        await out.write(chunk(event(data)))
    await out.write(LAST_CHUNK)


def models(*names: str) -> dict[str, Any]:
    """What `/info/models` says about models of these names."""
    same = {"module_id": "m", "loaded": True, "size": 1, "metadata": {}, "model_path": ""}
    metadata = {"name": "Raw", "version": "1"}
    return {"models": [{"name": name, **same, "module_metadata": metadata} for name in names]}


VERSION = {"python_packages": {"caikit": "0.29.0"}, "runtime_version": "1.2.3", "runtime_image": ""}


def openapi() -> dict[str, Any]:
    """A document in the form of a runtime's, with one task: `EchoTask`, unary and with streamed answers."""
    answer = _object("caikit_data_model.test.EchoOutput", {"text": _field("string", "Text")}, "What came in.")
    delay = _field("number", "Delay")
    unary, stream = "EchoTaskRequest", "ServerStreamingEchoTaskRequest"
    parameters = {
        unary: {"delay": delay},
        stream: {"count": _field("integer", "Count"), "delay": delay},
    }
    schemas = {
        f"{name}Parameters": _object(f"caikit.http.EchoTask.{name}Parameters", fields)
        for name, fields in parameters.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Test", "description": "A server for tests.", "version": ""},
        "paths": {
            "/api/v1/task/echo": _task_route("echo", unary, answer),
            "/api/v1/task/server-streaming-echo": _task_route(
                "server_streaming_echo", stream, {"$ref": "#/components/schemas/EchoOutput"}
            ),
            "/info/version": _info_route("Get Version Dict", "get_version_dict_info_version_get"),
            "/info/models": _info_route(" Model Info", "_model_info_info_models_get"),
            "/health": _info_route(" Health Check", "_health_check_health_get", "text/plain", "string"),
        },
        "components": {"schemas": {"EchoOutput": answer, **schemas}},
    }


def _field(kind: str, title: str) -> dict[str, Any]:
    return {"type": kind, "title": title}


def _object(title: str, properties: dict[str, Any], description: str = "") -> dict[str, Any]:
    said = description or f"{title.rpartition('.')[2]}({', '.join(properties)})"
    made = {"properties": properties, "additionalProperties": False, "type": "object"}
    return made | {"title": title, "description": said}


def _task_route(name: str, request: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The route of one of the task's methods: its request is offered as a form and as JSON, its answer as JSON."""
    title = f"caikit.http.EchoTask.{request}HttpRequest"
    properties = {
        "inputs": _field("string", "Inputs"),
        "parameters": {"$ref": f"#/components/schemas/{request}Parameters", "title": title},
        "model_id": _field("string", "Model Id"),
    }
    body = _object(title, properties)
    form = {name: value for name, value in body.items() if name != "additionalProperties"}
    post = {
        "summary": " Handler",
        "description": "Says what it is told.",
        "operationId": f"_handler_api_v1_task_{name}_post",
        "requestBody": {
            "content": {"multipart/form-data": {"schema": form}, "application/json": {"schema": body}},
            "required": True,
        },
        "responses": _responses("application/json", answer),
    }
    return {"post": post}


def _info_route(summary: str, operation: str, media: str = "application/json", kind: str = "object") -> dict[str, Any]:
    return {"get": {"summary": summary, "operationId": operation, "responses": _responses(media, {"type": kind})}}


def _responses(media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "Successful Response", "content": {media: {"schema": schema}}}}


# -- which route does what --------------------------------------------------------------------------------------------

Route = Callable[[Request, Out], Coroutine[Any, Any, None]]


def document(value: Any) -> Route:
    """A route that always answers the same JSON."""
    body = as_body(value)

    async def route(request: Request, out: Out) -> None:
        await out.answer(body)

    return route


def routes(identity: str) -> dict[str, Route]:
    return {
        "POST /echo": echo,
        "POST /sleep": sleep,
        "POST /big": big,
        "POST /count": count,
        "POST /silent": silent,
        "POST /fail": fail,
        "POST /script": script,
        "POST /api/v1/task/echo": echo_task,
        "POST /api/v1/task/server-streaming-echo": echo_task_stream,
        "GET /health": health,
        "GET /identity": document(identity),
        "GET /openapi.json": document(openapi()),
        "GET /info/models": document(models("raw")),
        "GET /info/version": document(VERSION),
    }


class Counts:
    """What was seen since the last reset. Who began before that goes on counting in an object nobody looks at."""

    def __init__(self) -> None:
        self.accepts = 0
        self.peak = 0
        self.requests: Counter[str] = Counter()
        self.cancels: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.last: Request | None = None
        self.metadata: list[dict[str, str]] = []
        """The headers of the latest requests."""


class State:
    """The routes, what was seen, and which faults are on."""

    def __init__(self, wish: dict[str, Any]) -> None:
        self._routes = routes(wish["identity"])
        self._first_faults = wish.get("faults", {})
        self.running: Counter[str] = Counter()
        self.open = 0
        self.reset()

    def reset(self) -> None:
        self.counts = Counts()
        self.faults: dict[str, Any] = dict(self._first_faults)
        self.pace = Pace()

    def stats(self) -> dict[str, Any]:
        counts = self.counts
        return {
            "connections": counts.accepts,
            "open": self.open,
            "started": counts.requests,
            "running": +self.running,
            "cancelled": counts.cancels,
            "refused": counts.refused,
            "peak": counts.peak,
            "last": counts.last and counts.last.stats(),
            "metadata": counts.metadata[-20:],
        }

    def fault(self, key: str) -> dict[str, Any]:
        """What is wrong with this request; empty where nothing is."""
        found = self.faults.get(key)
        if isinstance(found, list):
            found, *rest = found or [None]
            self.faults[key] = rest
        return found or {}

    async def perform(self, request: Request, fault: dict[str, Any], out: Out) -> None:
        await asyncio.sleep(fault.get("delay", 0))
        sent = request.header("authorization")
        if self.faults.get("told"):
            out.told = {"x-head": "a, b", "x-trailer": f"t {sent}"}
        if request.key != "POST /token" and sent not in self.faults.get("only", [sent]):
            self.counts.refused[request.key] += 1
            await out.answer(as_json({"details": f"nobody knows {sent}"}), 401)
        elif (pace := self.faults.get("pace", {}).get(request.key)) and not await self.pace.take(pace):
            self.counts.refused[request.key] += 1
            await out.answer(b"", 429)
        elif "steps" in fault:
            await run_script(fault["steps"], out)
        elif "status" in fault or "body" in fault:
            await out.answer(as_body(fault.get("body", "")), fault.get("status", 200), fault.get("headers"))
        elif request.key in self._routes:
            await self._routes[request.key](request, out)
        else:
            known = any(each.endswith(request.key[len(request.method) :]) for each in self._routes)
            status = 405 if known else 404
            await out.answer(as_json({"detail": responses[status]}), status, {"content-type": "application/json"})

    @contextlib.contextmanager
    def counted(self, key: str) -> Iterator[None]:
        """Count a deed while it runs."""
        self.running[key] += 1
        self.counts.peak = max(self.counts.peak, self.running.total())
        try:
            yield
        finally:
            self.running[key] -= 1


# -- connections ------------------------------------------------------------------------------------------------------


class Watch(asyncio.StreamReaderProtocol):
    """Sees at once that the client is gone, also while nobody reads."""

    def __init__(self, state: State, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._state = state
        self.gone = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self._state.open += 1
        super().connection_made(transport)

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._state.open -= 1
        self.gone.set()
        super().connection_lost(error)


class Connection:
    """One client's connection: one request after the other."""

    def __init__(self, state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: Watch) -> None:
        self._state = state
        self._reader = reader
        self._writer = writer
        self._gone = watch.gone
        # `drain` waits until the system has all bytes. (1, not 0: at 0 a TLS transport never stops pausing.)
        writer.transport.set_write_buffer_limits(high=1)

    async def serve(self) -> None:
        # ConnectionError, IncompleteReadError: the client went away while it was reading, or sending.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            more = await self._greet()
            while more:
                more = await self._serve_one()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _greet(self) -> bool:
        """What the "ACCEPT" fault says is done before the first request."""
        fault = self._state.fault("ACCEPT")
        if not fault:
            return True
        out = Out(self._writer, "keep")
        await asyncio.sleep(fault.get("delay", 0))
        return await self._watched("ACCEPT", run_script(fault.get("steps", [["keep"]]), out), out)

    async def _serve_one(self) -> bool:
        """Answer the next request; whether another may follow."""
        try:
            request = await read_head(self._reader)
            if request is None:
                return False
            counts = self._state.counts
            counts.requests[request.key] += 1
            fault = self._state.fault(request.key)
            if not fault.get("unread"):
                request.body = await read_body(self._reader, request)
        except (ValueError, asyncio.LimitOverrunError) as error:
            await Out(self._writer, "close").answer(as_json({"detail": repr(error)}), 400)
            return False
        counts.last = request
        counts.metadata.append({name.lower(): value for name, value in request.headers})
        out = Out(self._writer, "keep" if request.keeps else "close")
        return await self._watched(request.key, self._state.perform(request, fault, out), out)

    async def _watched(self, key: str, deed: Coroutine[Any, Any, None], out: Out) -> bool:
        """Do it, and stop at once when the client goes away; whether the connection can be used again."""
        counts = self._state.counts
        task, gone = asyncio.create_task(deed), asyncio.create_task(self._gone.wait())
        with self._state.counted(key):
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            task.cancel()
            await asyncio.wait((task, gone))
            if task.cancelled() or isinstance(task.exception(), ConnectionError):
                counts.cancels[key] += 1
                self._writer.transport.abort()
                return False
        if (error := task.exception()) is not None:
            await self._excuse(error, out)
        return self._goes_on(out)

    async def _excuse(self, error: BaseException, out: Out) -> None:
        """A wish that makes no sense is told to who made it."""
        if out.begun:
            traceback.print_exception(error)
            out.ending = "close"
        else:
            await out.answer(as_json({"details": repr(error), "code": 500, "id": "0" * 32}), 500)

    def _goes_on(self, out: Out) -> bool:
        if out.ending == "reset":
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        return out.ending == "keep"


class Listener:
    """Takes connections. asyncio's own server would not show those whose TLS handshake fails."""

    def __init__(self, state: State, wish: dict[str, Any]) -> None:
        self._state = state
        self._tls = _tls_context(wish["tls"]) if "tls" in wish else None
        self._tasks: set[asyncio.Task[None]] = set()
        address = wish.get("host", "127.0.0.1"), wish.get("port", 0)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.create_server(address, family=family, backlog=1024)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    async def run(self) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(self._socket)
            # asyncio does this for its own listeners; without it every second small write waits for 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._state.counts.accepts += 1
            task = asyncio.create_task(self._take(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(READ_LIMIT)
        watch = Watch(self._state, reader)
        limits = {"ssl_handshake_timeout": 10.0, "ssl_shutdown_timeout": 1.0} if self._tls else {}
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: watch, connection, ssl=self._tls, **limits)
        except OSError:
            return  # the handshake failed
        writer = asyncio.StreamWriter(transport, watch, reader, loop)
        await Connection(self._state, reader, writer, watch).serve()


def _tls_context(files: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["cert"], files["key"])
    context.set_alpn_protocols(["http/1.1"])
    if "ca" in files:
        context.load_verify_locations(files["ca"])
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(wish: dict[str, Any]) -> None:
    state = State(wish)
    listener = Listener(state, wish)
    print(json.dumps({"port": listener.port, "identity": wish["identity"]}), flush=True)
    await asyncio.gather(listener.run(), obey(state))


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
