"""The parent's end of `http_server`: starting it, watching it, telling it what to send, and calling it by a module.

For example

    await http_wire.faults({"GET /health": {"status": 503, "body": "later"}})
    await http_wire.faults({"GET /info/models": [{"steps": [sleep(0.1), RESET]}, models("a", "b")]})
    await module.script(steps=[*answer("cut short", headers={"content-length": 100}), RESET])
    async for each in module.script_stream(steps=events("1", "2", end=False)): ...
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import time
from typing import Any

from remote_client._transport.manager import ConnectionManager
from remote_client.settings import CallOptions, ConnectionInfo, Protocol

from . import http_server
from .http_server import LAST_CHUNK, Headers, as_body, chunk, event, event_head, head, plain
from .wire import RawCodec, ServerProcess, module_of, raw_method

__all__ = [
    "CLOSE",
    "KEEP",
    "LAST_CHUNK",
    "RESET",
    "HttpWire",
    "Step",
    "answer",
    "chunk",
    "chunked",
    "drip",
    "event",
    "event_head",
    "events",
    "head",
    "http_module",
    "models",
    "packed",
    "repeat",
    "send",
    "sleep",
]

Step = list[Any]


class HttpWire(ServerProcess):
    """A running `http_server`; `tls` may name a `ca` too, whose certificates it then asks clients for."""

    module = "tests.support.http_server"
    protocol: Protocol = "http"

    def plain(self, connections: ConnectionManager | None = None, *, call_options: Any = None, **changes: Any) -> Any:
        """A module with the server's plain methods, such as WireServer's has; `changes` are to its settings."""
        return http_module(self.info(**changes), connections, options=call_options)

    @property
    def target(self) -> str:
        return f"{'https' if 'tls' in self._wish else 'http'}://{self.host}:{self.port}"

    def _ask_identity(self) -> bytes | None:
        if "ca" in self._wish.get("tls", {}):
            return None
        with contextlib.closing(self._connection()) as connection:
            connection.request("GET", "/identity")
            answer = connection.getresponse().read()
        # This was no test's request.
        while self.command("stats")["open"]:
            time.sleep(0.001)
        self.command("reset")
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if "tls" not in self._wish:
            return http.client.HTTPConnection(self.host, self.port, timeout=5)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=5, context=context)


# -- a module ---------------------------------------------------------------------------------------------------------


_METHODS = {
    "echo": ("POST /echo", False),
    "sleep": ("POST /sleep", False),
    "big": ("POST /big", False),
    "fail": ("POST /fail", False),
    "script": ("POST /script", False),
    "count": ("POST /count", True),
    "silent": ("POST /silent", True),
    "script_stream": ("POST /script", True),
}


def http_module(
    info: ConnectionInfo, connections: ConnectionManager | None = None, *, options: CallOptions | None = None
) -> Any:
    """A module with the HTTP server's plain methods; keyword arguments are sent as JSON."""
    codec = RawCodec()
    methods = [raw_method(name, path, (False, streams), codec) for name, (path, streams) in _METHODS.items()]
    return module_of(methods, info, "http", connections, options)


# -- scripts and faults -----------------------------------------------------------------------------------------------

CLOSE: Step = ["close"]
RESET: Step = ["reset"]
KEEP: Step = ["keep"]


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def send(data: str | bytes) -> Step:
    """Bytes, or a text as UTF-8."""
    return ["send64", base64.b64encode(_bytes(data)).decode()]


def repeat(data: str | bytes, times: int) -> Step:
    return ["repeat64", base64.b64encode(_bytes(data)).decode(), times]


def drip(data: str | bytes, seconds: float) -> Step:
    """Byte by byte, with that pause between them."""
    return ["drip", _bytes(data).decode("latin-1"), seconds]


def sleep(seconds: float) -> Step:
    return ["sleep", seconds]


def packed(size: int, *, headers: bool = True) -> Step:
    """So many letters x by gzip; with the status line and the headers, unless they are not wanted."""
    return ["gzip", size, headers]


def answer(body: Any = "", status: int = 200, headers: Headers | None = None) -> list[Step]:
    """A whole answer: bytes, text, or anything else as JSON. It has its length, unless `headers` give another one."""
    return [send(plain(body if isinstance(body, bytes) else as_body(body), status, headers))]


def chunked(*pieces: str | bytes, end: bool = True, headers: Headers | None = None) -> list[Step]:
    """The head of an event stream and a chunk for each piece; the last, empty chunk only where `end` is set."""
    chunks = b"".join(chunk(_bytes(each)) for each in pieces)
    return [send(event_head(headers) + chunks + (LAST_CHUNK if end else b""))]


def events(*data: str, end: bool = True, headers: Headers | None = None) -> list[Step]:
    """A stream of these messages, as the runtime writes them, a chunk for each."""
    return chunked(*(event(each) for each in data), end=end, headers=headers)


def models(*names: str) -> dict[str, Any]:
    """A fault for "GET /info/models": the runtime has these."""
    return {"body": http_server.models(*names)}
