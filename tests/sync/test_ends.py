"""Whatever happens to a call in the loop's thread, the thread that waits for it is told."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from remote_client.errors import ClosedError, WrongLoopError
from remote_client.settings import CallOptions
from remote_client.sync import _loop_thread
from remote_client.sync._loop_thread import LoopThread, loop_thread, run
from remote_client.sync._modules import wrapped
from remote_client.sync._streams import RemoteStream

from ..support.wire import WireServer, raw_module

WITHIN = 10.0
"""Seconds that nothing here may take: who waits longer waits for ever."""
RAISED = [ZeroDivisionError, asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError]


class Broken(AsyncIterator[int]):
    """A stream of some items, which raises at its end or as it is closed."""

    def __init__(
        self,
        items: int = 0,
        ends: BaseException | None = None,
        closes: BaseException | None = None,
        *,
        slow: bool = False,
    ) -> None:
        self.closing = threading.Event()
        self._slow = slow
        self._left = items
        self._ends = ends
        self._closes = closes
        self.closed = 0

    async def __aenter__(self) -> Broken:
        return self

    async def __anext__(self) -> int:
        if self._left:
            self._left -= 1
            return self._left
        if self._ends is not None:
            raise self._ends
        await asyncio.Event().wait()
        raise AssertionError

    def _leave(self) -> None: ...

    async def aclose(self) -> None:
        self.closed += 1
        self.closing.set()
        await asyncio.sleep(0.1 if self._slow else 0)
        if self._closes is not None:
            raise self._closes


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    executor = ThreadPoolExecutor(8)
    yield executor
    executor.shutdown(wait=False)


@pytest.fixture
def module(wire: WireServer) -> Iterator[Any]:
    with wrapped(raw_module(wire.info())) as module:
        yield module


def held_up(deed: Callable[[], Any]) -> Any:
    """Do something while the loop is busy, so that it meets all of it at once."""
    thread, begun, go_on = loop_thread(), threading.Event(), threading.Event()

    def busy() -> None:
        begun.set()
        go_on.wait(WITHIN)

    thread.loop.call_soon_threadsafe(busy)
    begun.wait(WITHIN)
    try:
        return deed()
    finally:
        go_on.set()


@pytest.mark.parametrize("kind", RAISED)
def test_what_a_coroutine_raises(pool: ThreadPoolExecutor, kind: type[BaseException]) -> None:
    async def raises() -> None:
        await asyncio.sleep(0)
        raise kind("as told")

    error = pool.submit(run, raises).exception(WITHIN)
    assert isinstance(error, kind)
    assert error.args == ("as told",)
    assert pool.submit(run, asyncio.sleep, 0, "on").result(WITHIN) == "on"


@pytest.mark.parametrize("kind", [*RAISED, StopIteration])
def test_what_metadata_of_the_users_raises(
    wire: WireServer, pool: ThreadPoolExecutor, kind: type[BaseException]
) -> None:
    def raises() -> dict[str, str]:
        raise kind("as told")

    async def raises_in_the_loop() -> dict[str, str]:
        raise kind("as told")

    for source in (raises, raises_in_the_loop):
        with wrapped(raw_module(wire.info(), options=CallOptions(metadata=(source,)))) as module:
            for call in (lambda: module.echo(b""), lambda: next(module.count(n=1)), lambda: module.sum([b"1"])):
                assert pool.submit(call).exception(WITHIN) is not None


@pytest.mark.parametrize("kind", RAISED)
def test_what_a_stream_raises_at_its_end(pool: ThreadPoolExecutor, kind: type[BaseException]) -> None:
    stream: RemoteStream[int] = RemoteStream._of(Broken(2, ends=kind("as told")))
    error = pool.submit(list, stream).exception(WITHIN)
    assert isinstance(error, ClosedError if kind is asyncio.CancelledError else kind)
    pool.submit(stream.aclose).result(WITHIN)


@pytest.mark.parametrize("kind", RAISED)
def test_what_a_stream_raises_as_it_is_left(pool: ThreadPoolExecutor, kind: type[BaseException]) -> None:
    stream: RemoteStream[int] = RemoteStream._of(Broken(2, closes=kind("as told")))

    def leave() -> None:
        with stream:
            next(stream)

    error = pool.submit(leave).exception(WITHIN)
    assert isinstance(error, kind)
    assert pool.submit(run, asyncio.sleep, 0, "on").result(WITHIN) == "on"


def test_a_stream_that_is_closed_while_it_closes(pool: ThreadPoolExecutor) -> None:
    # It has no item: between two of them the reader would see that the stream is over, and not why.
    twin = Broken(ends=ZeroDivisionError(), slow=True)
    stream: RemoteStream[int] = RemoteStream._of(twin)
    reader = pool.submit(list, stream)
    twin.closing.wait(WITHIN)
    pool.submit(stream.aclose).result(WITHIN)
    assert isinstance(reader.exception(WITHIN), ZeroDivisionError)


def test_a_stream_that_is_closed_before_it_could_begin(module: Any, pool: ThreadPoolExecutor) -> None:
    def begin_and_close() -> Future[Any]:
        stream = module.silent()
        reader = pool.submit(next, stream)
        while stream._pump is None:
            time.sleep(0.001)
        stream._pump.cancel()
        return reader

    reader = held_up(begin_and_close)
    assert isinstance(reader.exception(WITHIN), ClosedError)


def test_a_stream_that_was_entered_is_closed_before_it_could_begin(pool: ThreadPoolExecutor) -> None:
    twin = Broken()
    stream: RemoteStream[int] = RemoteStream._of(twin)
    stream.__enter__()

    def begin_and_close() -> Future[Any]:
        pool.submit(next, stream)
        while stream._pump is None:
            time.sleep(0.001)
        return pool.submit(stream.aclose)

    held_up(begin_and_close).result(WITHIN)
    assert twin.closed


def test_a_deed_that_raises_holds_up_nobody(module: Any, pool: ThreadPoolExecutor) -> None:
    problems: list[dict[str, Any]] = []
    thread = loop_thread()
    thread.loop.set_exception_handler(lambda _, context: problems.append(context))

    def post_and_call() -> Future[Any]:
        thread.post(lambda: 1 / 0)
        call = pool.submit(module.echo, b"x")
        while len(thread._posted) < 2:
            time.sleep(0.001)
        return call

    try:
        assert held_up(post_and_call).result(WITHIN) == b"x"
    finally:
        thread.loop.set_exception_handler(None)
    assert [type(each["exception"]) for each in problems] == [ZeroDivisionError]


def interrupted(thread: LoopThread) -> None:
    """Raise in the loop's thread what nothing in it caught."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(ZeroDivisionError))
    thread.post(lambda: None)


