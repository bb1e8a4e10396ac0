"""10,000 calls cancelled anywhere, over both protocols: nothing is left of them, and the next calls work.

Anywhere is after any number of turns of the loop and at any time up to some milliseconds: while a connection is made,
while it is replaced, inside a stream, in the pause before a retry; and some are cancelled once more while they wind up.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

import pytest

from remote_client.errors import UnavailableError
from remote_client.hooks import AttemptFailed
from remote_client.settings import CallOptions, RetryPolicy
from tests.support.proc import open_sockets
from tests.support.wire import settled
from tests.wire import kinds
from tests.wire.kinds import Deed, endless

AT_ONCE = 50


async def echo(module: Any) -> None:
    assert await module.echo(b"mine") == b"mine"


async def large(module: Any) -> None:
    await module.echo(bytes(300_000))


async def soon(module: Any) -> None:
    await module.sleep(seconds=0.002)


async def stream(module: Any) -> None:
    async with module.count(n=3, delay=0.001) as items:
        assert len([each async for each in items]) == 3


async def left(module: Any) -> None:
    """Cancelled in the loop's body: nobody closes the stream."""
    async for _ in module.count(n=3, hang=True):
        await asyncio.sleep(0.003)


async def total(module: Any) -> None:
    assert await module.sum([b"1"] * 20) == b"20"


async def chat(module: Any) -> None:
    async with module.chat([b"1"] * 20) as items:
        assert [each async for each in items] == [b"1"] * 20


async def chat_left(module: Any) -> None:
    async for _ in module.chat(endless()):
        await asyncio.sleep(0.003)


async def pausing(module: Any) -> None:
    """The server wants to be asked again in a second; without budget that is the end."""
    with contextlib.suppress(UnavailableError):
        await module.fail(code="UNAVAILABLE", trailing={"grpc-retry-pushback-ms": "1000"})


async def pausing_http(module: Any) -> None:
    with contextlib.suppress(UnavailableError):
        await module.fail(status=503, headers={"retry-after": "1"})


WELL: dict[str, list[Deed]] = {"grpc": [echo, stream, total, chat], "http": [echo, stream]}
DEEDS: dict[str, list[Deed]] = {
    "grpc": [*WELL["grpc"], *kinds.HANGING["grpc"].values(), large, soon, left, chat_left, pausing],
    "http": [*WELL["http"], *kinds.HANGING["http"].values(), large, soon, left, pausing_http],
}


async def cancelled(deed: Deed, module: Any, chance: random.Random) -> bool:
    """Cancel a call somewhere; whether it was not over before."""
    task = asyncio.ensure_future(deed(module))
    for _ in range(chance.randrange(30)):
        await asyncio.sleep(0)
    if chance.random() < 0.5:
        await asyncio.sleep(chance.uniform(0, 0.005))
    task.cancel()
    if chance.random() < 0.1:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
    return task.cancelled()


def held(module: Any) -> Counter[str]:
    """What calls hold of the connections; empty where they hold nothing."""
    manager = module._caller.connections
    found = Counter(leases=0, in_flight=manager.health.in_flight, replaced=len(manager._draining))
    for generation in (*manager._draining, *([manager._current] if manager._current else ())):
        found["leases"] += generation.leases
        pool = getattr(generation.transport, "pool", None)
        if pool is not None:
            found["acquired"] += len(pool._open) - len(pool._idle) + len(pool._waiting)
    return +found


async def sockets_of(server: Any) -> int:
    """How many are open when nothing runs. The first use of gRPC opens some for good."""
    async with server.plain() as module:
        await echo(module)
    await asyncio.sleep(0.1)
    return open_sockets()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("protocol", "age", "count"),
    [(protocol, *each) for protocol in ("grpc", "http") for each in ((-1, 2000), (0.03, 2000), (0, 1000))],
)
async def test_nothing_is_left(server: Any, no_gc: None, protocol: str, age: float, count: int) -> None:
    seed = f"{protocol} {age}"
    chance = random.Random(seed)
    paused = 0

    def hook(event: Any) -> None:
        nonlocal paused
        paused += isinstance(event, AttemptFailed) and event.wait is not None

    options = CallOptions(timeout=20, retry=RetryPolicy(retries=2), hooks=(hook,))
    sockets, tasks = await sockets_of(server), len(asyncio.all_tasks())
    async with server.plain(max_session_age=age, call_options=options) as module:
        done = 0
        while done < count:
            deeds = chance.choices(DEEDS[protocol], k=AT_ONCE)
            done += sum(await asyncio.gather(*(cancelled(each, module, chance) for each in deeds)))
        assert await settled(lambda: held(module).total(), 0, 2) == 0, (seed, held(module))
        assert await settled(lambda: len(asyncio.all_tasks()), tasks, 2) <= tasks, (seed, asyncio.all_tasks())
        for deed in WELL[protocol]:
            await asyncio.gather(*(deed(module) for _ in range(20)))
        assert await settled(lambda: held(module).total(), 0, 2) == 0, (seed, held(module))
        assert (module._caller.connections.opened > 5) is (age >= 0)
    assert paused, seed
    assert await settled(open_sockets, sockets) <= sockets, seed
    assert (await server.until(lambda seen: not seen["running"], 3))["running"] == {}, seed
