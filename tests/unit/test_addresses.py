"""Which addresses get a connection, and the pauses between tries."""

from __future__ import annotations

import socket

import pytest

from remote_client._transport.net.addresses import Address, group, policy_for
from remote_client._transport.net.backoff import Backoff


def v4(last: int) -> Address:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.0.0.{last}", 80))


def v6(last: int) -> Address:
    return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"fd00::{last}", 80, 0, 0))


@pytest.mark.parametrize(
    ("host", "is_unix", "policy"),
    [
        ("models.example", False, "round_robin"),
        ("localhost", False, "pick_first"),
        ("127.0.0.1", False, "pick_first"),
        ("::1", False, "pick_first"),
        ("fe80::1%eth0", False, "pick_first"),
        ("unix:/run/x", True, "pick_first"),
    ],
)
def test_names_are_spread_and_addresses_are_not(host: str, is_unix: bool, policy: str) -> None:
    assert policy_for(host, is_unix) == policy


def test_pick_first_makes_one_connection() -> None:
    addresses = [v6(1), v4(1), v4(2)]
    assert group(addresses, "pick_first", None) == [tuple(addresses)]


def test_round_robin_makes_one_for_each_address() -> None:
    assert group([v4(1), v4(2)], "round_robin", None) == [(v4(1),), (v4(2),)]


def test_two_families_are_raced_until_one_has_won() -> None:
    addresses = [v6(1), v6(2), v4(1), v4(2)]
    assert group(addresses, "round_robin", None) == [tuple(addresses)]
    assert group(addresses, "round_robin", socket.AF_INET) == [(v4(1),), (v4(2),)]
    assert group(addresses, "round_robin", socket.AF_INET6) == [(v6(1),), (v6(2),)]


def test_a_family_that_is_gone_does_not_count() -> None:
    assert group([v4(1), v4(2)], "round_robin", socket.AF_INET6) == [(v4(1),), (v4(2),)]


def test_the_pause_doubles_and_is_bounded() -> None:
    backoff, pauses = Backoff(0.1, 1.0), []
    for now in range(6):
        backoff.failed(float(now))
        pauses.append(round(backoff.until - now, 3))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_success_ends_the_pause() -> None:
    backoff = Backoff(0.1, 1.0)
    for _ in range(5):
        backoff.failed(100)
    backoff.succeeded()
    assert backoff.until == 0
    backoff.failed(200)
    assert backoff.until == 200.1


def test_a_first_pause_above_the_last_is_bounded() -> None:
    backoff = Backoff(5.0, 1.0)
    backoff.failed(0)
    assert backoff.until == 1
