"""Clients, models, streams and jobs that nobody closes: no word, no traceback and no socket is left of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from typing import Any

import pytest

from tests.support.slow import slow_if
from tests.support.wire import ROOT

KINDS = ["grpc by asyncio", "grpc by grpcio", "http"]

SCRIPT = """
import asyncio, atexit, gc, select, sys, threading, time
at_last = []
atexit.register(lambda: [each() for each in at_last])  # before the client's own, so it runs after it
from remote_client import RemoteClient
from remote_client.sync import RemoteClient as BlockingClient

target, engine, model, method, arguments = sys.argv[1:]
settings, arguments = {"engine": engine or None}, eval(arguments)

async def used():
    client = RemoteClient(target, **settings)
    module = await client.model(model)
    await getattr(module, method)(arguments)
    return client, module

async def streaming():
    client, module = await used()
    stream = getattr(module, method + "_stream_out")(arguments)
    await anext(stream)
    return client, module, stream

def blocking():
    client = BlockingClient(target, **settings)
    module = client.model(model)
    getattr(module, method)(arguments)
    return client, module

def blocking_stream():
    client, module = blocking()
    stream = getattr(module, method + "_stream_out")(arguments)
    next(stream)
    return client, module, stream

def settle():
    # Who watches looks now, while this process lives.
    gc.collect()
    print("settled", flush=True)
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        if settings["engine"]:  # grpc.aio's tasks end a little later, in cycles of their own
            gc.collect()

"""

DROPPED = {
    "at the end of the loop": "asyncio.run(streaming()); settle()",
    "after the loop": "kept = asyncio.run(streaming()); del kept; settle()",
    "in the loop": """
async def main():
    await streaming()
    gc.collect()
    await asyncio.sleep(0.05)
    await asyncio.to_thread(settle)
asyncio.run(main())
""",
    "in a circle": """
async def main():
    client, module, stream = await streaming()
    client.itself, module.stream, stream.client = client, stream, client
asyncio.run(main()); settle()
""",
    "while it calls": """
async def main():
    client, module = await used()
    calls = [asyncio.ensure_future(getattr(module, method)(arguments)) for _ in range(3)]
    await asyncio.sleep(0)
asyncio.run(main()); settle()
""",
    "with an error": """
async def main():
    client, module, stream = await streaming()
    raise ZeroDivisionError
try:
    asyncio.run(main())
except ZeroDivisionError:
    pass
settle()
""",
    "with a job": """
async def main():
    client, module = await used()
    return client.training("a", "b"), client.prediction_job("SampleTask", "c")
jobs = asyncio.run(main()); del jobs; settle()
""",
    "blocking": "blocking(); settle()",
    "blocking stream": "blocking_stream(); settle()",
    "in threads": """
threads = [threading.Thread(target=lambda: asyncio.run(streaming())) for _ in range(3)]
[each.start() for each in threads]; [each.join() for each in threads]; settle()
""",
}
KEPT = {
    "after its loop": "kept = asyncio.run(streaming()); settle()",
    "after a loop that was closed by hand": """
loop = asyncio.new_event_loop()
kept = loop.run_until_complete(streaming())
loop.close()
settle()
""",
    "with a loop that was never closed": """
loop = asyncio.new_event_loop()
kept = loop.run_until_complete(streaming())
settle()
""",
    "blocking": "kept = blocking(); settle()",
    "blocking stream": "kept = blocking_stream(); settle()",
    "in daemon threads": """
begun = threading.Barrier(3)
async def calling():
    client, module = await used()
    begun.wait()
    while True:
        await getattr(module, method)(arguments)
for _ in range(2):
    threading.Thread(target=lambda: asyncio.run(calling()), daemon=True).start()
begun.wait(); settle()
""",
    "blocking in daemon threads": """
begun = threading.Barrier(3)
def calling():
    client, module = blocking()
    begun.wait()
    while True:
        for _ in getattr(module, method + "_stream_out")(arguments):
            pass
for _ in range(2):
    threading.Thread(target=calling, daemon=True).start()
begun.wait(); settle()
""",
    "in daemon threads that call after the end": """
client, module, stream = blocking_stream()
over = threading.Event()
late = [
    lambda: getattr(module, method)(arguments),
    lambda: next(getattr(module, method + "_stream_out")(arguments)),
    lambda: list(stream),
    client.models,
]
def calling(call):
    over.wait()
    call()
for call in late:
    threading.Thread(target=calling, args=(call,), daemon=True).start()
