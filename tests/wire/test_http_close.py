"""Closing over HTTP, and use where it cannot work: every call ends with a typed error, and nothing hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client.errors import ClosedError, WrongLoopError
from remote_client.settings import ConnectionTlsInfo
from tests.support.http_wire import HttpWire as Wire
from tests.support.http_wire import http_module
from tests.support.wire import ROOT, open_files, settled

from .http_kinds import HANGING, ONE_OF_EACH
from .kinds import Deed
from .test_close import _in_other_loop

every_place = pytest.mark.parametrize("deed", HANGING.values(), ids=HANGING)


@every_place
async def test_a_call_in_flight_raises_closed_error(http_wire: Wire, http: Any, deed: Deed) -> None:
    tasks = [asyncio.create_task(deed(http)) for _ in range(5)]
    await http_wire.until_running(5)
    async with asyncio.timeout(1):
        await http.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results} == {ClosedError}
    assert (await http_wire.until(lambda seen: not seen["running"]))["running"] == {}
    assert (await http_wire.until(lambda seen: not seen["open"]))["open"] == 0


@every_place
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_a_call_that_just_started_raises_closed_error(http_wire: Wire, deed: Deed, turns: int) -> None:
    for warm in (False, True):
        module = http_module(http_wire.info())
        if warm:
            await module.echo(b"")
        task = asyncio.ensure_future(deed(module))
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(1):
            await module.aclose()
            with pytest.raises(ClosedError):
                await task


@pytest.mark.parametrize("place", ["connecting", "handshake", "slot"])
async def test_a_call_without_a_connection_raises_closed_error(
    http_wire: Wire, deaf: int, mute: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "slot":
        monkeypatch.setattr("remote_client._transport.http.pool.MAX_CONNECTIONS", 1)
    tls = ConnectionTlsInfo(enabled=place == "handshake")
    files = open_files()
    port = {"connecting": deaf, "handshake": mute, "slot": http_wire.port}[place]
    module = http_module(http_wire.info(port=port, tls=tls))
    tasks = [asyncio.ensure_future(deed(module)) for deed in ONE_OF_EACH.values()]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        await module.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [ClosedError] * 4
    assert await settled(open_files, files) <= files


async def test_answers_that_were_not_read_are_given_up(http_wire: Wire) -> None:
    """A stream whose next events have come already, and one that is over but was not read."""
    module = http_module(http_wire.info())
    running, over = module.count(n=3, hang=True), module.count(n=3)
    for stream in (running, over):
        await anext(stream)
    await asyncio.sleep(0.05)
    await module.aclose()
    for stream in (running, over):
        for _ in range(2):
            with pytest.raises(ClosedError):
                await anext(stream)
    assert (await http_wire.until(lambda seen: not seen["open"]))["open"] == 0


@pytest.mark.parametrize("read", [0, 1])
async def test_a_stream_nobody_reads_is_told_later(http_wire: Wire, read: int) -> None:
    module = http_module(http_wire.info())
    stream = await module.count(n=1, hang=True).__aenter__()
    for _ in range(read):
        await anext(stream)
    await http_wire.until_running(1)
    await module.aclose()
    assert (await http_wire.until(lambda seen: not seen["running"]))["running"] == {}
    with pytest.raises(ClosedError):
        await anext(stream)
    await stream.aclose()


async def test_closed_is_closed(http_wire: Wire) -> None:
    module = http_module(http_wire.info())
    await module.echo(b"")
    stream = module.count(n=5, delay=0.05)
    await anext(stream)
    await asyncio.gather(module.aclose(), module.aclose())
    await module.aclose()
    for deed in HANGING.values():
        with pytest.raises(ClosedError):
            await deed(module)
    with pytest.raises(ClosedError):
        await anext(stream)
    with pytest.raises(ClosedError):
        module._caller.connections.lease()


async def test_closing_leaves_no_file_open(http_wire: Wire) -> None:
    files = open_files()
    for deed in HANGING.values():
        module = http_module(http_wire.info())
        await asyncio.gather(*(module.echo(b"") for _ in range(10)))
        task = asyncio.ensure_future(deed(module))
        await http_wire.until_running(1)
        await module.aclose()
        with pytest.raises(ClosedError):
            await task
    assert await settled(open_files, files) <= files
    assert (await http_wire.until(lambda seen: not seen["open"]))["open"] == 0


@pytest.mark.parametrize("route", ["GET /openapi.json", "GET /info/models"])
async def test_a_client_closes_while_it_discovers(http_wire: Wire, route: str) -> None:
    await http_wire.faults({route: {"delay": 10}})
    client = RemoteClient(http_wire.target)
    waiting = [asyncio.create_task(client.model("raw")), asyncio.create_task(client.models())]
    await http_wire.until(lambda seen: route in seen["running"])
    async with asyncio.timeout(1):
        await client.aclose()
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [ClosedError] * 2
    with pytest.raises(ClosedError):
        await client.model("raw")


@every_place
async def test_a_cancelled_aclose_can_be_repeated(http_wire: Wire, deed: Deed) -> None:
    module = http_module(http_wire.info())
    call = asyncio.ensure_future(deed(module))
    await http_wire.until_running(1)
    closing = asyncio.create_task(module.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait((closing,))
    async with asyncio.timeout(1):
        await module.aclose()
        with pytest.raises(ClosedError):
            await call
    assert (await http_wire.until(lambda seen: not seen["open"]))["open"] == 0


async def test_cancelled_while_it_closes(http_wire: Wire) -> None:
    """Who is cancelled sees that, and not the closing."""
    module = http_module(http_wire.info())
    tasks = [asyncio.ensure_future(deed(module)) for deed in HANGING.values()]
    await http_wire.until_running(len(tasks))
    for task in tasks:
        task.cancel()
    await module.aclose()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results} == {asyncio.CancelledError}


# -- loops and processes ----------------------------------------------------------------------------------------------


async def test_a_second_loop_is_told(http_wire: Wire) -> None:
    module = http_module(http_wire.info())
    await module.echo(b"")
    for deed in (lambda: module.echo(b""), lambda: anext(module.silent()), module.aclose):
        assert isinstance(await asyncio.to_thread(_in_other_loop, deed), WrongLoopError)
    assert await module.echo(b"still well") == b"still well"
    await module.aclose()


@pytest.mark.own_http("it reaches into the client's own engine")
def test_a_dead_loop_is_told(http_wire: Wire) -> None:
    module = http_module(http_wire.info())

    async def use() -> None:
        await module.echo(b"")
        # Left open, as by mistake; without its sockets there is no warning of that.
        await module._caller.connections._current.transport.pool.aclose()

    asyncio.run(use())

    async def again() -> None:
        with pytest.raises(WrongLoopError, match="ended"):
            await module.echo(b"")
        with pytest.raises(WrongLoopError):
            await anext(module.silent())
        await module.aclose()  # nothing is left to close, but the intention counts
        with pytest.raises(ClosedError):
            await module.echo(b"")

    asyncio.run(again())


async def test_one_client_for_each_loop(http_wire: Wire) -> None:
    async def use() -> bytes:
        async with http_module(http_wire.info()) as module:
            answer: bytes = await module.echo(b"mine")
            return answer

    assert await asyncio.gather(*(asyncio.to_thread(_in_other_loop, use) for _ in range(4))) == [b"mine"] * 4


_FORK = """
import asyncio, os, sys, time, warnings
from remote_client.errors import ForkedError
from remote_client.settings import ConnectionInfo
from tests.support.http_wire import http_module

