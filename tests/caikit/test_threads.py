"""Modules in the threads of a caikit process: many at once, aborted ones, those of forked and spawned processes."""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from caikit.core.data_model import DataStream

from remote_client.caikit import RemoteModelFinder

from ..support.clock import Stopwatch
from ..support.runtime import SAMPLE_MODELS, Runtime
from ..support.script import python
from ..support.slow import slow_but
from .gateways import PROTOCOLS, WATCHED_MODELS, Protocol, connection_of, port_of
from .modules import greeting_of_a_new_process, module_of

THREADS = 128
SLOW = 1.0
"""Seconds of calls beside which others are made."""
WITHIN = 20.0


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def port(runtime: Runtime, protocol: Protocol) -> int:
    return port_of(runtime, protocol)


@pytest.fixture
def data() -> Any:
    """The sample library's data objects."""
    import sample_lib.data_model  # type: ignore[import-not-found]

    return sample_lib.data_model


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def at_once(pool: ThreadPoolExecutor, deed: Callable[[int], Any]) -> list[Any]:
    """Return what a deed gives in all threads of the pool, which begin together."""
    barrier = threading.Barrier(THREADS)

    def begin(number: int) -> Any:
        barrier.wait(WITHIN)
        return deed(number)

    return list(pool.map(begin, range(THREADS)))


# -- many at once -----------------------------------------------------------------------------------------------------


def test_calls_of_one_module_keep_their_answers(port: int, protocol: Protocol, data: Any, pool: Any) -> None:
    module = module_of(port, protocol)

    def greetings(thread: int) -> list[str]:
        return [module.run(data.SampleInputType(name=f"{thread}/{call}")).greeting for call in range(4)]

    answers = at_once(pool, greetings)
    assert answers == [[f"Hello {thread}/{call}" for call in range(4)] for thread in range(THREADS)]


def test_streams_of_one_module_keep_their_answers(port: int, protocol: Protocol, data: Any, pool: Any) -> None:
    module = module_of(port, protocol)

    def greetings(thread: int) -> list[str]:
        return [item.greeting for item in module.run_stream_out(data.SampleInputType(name=str(thread)), count=5)]

    assert at_once(pool, greetings) == [[f"Hello {thread} {item}" for item in range(5)] for thread in range(THREADS)]


def test_streamed_inputs_keep_their_answers(runtime: Runtime, data: Any, pool: Any) -> None:
    module = module_of(runtime.port, "grpc")

    def greetings(thread: int) -> list[str]:
        names = [f"{thread}/{item}" for item in range(3)]
        inputs = DataStream.from_iterable([data.SampleInputType(name=name) for name in names])
        together = module.run_stream_in(inputs, greeting="").greeting
        assert [item.greeting for item in module.run_bidi_stream(inputs)] == [f"Hello {name}" for name in names]
        return together.split(",")

    assert at_once(pool, greetings) == [[f"{thread}/{item}" for item in range(3)] for thread in range(THREADS)]


def test_modules_made_at_once_keep_their_models(port: int, protocol: Protocol, data: Any, pool: Any) -> None:
    """A module per thread, half of them of another model, with connections of their own or shared ones."""

    def answer(thread: int) -> str:
        model, settings = ("foo", "primitive")[thread % 2], {"timeout": 20 + thread % 3}
        module = module_of(port, protocol, model, **settings)
        greeting: str = module.run(data.SampleInputType(name=str(thread))).greeting
        return greeting

    assert at_once(pool, answer) == [
        f"Primitive: {thread}" if thread % 2 else f"Hello {thread}" for thread in range(THREADS)
    ]


# -- no lock is held during a call ------------------------------------------------------------------------------------


