"""When a wait asks, when it gives up, and whose turn it is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from math import inf

import pytest

from remote_client._client.job_polling import JobPoller, PollSchedule, RateLimit, is_transient
from remote_client._client.schema_errors import (
    AbsentDescriptionError,
    BusyDescriptionError,
    DeniedDescriptionError,
    ResetDescriptionError,
)
from remote_client._schema.budget import LateDescriptionError
from remote_client._transport.status_codes import http_error_class
from remote_client.errors import (
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    ResponseTooLargeError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)


def pushed(seconds: float) -> UnavailableError:
    error = UnavailableError("gone")
    error.pushback = seconds
    return error


def shed() -> CallCancelledError:
    error = CallCancelledError("")
    error.shed = True
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnavailableError("gone"), True),
        (ResourceExhaustedError("busy"), True),
        (DeadlineExceededError("late"), True),
        (AbsentDescriptionError("a proxy answers"), True),
        (LateDescriptionError("late"), True),
        (ResetDescriptionError("a proxy resets"), True),
        (BusyDescriptionError("busy"), True),
        (DeniedDescriptionError("no"), False),
        (shed(), True),
        (pushed(3.0), True),
        (pushed(-1.0), False),
        (pushed(-2.0), False),
        (ResourceExhaustedError("Received message larger than max"), False),
        (ResponseTooLargeError("large"), False),
        (TlsError("certificate"), False),
        (CallCancelledError("by the server"), False),
        *[(kind("no"), False) for kind in (NotFoundError, UnauthenticatedError, PermissionDeniedError)],
        *[(kind("no"), False) for kind in (InternalError, InvalidResponseError, UnimplementedError)],
        *[(http_error_class(status)("", http_status=status), True) for status in (429, 502, 503, 504)],
        *[(http_error_class(status)("", http_status=status), False) for status in (401, 403, 404, 500)],
    ],
    ids=lambda value: f"{type(value).__name__}{getattr(value, 'http_status', None) or ''}",
)
def test_what_is_waited_out(error: RemoteCallError, expected: bool) -> None:
    assert is_transient(error) is expected


def random_parts() -> Callable[[], float]:
    return itertools.cycle([0.0, 1.0, 0.5]).__next__


@pytest.mark.parametrize("jitter", [lambda: 0.0, lambda: 1.0, random_parts()], ids=["longest", "shortest", "mixed"])
def test_pauses_grow_from_a_fifth_of_a_second_to_five(jitter: Callable[[], float]) -> None:
    polling = PollSchedule(jitter=jitter)
    waits = [polling.answered(0.0) for _ in range(40)]
    assert 0.2 <= waits[0] <= 0.25
    assert 4.0 <= waits[-1] <= 5.0
    assert max(waits) <= 5.0
    assert len([total for total in itertools.accumulate(waits) if total < 10]) <= 11


def test_pauses_as_asked_for() -> None:
    polling = PollSchedule(poll=2.0)
    assert [polling.answered(0.0) for _ in range(3)] == [2.0] * 3
    assert PollSchedule(poll=0.0).answered(0.0) == 0.1


def test_a_wait_is_over_after_an_outage() -> None:
    polling, error = PollSchedule(10.0, poll=4.0), UnavailableError("gone")
    polling.answered(100.0)
    assert polling.failed(error, 104.0, 105.0) == 4.0
    assert (polling.silent(105.0), polling.error) == (1.0, error)
    assert polling.failed(error, 109.0, 109.0) == 4.0
    assert polling.failed(error, 113.0, 113.0) == 1.0  # one last question when it ends
    assert polling.failed(error, 114.0, 114.0) is None
    assert polling.silent(114.0) == 10.0


def test_an_answer_ends_an_outage() -> None:
    polling, error = PollSchedule(10.0, poll=1.0), UnavailableError("gone")
    polling.failed(error, 100.0, 109.0)
    assert polling.answering(109.0) == 0.0
    polling.answered(109.5)
    assert (polling.silent(109.5), polling.error) == (0.0, None)
    assert polling.failed(error, 115.0, 119.0) == 1.0
    polling.answered(120.0)
    polling.answered(125.0)
    assert polling.answering(125.0) == 5.0


def test_a_wait_without_an_end() -> None:
    polling = PollSchedule(inf)
    for now in (0.0, 1e6):
        assert polling.failed(UnavailableError("gone"), now, now) is not None
    assert polling.limit(1e9) == inf


def test_a_server_says_when_to_ask() -> None:
    assert PollSchedule(100.0).failed(pushed(30.0), 0.0, 0.0) == 30.0
    assert PollSchedule(100.0).failed(pushed(1000.0), 0.0, 0.0) == 100.0


def test_a_silent_server_is_waited_for_as_long_as_an_outage_may_last() -> None:
    polling = PollSchedule(100.0)
    assert polling.limit(0.0) == 100.0
    polling.failed(UnavailableError("gone"), 0.0, 60.0)
    assert polling.limit(60.0) == 40.0
    assert polling.limit(99.0) == 5.0


def test_turns_are_first_come_first_served() -> None:
    pace = RateLimit(10.0)
    assert pace.due is None
    for who in "abc":
        pace.join(who)
    assert pace.take(5.0) == "a"
    assert pace.due == pytest.approx(5.1)
    assert pace.take(5.05) is None
    pace.join("a")
    pace.leave("b")
    assert pace.take(5.3) == "c"
    assert pace.take(5.35) is None  # what was not taken in time is gone
    assert pace.take(5.4) == "a"
    assert pace.take(9.0) is None


def test_a_thousand_ask_fifty_times_a_second_and_each_has_its_turn() -> None:
    pace, pollings = RateLimit(), [PollSchedule() for _ in range(1000)]
    joins = [(0.0, who) for who in range(1000)]
    asked: list[tuple[float, int]] = []
    for step in range(120_000):
        now = step / 1000
        if step % 100 == 0:
            for at, who in [each for each in joins if each[0] <= now]:
                joins.remove((at, who))
                pace.join(who)
        turn = pace.take(now)
        if isinstance(turn, int):
            asked.append((now, turn))
            joins.append((now + pollings[turn].answered(now), turn))
    times = [at for at, _ in asked]
    assert max(sum(begin <= at < begin + 1 for at in times) for begin in range(120)) <= 50
    counts = [sum(each == who for _, each in asked) for who in range(1000)]
    assert max(counts) - min(counts) <= 2
    assert min(counts) >= 3


async def test_a_cancelled_wait_takes_no_turn() -> None:
    asked: list[int] = []

    async def question(who: int) -> int:
        asked.append(who)
        return who

    waits = [asyncio.create_task(JobPoller("job", PollSchedule()).poll(partial(question, who))) for who in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for each in waits[1:-1]:
        each.cancel()
    await asyncio.wait(waits)
    assert asked == [0, 49]


async def test_an_outage_has_its_last_error_as_its_cause() -> None:
    async def question() -> None:
        raise failure

    failure = ResourceExhaustedError("busy")
    with pytest.raises(
        UnavailableError, match=r"'job': nobody has answered for .* seconds: RESOURCE_EXHAUSTED: busy"
    ) as caught:
        await JobPoller("job", PollSchedule(0.0)).poll(question)
    assert caught.value.__cause__ is failure


async def test_an_error_that_stays_is_raised_as_it_is() -> None:
    async def question() -> None:
        raise failure

    failure = NotFoundError("unknown")
    with pytest.raises(NotFoundError) as caught:
        await JobPoller("job", PollSchedule()).poll(question)
    assert caught.value is failure
