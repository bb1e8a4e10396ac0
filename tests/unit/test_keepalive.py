"""When a connection is pinged, given up or closed: decisions without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from remote_client._transport.grpc.keepalive import Do, Keepalive


def keepalive(**changes: Any) -> Keepalive:
    """One that pings after 60 s of silence, at most twice, and closes after 1800 s."""
    times: dict[str, Any] = {
        "interval": 60.0,
        "timeout": 10.0,
        "max_pings": 2,
        "without_calls": False,
        "idle_timeout": 1800.0,
        "heard": 0.0,
        "used": 0.0,
    }
    return Keepalive(**times | changes)


class Connection:
    """A connection whose time passes: it is asked when it wants to be."""

    def __init__(self, kept: Keepalive, calls: int = 1, answers: bool = True) -> None:
        self.kept, self.calls, self.answers = kept, calls, answers
        self.pings: list[float] = []
        self.now = self.next = 0.0
        self.end: tuple[Do, float] | None = None

    def run(self, until: float) -> None:
        while self.next <= until and self.end is None:
            self.now = self.next
            do, seconds = self.kept.decide(self.now, self.calls)
            if do in (Do.GIVE_UP, Do.CLOSE):
                self.end = do, self.now
                return
            assert seconds > 0
            if do is Do.PING:
                self.pings.append(self.now)
                if self.answers:
                    self.kept.heard = self.now + 0.01
            self.next = self.now + seconds
        self.now = until


def test_a_quiet_call_is_pinged_twice_until_something_is_sent() -> None:
    """A server counts PINGs between frames that carry something, and ends the connection for the third."""
    connection = Connection(keepalive())
    connection.run(1000)
    assert len(connection.pings) == 2
    assert connection.pings[0] == 60
    connection.kept.carried = True
    connection.run(2000)
    assert len(connection.pings) == 4
    assert connection.pings[2] > 1000


def test_a_stream_of_rare_items_is_pinged_between_them_all_day() -> None:
    """What lies between counts bytes, and a server that answers counts PINGs anew."""
    connection = Connection(keepalive())
    for item in range(1, 25):
        connection.run(item * 3600)
        assert len(connection.pings) == 2 * item
        connection.kept.heard, connection.kept.carried = connection.now, True


def test_pings_without_a_limit() -> None:
    connection = Connection(keepalive(max_pings=None))
    connection.run(610)
    assert len(connection.pings) >= 8


def test_what_is_heard_puts_a_ping_off() -> None:
    kept = keepalive(heard=50.0)
    assert kept.decide(60, 1) == (Do.WAIT, 50)
    assert kept.decide(110, 1) == (Do.PING, 10)


def test_an_interval_shorter_than_the_wait_for_an_answer_is_kept() -> None:
    connection = Connection(keepalive(interval=3.0, max_pings=None))
    connection.run(60)
    assert len(connection.pings) >= 15


def test_a_server_that_does_not_answer_is_given_up() -> None:
    connection = Connection(keepalive(), answers=False)
    connection.run(1000)
    assert (connection.pings, connection.end) == ([60], (Do.GIVE_UP, 70))


def test_whatever_is_heard_counts_as_an_answer() -> None:
    kept = keepalive()
    assert kept.decide(60, 1)[0] is Do.PING
    kept.heard = 65
    assert kept.decide(70, 1) == (Do.WAIT, 55)


def test_what_was_heard_before_a_ping_is_no_answer_to_it() -> None:
    kept = keepalive(heard=0.0)
    assert kept.decide(60, 1)[0] is Do.PING
    assert kept.decide(69.5, 1) == (Do.WAIT, 0.5)
    assert kept.decide(70, 1)[0] is Do.GIVE_UP


def test_a_ping_is_given_up_even_when_its_calls_ended_meanwhile() -> None:
    kept = keepalive()
    assert kept.decide(60, 1)[0] is Do.PING
    assert kept.decide(70, 0)[0] is Do.GIVE_UP


def test_no_ping_without_calls() -> None:
    connection = Connection(keepalive(), calls=0)
    connection.run(1000)
    assert connection.pings == []


def test_pings_without_calls_where_they_are_allowed() -> None:
    connection = Connection(keepalive(without_calls=True, idle_timeout=None), calls=0)
    connection.run(1000)
    assert len(connection.pings) == 2


def test_no_pings_at_all() -> None:
    connection = Connection(keepalive(interval=None, idle_timeout=None))
    connection.run(100_000)
    assert (connection.pings, connection.end) == ([], None)


def test_an_idle_connection_is_closed() -> None:
    connection = Connection(keepalive(), calls=0)
    connection.run(10_000)
    assert connection.end == (Do.CLOSE, 1800)


def test_a_call_keeps_its_connection_open() -> None:
    connection = Connection(keepalive())
    connection.run(10_000)
    assert connection.end is None
    connection.calls = 0
    connection.run(20_000)
    assert connection.end is not None
    assert connection.end[0] is Do.CLOSE
    assert 10_000 + 1700 < connection.end[1] <= 10_000 + 1800 + 60


@pytest.mark.parametrize("interval", [60.0, None])
def test_short_calls_between_two_looks_keep_the_connection_open(interval: float | None) -> None:
    """A connection with a call each second, none of which is open at the moment it is looked at, is no idle one."""
    connection = Connection(keepalive(interval=interval), calls=0)
    for now in range(4000):
        connection.run(now)
        connection.kept.carried = True
        connection.kept.heard = now
    assert connection.end is None
    connection.run(10_000)
    assert connection.end is not None
    assert 4000 + 1700 < connection.end[1] <= 4000 + 3700


def test_no_wait_is_so_long_that_a_call_goes_unwatched() -> None:
    """A call may begin at any time: its server is looked at within the interval."""
    for calls in (0, 1):
        _, seconds = keepalive().decide(0, calls)
        assert seconds <= 60
