"""Ctrl-C, forks, the loop's own thread, clients that nobody closes; many threads. In processes of their own."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from remote_client.errors import ClosedError, DeadlineExceededError, WrongLoopError
from remote_client.sync import RemoteClient
from remote_client.sync._loop_thread import loop_thread
from remote_client.sync._modules import wrapped

from ..conftest import ENGINE
from ..live.protocols import PROTOCOLS, Protocol, target_of
from ..support.clock import Stopwatch
from ..support.http_wire import HttpWire
from ..support.runtime import Runtime
from ..support.script import python
from ..support.wire import ServerProcess, WireServer

ADA = {"name": "Ada"}
HEAD = """
import os, signal, sys, threading, time
from remote_client.errors import ForkedError
from remote_client.sync import RemoteClient
from tests.support.clock import Stopwatch
target = sys.argv[1]
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where a shell runs the tests in its background
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("call", ["model.run_slow(20.0)", "list(model.run_slow_stream_out(20.0))", "job.wait()"])
def test_ctrl_c(runtime: Runtime, protocol: Protocol, call: str) -> None:
    told = python(
        HEAD
        + f"""
with RemoteClient(target) as client:
    model = client.model("slow")
    job = model.start_slow_job(3.0)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    watch = Stopwatch()
    try:
        {call}
    except KeyboardInterrupt:
        print(watch.seconds < 1.0)
    print(client.model("foo").run_sample({{"name": "World"}}).greeting)
""",
        target_of(runtime, protocol),
    )
    assert told == "True\nHello World\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_fork(runtime: Runtime, protocol: Protocol) -> None:
    told = python(
        HEAD
        + """
client = RemoteClient(target)
model = client.model("foo")
stream = model.run_sample_stream_out({"name": "a"}, count=50)
next(stream)
child = os.fork()
if child == 0:
    for call in (client.healthy, lambda: model.run_sample({"name": "a"}), lambda: next(stream), stream.close,
                 client.close):
        watch = Stopwatch()
        try:
            call()
        except ForkedError:
            assert watch.seconds < 0.1
        else:
            os._exit(1)
    try:
        with RemoteClient(target) as new:
            assert new.model("foo").run_sample({"name": "b"}).greeting == "Hello b" and sys.argv[2] == "works"
    except ForkedError:
        assert sys.argv[2] == "forked"
    sys.exit(0)
print(os.waitpid(child, 0)[1], len(list(stream)), model.run_sample({"name": "a"}).greeting)
client.close()
""",
        target_of(runtime, protocol),
        "forked" if protocol == "grpc" and ENGINE == "grpcio" else "works",
    )
    assert told == "0 49 Hello a\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_that_was_never_closed(runtime: Runtime, protocol: Protocol) -> None:
    told = python(
        HEAD
        + """
client = RemoteClient(target)
stream = client.model("slow").run_slow_stream_out(0.01, count=1000)
next(stream)
threading.Thread(target=lambda: client.model("slow").run_slow(20.0), daemon=True).start()
time.sleep(0.3)
print("done")
""",
        target_of(runtime, protocol),
        timeout=5,
    )
    assert told == "done\n"


def test_from_the_loops_own_thread(runtime: Runtime) -> None:
    with RemoteClient(runtime.target) as client:
        model = client.model("foo")

        async def metadata() -> dict[str, str]:
            client.healthy()
            return {}

        with pytest.raises(WrongLoopError):
            model.with_options(metadata=metadata).run_sample(ADA)

        def blocks() -> dict[str, str]:
            return {"x-healthy": str(client.healthy())}

        assert model.with_options(metadata=blocks).run_sample(ADA).greeting == "Hello Ada"


def test_a_deadline(runtime: Runtime) -> None:
    with RemoteClient(runtime.target, timeout=0.2) as client, pytest.raises(DeadlineExceededError):
        client.model("slow").run_slow(5.0)


def test_closing_while_calls_run(runtime: Runtime) -> None:
    client = RemoteClient(runtime.target)
    model = client.model("slow")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(model.run_slow, 10.0)
        time.sleep(0.3)
        client.close()
        with pytest.raises(ClosedError):
            call.result(5)
    with pytest.raises(ClosedError):
        client.healthy()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_32_threads(runtime: Runtime, protocol: Protocol) -> None:
    with RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("foo")

        def work(index: int) -> list[str]:
            answers = [model.run_sample({"name": f"{index}-{each}"}).greeting for each in range(20)]
            return answers + [item.greeting for item in model.run_sample_stream_out({"name": str(index)}, count=20)]

        with ThreadPoolExecutor(32) as pool:
            for index, answers in enumerate(pool.map(work, range(32))):
                expected = [f"Hello {index}-{each}" for each in range(20)]
                assert answers == expected + [f"Hello {index} {each}" for each in range(20)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_thousand_early_breaks_from_8_threads(protocol: Protocol) -> None:
    server = WireServer() if protocol == "grpc" else HttpWire()
    with server as wire:
        wire.command("faults", faults={"lag": 0.05})
        with wrapped(wire.plain()) as module:
            list(module.count(n=1))
            tasks = loop_thread().call(number_of_tasks())

            def work(count: int) -> None:
                for _ in range(count):
                    for _ in module.count(n=3, hang=True):
                        break

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(work, [125] * 8))
            gc.collect()
            watch = Stopwatch()
            while cancels(wire) < 1000 and watch.seconds < 10:
                time.sleep(0.05)
            assert cancels(wire) == 1000
            assert loop_thread().call(number_of_tasks()) <= tasks


def test_no_thread_is_left_of_streamed_inputs(runtime: Runtime) -> None:
    before = set(threading.enumerate())
    with RemoteClient(runtime.target) as client:
        model = client.model("foo")
        for _ in range(20):
            for _ in model.run_sample_bidi_stream(sample_inputs=({"name": str(index)} for index in range(1000))):
                break
            model.run_sample_stream_in(iter([ADA]))
    gc.collect()
    watch = Stopwatch()
    while (
        left := [each for each in set(threading.enumerate()) - before if each.name.endswith("input")]
    ) and watch.seconds < 3:
        time.sleep(0.05)
    assert not left


def test_a_system_without_eventfd(wire: WireServer) -> None:
    told = python(
        """
import os, sys
from concurrent.futures import ThreadPoolExecutor
del os.eventfd
from remote_client.sync._modules import wrapped
from remote_client.settings import ConnectionInfo
from tests.support.wire import raw_module

with wrapped(raw_module(ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[1])))) as module:
    with ThreadPoolExecutor(8) as pool:
        print({*pool.map(module.echo, [b"x"] * 200)}, len(list(module.count(n=100))))
""",
        str(wire.port),
    )
    assert told == "{b'x'} 100\n"


def cancels(wire: ServerProcess) -> int:
    stats = wire.command("stats")
    return sum(stats.get("cancelled", {}).values())


async def number_of_tasks() -> int:
    return len(asyncio.all_tasks())