at_last.append(lambda: (over.set(), time.sleep(0.3)))
settle()
""",
}


_SEVERAL = "grpc.aio complains itself of the loops of several threads (grpc/grpc#32480)"
AMISS = {DROPPED["in threads"]: _SEVERAL, KEPT["in daemon threads"]: _SEVERAL}
"""What grpc.aio does not do."""


class Server:
    def __init__(self, request: pytest.FixtureRequest) -> None:
        protocol, _, self.engine = request.param.partition(" by ")
        self.wire = request.getfixturevalue("wire" if protocol == "grpc" else "http_wire")
        self.tested = request.node.callspec.params.get("script")
        if self.engine == "grpcio" and self.tested in AMISS:
            pytest.skip(AMISS[self.tested])
        self._call = ("foo", "run_sample", "{'name': 'x'}") if protocol == "grpc" else ("raw", "run_echo", "'x'")
        self.before = self.open(self.wire.command("stats"))

    def open(self, stats: Any) -> int:
        count: int = stats["open"]
        return count

    async def run(self, script: str, *options: str, dropped: bool) -> str:
        """What a script writes on its standard error; its connections are over before it ends if it dropped them."""
        command = [sys.executable, *options, "-c", SCRIPT + script, self.wire.target, self.engine, *self._call]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT)
        try:
            assert process.stdout is not None
            line = await process.stdout.readline()
            if dropped and line:
                stats = await self.wire.until(lambda seen: self.open(seen) <= self.before, 5)
                assert self.open(stats) <= self.before
            _, told = await process.communicate(b"\n")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert (line, process.returncode) == (b"settled\n", 0), told.decode()
        stats = await self.wire.until(lambda seen: self.open(seen) <= self.before, 5)
        assert self.open(stats) <= self.before, "a connection outlives its process"
        return told.decode()


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request)


def each_script(scripts: dict[str, str], few: Collection[str]) -> pytest.MarkDecorator:
    """Run a test with each script and kind of server. All are quick on the default engine, and a few elsewhere."""
    cases = [
        pytest.param(kind, script, id=f"{kind}-{name}", marks=slow_if(kind != KINDS[0] and name not in few))
        for kind in KINDS
        for name, script in scripts.items()
    ]
    return pytest.mark.parametrize(("server", "script"), cases, indirect=["server"])


def _complaints(told: str) -> list[str]:
    """The lines that are no word of asyncio's about a step that took long, as its debug mode has them."""
    return [line for line in told.splitlines() if not line.startswith("Executing <")]


@pytest.mark.sampled(5)
@each_script(DROPPED, ["in the loop", "blocking stream"])
async def test_nothing_is_left_of_what_is_dropped(server: Server, script: str) -> None:
    assert await server.run(script, dropped=True) == ""


@pytest.mark.sampled(4)
@each_script(DROPPED, ["in the loop"])
async def test_debug_mode_tells_once_of_what_is_dropped(server: Server, script: str) -> None:
    told = _complaints(await server.run(script, "-X", "dev", dropped=True))
    warnings = [line for line in told if "ResourceWarning" in line]
    assert len(warnings) == 1, told
    assert f"the client of 127.0.0.1:{server.wire.port} was dropped with connections open" in warnings[0]
    assert len(told) == 2, told  # the warning, and the line it comes from


@pytest.mark.sampled(4)
@each_script(KEPT, ["after its loop", "blocking in daemon threads"])
async def test_nothing_is_left_of_what_lives_until_the_exit(server: Server, script: str) -> None:
    assert await server.run(script, dropped=False) == ""


@pytest.mark.sampled(3)
@pytest.mark.parametrize("debug", [False, True])
async def test_nothing_is_said_of_what_is_closed(server: Server, debug: bool) -> None:
    script = """
async def main():
    client, module, stream = await streaming()
    await stream.aclose()
    await client.aclose()
asyncio.run(main()); settle()
if not settings["engine"]:  # grpc.aio complains of a second thread's loop, see _SEVERAL
    with BlockingClient(target) as client:
        client.models()
"""
    told = await server.run(script, *(("-X", "dev") if debug else ()), dropped=True)
    assert _complaints(told) == []


@pytest.mark.sampled(1)
async def test_a_rotated_client_is_told_of_once(server: Server) -> None:
    script = """
settings["max_session_age"] = 0.001
async def main():
    client, module, stream = await streaming()
    streams = [stream]
    for _ in range(3):
        await asyncio.sleep(0.01)
        streams.append(getattr(module, method + "_stream_out")(arguments))
        await anext(streams[-1])
asyncio.run(main()); settle()
"""
    told = await server.run(script, "-X", "dev", dropped=True)
    assert told.count("ResourceWarning") == 1, told
