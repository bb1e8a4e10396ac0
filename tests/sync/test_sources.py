"""The blocking client closes a streamed input in the thread that read it, and its threads share a stream's end."""

from __future__ import annotations

import contextvars
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from remote_client.errors import ClosedError, DeadlineExceededError, FailedPreconditionError
from remote_client.sync import wrapped
from tests.support.http_wire import HttpWire, events, http_module
from tests.support.wire import WireServer, raw_module

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="outside")
FLOOD = [bytes(1 << 20)] * 64
"""More than the network takes of a server that reads nothing."""


@pytest.fixture
def module(wire: WireServer) -> Iterator[Any]:
    with wrapped(raw_module(wire.info())) as module:
        yield module


class Source:
    def __init__(self, first: bytes) -> None:
        self._first = first
        self.closed = threading.Event()
        self.seen: list[tuple[threading.Thread, str]] = []

    def __call__(self) -> Iterator[bytes]:
        where.set("reader")
        self.seen.append((threading.current_thread(), where.get()))
        try:
            yield self._first
            yield from FLOOD
        finally:
            self.seen.append((threading.current_thread(), where.get()))
            self.closed.set()


def end_by_break(module: Any, items: Any) -> None:
    for _ in module.chat(items):
        break


def end_by_close(module: Any, items: Any) -> None:
    with module.chat(items) as stream:
        next(stream)


def end_by_error(module: Any, items: Any) -> None:
    with pytest.raises(FailedPreconditionError):
        module.sum(items)


def end_by_stream_error(module: Any, items: Any) -> None:
    with pytest.raises(FailedPreconditionError):
        list(module.chat(items))


def end_by_deadline(module: Any, items: Any) -> None:
    with pytest.raises(DeadlineExceededError):
        module.with_options(timeout=0.3).sum(items)


@pytest.mark.parametrize(
    ("end", "first"),
    [
        (end_by_break, b"1"),
        (end_by_close, b"1"),
        (end_by_error, b"fail"),
        (end_by_stream_error, b"fail"),
        (end_by_deadline, b"hang"),
    ],
)
def test_a_source_is_closed_by_the_thread_that_read_it(
    module: Any, end: Callable[[Any, Any], None], first: bytes
) -> None:
    source = Source(first)
    items = source()
    end(module, items)
    if end is not end_by_break:
        assert source.closed.is_set()
    assert source.closed.wait(10)
    assert source.seen[0] == source.seen[1]
    assert source.seen[0][1] == "reader"


@pytest.mark.parametrize("kind", ["grpc", "bidi"])
def test_threads_that_share_a_stream_all_see_its_end(module: Any, kind: str) -> None:
    stream = module.chat([b"1"] * 50) if kind == "bidi" else module.count(n=50)
    with ThreadPoolExecutor(4) as pool:
        read = [pool.submit(list, stream) for _ in range(4)]
        assert sum(len(each.result(20)) for each in read) == 50


def test_threads_that_share_a_stream_over_http_all_see_its_end() -> None:
    with HttpWire() as server, wrapped(http_module(server.info())) as module, ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            stream = module.script_stream(steps=events(*map(str, range(50))))
            read = [pool.submit(list, stream) for _ in range(4)]
            assert sum(len(each.result(20)) for each in read) == 50


def test_after_ctrl_c_the_stream_is_closed_not_over(module: Any, interruptible: None) -> None:
    stream = module.count(n=1, hang=True)
    next(stream)
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    with pytest.raises(ClosedError, match="broken off"):
        next(stream)
