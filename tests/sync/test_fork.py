"""Forks after a client was used: the child makes clients of its own, and the parent notices nothing of the child."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from ..conftest import ENGINE
from ..support.clock import Stopwatch
from ..support.http_wire import HttpWire
from ..support.script import python
from ..support.wire import ROOT, ServerProcess, WireServer

HEAD = """
import asyncio, gc, multiprocessing, os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from remote_client.errors import ForkedError
from remote_client.settings import ConnectionInfo
from remote_client.sync._modules import wrapped
from tests.support.clock import Stopwatch
from tests.support.http_wire import http_module
from tests.support.wire import raw_module

protocol, port = sys.argv[1], int(sys.argv[2])
info = ConnectionInfo(hostname="127.0.0.1", port=port, timeout=20, retries=0)

def asynchronous():
    return http_module(info) if protocol == "http" else raw_module(info)

def blocking():
    return wrapped(asynchronous())

def fresh(module=None):
    with module or blocking() as module:
        assert module.echo(b"x") == b"x"
        assert len(list(module.count(n=3))) == 3

async def fresh_in_a_loop():
    async with asynchronous() as module:
        assert await module.echo(b"x") == b"x"
        assert len([each async for each in module.count(n=3)]) == 3

def tried(deed, *arguments):
    watch = Stopwatch()
    try:
        deed(*arguments)
    except ForkedError:
        return "forked" if watch.seconds < 0.5 else "forked late"
    return "works"

def both(_=None):
    return tried(fresh), tried(lambda: asyncio.run(fresh_in_a_loop()))

def of_child(work):
    # What a child's work gives. The child ends as a script does, with all that Python does at exit.
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, repr(work()).encode())
        sys.exit(0)
    os.close(writing)
    with open(reading) as told:
        text = told.read()
    assert os.waitpid(child, 0)[1] == 0
    return eval(text)
"""


@pytest.fixture(params=["grpc", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with WireServer() if request.param == "grpc" else HttpWire() as running:
        yield running


@pytest.fixture
def new(server: ServerProcess) -> str:
    """What becomes of a new client in a child: grpcio hangs there, so that its engine refuses."""
    return "forked" if ENGINE == "grpcio" and isinstance(server, WireServer) else "works"


def arguments(server: ServerProcess) -> list[str]:
    return ["http" if isinstance(server, HttpWire) else "grpc", str(server.port)]


def test_an_old_client_raises_and_a_new_one_works(server: ServerProcess, new: str) -> None:
    told = python(
        HEAD
        + """
old, unused = blocking(), blocking()
old.echo(b"x")
stream, entered, left, unread = [old.count(n=1000, hang=True) for _ in range(4)]
next(stream)
entered.__enter__()
left.__enter__()
deeds = [lambda: old.echo(b""), lambda: next(old.count(n=1)), old.close, lambda: next(stream), stream.close,
         lambda: next(entered), left.close, lambda: next(unread)]
print(*of_child(lambda: [tried(each) for each in deeds]))
print(*of_child(lambda: [tried(fresh), tried(fresh, unused), *both()]))
print(len(list(zip(range(999), stream))), old.echo(b"y"))
for each in (stream, entered, left, old):
    each.close()
""",
        *arguments(server),
    )
    assert told.splitlines() == [" ".join(["forked"] * 8), " ".join([new] * 4), "999 b'y'"]


@pytest.mark.sampled(1)
def test_the_parent_goes_on_while_children_end(server: ServerProcess, new: str) -> None:
    told = python(
        HEAD
        + """
old = blocking()
stream, dropped = old.count(n=100, delay=0.02, hang=True), old.count(n=2, hang=True)
next(stream), next(dropped)
over, done = threading.Event(), []

def work():
    while not over.is_set():
        done.append(old.echo(b"x"))

threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads:
    each.start()

def child():
    global old, stream, dropped
    old = stream = dropped = None
    gc.collect()
    return both()

results = {of_child(child) for _ in range(4)}
before = len(done)
rest = len(list(zip(range(99), stream)))
over.set()
for each in threads:
    each.join(5)
assert len(done) > before and next(dropped)
print(results, rest)
for each in (stream, dropped, old):
    each.close()
""",
        *arguments(server),
    )
    assert told == f"{{{(new, new)}}} 99\n"


def test_the_parents_close_is_seen_while_a_child_lives(server: ServerProcess) -> None:
    code = """
old = blocking()
old.echo(b"x")
waiting, release = os.pipe()
if not os.fork():
    os.close(release)
    os.read(waiting, 1)  # until the parent ends
    os._exit(0)
print("connected", flush=True)
sys.stdin.readline()
old.close()
print("closed", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", HEAD + code, *arguments(server)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "connected\n"
        connected = sockets(server)
        print(file=parent.stdin, flush=True)
        assert parent.stdout.readline() == "closed\n"
        watch = Stopwatch()
        while sockets(server) == connected and watch.seconds < 3:
            time.sleep(0.02)
        assert sockets(server) < connected


def sockets(server: ServerProcess) -> int:
    stats = server.command("stats")
    return int(stats["open"])


POOLS = {
    "multiprocessing": """
with multiprocessing.get_context("fork").Pool(2) as pool:
    print({*pool.map(both, range(6))})
""",
    "concurrent.futures": """
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    print({*pool.map(both, range(6))})
""",
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_pools_of_forked_workers(server: ServerProcess, new: str, pool: str) -> None:
    told = python(
        HEAD + "with blocking() as old:\n    old.echo(b'x')" + pool.replace("\n", "\n    "), *arguments(server)
    )
    assert told == f"{{{(new, new)}}}\n"


def test_forks_inside_of_a_running_loop(server: ServerProcess, new: str) -> None:
    told = python(
        HEAD
        + """
def child(old, stream):
    told = [tried(lambda: asyncio.run(each())) for each in (lambda: old.echo(b""), stream.__anext__, stream.aclose)]
    del old, stream
    gc.collect()
    return *told, *both()

async def main():
    async with asynchronous() as old, old.count(n=100, delay=0.02, hang=True) as stream:
        await anext(stream)
        for _ in range(4):
            reading, writing = os.pipe()
            process = os.fork()
            if not process:
                os.write(writing, repr(child(old, stream)).encode())
                os._exit(0)
            os.close(writing)
            told = await asyncio.to_thread(os.read, reading, 1000)
            assert os.waitpid(process, 0)[1] == 0
            os.close(reading)
            assert await old.echo(b"y") == b"y"
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            print(*eval(told), *await asyncio.get_running_loop().run_in_executor(pool, both))
        print(len([await anext(stream) for _ in range(99)]))

asyncio.run(main())
""",
        *arguments(server),
    )
    assert told.splitlines() == [" ".join(["forked"] * 3 + [new] * 4), "99"]


def test_a_childs_exit_leaves_the_parents_loop_alone(server: ServerProcess) -> None:
    told = python(
        HEAD
        + """
loop = asyncio.new_event_loop()
old = asynchronous()
assert loop.run_until_complete(old.echo(b"x")) == b"x"
of_child(lambda: None)
woken = loop.run_until_complete(asyncio.wait_for(asyncio.to_thread(lambda: "woken"), 2))
print(woken, loop.run_until_complete(asyncio.wait_for(old.echo(b"y"), 2)))
loop.run_until_complete(old.aclose())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
""",
        *arguments(server),
    )
    assert told == "woken b'y'\n"
