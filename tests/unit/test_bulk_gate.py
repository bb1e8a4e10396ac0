"""When a map calls a server that was away: failures, answers and times, no clock."""

from __future__ import annotations

import pytest

from remote_client._bulk.failures import Failure, failure_of
from remote_client._bulk.gate import FIRST_PAUSE, LONGEST_PAUSE, Gate
from remote_client.errors import (
    CallCancelledError,
    ClosedError,
    DeadlineExceededError,
    InputError,
    InternalError,
    NotFoundError,
    ResourceExhaustedError,
    ResponseTooLargeError,
    StreamTruncatedError,
    TlsError,
    UnavailableError,
)


def test_an_open_gate_lets_calls_through() -> None:
    gate = Gate(300)
    assert gate.is_open
    assert gate.wait(0.0) == 0.0


def test_a_failure_closes_it_and_one_probe_opens_it() -> None:
    gate = Gate(300)
    assert not gate.failed(10.0, probed=False)
    assert not gate.is_open
    assert gate.wait(10.0) == pytest.approx(FIRST_PAUSE)
    assert gate.wait(11.0) == 0.0
    gate.probe()
    assert gate.wait(11.0) is None  # one at a time
    gate.answered(probed=True)
    assert gate.is_open


def test_failures_of_calls_that_ran_do_not_delay_the_probe() -> None:
    gate = Gate(300)
    gate.failed(10.0, probed=False)
    for moment in range(60):
        gate.failed(10.0 + moment / 1000, probed=False)
    assert gate.wait(10.0 + FIRST_PAUSE) == 0.0


def test_an_answer_to_an_earlier_call_does_not_open_it() -> None:
    """It may have been on its way when the server went down."""
    gate = Gate(300)
    gate.failed(10.0, probed=False)
    gate.answered(probed=False)
    assert not gate.is_open


def test_the_pauses_between_probes_grow_to_a_limit() -> None:
    gate, now, pauses = Gate(300), 0.0, []
    gate.failed(now, probed=False)
    for _ in range(8):
        wait = gate.wait(now)
        assert wait is not None
        pauses.append(wait)
        now += wait
        gate.probe()
        gate.failed(now, probed=True)
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(FIRST_PAUSE)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)


def test_an_outage_ends_after_its_time() -> None:
    gate = Gate(5)
    assert not gate.failed(10.0, probed=False)
    gate.probe()
    assert not gate.failed(14.9, probed=True)
    gate.probe()
    assert gate.failed(15.0, probed=True)


def test_an_outage_counts_from_the_last_time_that_it_closed() -> None:
    gate = Gate(5)
    gate.failed(10.0, probed=False)
    gate.probe()
    gate.answered(probed=True)
    assert not gate.failed(100.0, probed=False)


def test_no_limit() -> None:
    gate = Gate(None)
    gate.failed(0.0, probed=False)
    gate.probe()
    assert not gate.failed(1e9, probed=True)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (UnavailableError("x"), Failure.OUTAGE),
        (StreamTruncatedError("x"), Failure.OUTAGE),
        (UnavailableError("x", http_status=502), Failure.OUTAGE),
        (UnavailableError("x", http_status=503), Failure.OUTAGE),
        (DeadlineExceededError("x", http_status=504), Failure.OUTAGE),
        (DeadlineExceededError("x"), Failure.ROW),
        (TlsError("x"), Failure.ROW),
        (ResourceExhaustedError("x"), Failure.OVERLOAD),
        (ResourceExhaustedError("x", http_status=429), Failure.OVERLOAD),
        (ResourceExhaustedError("x", http_status=413), Failure.ROW),
        (ResourceExhaustedError("Received message larger than max (9 vs. 4)"), Failure.ROW),
        (ResponseTooLargeError("x"), Failure.ROW),
        (CallCancelledError("x"), Failure.OVERLOAD),
        (NotFoundError("x"), Failure.ROW),
        (InternalError("x"), Failure.ROW),
        (InputError("x"), Failure.ROW),
        (ClosedError("x"), Failure.MAP),
        (KeyError("x"), Failure.ROW),
    ],
    ids=lambda value: str(value).partition(" ")[0] if isinstance(value, Failure) else type(value).__name__,
)
def test_what_an_error_is_about(error: Exception, failure: Failure) -> None:
    assert failure_of(error) is failure
