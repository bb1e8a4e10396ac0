"""A gRPC server for the wire tests, run as `python -m tests.support.wire_server <JSON of options>`.

It chooses its port, tells it in one line of JSON, answers commands on its standard input (so that watching it opens
no connection), and ends when that closes. See `tests.support.wire` for the other end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from remote_client.testing._handlers import MAKERS

from .obey import obey
from .pace import Pace
from .proc import open_sockets
from .wire_health import Health
from .wire_reflection import reflect
from .wire_runtime import GetModelsInfo, GetRuntimeInfo, sample_handlers

Context = grpc.aio.ServicerContext
FOREVER = 3600


class State:
    """What was seen, and which faults are on."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.connections = 0
        self.reset()

    def reset(self) -> None:
        self.started: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.peers: set[str] = set()
        self.faults: dict[str, Any] = {}
        self.pace = Pace()
        self.metadata: list[dict[str, str]] = []
        """That of the latest calls."""

    def stats(self) -> dict[str, Any]:
        return {
            "started": self.started,
            "cancelled": self.cancelled,
            "refused": self.refused,
            "running": +self.running,
            "connections": len(self.peers),
            "open": open_sockets(),
            "metadata": self.metadata[-20:],
        }

    def track(self, name: str, handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Count the calls of a handler, and those that the client cancelled.

        The fault `refuse` (method -> statuses) fails the method's next calls, one for each status that is not None; the
        fault `only` refuses all whose `authorization` is not in it, and repeats it to them; `pace`: see `Pace`. With
        `told` all answers have metadata: `x-head` and `x-trailer`.
        """

        async def run(request: Any, context: Context) -> Any:
            self.started[name] += 1
            self.running[name] += 1
            self.peers.add(context.peer())
            try:
                metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
                self.metadata.append(metadata)
                sent = metadata.get("authorization")
                if self.faults.get("told"):
                    await context.send_initial_metadata((("x-head", "a"), ("x-head", "b"), ("x-data-bin", b"\0\1")))
                    context.set_trailing_metadata((("x-trailer", f"t {sent}"),))
                if "only" in self.faults and sent not in self.faults["only"]:
                    self.refused[name] += 1
                    await context.abort(grpc.StatusCode.UNAUTHENTICATED, f"nobody knows {sent}")
                if (refused := self.faults.get("refuse", {}).get(name)) and (status := refused.pop(0)):
                    await context.abort(grpc.StatusCode[status])
                if name in self.faults.get("pace", {}) and not await self.pace.take(self.faults["pace"][name]):
                    self.refused[name] += 1
                    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED)
                answer = await handler(request, context)
                # A cancel ends a streamed request like an ordinary end of it, and comes a moment later: whoever counts
                # cancels sets `lag`.
                if isinstance(request, AsyncIterator):
                    await asyncio.sleep(self.faults.get("lag", 0))
                return answer
            except asyncio.CancelledError:
                self.cancelled[name] += 1
                raise
            finally:
                self.running[name] -= 1

        return run


# -- plain calls, bytes in and out ------------------------------------------------------------------------------------


async def echo(request: bytes, context: Context) -> bytes:
    return request


async def sleep(request: bytes, context: Context) -> bytes:
    await asyncio.sleep(json.loads(request)["seconds"])
    return b"slept"


async def big(request: bytes, context: Context) -> bytes:
    wish = json.loads(request)
    await _compress(wish, context)
    return bytes(wish["size"])


async def _compress(wish: dict[str, Any], context: Context) -> None:
    if wish.get("gzip"):
        # grpc.aio's set_compression has no effect. https://github.com/grpc/grpc/issues/34690
        await context.send_initial_metadata((("grpc-internal-encoding-request", "gzip"),))


async def fail(request: bytes, context: Context) -> bytes:
    wish = json.loads(request)
    trailing = tuple(wish.get("trailing", {}).items())
    await context.abort(grpc.StatusCode[wish["code"]], wish.get("details", ""), trailing)
    raise AssertionError


async def count(request: bytes, context: Context) -> None:
    """`n` items, `delay` seconds before each, of `size` bytes; then hang or end."""
    wish = json.loads(request)
    await _compress(wish, context)
    for number in range(wish["n"]):
        if wish.get("delay"):
            await asyncio.sleep(wish["delay"])
        await context.write(b"%d" % number + bytes(wish.get("size", 0)))
    if wish.get("hang"):
        await asyncio.sleep(FOREVER)
    if wish.get("fail"):
        await context.abort(grpc.StatusCode[wish["fail"]], wish.get("details", "after the items"))


async def silent(request: bytes, context: Context) -> None:
    await asyncio.sleep(FOREVER)


async def total(requests: AsyncIterator[bytes], context: Context) -> bytes:
    """The sum of the items, or what an item orders."""
    found = 0
    async for item in requests:
        if await _order(item, context):
            break
        found += int(item)
    return b"%d" % found


async def chat(requests: AsyncIterator[bytes], context: Context) -> None:
    async for item in requests:
        if await _order(item, context):
            break
        for _ in range(20 if item == b"burst" else 1):
            await context.write(item)
        if item == b"burst":
            break


async def _order(item: bytes, context: Context) -> bool:
    if item == b"hang":
        await asyncio.sleep(FOREVER)
    if item == b"fail":
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as ordered")
    return item == b"stop"


PLAIN: dict[str, tuple[Any, tuple[bool, bool]]] = {
    "Echo": (echo, (False, False)),
    "Sleep": (sleep, (False, False)),
    "Big": (big, (False, False)),
    "Fail": (fail, (False, False)),
    "Count": (count, (False, True)),
    "Silent": (silent, (False, True)),
    "Sum": (total, (True, False)),
    "Chat": (chat, (True, True)),
}


def handlers(state: State, service: str, methods: dict[str, tuple[Any, tuple[bool, bool]]]) -> Any:
    made = {name: MAKERS[kind](state.track(name, handler)) for name, (handler, kind) in methods.items()}
    return grpc.method_handlers_generic_handler(service, made)


async def serve(wish: dict[str, Any]) -> None:
    state = State()
    options = {"grpc.max_send_message_length": -1, "grpc.max_receive_message_length": -1, "grpc.so_reuseport": 0}
    server = grpc.aio.server(options=list((options | wish.get("options", {})).items()))

    async def identity(request: bytes, context: Context) -> bytes:
        return str(wish["identity"]).encode()

    unary, bidi, health = (False, False), (True, True), Health(state)
    info = {"GetModelsInfo": (GetModelsInfo(state), unary), "GetRuntimeInfo": (GetRuntimeInfo(state), unary)}
    added = [
        handlers(
            state, "grpc.health.v1.Health", {"Check": (health.check, unary), "Watch": (health.watch, (False, True))}
        ),
        handlers(state, "test.Test", PLAIN),
        handlers(state, "test.Identity", {"Get": (identity, unary)}),
        handlers(state, "caikit.runtime.info.InfoService", info),
        handlers(state, "caikit.runtime.Test.TestService", sample_handlers(state)),
    ]
    for version in ("v1", "v1alpha"):
        reflection = {"ServerReflectionInfo": (reflect(state, version), bidi)}
        added.append(handlers(state, f"grpc.reflection.{version}.ServerReflection", reflection))
    server.add_generic_rpc_handlers(tuple(added))
    host = wish.get("host", "127.0.0.1")
    address = f"[{host}]:{wish.get('port', 0)}" if ":" in host else f"{host}:{wish.get('port', 0)}"
    port = server.add_secure_port(address, _credentials(wish)) if "tls" in wish else server.add_insecure_port(address)
    await server.start()
    print(json.dumps({"port": port, "identity": wish["identity"]}), flush=True)
    await obey(state)


def _credentials(wish: dict[str, Any]) -> grpc.ServerCredentials:
    key, cert = (Path(wish["tls"][name]).read_bytes() for name in ("key", "cert"))
    return grpc.ssl_server_credentials([(key, cert)])


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
