"""The blocking client closes a streamed input in the thread that read it, and its threads share a stream's end."""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest

from remote_client.errors import ClosedError, RemoteCallError
from remote_client.sync import RemoteClient
from remote_client.sync._modules import wrapped
from tests.live.protocols import PROTOCOLS, Protocol, target_of
from tests.support.http_wire import HttpWire, http_module
from tests.support.runtime import Runtime
from tests.support.sources import (
    BLOCKING_ENDS,
    CTRL_C,
    KINDS,
    SOURCES,
    SYNC_SOURCES,
    WIRE_ITEMS,
    End,
    Methods,
    Source,
    generator,
    wire_answers,
    wire_methods,
)
from tests.support.wire import WireServer, raw_module

READERS = 4


@pytest.fixture
def module(wire: WireServer) -> Iterator[Any]:
    with wrapped(raw_module(wire.info())) as module:
        yield module


@pytest.fixture(scope="module")
def http_process() -> Iterator[HttpWire]:
    with HttpWire() as server:
        yield server


@pytest.fixture
def http(http_process: HttpWire) -> Iterator[Any]:
    http_process.command("reset")
    with wrapped(http_module(http_process.info())) as module:
        yield module


@pytest.mark.parametrize("end", [*BLOCKING_ENDS, CTRL_C], ids=str)
@pytest.mark.parametrize("make", SOURCES, ids=lambda each: each.__name__)
def test_a_source_is_closed_by_the_thread_that_read_it(module: Any, interruptible: None, make: Any, end: End) -> None:
    source = end.source(WIRE_ITEMS[end.order])
    items = make(source)
    end.run(wire_methods(module), source, items)
    if end.awaited:
        source.check()
    source.closed.result(10)
    source.check()
    assert module.echo(b"still well") == b"still well"


@pytest.fixture(params=KINDS)
def answers(request: pytest.FixtureRequest) -> Any:
    """A stream of so many answers, which then ends, fails, or hangs."""
    kind = request.param
    return partial(wire_answers, request.getfixturevalue("http" if kind == "http" else "module"), kind)


def read(stream: Any) -> tuple[int, type[BaseException] | None]:
    """The number of answers, and what ended the reading."""
    count = 0
    try:
        for _ in stream:
            count += 1
    except Exception as error:
        return count, type(error)
    return count, None


@pytest.fixture
def readers() -> Iterator[Callable[[Any], list[Any]]]:
    """Read a stream in several threads: what each got, once all are at its end."""
    with ThreadPoolExecutor(READERS) as pool:
        yield lambda stream: [each.result(20) for each in [pool.submit(read, stream) for _ in range(READERS)]]


def test_threads_that_share_a_stream_all_see_its_end(answers: Any, readers: Any) -> None:
    for _ in range(20):
        seen = readers(answers(50, "end"))
        assert [error for _, error in seen] == [None] * READERS
        assert sum(count for count, _ in seen) == 50


def test_threads_that_share_a_stream_all_see_that_it_failed(answers: Any, readers: Any) -> None:
    """One is told why; to none it looks complete."""
    for _ in range(20):
        seen = readers(answers(50, "fail"))
        assert sum(count for count, _ in seen) == 50
        assert [error for _, error in seen].count(ClosedError) == READERS - 1
        assert sum(issubclass(error, RemoteCallError) for _, error in seen if error is not None) == 1


def test_threads_that_share_a_stream_all_see_that_it_was_closed(answers: Any) -> None:
    stream = answers(0, "hang")
    with stream, ThreadPoolExecutor(READERS) as pool:
        reading = [pool.submit(read, stream) for _ in range(READERS)]
        wait(reading, timeout=0.3)  # nothing tells that a thread waits
        stream.close()
        assert [each.result(10) for each in reading] == [(0, ClosedError)] * READERS
    assert list(stream) == []


@pytest.mark.parametrize("then", ["fail", "hang"])
@pytest.mark.parametrize("count", [0, 2])
def test_after_an_error_the_stream_is_not_complete(answers: Any, count: int, then: str) -> None:
    stream = answers(count, then, timeout=0.3)
    with pytest.raises(RemoteCallError) as caught:
        list(stream)
    for _ in range(2):
        with pytest.raises(ClosedError, match=type(caught.value).__name__):
            next(stream)


def test_after_ctrl_c_the_stream_is_closed_not_complete(answers: Any, interruptible: None) -> None:
    stream = answers(0, "hang")
    # Nothing tells that a thread waits.
    threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    for _ in range(2):
        with pytest.raises(ClosedError, match="broken off"):
            next(stream)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_list_is_read_by_the_thread_that_calls(runtime: Runtime, protocol: Protocol) -> None:
    """Also of a module that has yet to ask the server how it is called, as one from another process has."""
    with RemoteClient(target_of(runtime, protocol)) as client:
        model = pickle.loads(pickle.dumps(client.model("numbers")))
        source = Source([1.0, 2.0])

        def items() -> Iterator[float]:
            for each in generator(source):
                assert client.healthy()  # a call inside of a call
                yield each

        assert model.run_numbers(items()).total == 3.0
        assert {thread for thread, _ in source.users} == {threading.current_thread()}
        source.check()


@pytest.mark.parametrize("make", SOURCES, ids=lambda each: each.__name__)
def test_ctrl_c_closes_what_a_call_of_a_real_runtime_reads(runtime: Runtime, interruptible: None, make: Any) -> None:
    with RemoteClient(runtime.target) as client:
        foo = client.model("foo")
        source = Source([{"name": "x" * (1 << 20)}] * 64)
        items = make(source)
        CTRL_C.run(Methods(whole=foo.run_sample_stream_in, each=foo.run_sample_bidi_stream), source, items)
        source.check()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("make", SYNC_SOURCES, ids=lambda each: each.__name__)
def test_ctrl_c_closes_training_data(runtime: Runtime, protocol: Protocol, interruptible: None, make: Any) -> None:
    with RemoteClient(target_of(runtime, protocol)) as client:
        train = partial(client.model("foo").train, union_list=["x"], module="SampleModule")
        source = Source([{"name": "a"}, {"name": "b"}])
        items = make(source)
        CTRL_C.run(Methods(whole=lambda data: train(training_data=data), each=train), source, items)
        source.check()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_ctrl_c_a_real_runtimes_stream_is_closed(
    runtime: Runtime, protocol: Protocol, interruptible: None
) -> None:
    with RemoteClient(target_of(runtime, protocol)) as client:
        stream = client.model("slow").run_slow_stream_out(20.0)
        threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        with pytest.raises(ClosedError, match="broken off"):
            next(stream)