def closed_under_it(thread: LoopThread) -> None:
    """Close its selector, as who closes all files to become a daemon."""
    selector: Any = thread.loop
    os.close(selector._selector.fileno())
    thread.post(lambda: None)


@pytest.mark.parametrize("kill", [interrupted, closed_under_it])
def test_a_loop_that_ended_is_told_to_all_who_wait(
    wire: WireServer, pool: ThreadPoolExecutor, kill: Callable[[LoopThread], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loop_thread, "_thread", LoopThread())  # no other test's clients end with it
    thread = loop_thread()
    module = wrapped(raw_module(wire.info()))
    stream = module.silent()
    calls = [pool.submit(module.sleep, seconds=60), pool.submit(next, stream), pool.submit(module.sum, [b"hang"])]
    end = time.monotonic() + WITHIN
    while sum(wire.command("stats")["running"].values()) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    kill(thread)
    for call in calls:
        with pytest.raises(ClosedError, match="loop of the blocking client ended"):
            call.result(WITHIN)
    pool.submit(stream.aclose).result(WITHIN)
    with pytest.raises(WrongLoopError):
        pool.submit(module.echo, b"x").result(WITHIN)
    with wrapped(raw_module(wire.info())) as other:
        assert pool.submit(other.echo, b"x").result(WITHIN) == b"x"
    loop_thread().end()
