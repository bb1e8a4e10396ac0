"""How fast maps with `concurrency="auto"` are beside fixed numbers, at servers of several kinds.

`pytest -s` prints the figures. All are of one run, in turns, and of several rounds, because the machine may have other
work.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio

from remote_client import RemoteClient
from remote_client.bulk import map_rows

from ..support.runtime import SAMPLE_MODELS, Runtime
from ..support.wire import WireServer

FIXED = (4, 8, 16, 24, 32, 64, 128, 256)
ROUNDS, SECONDS = 3, 3
ATTEMPTS = 3
"""Other people's work may disturb one."""
SERVERS = ("tiny model", "model of 50 ms", "refuses beyond 40")

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Any, Any]]:
    """A method, and its row."""
    if request.param == "refuses beyond 40":
        with WireServer() as wire:
            await wire.faults(pace={"Echo": {"seconds": 0.05, "room": 40}})
            async with wire.plain() as module:
                yield module.echo, b"row"
        return
    name, task, row = (
        ("foo", "SampleTask", {"name": "x"}) if request.param == "tiny model" else ("slow", "SlowTask", 0.05)
    )
    with Runtime(models={name: SAMPLE_MODELS[name]}) as runtime:
        async with RemoteClient(runtime.target) as client:
            yield (await client.model(name, task=task)).run, (row,)


async def rates(method: Any, row: Any, concurrency: Any, *, settle: float, seconds: int) -> list[int]:
    """The answers of each second, some time after the map began."""
    begun, counted, answers = (
        monotonic() + settle,
        [0] * seconds,
        map_rows(method, itertools.repeat(row), concurrency=concurrency),
    )
    async with answers:
        async for _ in answers:
            passed = monotonic() - begun
            if passed >= seconds:
                break
            if passed >= 0:
                counted[int(passed)] += 1
    assert answers.failed == 0
    return counted


async def figures(method: Any, row: Any) -> dict[Any, float]:
    """The answers in a second for each number, and for "auto", whose turn is longer because it settles first.

    The numbers take many short turns, so that what else the machine does slows down all of them alike.
    """
    found: dict[Any, list[int]] = {number: [] for number in (*FIXED, "auto")}
    await rates(method, row, 32, settle=0.5, seconds=1)
    for turn in range(ROUNDS * SECONDS):
        for number in random.sample(FIXED, len(FIXED)):
            found[number] += await rates(method, row, number, settle=0.3, seconds=1)
        if turn % SECONDS == 1:
            found["auto"] += await rates(method, row, "auto", settle=2.0, seconds=SECONDS)
    return {number: statistics.mean(each) for number, each in found.items()}


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.timeout(600)
async def test_auto_is_within_a_tenth_of_the_best_number(server: tuple[Any, Any], request: Any) -> None:
    shares = []
    for _ in range(ATTEMPTS):
        found = await figures(*server)
        shares.append(found["auto"] / max(found[number] for number in FIXED))
        line = ", ".join(f"{number}: {each:,.0f}" for number, each in found.items())
        print(f"\n{request.node.callspec.id}: {line} rows/s; auto to the best {shares[-1]:.2f}")
        if shares[-1] >= 0.9:
            return
    pytest.fail(f"auto to the best fixed number: {shares}")


CHANGES = {
    "tenfold slower": ({"seconds": 0.02, "workers": 16}, {"seconds": 0.2, "workers": 16}),
    "tenfold faster": ({"seconds": 0.2, "workers": 16}, {"seconds": 0.02, "workers": 16}),
    "tenfold as many": ({"seconds": 0.1, "workers": 8}, {"seconds": 0.1, "workers": 80}),
    "a tenth as many": ({"seconds": 0.1, "workers": 80}, {"seconds": 0.1, "workers": 8}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.timeout(120)
async def test_auto_settles_within_five_seconds(change: str) -> None:
    before, after = CHANGES[change]
    shares = []
    with WireServer() as wire:
        async with wire.plain() as module:
            for _ in range(ATTEMPTS):
                await wire.faults(pace={"Echo": before})
                settled = await _after_a_change(wire, module.echo, after)
                best = statistics.mean(await rates(module.echo, b"row", 128, settle=2.0, seconds=2))
                shares.append(settled / best)
                print(f"\n{change}: {settled:,.0f} rows/s after 5 s; with 128 {best:,.0f}: {shares[-1]:.2f}")
                if shares[-1] >= 0.9:
                    return
    pytest.fail(f"auto to 128: {shares}")


async def _after_a_change(wire: WireServer, method: Any, pace: dict[str, Any]) -> float:
    """The rate of a map five seconds after the server changed; it had five seconds for the one before."""
    begun, counted, changing = monotonic(), 0, None
    async with map_rows(method, itertools.repeat(b"row")) as answers:
        async for _ in answers:
            passed = monotonic() - begun
            if changing is None and passed > 5:
                changing = asyncio.ensure_future(wire.faults(pace={"Echo": pace}))
            if passed > 13:
                break
            counted += passed > 10
    assert changing is not None
    await changing
    return counted / 3
