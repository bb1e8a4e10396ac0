"""Exceptions that other threads raise in a thread that makes a call, as caikit does to abort one.

They arrive between two of its instructions, so that a wait must end now and then, and any line may raise.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import linecache
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import CodeType, FrameType
from typing import Any

import pytest

from remote_client.errors import ClosedError
from remote_client.sync import RemoteClient, _loop_thread, _streams
from remote_client.sync._loop_thread import LoopThread, _Call, loop_thread
from remote_client.sync._modules import wrapped
from remote_client.sync._streams import RemoteStream, _Pump
from tests.support.clock import Stopwatch

from ..support.runtime import Runtime
from ..support.wire import WireServer, raw_module
from .test_threads import connections, leases, started, until


class Aborted(Exception):
    """What is raised in the thread."""


@pytest.fixture
def module(wire: WireServer) -> Iterator[Any]:
    with wrapped(raw_module(wire.info())) as module:
        yield module


class Worker(threading.Thread):
    """Does something, and then something else in the same thread."""

    def __init__(self, deed: Callable[[], Any], then: Callable[[], Any] = lambda: None) -> None:
        super().__init__(daemon=True)
        self._deed = deed
        self._then = then
        self.outcome: Any = None
        self.after: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._deed()
        except BaseException as error:
            self.outcome = error.with_traceback(None)  # its frames hold what they dropped
        self.after = self._then()

    def abort(self) -> float:
        """Raise in the thread, and return how many seconds it takes to arrive."""
        watch = Stopwatch()
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        assert raise_in(ctypes.c_ulong(self.ident or 0), ctypes.py_object(Aborted)) == 1
        self.join(10)
        return watch.seconds


def settled(wanted: Callable[[], bool]) -> bool:
    watch = Stopwatch()
    while not wanted() and watch.seconds < 2:
        time.sleep(0.01)
    return wanted()


def none_waits() -> bool:
    return not loop_thread().waiting


# -- while a thread waits ---------------------------------------------------------------------------------------------


def read_all(module: Any) -> list[bytes]:
    return list(module.count(n=2, hang=True))


def read_one(module: Any) -> bytes:
    item: bytes = next(module.silent())
    return item


def enter(module: Any) -> None:
    with module.silent() as stream:
        next(stream)


@pytest.mark.parametrize(
    ("name", "deed"),
    [
        ("Sleep", lambda module: module.sleep(seconds=3600)),
        ("Silent", read_one),
        ("Silent", enter),
        ("Count", read_all),
        ("Sum", lambda module: module.sum([b"hang"])),
    ],
    ids=["unary", "first item", "with", "next item", "streamed input"],
)
def test_an_exception_arrives_and_cancels_the_call(wire: WireServer, module: Any, name: str, deed: Any) -> None:
    worker = Worker(lambda: deed(module), lambda: module.echo(b"x"))
    until(wire, lambda seen: bool(seen["running"].get(name)))
    time.sleep(0.1)  # answers that came arrive
    assert worker.abort() < 1
    assert isinstance(worker.outcome, Aborted)
    assert worker.after == b"x"
    assert not until(wire, lambda seen: not seen["running"], 1)["running"]
    assert (connections(module).opened, leases(module)) == (1, 0)
    assert settled(none_waits)


def test_a_stream_that_was_aborted_is_over(module: Any) -> None:
    stream = module.count(n=1, hang=True)
    assert next(stream) == b"0"
    worker = Worker(lambda: next(stream))
    time.sleep(0.1)
    worker.abort()
    with pytest.raises(ClosedError, match="what was left is lost"):
        next(stream)
    stream.close()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_job_that_is_waited_for_goes_on(runtime: Runtime, protocol: str) -> None:
    with RemoteClient(runtime.target if protocol == "grpc" else runtime.http_target) as client:
        job = client.model("slow", task="SlowTask").start_slow_job(3.0)
        worker = Worker(job.wait, job.status)
        time.sleep(0.1)
        assert worker.abort() < 1
        assert isinstance(worker.outcome, Aborted)
        assert worker.after.state.name == "RUNNING"
        job.cancel()


class Slow(AsyncIterator[int]):
    """A stream whose end takes as long as it is told."""

    def __init__(self) -> None:
        self.may_close = threading.Event()
        self.closed = threading.Event()

    async def __anext__(self) -> int:
        return 1

    def _leave(self) -> None: ...

    async def aclose(self) -> None:
        while not self.may_close.is_set():
            await asyncio.sleep(0.01)
        self.closed.set()


def test_an_exception_arrives_in_a_close(wire: WireServer) -> None:
    twin = Slow()
    stream: RemoteStream[int] = RemoteStream._of(twin)
    assert next(stream) == 1
    worker = Worker(stream.aclose)
    time.sleep(0.1)
    assert worker.abort() < 1
    assert isinstance(worker.outcome, Aborted)
    twin.may_close.set()
    assert twin.closed.wait(2)  # closing goes on
    stream.aclose()
    assert settled(none_waits)


def test_ctrl_c_and_others_arrive_in_one_wait_only(wire: WireServer, module: Any) -> None:
    """One of many threads is aborted; the calls of the others go on."""
    others = [Worker(lambda: module.sleep(seconds=0.8)) for _ in range(4)]
    worker = Worker(lambda: module.sleep(seconds=3600))
    until(wire, lambda seen: seen["running"].get("Sleep") == 5)
    worker.abort()
    for other in others:
        other.join(5)
        assert not isinstance(other.outcome, BaseException)
    assert isinstance(worker.outcome, Aborted)


# -- at any other moment ----------------------------------------------------------------------------------------------


def code_of(function: Any) -> CodeType:
    code: CodeType = function.__code__
    return code


CALL = frozenset(map(code_of, (LoopThread.call, LoopThread.post, _Call.__init__)))
STREAM = frozenset(
    map(
        code_of,
        (
            LoopThread.post,
            RemoteStream.__next__,
            RemoteStream._start,
            RemoteStream._begin,
            RemoteStream.aclose,
            _Pump.__init__,
            _Pump.start,
            _Pump.take,
            _Pump._next,
            _Pump.leave,
            _Pump.cancel,
            _Pump._post,
            _Pump.wait,
        ),
    )
)


def is_lock(frame: FrameType) -> bool:
    """Whether the line takes or releases a lock: the interpreter lets no exception in before it is released."""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with ")


def aborted_at(codes: frozenset[CodeType], line: int, deed: Callable[[], Any]) -> Any:
    """Do something in a thread in which the given line, counted from 1, of these functions raises.

    Returns:
        The exception, or what it returned if it has fewer lines.
    """
    left = line

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line" and not is_lock(frame):
            left -= 1
            if left == 0:
                raise Aborted
        return on_line

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        return on_line if frame.f_code in codes and left > 0 else None

    def traced() -> Any:
        sys.settrace(on_call)
        try:
            return deed()
        finally:
            sys.settrace(None)

    worker = Worker(traced)
    worker.join(10)
    assert not worker.is_alive(), f"it hangs after an exception at line {line}"
    return worker.outcome


def at_all_lines(codes: frozenset[CodeType], deed: Callable[[], Any], check: Callable[[], None]) -> int:
    """Abort something at each of its lines in turn, and return how many these are."""
    line = 1
    while isinstance(outcome := aborted_at(codes, line, deed), Aborted):
        outcome = None
        check()
        line += 1
    assert not isinstance(outcome, BaseException), outcome
    return line - 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aborted thread does not wait for the end of a call that is over already."""
    for each in (_loop_thread, _streams):
        monkeypatch.setattr(each, "END_TIME", 0.02)


