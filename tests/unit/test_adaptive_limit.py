"""The number of calls that a map makes at a time, against a simulated server: no loop, no clock."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import pytest

from remote_client._bulk.concurrency import LEAST, MOST, START, AdaptiveLimit, FixedLimit


@dataclass
class Server:
    """A server that works on some calls at a time; further ones wait.

    Attributes:
        parallel: calls it works on at a time.
        seconds: the time of one call.
        drag: by how much each call in flight makes all of them slower.
        sheds: calls in flight from which on it refuses more; None if it never does.
    """

    parallel: int
    seconds: float
    drag: float = 0.0
    sheds: int | None = None


def rates(
    server: Server, limit: AdaptiveLimit | FixedLimit, until: float, change: tuple[float, float] | None = None
) -> list[int]:
    """Answers in each second, of a map that always has rows. `change` sets the time of a call at some time."""
    chance = random.Random(7)
    free = [0.0] * server.parallel
    running: list[tuple[float, float]] = []
    answers: list[int] = []
    now = 0.0
    while now < until:
        if change is not None and now >= change[0]:
            server.seconds, change = change[1], None
        while len(running) < limit.limit:
            if server.sheds is not None and len(running) >= server.sheds:
                limit.refused(now)
                break
            begins = max(heapq.heappop(free), now)
            ends = begins + server.seconds * chance.uniform(0.7, 1.3) * (1 + server.drag * len(running))
            heapq.heappush(free, ends)
            heapq.heappush(running, (ends, now))
        ends, begun = heapq.heappop(running)
        now = ends
        limit.answered(now, now - begun)
        answers += [0] * (int(now) + 1 - len(answers))
        answers[int(now)] += 1
    return answers[: int(until)]


def average(answers: list[int]) -> float:
    return sum(answers) / len(answers)


FAST = Server(4, 0.002, drag=0.0005)
TINY = Server(8, 0.0045, drag=0.0008)
MODEL_OF_50_MS = Server(100, 0.05)
SLOW = Server(4, 0.02)
ONE_BY_ONE = Server(1, 0.1)
OVERLOADED = Server(30, 0.03, sheds=50)
SHEDS_EARLY = Server(100, 0.05, sheds=50)
WIDE = Server(1000, 0.05)
SERVERS = [FAST, TINY, MODEL_OF_50_MS, SLOW, ONE_BY_ONE, OVERLOADED, SHEDS_EARLY, WIDE]
NAMES = ["fast", "tiny", "50ms", "slow", "one", "overloaded", "sheds early", "wide"]


@pytest.mark.parametrize("server", SERVERS, ids=NAMES)
def test_the_rate_is_within_a_tenth_of_the_best_fixed_limit(server: Server) -> None:
    limits = [limit for limit in (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256) if limit <= (server.sheds or MOST)]
    best = max(average(rates(Server(**vars(server)), FixedLimit(limit), 8)[1:]) for limit in limits)
    reached = average(rates(Server(**vars(server)), AdaptiveLimit(), 30)[10:])
    assert reached >= 0.9 * best


@pytest.mark.parametrize("factor", [0.1, 10])
@pytest.mark.parametrize("server", [FAST, MODEL_OF_50_MS, TINY], ids=["fast", "50ms", "tiny"])
def test_it_settles_within_five_seconds_of_another_speed(server: Server, factor: float) -> None:
    other = server.seconds * factor
    best = average(rates(Server(server.parallel, other, server.drag), FixedLimit(server.parallel * 2), 8)[1:])
    reached = rates(Server(**vars(server)), AdaptiveLimit(), 30, change=(10.0, other))
    assert average(reached[15:]) >= 0.9 * best


@pytest.mark.parametrize("server", [FAST, TINY], ids=["fast", "tiny"])
def test_more_calls_than_the_server_works_on_do_not_stay(server: Server) -> None:
    limit = AdaptiveLimit()
    rates(Server(**vars(server)), limit, 15)
    assert LEAST <= limit.limit <= server.parallel * 3


def test_it_stays_within_its_bounds() -> None:
    limit = AdaptiveLimit()
    assert limit.limit == START
    seen = set()
    server = Server(1000, 0.05)
    for _ in range(20):
        rates(server, limit, 1)
        seen.add(limit.limit)
    assert max(seen) <= MOST
    assert min(seen) >= LEAST


def test_refusals_halve_it_once_a_round_trip() -> None:
    limit = AdaptiveLimit()
    limit.answered(0.0, 0.1)
    for _ in range(20):
        limit.refused(1.0)
    assert limit.limit == START // 2
    limit.refused(1.05)
    assert limit.limit == START // 2
    limit.refused(1.2)
    assert limit.limit == START // 4


def test_a_server_that_refuses_everything_gets_one_call_at_a_time() -> None:
    limit = AdaptiveLimit()
    for second in range(20):
        limit.refused(float(second))
    assert limit.limit == 1


def test_it_grows_again_after_refusals_ended() -> None:
    limit = AdaptiveLimit()
    for second in range(20):
        limit.refused(float(second))
    assert average(rates(Server(8, 0.004), limit, 20)[15:]) >= 0.9 * 2000


def test_a_fixed_limit_never_changes() -> None:
    limit = FixedLimit(3)
    limit.refused(0.0)
    limit.answered(1.0, 1.0)
    assert limit.limit == 3
