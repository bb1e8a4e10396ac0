"""Many rows at a server that is slow, refuses calls, fails some, resets connections, dies and comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from remote_client.bulk import Done, MapRows, map_rows
from remote_client.errors import UnavailableError
from tests.support.faulty_proxy import FaultyProxy
from tests.support.http_wire import RESET
from tests.support.wire import ServerProcess

ECHO = {"grpc": "Echo", "http": "POST /echo"}
REFUSALS = [("grpc", "RESOURCE_EXHAUSTED"), ("grpc", "CANCELLED"), ("http", 429)]
OUTAGES: list[Any] = [("grpc", "UNAVAILABLE"), ("http", 503), ("http", "reset")]
OUTAGES += [pytest.param("http", status, marks=pytest.mark.slow) for status in (502, 504)]
ORDERED = pytest.mark.parametrize(
    "ordered", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["ordered", "unordered"]
)


def rows(count: int) -> list[tuple[bytes]]:
    return [(b"%d" % number,) for number in range(count)]


def expected(count: int) -> list[Done]:
    return [Done(number, b"%d" % number) for number in range(count)]


async def all_of(answers: MapRows, do: Callable[[int], Any] = lambda _: None) -> list[Done]:
    """The answers; something is done after each, told how many there are."""
    found = []
    async with asyncio.timeout(30):
        async for done in answers:
            found.append(done)
            do(len(found))
    return found


async def fail_calls(server: ServerProcess, protocol: str, status: Any, pattern: list[bool]) -> None:
    """Fail the next calls where the pattern says so."""
    if protocol == "grpc":
        await server.faults(refuse={"Echo": [status if fails else None for fails in pattern]})
    else:
        fault = {"steps": [RESET]} if status == "reset" else {"status": status}
        await server.faults({"POST /echo": [fault if fails else None for fails in pattern]})


@pytest.mark.parametrize("concurrency", ["auto", pytest.param(4, marks=pytest.mark.slow)])
async def test_a_slow_server_is_called_once_a_row(server: Any, protocol: str, plain: Any, concurrency: Any) -> None:
    await server.faults(pace={ECHO[protocol]: {"seconds": 0.01, "workers": 8}})
    answers = map_rows(plain.echo, rows(200), concurrency=concurrency)
    assert await all_of(answers) == expected(200)
    assert (answers.failed, await server.started(ECHO[protocol])) == (0, 200)


@ORDERED
async def test_a_server_that_refuses_beyond_a_number(server: Any, protocol: str, plain: Any, ordered: bool) -> None:
    await server.faults(pace={ECHO[protocol]: {"seconds": 0.01, "room": 10}})
    answers = map_rows(plain.echo, rows(600), ordered=ordered)
    found = await all_of(answers)
    assert sorted(found, key=lambda done: done.index) == expected(600)
    assert not ordered or found == expected(600)
    assert answers.failed == 0
    refused = (await server.stats())["refused"][ECHO[protocol]]
    assert 0 < refused < 200


@pytest.mark.parametrize(("protocol", "status"), REFUSALS)
async def test_refused_rows_are_sent_again(server: Any, protocol: str, plain: Any, status: Any) -> None:
    pattern = [number % 5 == 3 for number in range(150)]
    await fail_calls(server, protocol, status, pattern)
    answers = map_rows(plain.echo, rows(300))
    assert await all_of(answers) == expected(300)
    assert (answers.failed, await server.started(ECHO[protocol])) == (0, 300 + sum(pattern))


@pytest.mark.parametrize(("protocol", "status"), OUTAGES)
async def test_rows_that_met_an_outage_are_sent_again(server: Any, protocol: str, plain: Any, status: Any) -> None:
    pattern = [number in range(40, 60) for number in range(60)]
    await fail_calls(server, protocol, status, pattern)
    answers = map_rows(plain.echo, rows(300), concurrency=32)
    assert await all_of(answers) == expected(300)
    assert answers.failed == 0
    # Those that failed; over connections that are reset others may be lost with them.
    assert await server.started(ECHO[protocol]) <= 300 + sum(pattern) + 32


@pytest.mark.parametrize(("protocol", "status"), [("grpc", "UNAVAILABLE"), ("http", 503)])
async def test_the_clients_retries_are_made_first(server: Any, protocol: str, status: Any) -> None:
    pattern = [number == 5 for number in range(20)]
    await fail_calls(server, protocol, status, pattern)
    async with server.plain(retries=2) as module:
        answers = map_rows(module.echo, rows(50))
        assert await all_of(answers) == expected(50)
    assert (answers.failed, await server.started(ECHO[protocol])) == (0, 51)


@ORDERED
async def test_a_server_that_dies_and_comes_back(start: Any, protocol: str, ordered: bool) -> None:
    server = start()
    tasks: list[asyncio.Future[Any]] = []

    def after(count: int) -> None:
        if count == 150:
            tasks.append(asyncio.ensure_future(asyncio.to_thread(server.restart)))

    async with server.plain() as module:
        await server.faults(pace={ECHO[protocol]: {"seconds": 0.005}})
        answers = map_rows(module.echo, rows(400), concurrency=16, ordered=ordered)
        found = await all_of(answers, after)
        await asyncio.gather(*tasks)
    assert sorted(found, key=lambda done: done.index) == expected(400)
    assert not ordered or found == expected(400)
    assert answers.failed == 0
    # The first server had answered at least 150 of them, and up to 2 * 16 + 8 that were not taken yet.
    assert await server.started(ECHO[protocol]) <= 400 - 150 + 16


@pytest.mark.sampled(1)
async def test_connections_that_are_reset_lose_no_row(server: Any, protocol: str) -> None:
    async with FaultyProxy(server.port, None, random.Random(1)) as proxy:
        async with server.plain(port=proxy.port) as module:
            answers = map_rows(module.echo, rows(400), concurrency=16)
            cut_after = 2000 if protocol == "grpc" else 600  # bytes; over HTTP a connection has a 16th of the rows

            def after(count: int) -> None:
                proxy.cut_after = cut_after if count < 200 else 0

            assert await all_of(answers, after) == expected(400)
    assert answers.failed == 0
    assert 400 < await server.started(ECHO[protocol]) <= 800


@pytest.mark.parametrize(("protocol", "status"), OUTAGES[:2])
async def test_a_server_that_stays_away_is_probed_seldom(server: Any, protocol: str, plain: Any, status: Any) -> None:
    await fail_calls(server, protocol, status, [number > 20 for number in range(2000)])
    answers = map_rows(plain.echo, rows(1000), concurrency=16, outage=0.5)
    with pytest.raises(UnavailableError) as caught:
        await all_of(answers)
    assert caught.value.__notes__[0].startswith("row ")
    probes = 4  # after 0.1, 0.2, 0.4 seconds, and so on
    assert await server.started(ECHO[protocol]) <= 21 + 16 + probes