warnings.simplefilter("ignore")
info = ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[1]), timeout=20)
loop = asyncio.new_event_loop()
old, unused = http_module(info), http_module(info)
assert loop.run_until_complete(old.echo(b"before")) == b"before"

async def stream(module):
    return len([each async for each in module.count(n=3)])

async def fresh():
    async with http_module(info) as module:
        return await module.echo(b"fresh"), await stream(module)

def told(deed):
    try:
        return asyncio.run(deed())
    except ForkedError:
        return True

child = os.fork()
if child == 0:
    begun = time.monotonic()
    deeds = [lambda: old.echo(b""), lambda: stream(old), fresh, lambda: unused.echo(b"u")]
    results = [told(each) for each in deeds]
    fine = results == [True, True, (b"fresh", 3), b"u"] and time.monotonic() - begun < 2
    print(results, file=sys.stderr, flush=True)
    os._exit(0 if fine else 1)
for _ in range(50):
    assert loop.run_until_complete(old.echo(b"after")) == b"after"
_, status = os.waitpid(child, 0)
assert loop.run_until_complete(old.echo(b"at last")) == b"at last"
assert loop.run_until_complete(stream(old)) == 3
loop.run_until_complete(old.aclose())
loop.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_fork(http_wire: Wire) -> None:
    """The parent goes on, on its one connection; the child is told, and may make clients of its own."""
    _run(_FORK, http_wire)
    assert http_wire.command("stats")["accepts"] == 3


_QUIET = """
import asyncio, sys
from remote_client.settings import ConnectionInfo
from tests.support.http_wire import http_module

info = ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[1]), timeout=20)

async def leave():
    module = http_module(info)
    stream = module.count(n=1, hang=True)
    await anext(stream)
    STREAM

kept = asyncio.run(leave())
del kept
"""


LEAVE = {
    "nothing closed": "return module, stream",
    "client closed": "await module.aclose(); return stream",
    "both closed": "await stream.aclose(); await module.aclose()",
}


@pytest.mark.parametrize("leave", LEAVE)
def test_a_loop_that_ends_early(http_wire: Wire, leave: str) -> None:
    """With a stream open nothing hangs; and nothing is printed but, in debug mode, that a client was never closed."""
    script = _QUIET.replace("STREAM", LEAVE[leave])
    assert _run(script, http_wire) == ""
    told = _run(script, http_wire, "-X", "dev")
    assert told.count("ResourceWarning") == (leave == "nothing closed")
    assert ("was dropped with connections open" in told) == (leave == "nothing closed")


def _run(script: str, wire: Wire, *options: str) -> str:
    command = [sys.executable, *options, "-c", script, str(wire.port)]
    done = subprocess.run(command, cwd=ROOT, timeout=30, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr
