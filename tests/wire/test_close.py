"""Closing, and use where it cannot work: every call ends with a typed error, and nothing hangs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client._transport.engine import open_connections
from remote_client.errors import ClosedError, WrongLoopError
from tests.conftest import ENGINE
from tests.support.wire import ROOT, WireServer, raw_module

from .kinds import HANGING, ONE_OF_EACH, Deed, endless


@pytest.mark.parametrize("deed", HANGING.values(), ids=HANGING)
async def test_a_call_in_flight_raises_closed_error(wire: WireServer, module: Any, deed: Deed) -> None:
    tasks = [asyncio.create_task(deed(module)) for _ in range(5)]
    await wire.until_running(5)
    async with asyncio.timeout(2):
        await module.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results} == {ClosedError}
    assert (await wire.until(lambda seen: not seen["running"]))["running"] == {}


@pytest.mark.parametrize("deed", HANGING.values(), ids=HANGING)
@pytest.mark.parametrize("turns", range(5))
async def test_a_call_that_just_started_raises_closed_error(wire: WireServer, deed: Deed, turns: int) -> None:
    for warm in (False, True):
        module = raw_module(wire.info())
        if warm:
            await module.echo(b"")
        task = asyncio.ensure_future(deed(module))
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await module.aclose()
            with pytest.raises(ClosedError):
                await task


async def test_closed_is_closed(wire: WireServer) -> None:
    module = raw_module(wire.info())
    await module.echo(b"")
    stream = module.count(n=5, delay=0.05)
    await anext(stream)
    await asyncio.gather(module.aclose(), module.aclose())
    await module.aclose()
    for deed in ONE_OF_EACH.values():
        with pytest.raises(ClosedError):
            await deed(module)
    with pytest.raises(ClosedError):
        await anext(stream)
    with pytest.raises(ClosedError):
        module._caller.connections.lease()


async def test_a_client_closes_while_it_discovers(wire: WireServer) -> None:
    await wire.faults(models_delay=10)
    client = RemoteClient(wire.target)
    waiting = [asyncio.create_task(client.model("foo")), asyncio.create_task(client.models())]
    await wire.until(lambda seen: "GetModelsInfo" in seen["running"])
    async with asyncio.timeout(2):
        await client.aclose()
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [ClosedError] * 2
    with pytest.raises(ClosedError):
        await client.model("foo")


async def test_a_cancelled_aclose_can_be_repeated(wire: WireServer) -> None:
    module = raw_module(wire.info())
    call = asyncio.create_task(module.sleep(seconds=3600))
    await wire.until_running(1)
    closing = asyncio.create_task(module.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait((closing,))
    async with asyncio.timeout(2):
        await module.aclose()
        with pytest.raises(ClosedError):
            await call


def _in_other_loop(deed: Any) -> Any:
    """What a coroutine function gives or raises in a loop and thread of its own."""
    result: list[Any] = []

    def work() -> None:
        try:
            result.append(asyncio.run(deed()))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert result, "the other loop hangs"
    return result[0]


async def test_a_second_loop_is_told(wire: WireServer) -> None:
    module = raw_module(wire.info())
    await module.echo(b"")
    for deed in (lambda: module.echo(b""), lambda: anext(module.silent()), module.aclose):
        assert isinstance(await asyncio.to_thread(_in_other_loop, deed), WrongLoopError)
    assert await module.echo(b"still well") == b"still well"
    await module.aclose()


def test_a_dead_loop_is_told(wire: WireServer) -> None:
    module = raw_module(wire.info())
    asyncio.run(module.echo(b""))

    async def again() -> None:
        with pytest.raises(WrongLoopError, match="ended"):
            await module.echo(b"")
        with pytest.raises(WrongLoopError):
            await anext(module.chat(endless()))
        await module.aclose()  # nothing is left to close, but the intention counts
        with pytest.raises(ClosedError):
            await module.echo(b"")

    asyncio.run(again())


def test_a_loop_that_ends_with_a_stream_open_is_quiet(wire: WireServer, capfd: pytest.CaptureFixture[str]) -> None:
    async def leave() -> Any:
        module = raw_module(wire.info())
        stream = module.count(n=1, hang=True)
        await anext(stream)
        return stream

    stream = asyncio.run(leave())
    del stream
    assert capfd.readouterr().err == ""


async def test_one_client_for_each_loop(wire: WireServer) -> None:
    async def use() -> bytes:
        async with raw_module(wire.info()) as module:
            answer: bytes = await module.echo(b"mine")
            return answer

    assert await asyncio.gather(*(asyncio.to_thread(_in_other_loop, use) for _ in range(4))) == [b"mine"] * 4


_FORK = """
import asyncio, os, sys, time, warnings
from remote_client.errors import ForkedError
from remote_client.settings import ConnectionInfo
from tests.support.wire import raw_module

warnings.simplefilter("ignore")
info = ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[1]), timeout=20)
loop = asyncio.new_event_loop()
old = raw_module(info)
unused, unused_too = raw_module(info), raw_module(info)
assert loop.run_until_complete(old.echo(b"before")) == b"before"
begun_before = old.count(n=2, hang=True)
assert loop.run_until_complete(anext(begun_before)) == b"0"

def told(deed):
    try:
        asyncio.run(deed())
    except ForkedError:
        return "forked"
    return "works"

async def fresh():
    async with raw_module(info) as module:
        await module.echo(b"")

async def used(module):
    async with module:
        await module.echo(b"")

async def stream(module):
    async with module:
        assert [each async for each in module.count(n=2)] == [b"0", b"1"]

child = os.fork()
if child == 0:
    begun = time.monotonic()
    old_ones = [lambda: old.echo(b""), lambda: stream(old), lambda: anext(begun_before)]
    old_ones += [begun_before.aclose, old.aclose]
    new_ones = [lambda: used(unused), lambda: stream(unused_too), fresh]
    results = [told(each) for each in old_ones], [told(each) for each in new_ones]
    fine = results == (["forked"] * 5, [sys.argv[2]] * 3) and time.monotonic() - begun < 3
    print(results, file=sys.stderr, flush=True)
    os._exit(0 if fine else 1)
for _ in range(50):
    assert loop.run_until_complete(old.echo(b"after")) == b"after"
_, status = os.waitpid(child, 0)
assert loop.run_until_complete(old.echo(b"at last")) == b"at last"
assert loop.run_until_complete(anext(begun_before)) == b"1"
loop.run_until_complete(begun_before.aclose())
loop.run_until_complete(old.aclose())
loop.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""
_FORK_EARLY = """
import asyncio, os, sys
from remote_client.settings import ConnectionInfo
from tests.support.wire import raw_module

info = ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[1]), timeout=10)
module = raw_module(info)
child = os.fork()
assert asyncio.run(module.echo(b"x")) == b"x"
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0)
"""


@pytest.mark.parametrize("script", [_FORK, _FORK_EARLY], ids=["after use", "before use"])
def test_fork(wire: WireServer, script: str) -> None:
    new = "forked" if ENGINE == "grpcio" else "works"  # grpcio hangs in a child whose parent used it
    command = [sys.executable, "-c", script, str(wire.port), new]
    # Now and then grpcio's own threads, which the child has not, take it along with a segmentation fault.
    for _ in range(3 if ENGINE == "grpcio" else 1):
        done = subprocess.run(command, cwd=ROOT, timeout=30, capture_output=True, text=True, check=False)
        if done.returncode not in (-signal.SIGSEGV, 256 - signal.SIGSEGV):
            break
    assert done.returncode == 0, done.stderr


async def test_a_lease_is_refused_at_once_after_close(wire: WireServer) -> None:
    manager = open_connections(wire.info(), "grpc")
    manager.lease().release()
    closing = asyncio.create_task(manager.aclose())
    await asyncio.sleep(0)
    with pytest.raises(ClosedError):
        manager.lease()
    await closing
