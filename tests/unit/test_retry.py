"""When a call may be sent again, after how long, how often, and where: without a loop or a clock."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import grpc
import pytest

from remote_client import ConnectionInfo
from remote_client._transport.balance import Balancer, Health
from remote_client._transport.retry import NEVER, Budget, may_retry, pause, pushback_ms, retry_after
from remote_client._transport.status_codes import error_class, http_error_class
from remote_client.errors import (
    ConfigurationError,
    DeadlineExceededError,
    RemoteCallError,
    ResourceExhaustedError,
    ResponseTooLargeError,
    StreamTruncatedError,
    TlsError,
    UnavailableError,
)
from remote_client.settings import RetryPolicy

POLICY = RetryPolicy()
STATUSES = [status.name for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


def failed(kind: type[RemoteCallError], details: str = "", **attributes: Any) -> RemoteCallError:
    error = kind(details, http_status=attributes.pop("http_status", None))
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize("status", STATUSES)
def test_grpc_statuses(status: str) -> None:
    assert may_retry(failed(error_class(status)), POLICY) is (status in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"))


@pytest.mark.parametrize("status", range(300, 600))
def test_http_statuses(status: int) -> None:
    assert may_retry(failed(http_error_class(status), http_status=status), POLICY) is (status in (429, 502, 503, 504))


def test_what_another_attempt_would_meet_again() -> None:
    assert not may_retry(failed(TlsError), POLICY)
    assert not may_retry(failed(ResponseTooLargeError), POLICY)
    assert not may_retry(failed(ResourceExhaustedError, "SERVER: Received message larger than max (9 vs. 4)"), POLICY)
    assert not may_retry(failed(DeadlineExceededError), POLICY)
    assert may_retry(failed(StreamTruncatedError), POLICY)  # before the first answer; after it nobody asks


def test_statuses_of_ones_own() -> None:
    policy = RetryPolicy(codes=frozenset(["ABORTED"]), http_statuses=frozenset([500]))
    assert may_retry(failed(error_class("ABORTED")), policy)
    assert not may_retry(failed(UnavailableError), policy)
    assert may_retry(failed(http_error_class(500), http_status=500), policy)
    assert not may_retry(failed(http_error_class(503), http_status=503), policy)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("1500", 1.5),
        (b"20", 0.02),
        ("-1", NEVER),
        ("soon", NEVER),
        ("", NEVER),
        ("1.5", NEVER),
    ],
)
def test_pushback_over_grpc(value: Any, expected: float | None) -> None:
    assert pushback_ms(value) == expected


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("9" * 400, 9999999999.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        (format_datetime(NOW.replace(second=30), usegmt=True), 30.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ("Mon, 99 Jan 2001 00:00:00 GMT", None),
    ],
)
def test_pushback_over_http(value: str | None, expected: float | None) -> None:
    assert retry_after(value, NOW.timestamp()) == expected


def test_pauses() -> None:
    error = failed(UnavailableError)
    assert [pause(error, POLICY, count, lambda: 1.0) for count in range(1, 9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert pause(error, POLICY, 3, lambda: 0.0) == 0
    assert pause(failed(UnavailableError, pushback=7.0), POLICY, 1) == 7.0
    assert pause(error, POLICY, 5000, lambda: 1.0) == 5
    assert pause(error, RetryPolicy(initial_backoff=0), 5000, lambda: 1.0) == 0
    assert not may_retry(failed(UnavailableError, pushback=NEVER), POLICY)


@pytest.mark.parametrize("seed", range(10))
def test_the_budget_is_exact(seed: int) -> None:
    """1,000 calls, all failing, at random times: never more than 1,200 + 10 t attempts, and nearly as many."""
    chance = random.Random(seed)
    now, budget, attempts = 0.0, Budget(0.0), 0
    for _ in range(1000):
        now += chance.expovariate(chance.choice([20.0, 200.0, 2000.0]))
        budget.calls += 1
        attempts += 1
        for _ in range(chance.randrange(4, 8)):
            if budget.spend(now):
                attempts += 1
        assert attempts <= max(budget.calls * 1.2, budget.calls + 10) + 10 * now
    assert 1200 + 10 * now - 15 <= attempts <= 1200 + 10 * now


def test_a_budget_is_not_saved_up() -> None:
    budget = Budget(0.0)
    budget.calls = 100_000
    assert sum(budget.spend(1e6) for _ in range(100)) == 10


def test_options_of_upstream() -> None:
    grpc = {"maxAttempts": 5, "initialBackoff": "0.01s", "maxBackoff": "2s", "backoffMultiplier": 3}
    policy = ConnectionInfo(hostname="h", retry_options={**grpc, "retryableStatusCodes": ["aborted"]}).retry_policy
    assert (policy.retries, policy.initial_backoff, policy.max_backoff, policy.multiplier) == (4, 0.01, 2, 3)
    assert policy.codes == {"ABORTED"}
    urllib3 = {"total": 7, "backoff_factor": 0.5, "backoff_max": 9, "status_forcelist": [500], "allowed_methods": None}
    policy = ConnectionInfo(hostname="h", retries=1, retry_options=urllib3).retry_policy
    assert (policy.retries, policy.initial_backoff, policy.max_backoff, policy.http_statuses) == (7, 0.5, 9, {500})
    assert ConnectionInfo(hostname="h").retry_policy.retries == 1
    assert ConnectionInfo(hostname="h", retries=None).retry_policy.retries == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_attempts": 3}, "did you mean 'maxAttempts'"),
        ({"maxAttempts": "x"}, "maxAttempts"),
        ({"total": -1}, "retries"),
    ],
)
def test_options_that_cannot_be_used(options: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        ConnectionInfo(hostname="h", retry_options=options)


# -- several servers --------------------------------------------------------------------------------------------------


class Server:
    def __init__(self, name: str) -> None:
        self.name = name
        self.health = Health()


def balancer(count: int = 3) -> tuple[Balancer[Server], list[Server]]:
    servers = [Server(str(index)) for index in range(count)]
    chance = random.Random(1)

    def choose(given: Sequence[Server], number: int) -> list[Server]:
        return chance.sample(given, number)

    return Balancer(servers, choose), servers


def test_the_one_with_less_to_do() -> None:
    balance, servers = balancer()
    for _ in range(300):
        balance.pick(0.0).health.in_flight += 1
    assert {server.health.in_flight for server in servers} <= {99, 100, 101}


def test_ejection_grows_and_ends_with_a_probe() -> None:
    balance, (bad, *_) = balancer()
    now = 10.0
    for seconds in (1, 2, 4, 8, 16, 30, 30):
        bad.health.failed(now)
        bad.health.failed(now + 0.5)  # another one that was under way
        assert all(balance.pick(now + seconds - 0.01) is not bad for _ in range(50))
        assert balance.pick(now + seconds) is bad
        assert all(balance.pick(now + seconds) is not bad for _ in range(50))  # one probe at a time
        now += seconds + 1.5
    bad.health.succeeded()
    assert any(balance.pick(now) is bad for _ in range(50))


def test_one_deadline_may_be_the_models_own() -> None:
    health = Health()
    health.expired(0.0)
    assert health.until == 0
    health.succeeded()
    health.expired(0.0)
    health.expired(0.0)
    assert health.until > 0


def test_a_call_is_never_refused_unsent() -> None:
    balance, servers = balancer()
    for index, server in enumerate(servers):
        server.health.failed(float(index))
    assert balance.pick(0.5) is servers[0]
    assert balance.pick(0.5, [servers[0]]) is servers[1]
    assert balance.pick(0.5, servers) is servers[0]


def test_another_server_for_another_attempt() -> None:
    balance, servers = balancer()
    assert {balance.pick(0.0, servers[:2]).name for _ in range(20)} == {"2"}
    assert {balance.pick(0.0, servers).name for _ in range(50)} == {"0", "1", "2"}
