"""A small ASGI application on uvicorn or hypercorn: the plain routes of `tests.support.http_server`.

Run as `python -m <this> <JSON of options>`: `server` is `uvicorn` or `hypercorn`, `keep_alive` the seconds after which
an idle connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.support.http_server import as_body, event
from tests.support.obey import obey

FOREVER = 3600
SLICE = 1 << 16
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Answer = AsyncIterator[bytes]


class State:
    """What was seen. See `obey.Obedient`."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        self.requests: Counter[str] = Counter()
        self.cancels: Counter[str] = Counter()
        self.peers: set[Any] = set()
        self.last: dict[str, Any] = {}
        self.faults: dict[str, Any] = {}

    def stats(self) -> dict[str, Any]:
        counts = {"started": self.requests, "cancelled": self.cancels, "running": +self.running}
        return {**counts, "open": 0, "connections": len(self.peers), "last": self.last}


class Application:
    """The application; it notices who goes away."""

    def __init__(self, state: State, identity: str) -> None:
        self._state = state
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        key = f"{scope['method']} {scope['path']}"
        state = self._state
        if key != "GET /identity":
            state.requests[key] += 1
            state.peers.add(tuple(scope["client"]))
        body = await self._body(receive)
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        state.last = {"path": scope["path"], "headers": headers, "body": body[:1000].decode("latin-1")}
        state.running[key] += 1
        task = asyncio.ensure_future(self._answer(key, body, send))
        gone = asyncio.ensure_future(self._gone(receive))
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            state.cancels[key] += not task.done()
        finally:
            for each in (task, gone):
                each.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)
            state.running[key] -= 1
        with contextlib.suppress(asyncio.CancelledError):
            task.result()

    async def _live(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def _body(self, receive: Receive) -> bytes:
        pieces, more = [], True
        while more:
            message = await receive()
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _answer(self, key: str, body: bytes, send: Send) -> None:
        wish = json.loads(body) if key in WISHES else {}
        status, kind = wish.get("status", 200), "application/json"
        length: int | None = None
        if key == "GET /identity":
            answer = _pieces(self._identity.encode())
        elif key == "POST /echo":
            answer, length = _pieces(body), len(body)
        elif key == "POST /big":
            answer = _pieces(b'"' + b"x" * wish["size"] + b'"')
        elif key == "POST /file":
            answer, kind, length = _pieces(body), "application/octet-stream", len(body)
        elif key == "POST /fail":
            told = as_body(wish.get("body", ""))
            answer, length = _pieces(told), len(told)
        elif key == "POST /sleep":
            await asyncio.sleep(wish["seconds"])
            answer = _pieces(b'"slept"')
        elif key in ("POST /count", "POST /silent"):
            answer, kind = _events(wish, silent=key == "POST /silent"), "text/event-stream; charset=utf-8"
        else:
            status, answer = 404, _pieces(b'{"details": "not here", "code": 404, "id": "0"}')
        headers = [(b"content-type", kind.encode())]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        headers += [(name.encode(), str(value).encode()) for name, value in wish.get("headers", {}).items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        async for piece in answer:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


WISHES = ("POST /big", "POST /fail", "POST /sleep", "POST /count")


async def _pieces(data: bytes) -> Answer:
    for start in range(0, len(data), SLICE):
        yield data[start : start + SLICE]


async def _events(wish: dict[str, Any], silent: bool) -> Answer:
    """As the route `count` of `http_server`; or a head and nothing more."""
    if silent:
        yield b""
        await asyncio.sleep(FOREVER)
    text = "x" * wish.get("size", 0)
    for number in range(wish.get("count", wish.get("n", 0))):
        await asyncio.sleep(wish.get("delay", 0) if number else 0)
        yield event(json.dumps({"number": number, "text": text}))
    if wish.get("hang"):
        await asyncio.sleep(FOREVER)
    if wish.get("fail"):
        yield event(json.dumps({"details": "after the events", "code": wish["fail"], "id": "0" * 32}), "error")


async def _serve_uvicorn(application: Any, listener: socket.socket, keep_alive: int) -> None:
    import uvicorn

    config = uvicorn.Config(application, log_level="error", http="httptools", timeout_keep_alive=keep_alive)
    await uvicorn.Server(config).serve(sockets=[listener])


async def _serve_hypercorn(application: Any, listener: socket.socket, keep_alive: int) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    config.keep_alive_timeout = keep_alive
    config.loglevel = "ERROR"
    await serve(application, config)


async def main(wish: dict[str, Any]) -> None:
    state = State()
    # With its protocol named asyncio sets TCP_NODELAY on what it accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", wish.get("port", 0)))
    listener.listen(1024)
    port = listener.getsockname()[1]
    application = Application(state, wish["identity"])
    serve = {"uvicorn": _serve_uvicorn, "hypercorn": _serve_hypercorn}[wish["server"]]
    print(json.dumps({"port": port, "identity": wish["identity"]}), flush=True)
    await asyncio.gather(serve(application, listener, wish.get("keep_alive", 5)), obey(state))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