def test_a_slow_call_delays_nobody(runtime: Runtime, protocol: Protocol, data: Any, pool: Any) -> None:
    """Beside calls, streams and a search that wait: other calls, streams that end or are dropped, modules, searches."""
    port = port_of(runtime, protocol)
    slow, fast = module_of(port, protocol, "slow"), module_of(port, protocol)
    with socket.create_server(("localhost", 0)) as nobody:  # accepts, and never answers
        silent = connection_of(runtime, protocol) | {"port": nobody.getsockname()[1], "timeout": 20}
        waiting: list[Future[Any]] = [
            *(pool.submit(slow.run, SLOW) for _ in range(4)),
            *(pool.submit(list, slow.run_stream_out(SLOW, count=1)) for _ in range(4)),
            pool.submit(finder_of(silent, protocol).find_model, "foo"),
        ]
        time.sleep(0.2)  # until they wait
        world = data.SampleInputType(name="World")
        assert fast.run(world).greeting == "Hello World"
        assert len(list(fast.run_stream_out(world, count=3))) == 3
        unread = iter(fast.run_stream_out(world, count=1000))
        assert next(unread).greeting == "Hello World 0"
        del unread
        assert module_of(port, protocol, "primitive", timeout=19).run(world).greeting == "Primitive: World"
        assert finder_of(connection_of(runtime, protocol), protocol).find_model("foo") is not None
        assert not any(future.done() for future in waiting)
    answers = [future.result(WITHIN) for future in waiting]
    assert [answer.greeting for answer in answers[:4]] == [f"slept {SLOW}"] * 4
    assert [[item.greeting for item in answer] for answer in answers[4:8]] == [["slept 0"]] * 4
    assert answers[8] is None  # the connection was reset


def test_a_search_that_waits_delays_no_other_one_of_its_finder(runtime: Runtime, protocol: Protocol, pool: Any) -> None:
    with socket.create_server(("localhost", 0)) as nobody:
        silent = connection_of(runtime, protocol) | {"port": nobody.getsockname()[1], "timeout": 20}
        known = {"foo": SAMPLE_MODELS["foo"]}
        finder = finder_of(silent, protocol, supported_models=known, discover_models=True)
        search = pool.submit(finder.find_model, "unknown")
        time.sleep(0.2)
        assert finder.find_model("foo").model_path == "foo"
        assert not search.done()
    assert search.result(WITHIN) is None  # the connection was reset


def finder_of(connection: dict[str, Any], protocol: Protocol, **more: Any) -> Any:
    return RemoteModelFinder({"connection": connection, "protocol": protocol, **more}, "test")


def test_an_input_that_blocks_delays_nobody(runtime: Runtime, data: Any, pool: Any) -> None:
    module, release = module_of(runtime.port, "grpc"), threading.Event()
    world = data.SampleInputType(name="World")

    def inputs() -> Iterator[Any]:
        yield world
        assert release.wait(WITHIN)
        yield world

    blocked = pool.submit(module.run_stream_in, inputs())
    time.sleep(0.1)
    assert module.run(world).greeting == "Hello World"
    assert module.run_stream_in(DataStream.from_iterable([world]), greeting="").greeting == "World"
    assert not blocked.done()
    release.set()
    assert blocked.result(WITHIN).greeting == "Hello Friends: World,World"


# -- streams ----------------------------------------------------------------------------------------------------------


def test_another_thread_iterates_a_stream(port: int, protocol: Protocol, data: Any, pool: Any) -> None:
    stream = module_of(port, protocol).run_stream_out(data.SampleInputType(name="x"), count=3)
    assert [item.greeting for item in pool.submit(list, stream).result(WITHIN)] == [f"Hello x {n}" for n in range(3)]


def test_threads_share_the_iterator_of_a_stream(port: int, protocol: Protocol, data: Any, pool: Any) -> None:
    iterator = iter(module_of(port, protocol).run_stream_out(data.SampleInputType(name="x"), count=200))
    parts = at_once(pool, lambda _: [item.greeting for item in iterator])
    assert sorted(greeting for part in parts for greeting in part) == sorted(f"Hello x {n}" for n in range(200))


def test_a_stream_that_is_iterated_twice_calls_twice(port: int, protocol: Protocol, data: Any) -> None:
    """Also at once: each iterator is a call of its own."""
    stream = module_of(port, protocol).run_stream_out(data.SampleInputType(name="x"), count=3)
    wanted = [f"Hello x {n}" for n in range(3)]
    first, second = iter(stream), iter(stream)
    assert [(one.greeting, other.greeting) for one, other in zip(first, second, strict=True)] == [
        (greeting, greeting) for greeting in wanted
    ]
    assert [item.greeting for item in stream] == wanted


def test_listing_a_stream_calls_once(runtime: Runtime, data: Any) -> None:
    """`list` asks for the length of what it lists, which caikit finds by reading a stream to its end."""
    stream = module_of(runtime.port, "grpc").run_bidi_stream(data.SampleInputType(name=name) for name in "abc")
    assert [item.greeting for item in list(stream)] == ["Hello a", "Hello b", "Hello c"]


# -- what is left behind ----------------------------------------------------------------------------------------------


def test_dropped_modules_and_streams_leave_nothing_behind(port: int, protocol: Protocol, data: Any) -> None:
    world = data.SampleInputType(name="World")
    assert module_of(port, protocol).run(world)  # whatever a process opens once is open now
    gc.collect()
    before = sockets_and_threads(port)
    for timeout in (11, 12, 13):  # settings of their own: connections of their own
        module = module_of(port, protocol, timeout=timeout)
        assert module.run(world)
        unread = iter(module.run_stream_out(world, count=1000))
        assert next(unread)
        del module
        if protocol == "grpc":
            bidi = iter(module_of(port, protocol, timeout=timeout).run_bidi_stream(endless(world)))
            assert next(bidi)
            del bidi
        del unread
    gc.collect()
    watch = Stopwatch()
    while (now := sockets_and_threads(port)) > before and watch.wall < 3:  # the server closes idle ones after 5
        time.sleep(0.02)
    assert now <= before


def endless(item: Any) -> Iterator[Any]:
    while True:
        yield item


def sockets_and_threads(port: int) -> tuple[int, int]:
    """Return the connections of this process to a port, and the threads of the client."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            cells = line.split()
            if int(cells[2].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{cells[9]}]")
    own = 0
    for file in os.listdir("/proc/self/fd"):
        try:
            own += os.readlink(f"/proc/self/fd/{file}") in inodes
        except OSError:  # the folder's own, closed by now
            continue
    return own, sum(thread.name.startswith("remote-client") for thread in threading.enumerate())


# -- aborted threads --------------------------------------------------------------------------------------------------

ABORTED = """
import sys, threading, time
from pathlib import Path
from tests.caikit.modules import configure, module_of
from tests.support.clock import Stopwatch

grpc_port, http_port, module_id, folder = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
Work = configure("watched_lib").modules.Work

from caikit.core.toolkit.concurrency.destroyable_thread import DestroyableThread, ThreadDestroyedException
from caikit.runtime.types.aborted_exception import AbortedException
from caikit.runtime.work_management.abortable_context import AbortableContext, ActionAborter, ThreadInterrupter

class Aborter(ActionAborter):
    def must_abort(self): return False
    def set_context(self, context): self.context = context
    def unset_context(self): pass

interrupter = ThreadInterrupter()
interrupter.start()

class Interrupted(threading.Thread):
    # As a thread of caikit's servers, whose caller leaves.
    def __init__(self, deed):
        super().__init__()
        self.deed, self.aborter, self.raised = deed, Aborter(), None

    def run(self):
        try:
            with AbortableContext(self.aborter, interrupter):
                self.deed()
        except BaseException as error:
            self.raised = type(error)

    def abort(self):
        self.aborter.context.abort()

    def was_aborted(self):
        return self.raised is AbortedException

class Destroyed(DestroyableThread):
    # As a thread of caikit's jobs, which is cancelled.
    def abort(self):
        self.destroy()

    def was_aborted(self):
        return isinstance(self.error, ThreadDestroyedException)

def deeds(protocol, module, work):
    yield "unary", lambda: module.run(work)
    yield "stream", lambda: list(module.run_stream_out(work, count=1))
    if protocol == "grpc":
        yield "inputs", lambda: module.run_stream_in(iter([work]))
        yield "both", lambda: list(module.run_bidi_stream(iter([work])))

def until(wanted):
    watch = Stopwatch()
    while not wanted() and watch.seconds < 5:
        time.sleep(0.01)
    return watch.seconds

class Case:
    def __init__(self, protocol, module, kind, number):
        self.ticks = Path(folder, f"{protocol}-{kind.__name__}-{number}")
        self.ticks.write_bytes(b"")
        name, deed = [*deeds(protocol, module, Work(path=str(self.ticks), seconds=30))][number]
        self.name, self.thread = f"{protocol} {kind.__name__} {name}", kind(deed)
        self.thread.start()

    def works(self):
        return self.ticks.stat().st_size > 1

    def stopped(self):
        size = self.ticks.stat().st_size
        time.sleep(0.1)
        return self.ticks.stat().st_size == size

cases = []
for protocol, port in (("grpc", grpc_port), ("http", http_port)):
    module = module_of(port, protocol, "watch", module_id)
    for kind in (Interrupted, Destroyed):
        cases += [Case(protocol, module, kind, number) for number in range(4 if protocol == "grpc" else 2)]
for case in cases:
    until(case.works)
for case in cases:
    case.thread.abort()
took = until(lambda: not any(case.thread.is_alive() for case in cases))
for case in cases:
    on_the_server = until(case.stopped)
    told = "aborted" if case.thread.was_aborted() else "not aborted"
    late = f"late: {took:.1f} s, {on_the_server:.1f} s"
    print(case.name, told, "in time" if took < 1 and on_the_server < 1 else late)
interrupter.stop()
"""


@pytest.fixture(scope="module")
def watched() -> Iterator[Runtime]:
    """A runtime whose model writes down its work."""
    with Runtime("watched_lib", WATCHED_MODELS) as running:
        yield running


def test_an_aborted_thread_stops_its_call(watched: Runtime, tmp_path: Path) -> None:
    """Within a second, here and on the server, whose module no longer works."""
    ports = str(watched.port), str(watched.http_port)
    told = python(ABORTED, *ports, WATCHED_MODELS["watch"], str(tmp_path), timeout=50)
    kinds = {"grpc": ["unary", "stream", "inputs", "both"], "http": ["unary", "stream"]}
    assert told.splitlines() == [
        f"{protocol} {how} {kind} aborted in time"
        for protocol in PROTOCOLS
        for how in ("Interrupted", "Destroyed")
        for kind in kinds[protocol]
    ]


# -- processes --------------------------------------------------------------------------------------------------------

FORKED = """
import os, sys, threading
from remote_client.caikit import RemoteModelFinder
from tests.caikit.modules import configure, module_of
from tests.support.clock import Stopwatch

data = configure().data_model
port, protocol = int(sys.argv[1]), sys.argv[2]
world = data.SampleInputType(name="World")
module, unused = module_of(port, protocol), module_of(port, protocol, timeout=19)
stream = module.run_stream_out(world, count=100)
assert module.run(world).greeting == "Hello World"
begun = iter(stream)
next(begun)

def finder_of(port, protocol):
    return RemoteModelFinder({"connection": {"hostname": "localhost", "port": port}, "protocol": protocol}, "test")

finder = finder_of(port, protocol)
assert finder.find_model("foo")

def told(deed):
    watch = Stopwatch()
    try:
        result = deed()
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    return result if watch.seconds < 2 else f"late: {result}"

def child():
    yield told(lambda: module.run(world).greeting)
    yield told(lambda: unused.run(world).greeting)
    yield told(lambda: module_of(port, protocol).run(world).greeting)
    yield told(lambda: len(list(stream)))
    yield told(lambda: finder.find_model("foo").model_path)
    yield told(lambda: finder_of(port, protocol).find_model("foo").model_path)
    yield told(lambda: next(begun))

reading, writing = os.pipe()
process = os.fork()
if not process:
    os.write(writing, "\\n".join(map(str, child())).encode())
    sys.exit(0)
os.close(writing)
with open(reading) as file:
    print(file.read())
print(os.waitpid(process, 0)[1], len(list(begun)), module.run(world).greeting)
"""


@pytest.mark.parametrize("protocol", slow_but(["grpc"], PROTOCOLS))
def test_modules_work_in_a_forked_process(port: int, protocol: Protocol) -> None:
    """Those of the parent too, and its finders; only a call that the parent has begun is the parent's."""
    *works, begun, parent = python(FORKED, str(port), protocol).splitlines()
    assert works == ["Hello World"] * 3 + ["100", "foo", "foo"]
    assert begun.startswith("CaikitRuntimeException: this client was used before the process forked")
    assert parent == "0 99 Hello World"


@pytest.mark.parametrize("protocol", slow_but(["grpc"], PROTOCOLS))
def test_modules_work_in_a_spawned_process(port: int, protocol: Protocol) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert processes.submit(greeting_of_a_new_process, port, protocol).result(WITHIN) == "Hello child"
