"""The methods of `asyncio_server` on grpcio's blocking server, where handlers run in threads."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from tests.interop.methods import ECHO_INITIAL, ECHO_TRAILING, KINDS, LARGE_ANSWER, LARGE_REQUEST, as_json
from tests.support.obey import obey
from tests.support.proc import open_sockets

FOREVER = 3600
WORKERS = 64


class GoneError(Exception):
    """The client does not want the answer any more."""


class Running:
    """A call that runs; it knows when the client gave it up."""

    def __init__(self, state: State, name: str, context: grpc.ServicerContext) -> None:
        self._state, self._name = state, name
        self._over = threading.Event()
        self.finished = False
        with state.lock:
            state.started[name] += 1
            state.running[name] += 1
            state.peers.add(context.peer())
        if not context.add_callback(self._end):
            self._end()

    @property
    def lag(self) -> float:
        """Seconds to wait at the end of a streamed request: whoever counts cancels sets it. See `wire_server`."""
        found: float = self._state.faults.get("lag", 0)
        return found

    def pause(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise GoneError

    def _end(self) -> None:
        with self._state.lock:
            self._state.running[self._name] -= 1
            self._state.cancelled[self._name] += not self.finished
        self._over.set()


class State:
    """What was seen. See `obey.Obedient`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        self.started: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.peers: set[str] = set()
        self.faults: dict[str, Any] = {}

    def stats(self) -> dict[str, Any]:
        with self.lock:
            counts = {"started": self.started, "cancelled": +self.cancelled, "running": +self.running}
            return {**counts, "connections": len(self.peers), "open": open_sockets()}

    def track(self, name: str, handler: Callable[..., Any], streams: bool) -> Callable[..., Any]:
        def unary(request: Any, context: grpc.ServicerContext) -> bytes:
            running = Running(self, name, context)
            try:
                answer: bytes = handler(request, context, running)
                return answer
            except GoneError:
                return b""
            finally:
                running.finished = context.is_active()

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            running = Running(self, name, context)
            try:
                yield from handler(request, context, running)
            except GoneError:
                return
            finally:
                running.finished = context.is_active()

        return stream if streams else unary


def echo(request: bytes, context: grpc.ServicerContext, running: Running) -> bytes:
    return request


def sleep(request: bytes, context: grpc.ServicerContext, running: Running) -> bytes:
    running.pause(json.loads(request)["seconds"])
    return b"slept"


def big(request: bytes, context: grpc.ServicerContext, running: Running) -> bytes:
    wish = json.loads(request)
    if wish.get("gzip"):
        context.set_compression(grpc.Compression.Gzip)
    return bytes(wish["size"])


def fail(request: bytes, context: grpc.ServicerContext, running: Running) -> bytes:
    wish = json.loads(request)
    context.set_trailing_metadata(tuple(wish.get("trailing", {}).items()))
    context.abort(grpc.StatusCode[wish["code"]], wish.get("details", ""))
    raise AssertionError


def count(request: bytes, context: grpc.ServicerContext, running: Running) -> Iterator[bytes]:
    wish = json.loads(request)
    for number in range(wish["n"]):
        running.pause(wish.get("delay", 0))
        yield b"%d" % number + bytes(wish.get("size", 0))
    if wish.get("hang"):
        running.pause(FOREVER)
    if wish.get("fail"):
        context.abort(grpc.StatusCode[wish["fail"]], wish.get("details", "after the items"))


def packed(request: bytes, context: grpc.ServicerContext, running: Running) -> Iterator[bytes]:
    context.set_compression(grpc.Compression.Gzip)
    return count(request, context, running)


def silent(request: bytes, context: grpc.ServicerContext, running: Running) -> Iterator[bytes]:
    running.pause(FOREVER)
    yield b""


def total(requests: Iterator[bytes], context: grpc.ServicerContext, running: Running) -> bytes:
    found = 0
    for item in _received(requests, running):
        if _order(item, context, running):
            break
        found += int(item)
    return b"%d" % found


def chat(requests: Iterator[bytes], context: grpc.ServicerContext, running: Running) -> Iterator[bytes]:
    for item in _received(requests, running):
        if _order(item, context, running):
            break
        yield from [item] * (20 if item == b"burst" else 1)
        if item == b"burst":
            break


def _received(requests: Iterator[bytes], running: Running) -> Iterator[bytes]:
    """grpcio's iterator raises a bare exception when the call was cancelled, or ends a moment before that is known."""
    try:
        yield from requests
    except Exception:
        raise GoneError from None
    running.pause(running.lag)


def _order(item: bytes, context: grpc.ServicerContext, running: Running) -> bool:
    if item == b"hang":
        running.pause(FOREVER)
    if item == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as ordered")
    return item == b"stop"


def large(request: bytes, context: grpc.ServicerContext, running: Running) -> bytes:
    assert len(request) == LARGE_REQUEST
    return bytes(LARGE_ANSWER)


def meta(request: bytes, context: grpc.ServicerContext, running: Running) -> bytes:
    pairs = [(key, value) for key, value in context.invocation_metadata()]
    context.send_initial_metadata(tuple(pair for pair in pairs if pair[0] == ECHO_INITIAL))
    context.set_trailing_metadata(tuple(pair for pair in pairs if pair[0] == ECHO_TRAILING))
    return as_json(pairs)


def left(request: bytes, context: grpc.ServicerContext, running: Running) -> bytes:
    return json.dumps(context.time_remaining()).encode()


_HANDLERS: dict[str, Callable[..., Any]] = {
    "Echo": echo,
    "Sleep": sleep,
    "Big": big,
    "Fail": fail,
    "Count": count,
    "Silent": silent,
    "Sum": total,
    "Chat": chat,
    "Large": large,
    "Meta": meta,
    "Packed": packed,
    "Left": left,
}
_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def main(wish: dict[str, Any]) -> None:
    state = State()
    test = {
        name: _MAKERS[KINDS[name]](state.track(name, handler, KINDS[name][1])) for name, handler in _HANDLERS.items()
    }
    identity = {"Get": grpc.unary_unary_rpc_method_handler(lambda request, context: wish["identity"].encode())}
    options = {"grpc.max_send_message_length": -1, "grpc.max_receive_message_length": -1, "grpc.so_reuseport": 0}
    server = grpc.server(ThreadPoolExecutor(WORKERS), options=list((options | wish.get("options", {})).items()))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    added = {"test.Test": test, "test.Identity": identity}
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, handlers) for name, handlers in added.items())
    )
    port = server.add_insecure_port(f"127.0.0.1:{wish.get('port', 0)}")
    server.start()
    print(json.dumps({"port": port, "identity": wish["identity"]}), flush=True)
    asyncio.run(obey(state))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
