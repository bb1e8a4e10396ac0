"""Calls of threads: their attempts, deadlines, Ctrl-C, streams and closing, over gRPC."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from remote_client._transport.manager import ConnectionManager
from remote_client.errors import (
    ClosedError,
    DeadlineExceededError,
    InternalError,
    InvalidResponseError,
    RemoteCallError,
    ResponseTooLargeError,
    UnavailableError,
)
from remote_client.hooks import CallEnded
from remote_client.settings import CallOptions, RetryPolicy
from remote_client.sync._loop_thread import loop_thread
from remote_client.sync._modules import wrapped
from tests.support.clock import Stopwatch

from ..support.wire import RawCodec, WireServer, open_files, raw_module

QUICK = CallOptions(timeout=20, retry=RetryPolicy(retries=3, initial_backoff=0.01))
PATIENT = CallOptions(timeout=20, retry=RetryPolicy(retries=8, initial_backoff=0.5, multiplier=1))


@pytest.fixture
def module(wire: WireServer) -> Iterator[Any]:
    with wrapped(raw_module(wire.info())) as module:
        yield module


def connections(module: Any) -> ConnectionManager:
    found: ConnectionManager = module._twin._caller.connections
    return found


def leases(module: Any) -> int:
    """How many calls hold the connection."""
    current = connections(module)._current
    return 0 if current is None else current.leases


def timers() -> int:
    """How many timers of the loop are set: the connection's own few, and none of a call that is over."""
    return sum(not handle.cancelled() for handle in loop_thread().loop._scheduled)  # type: ignore[attr-defined]


def until(wire: WireServer, wanted: Callable[[dict[str, Any]], bool], within: float = 3.0) -> dict[str, Any]:
    watch = Stopwatch()
    while not wanted(stats := wire.command("stats")) and watch.seconds < within:
        time.sleep(0.02)
    return stats


def started(wire: WireServer, name: str) -> int:
    return int(wire.command("stats")["started"].get(name, 0))


def test_hooks_are_told(wire: WireServer) -> None:
    events: list[Any] = []
    with wrapped(raw_module(wire.info(), options=CallOptions(hooks=(events.append,)))) as told:
        assert told.echo(b"x") == b"x"
        assert list(told.count(n=3)) == [b"0", b"1", b"2"]
    ended = [each for each in events if isinstance(each, CallEnded)]
    assert [(each.method, each.error) for each in ended] == [("test.Test/Echo", None), ("test.Test/Count", None)]


def test_calls_of_many_threads_wait_at_the_same_time_on_one_connection(wire: WireServer, module: Any) -> None:
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(module.sleep, seconds=0.5) for _ in range(12)]
        assert sum(until(wire, lambda seen: sum(seen["running"].values()) == 12)["running"].values()) == 12
        assert all(call.result(5) is not None for call in calls)
    assert module.echo(b"x") == b"x"
    assert (connections(module).opened, leases(module)) == (1, 0)


def test_attempts(wire: WireServer) -> None:
    with wrapped(raw_module(wire.info(), options=QUICK)) as module:
        with pytest.raises(UnavailableError, match="in attempt 4") as caught:
            module.fail(code="UNAVAILABLE", details="down")
        assert [type(each) for each in caught.value.previous] == [UnavailableError] * 3
        assert (caught.value.model, caught.value.target) == ("raw", wire.target)
        with pytest.raises(UnavailableError, match="in attempt 4"):
            list(module.count(n=0, fail="UNAVAILABLE"))
        for deed in (lambda: module.fail(code="INTERNAL"), lambda: list(module.count(n=0, fail="INTERNAL"))):
            with pytest.raises(InternalError):
                deed()
    assert (started(wire, "Fail"), started(wire, "Count")) == (5, 5)


def test_a_server_that_comes_back() -> None:
    with WireServer() as server:
        port = server.port
        with wrapped(raw_module(server.info(), options=PATIENT)) as module:
            assert module.echo(b"x") == b"x"
            server.__exit__()
            again = WireServer(port=port)
            thread = threading.Timer(0.3, again.__enter__)
            thread.start()
            try:
                assert module.echo(b"y") == b"y"
                assert list(module.count(n=2)) == [b"0", b"1"]
            finally:
                thread.join()
                again.__exit__()


def test_a_stream_is_not_made_again_after_its_first_answer(wire: WireServer) -> None:
    with wrapped(raw_module(wire.info(), options=QUICK)) as module:
        seen = []
        with pytest.raises(UnavailableError):
            for each in module.count(n=2, fail="UNAVAILABLE"):
                seen.append(each)
    assert (seen, started(wire, "Count")) == ([b"0", b"1"], 1)


@pytest.mark.parametrize(
    ("deed", "options"),
    [
        (lambda module: module.sleep(seconds=9), {"timeout": 0.3}),
        (lambda module: next(module.silent()), {"timeout": 0.3}),
        (lambda module: list(module.count(n=2, hang=True)), {"timeout": 0.3}),
        (lambda module: list(module.count(n=2, hang=True)), {"timeout": None, "total_timeout": 0.3}),
        (lambda module: list(module.count(n=2, hang=True)), {"timeout": 9, "total_timeout": 0.3}),
    ],
)
def test_deadlines(wire: WireServer, module: Any, deed: Callable[[Any], Any], options: dict[str, Any]) -> None:
    watch = Stopwatch()
    with pytest.raises(DeadlineExceededError) as caught:
        deed(module.with_options(**options))
    assert watch.wall > 0.29
    assert watch.seconds < 0.55
    assert (caught.value.target, caught.value.model) == (wire.target, "raw")
    assert caught.value.previous == ()
    assert not until(wire, lambda seen: not seen["running"])["running"]


def test_time_between_reads_is_the_readers_own(module: Any) -> None:
    stream = module.with_options(timeout=0.2).count(n=3)
    seen = []
    for each in stream:
        seen.append(each)
        time.sleep(0.5)
    assert seen == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    "call", ["module.sleep(seconds=3600)", "next(module.silent())", "list(module.count(n=2, hang=True))"]
)
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_reaches_the_server(wire: WireServer, module: Any, call: str) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    watch = Stopwatch()
    with pytest.raises(KeyboardInterrupt):
        eval(call)
    assert watch.seconds < 1
    assert not until(wire, lambda seen: not seen["running"], 1)["running"]
    assert module.echo(b"x") == b"x"
    assert (connections(module).opened, leases(module)) == (1, 0)


def test_streams_are_closed_and_dropped(wire: WireServer, module: Any) -> None:
    with module.count(n=3, hang=True) as stream:
        assert until(wire, lambda seen: bool(seen["running"]))["running"] == {"Count": 1}  # it begins here
        assert next(stream) == b"0"
        assert "running" in repr(stream)
    assert "over" in repr(stream)
    assert list(stream) == []
    dropped = module.count(n=3, hang=True)
    next(dropped)
    gone = weakref.ref(dropped)
    del dropped
    assert gone() is None
    unread = module.count(n=3)
    unread.close()
    assert list(unread) == []
    stats = until(wire, lambda seen: sum(seen["cancelled"].values()) == 2)
    assert (stats["cancelled"], stats["running"], stats["started"]) == ({"Count": 2}, {}, {"Count": 2})
    watch = Stopwatch()
    while leases(module) and watch.seconds < 1:
        time.sleep(0.01)
    assert leases(module) == 0


def test_a_stream_that_is_entered_when_it_runs(wire: WireServer, module: Any) -> None:
    stream = module.count(n=3)
    assert next(stream) == b"0"
    with stream:
        assert list(stream) == [b"1", b"2"]
    closed = module.count(n=3)
    closed.close()
    with closed:
        assert list(closed) == []
    assert (started(wire, "Count"), connections(module).opened) == (1, 1)


def test_a_stream_that_another_thread_closes(module: Any) -> None:
    stream = module.count(n=1, hang=True)
    assert next(stream) == b"0"
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(next, stream)
        time.sleep(0.2)
        stream.close()
        with pytest.raises(ClosedError, match="the stream was closed"):
            reading.result(2)


def test_a_stream_closed_between_two_attempts(wire: WireServer) -> None:
    slow = CallOptions(timeout=20, retry=RetryPolicy(retries=3, initial_backoff=1, max_backoff=1, multiplier=1))
    with wrapped(raw_module(wire.info(), options=slow)) as module, ThreadPoolExecutor(1) as pool:
        for pause in (0, 0.001, 0.01, 0.1):
            stream = module.count(n=0, fail="UNAVAILABLE")
            reading = pool.submit(next, stream)
            time.sleep(pause)
            stream.close()
            with pytest.raises((ClosedError, StopIteration)):
                reading.result(5)
    assert not wire.command("stats")["running"]


def test_threads_that_read_one_stream(module: Any) -> None:
    stream = module.count(n=500)
    with ThreadPoolExecutor(8) as pool:
        seen = [each for part in pool.map(lambda _: list(stream), range(8)) for each in part]
    assert sorted(map(int, seen)) == list(range(500))


