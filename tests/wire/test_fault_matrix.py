"""Eight faults of the network, four kinds of call, two protocols: an answer or a typed error, and never too late.

A stream that is cut at any byte gives a gap-free beginning and then a typed error. Seeds are told in the tests' names.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import RemoteCallError
from remote_client.settings import CallOptions, ConnectionInfo, RetryPolicy
from tests.support.clock import Stopwatch
from tests.support.faulty_proxy import FAULTS, FaultyProxy
from tests.support.http_wire import HttpWire, http_module
from tests.support.in_threads import in_threads
from tests.support.slow import slow_but
from tests.support.wire import WireServer, raw_module

TIMEOUT = 1.0
ITEMS = [b"1"] * 20


async def many() -> AsyncIterator[bytes]:
    for each in ITEMS:
        yield each
        await asyncio.sleep(0)


async def unary(module: Any) -> Any:
    return await module.echo(b'"x"')


async def stream_out(module: Any) -> Any:
    return [number(each) async for each in module.count(n=20)]


async def stream_in(module: Any) -> Any:
    return await module.sum(many())


async def bidi(module: Any) -> Any:
    return [each async for each in module.chat(many())]


KINDS = {"unary": unary, "stream out": stream_out, "stream in": stream_in, "bidi": bidi}
FIRST = ("unary", "stream out")
ANSWERS = {"unary": b'"x"', "stream out": list(range(20)), "stream in": b"20", "bidi": ITEMS}
CASES = [("grpc", each) for each in KINDS] + [(who, each) for who in ("http", "threads") for each in FIRST]


def threads(info: ConnectionInfo, *, options: CallOptions) -> Any:
    return in_threads(raw_module(info, options=options))


MAKE: dict[str, Any] = {"grpc": raw_module, "http": http_module, "threads": threads}


@pytest.mark.sampled(20)
@pytest.mark.parametrize("seed", slow_but([0], range(2)))
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("protocol", "kind"), CASES)
async def test_in_time(wire: WireServer, http_wire: HttpWire, protocol: str, kind: str, fault: str, seed: int) -> None:
    server, make = http_wire if protocol == "http" else wire, MAKE[protocol]
    chance = random.Random(seed)
    options = CallOptions(timeout=TIMEOUT, total_timeout=TIMEOUT, retry=RetryPolicy(retries=chance.choice([0, 2])))
    async with (
        FaultyProxy(server.port, fault, chance) as proxy,
        make(server.info(port=proxy.port), options=options) as module,
    ):
        if chance.random() < 0.5:  # on a connection that worked
            proxy.fault = None
            await unary(module)
            proxy.fault = fault
        watch = Stopwatch()
        try:
            answer = await KINDS[kind](module)
        except RemoteCallError:
            pass
        else:
            assert answer == ANSWERS[kind]
        assert watch.seconds < TIMEOUT + 0.25


@pytest.mark.parametrize("seed", slow_but([0], range(4)))
@pytest.mark.parametrize("protocol", ["grpc", "http", "threads"])
async def test_125_streams_cut_at_random_bytes(wire: WireServer, http_wire: HttpWire, protocol: str, seed: int) -> None:
    """All seeds of both protocols together are 1,000 cuts."""
    server, make = http_wire if protocol == "http" else wire, MAKE[protocol]
    chance = random.Random(seed)
    failed = 0
    async with FaultyProxy(server.port, None, chance) as proxy:
        for _ in range(125):
            proxy.cut_after = chance.randrange(1, 12_000)
            options = CallOptions(timeout=5, retry=RetryPolicy(retries=2, initial_backoff=0.001))
            async with make(server.info(port=proxy.port), options=options) as module:
                seen: list[int] = []
                try:
                    async for each in module.count(n=100, size=50):
                        seen.append(number(each))
                except RemoteCallError:
                    failed += 1
                else:
                    assert len(seen) == 100
                assert seen == list(range(len(seen)))
    assert failed > 40


def number(item: bytes) -> int:
    return int(json.loads(item)["number"]) if item.startswith(b"{") else int(item.rstrip(b"\0"))