# A coroutine that the exception kept from its start warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("impatient")
def test_a_call_may_be_aborted_at_any_line(wire: WireServer, module: Any) -> None:
    def check() -> None:
        assert settled(none_waits)
        assert settled(lambda: leases(module) == 0)
        assert module.echo(b"y") == b"y"

    assert at_all_lines(CALL, lambda: module.echo(b"x"), check) > 10
    gc.collect()
    assert not until(wire, lambda seen: not seen["running"], 1)["running"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ending", ["read to its end", "closed", "dropped"])
@pytest.mark.usefixtures("impatient")
def test_a_stream_may_be_aborted_at_any_line(wire: WireServer, module: Any, ending: str) -> None:
    streams: list[Any] = []

    def deed() -> int:
        stream = module.count(n=2, hang=ending != "read to its end")
        streams.append(stream)
        count = len([next(stream), next(stream)])
        if ending == "read to its end":
            return count + len(list(stream))
        if ending == "closed":
            stream.aclose()
        return count

    def check() -> None:
        stream = streams.pop()
        if ending == "closed":
            stream.aclose()
        del stream
        assert settled(none_waits)
        assert settled(lambda: leases(module) == 0)
        assert module.echo(b"y") == b"y"

    assert at_all_lines(STREAM, deed, check) > 30
    streams.clear()
    gc.collect()
    assert not until(wire, lambda seen: not seen["running"], 1)["running"]
    assert settled(none_waits)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("impatient")
def test_other_readers_end_when_one_is_aborted_at_any_line(module: Any) -> None:
    """Two threads read one stream: whatever line the one is aborted at, the other one ends."""

    outcomes = []
    for line in range(1, 16):  # more than a reader has that finds nothing left
        stream = module.count(n=1)
        other = Worker(partial(list, stream))
        outcomes.append(aborted_at(STREAM, line, partial(list, stream)))
        other.join(5)
        assert not other.is_alive(), line
        assert isinstance(other.outcome, (list, ClosedError))
    assert any(isinstance(outcome, Aborted) for outcome in outcomes)


# -- cancelling from another thread, without waiting ------------------------------------------------------------------


def test_cancelling_ends_a_read(wire: WireServer, module: Any) -> None:
    stream = module.count(n=1, hang=True)
    assert next(stream) == b"0"
    worker = Worker(lambda: next(stream))
    time.sleep(0.1)
    watch = Stopwatch()
    stream._cancel()
    assert watch.seconds < 0.5
    worker.join(2)
    assert isinstance(worker.outcome, ClosedError)
    assert until(wire, lambda seen: not seen["running"])["cancelled"] == {"Count": 1}
    assert list(stream) == []
    stream.close()


def test_cancelling_before_the_first_read_sends_nothing(wire: WireServer, module: Any) -> None:
    stream = module.count(n=3)
    stream._cancel()
    assert list(stream) == []
    with stream:
        assert list(stream) == []
    assert started(wire, "Count") == 0


def test_cancelling_as_the_first_read_begins(wire: WireServer, module: Any) -> None:
    for pause in (0, 0.0001, 0.001, 0.01) * 5:
        stream = module.count(n=1, hang=True)
        worker = Worker(partial(list, stream))
        time.sleep(pause)
        stream._cancel()
        worker.join(2)
        assert isinstance(worker.outcome, (list, ClosedError))
    assert not until(wire, lambda seen: not seen["running"])["running"]
    assert settled(none_waits)


def test_cancelling_what_is_over(wire: WireServer, module: Any) -> None:
    stream = module.count(n=2)
    assert list(stream) == [b"0", b"1"]
    stream._cancel()
    assert list(stream) == []
    closed = module.count(n=1, hang=True)
    next(closed)
    closed.close()
    closed._cancel()
    assert list(closed) == []
    assert module.echo(b"x") == b"x"


def test_answers_that_came_before_the_cancellation_are_read(wire: WireServer, module: Any) -> None:
    stream = module.count(n=3, hang=True)
    assert next(stream) == b"0"
    time.sleep(0.2)
    stream._cancel()
    assert [next(stream), next(stream)] == [b"1", b"2"]
    with pytest.raises(ClosedError, match="the stream was closed"):
        next(stream)