def test_closing_while_calls_run(wire: WireServer) -> None:
    module = wrapped(raw_module(wire.info()))
    stream = module.count(n=1, hang=True)
    next(stream)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(module.sleep, seconds=9), pool.submit(next, stream)]
        until(wire, lambda seen: sum(seen["running"].values()) == 2)
        module.close()
        for call in calls:
            with pytest.raises(ClosedError, match="while the call was in flight"):
                call.result(2)
    for deed in (lambda: module.echo(b""), lambda: next(module.count(n=1)), lambda: module.count(n=1).__enter__()):
        with pytest.raises(ClosedError, match="make a new client"):
            deed()
    assert until(wire, lambda seen: not seen["running"])["running"] == {}


@pytest.mark.parametrize("age", [0.01, 0])
def test_connections_are_replaced_and_no_call_is_lost(wire: WireServer, module: Any, age: float) -> None:
    module.echo(b"x")
    files = open_files()
    with wrapped(raw_module(wire.info(max_session_age=age))) as aged:
        begun = time.monotonic()

        def work(index: int) -> int:
            count = 0
            while time.monotonic() < begun + 1.0:
                assert aged.echo(b"%d" % index) == b"%d" % index
                assert list(aged.count(n=3)) == [b"0", b"1", b"2"]
                count += 1
            return count

        with ThreadPoolExecutor(4) as pool:
            done = sum(pool.map(work, range(4)))
        opened = connections(aged).opened
        assert opened == 2 * done if age == 0 else opened > 20
        assert len(connections(aged)._draining) == 0
    assert not wire.command("stats")["cancelled"]
    watch = Stopwatch()
    while open_files() > files and watch.seconds < 3:
        time.sleep(0.02)
    assert open_files() <= files


def test_nobody_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        wire = WireServer(port=held.getsockname()[1])
        with wrapped(raw_module(wire.info())) as module:
            for deed in (lambda: module.echo(b"x"), lambda: next(module.count(n=1))):
                with pytest.raises(UnavailableError) as caught:
                    deed()
                assert caught.value.outcome_known


def test_an_answer_that_is_too_large(wire: WireServer) -> None:
    with wrapped(raw_module(wire.info(options={"grpc.max_receive_message_length": 1000}))) as module:
        with pytest.raises(ResponseTooLargeError):
            module.big(size=2000)
        assert connections(module).opened == 1


def test_an_answer_that_is_none(wire: WireServer, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(self: Any, data: bytes, output: Any) -> Any:
        raise InvalidResponseError("it is none")

    monkeypatch.setattr(RawCodec, "decode", decode)
    for deed in (lambda: module.echo(b"x"), lambda: next(module.count(n=2, hang=True))):
        with pytest.raises(InvalidResponseError) as caught:
            deed()
        assert (caught.value.target, caught.value.model) == (wire.target, "raw")
        assert caught.value.method in ("test.Test/Echo", "test.Test/Count")
    assert until(wire, lambda seen: not seen["running"])["running"] == {}


def test_errors_and_streams_are_no_garbage(module: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        for deed in (
            lambda: module.fail(code="INTERNAL"),
            lambda: list(module.count(n=1, fail="INTERNAL")),
            lambda: module.with_options(timeout=0.01).sleep(seconds=9),
        ):
            try:
                deed()
            except RemoteCallError as error:
                gone = weakref.ref(error)
            watch = Stopwatch()
            while gone() is not None and watch.seconds < 1:
                time.sleep(0.01)  # the loop's thread may still hold it
            assert gone() is None
    finally:
        gc.enable()


def test_2000_calls_leave_nothing(wire: WireServer, module: Any) -> None:
    def some(number: int) -> None:
        for _ in range(number):
            module.echo(b"x")
            list(module.count(n=2))
            with pytest.raises(RemoteCallError):
                module.fail(code="INTERNAL")
            for _ in module.count(n=3, hang=True):
                break

    some(50)
    gc.collect()
    until(wire, lambda seen: not seen["running"])
    files, objects, kept = open_files(), len(gc.get_objects()), timers()
    some(500)
    until(wire, lambda seen: not seen["running"])
    time.sleep(0.2)
    gc.collect()
    assert len(gc.get_objects()) - objects < 200
    assert open_files() <= files
    assert timers() <= kept


def test_secrets_stay_out_of_errors(wire: WireServer) -> None:
    secret = "s3cr3t-" + os.urandom(4).hex()
    with wrapped(raw_module(wire.info(), options=CallOptions(metadata=({"authorization": secret},)))) as module:
        for deed in (
            lambda: module.fail(code="INTERNAL", details=f"bad token {secret}"),
            lambda: list(module.count(n=1, fail="INTERNAL")),
        ):
            with pytest.raises(InternalError) as caught:
                deed()
            assert secret not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
