"""Durations: one check for all places that take one."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client._client.jobs import PredictionJob
from remote_client._settings.durations import REACH, lasting, limit, seconds
from remote_client.errors import ConfigurationError
from remote_client.settings import CallOptions, ConnectionInfo, FinderConfig, RetryPolicy
from remote_client.sync import RemoteClient as BlockingClient

CONNECTION = {"hostname": "h"}
PLACES: dict[str, Callable[[Any], Any]] = {
    "client": lambda value: RemoteClient("h:1", timeout=value),
    "client's age": lambda value: RemoteClient("h:1", max_session_age=value),
    "blocking": lambda value: BlockingClient("http://h:1", timeout=value),
    "call": lambda value: CallOptions(timeout=value),
    "call as a whole": lambda value: CallOptions(total_timeout=value),
    "connection": lambda value: ConnectionInfo(hostname="h", timeout=value),
    "connection's age": lambda value: ConnectionInfo(hostname="h", max_session_age=value),
    "finder": lambda value: FinderConfig(connection=CONNECTION, min_poll_time=value),
    "first pause": lambda value: RetryPolicy(initial_backoff=value),
    "longest pause": lambda value: RetryPolicy(max_backoff=value),
    "gRPC's names": lambda value: ConnectionInfo(hostname="h", retry_options={"initialBackoff": value}),
    "urllib3's names": lambda value: ConnectionInfo(hostname="h", retry_options={"backoff_max": value}),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    "value",
    [timedelta(seconds=90), timedelta.max, math.inf, 1e10, 10**400, 5, Decimal("1.5"), Fraction(1, 3)],
    ids=repr,
)
def test_every_place_takes_every_duration(place: Callable[[Any], Any], value: Any) -> None:
    place(value)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("value", ["soon", "1 minute", b"5", True, [5], {}, math.nan, Decimal("sNaN")], ids=repr)
def test_every_place_refuses_what_is_none(place: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(ConfigurationError):
        place(value)


@pytest.mark.parametrize("value", ["5", "60.0"])
def test_numbers_as_text_are_text(value: str) -> None:
    for name in ("client", "client's age", "blocking", "call", "connection", "connection's age", "finder"):
        with pytest.raises(ConfigurationError, match=f"must be seconds or a timedelta.*, not '{value}'"):
            PLACES[name](value)


def test_values() -> None:
    assert [seconds(each) for each in (timedelta(minutes=1.5), -1, Decimal("0.5"))] == [90.0, -1.0, 0.5]
    assert [seconds(each) for each in (math.inf, -math.inf, 10**400, -(10**400))] == [REACH, -REACH, REACH, -REACH]
    assert [limit(each) for each in (None, math.inf, 1e10, REACH, timedelta.max)] == [None] * 5
    assert [limit(each) for each in (REACH - 1, timedelta(days=1), 5e-324)] == [REACH - 1, 86400.0, 5e-324]
    for never in (0, -1, -math.inf, timedelta(0)):
        with pytest.raises(ConfigurationError, match=r"^timeout: must be seconds or a timedelta above 0, or None"):
            limit(never, "timeout")


def test_words() -> None:
    given = (60, 8.0, 1.7814486229981412, 86400, 1e7, None)
    words = ["60 seconds", "8 seconds", "1.781 seconds", "86400 seconds", "10000000 seconds", "any time"]
    assert [lasting(each) for each in given] == words


def test_settings_hold_seconds() -> None:
    info = ConnectionInfo(hostname="h", timeout=timedelta(minutes=2), max_session_age=timedelta(hours=1))
    assert (info.timeout, info.max_session_age) == (120.0, 3600.0)
    options = {"initialBackoff": timedelta(seconds=2), "maxBackoff": "3s"}
    policy = ConnectionInfo(hostname="h", retry_options=options).retry_policy
    assert (policy.initial_backoff, policy.max_backoff) == (2.0, 3.0)
    assert CallOptions(timeout=1e10, total_timeout=timedelta(seconds=1)) == CallOptions(timeout=None, total_timeout=1.0)  # type: ignore[arg-type]


async def test_waiting_for_a_job() -> None:
    def nowhere() -> Any:
        raise AssertionError("nothing is asked")

    job = PredictionJob("id", nowhere)
    wrong: Any
    for wrong in ("5", True, [5]):
        with pytest.raises(ConfigurationError, match="timeout: must be seconds"):
            await job.wait(wrong)
        with pytest.raises(ConfigurationError, match="poll: must be seconds"):
            await job.wait(poll=wrong)
