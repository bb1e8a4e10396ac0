"""What is decided about the attempts of one call, fed outcome by outcome and time by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from remote_client._calls.attempts import Attempts, is_outcome_known, probe, shortened, shortest
from remote_client._transport.balance import FIRST_EJECTION, Balancer, Health
from remote_client._transport.call import Call
from remote_client._transport.retry import NEVER, NOT_HERE, Budget
from remote_client.errors import (
    DeadlineExceededError,
    InternalError,
    RemoteCallError,
    ResourceExhaustedError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
)
from remote_client.hooks import AttemptFailed, CallEnded
from remote_client.settings import CallOptions, RetryPolicy

AT_ONCE = RetryPolicy(retries=2, initial_backoff=0)
CALL = Call("/test.Test/Echo", (("token", "old"),), timeout=60)


@dataclass(eq=False)
class Server:
    """What is known about a server: no connection."""

    target: str = "one:1"
    health: Health = field(default_factory=Health)
    budget: Budget = field(default_factory=lambda: Budget(0.0))


def made(*servers: Server, call: Call = CALL, **options: Any) -> Attempts:
    """The attempts of a call that begins at 0 at the first server; the others are taken in order."""

    def in_order(some: Sequence[Any], count: int) -> list[Any]:
        return list(some[:count])

    servers = servers or (Server(),)
    balancer: Any = Balancer(servers, in_order) if len(servers) > 1 else None
    given: Any = CallOptions(**{"timeout": 60, "retry": AT_ONCE, **options})
    return Attempts(call, servers[0], given, 0.0, "model", balancer)  # type: ignore[arg-type]


def unavailable(**attributes: Any) -> UnavailableError:
    error = UnavailableError("down")
    vars(error).update(attributes)
    return error


# -- retries ----------------------------------------------------------------------------------------------------------


def test_an_error_that_may_pass_is_retried_as_often_as_allowed() -> None:
    attempts = made()
    errors = [unavailable() for _ in range(3)]
    waits = []
    for error in errors:
        event = attempts.failed(error, 1.0)
        waits.append(event.wait)
        if event.wait is not None:
            attempts.begin(1.0)
    assert waits == [0.0, 0.0, None]
    assert errors[-1].previous == tuple(errors[:-1])
    assert errors[0].previous == errors[1].previous == ()
    assert "in attempt 3" in str(errors[-1])


def test_earlier_errors_keep_no_traceback() -> None:
    attempts = made()
    try:
        raise unavailable()
    except UnavailableError as caught:
        error = caught
    attempts.failed(error, 1.0)
    assert error.__traceback__ is None


@pytest.mark.parametrize("kind", [InternalError, DeadlineExceededError, TlsError])
def test_an_error_that_stays_is_not_retried(kind: type[RemoteCallError]) -> None:
    assert made().failed(kind("no"), 1.0).wait is None


def test_every_error_names_the_model() -> None:
    attempts = made(retry=RetryPolicy(retries=1, initial_backoff=0))
    errors = [unavailable(), InternalError("no")]
    for error in errors:
        attempts.failed(error, 1.0)
    assert [error.model for error in errors] == ["model", "model"]


def test_the_policy_decides_which_codes_are_retried() -> None:
    policy = RetryPolicy(retries=1, initial_backoff=0, codes=frozenset(["INTERNAL"]))
    assert made(retry=policy).failed(InternalError("no"), 1.0).wait == 0.0
    assert made(retry=policy).failed(unavailable(), 1.0).wait is None


def test_a_call_whose_input_was_taken_is_not_retried() -> None:
    assert made().failed(unavailable(), 1.0, taken=True).wait is None


def test_pauses_grow() -> None:
    policy = RetryPolicy(retries=3, initial_backoff=1, multiplier=2, max_backoff=100)
    longest = [0.0] * 3
    for _ in range(200):
        attempts = made(retry=policy)
        for number in range(3):
            longest[number] = max(longest[number], attempts.failed(unavailable(), 1.0).wait or 0.0)
    assert [0.8 * limit < wait <= limit for wait, limit in zip(longest, (1, 2, 4), strict=True)] == [True] * 3


# -- pushback and budget ----------------------------------------------------------------------------------------------


def test_a_pushback_is_the_pause() -> None:
    assert made().failed(unavailable(pushback=2.5), 1.0).wait == 2.5


@pytest.mark.parametrize("pushback", [NEVER, NOT_HERE])
def test_a_server_that_wants_no_attempt_gets_none(pushback: float) -> None:
    assert made().failed(unavailable(pushback=pushback), 1.0).wait is None


def test_a_pushback_is_for_its_own_server() -> None:
    one, two = Server("one:1"), Server("two:2")
    attempts = made(one, two)
    assert attempts.failed(unavailable(pushback=30.0), 1.0).wait == 0.0
    attempts.begin(1.0)
    assert attempts.server is two  # type: ignore[comparison-overlap]


def test_another_server_is_asked_where_one_says_not_here() -> None:
    attempts = made(Server("one:1"), Server("two:2"))
    assert attempts.failed(unavailable(pushback=NOT_HERE), 1.0).wait == 0.0
    attempts.begin(1.0)
    assert attempts.failed(unavailable(pushback=NOT_HERE), 1.0).wait is None


def test_no_attempt_beyond_the_budget_of_its_server() -> None:
    server = Server()
    allowed = [made(server).failed(unavailable(), 0.0).wait is not None for _ in range(12)]
    assert allowed == [True] * 10 + [False] * 2


def test_an_attempt_spends_the_budget_of_the_server_it_goes_to() -> None:
    one, two = Server("one:1"), Server("two:2")
    while two.budget.spend(0.0):
        pass
    assert made(one, two).failed(unavailable(), 0.0).wait is None
    assert one.budget.spend(0.0)


def test_a_call_that_never_left_goes_to_another_server_without_budget() -> None:
    servers = Server("one:1"), Server("two:2")
    for server in servers:
        while server.budget.spend(0.0):
            pass
    attempts = made(*servers)
    assert attempts.failed(unavailable(outcome_known=True), 0.0).wait == 0.0
    attempts.begin(0.0)
    assert attempts.failed(unavailable(outcome_known=True), 0.0).wait is None  # both were tried: this is a retry


def test_an_error_that_is_not_retried_spends_nothing() -> None:
    server = Server()
    for _ in range(20):
        made(server).failed(InternalError("no"), 0.0)
    assert made(server).failed(unavailable(), 0.0).wait is not None


# -- time -------------------------------------------------------------------------------------------------------------


def test_the_next_attempt_has_the_time_that_is_left() -> None:
    attempts = made(timeout=10, total_timeout=30)
    attempts.failed(unavailable(), 4.0)
    attempts.begin(6.5)
    assert (attempts.call.timeout, attempts.call.total_timeout) == (3.5, 23.5)


def test_every_attempt_counts_from_the_begin_of_the_call() -> None:
    attempts = made(timeout=10)
    for now in (2.0, 5.0):
        attempts.failed(unavailable(), now)
        attempts.begin(now + 1)
    assert attempts.call.timeout == 4.0


def test_an_attempt_that_begins_too_late_has_a_moment() -> None:
    attempts = made(timeout=10)
    attempts.failed(unavailable(), 9.999)
    attempts.begin(11.0)
    assert attempts.call.timeout == 0.001


@pytest.mark.parametrize("limit", ["timeout", "total_timeout"])
def test_a_pause_beyond_the_deadline_ends_the_call(limit: str) -> None:
    limits = {"timeout": None, "total_timeout": None, limit: 10}
    assert made(**limits).failed(unavailable(pushback=5.0), 5.5).wait is None
    assert made(**limits).failed(unavailable(pushback=5.0), 4.5).wait == 5.0


def test_a_call_without_limits_waits_for_any_time() -> None:
    attempts = made(timeout=None)
    assert attempts.time_left(1e6) is None
    assert attempts.failed(unavailable(pushback=1e6), 1e6).wait == 1e6
    attempts.begin(2e6)
    assert (attempts.call.timeout, attempts.call.total_timeout) == (None, None)


def test_the_time_left_is_that_of_the_shorter_limit() -> None:
    assert made(timeout=10, total_timeout=4).time_left(1.0) == 3.0
    assert shortest(Call("", timeout=None, total_timeout=7)) == 7
    assert shortest(Call("", timeout=0.0001)) == 0.0001
    assert shortest(Call("", timeout=None)) is None
    assert shortened(CALL, Call("", timeout=2), 0.5).timeout == 1.5


# -- several servers --------------------------------------------------------------------------------------------------


def test_servers_that_were_not_tried_come_first() -> None:
    servers = [Server(f"{number}:1") for number in range(3)]
    attempts = made(*servers)
    seen = [attempts.server.target]
    for _ in range(2):
        assert attempts.failed(unavailable(), 1.0).wait == 0.0
        attempts.begin(1.0)
        seen.append(attempts.server.target)
    assert seen == ["0:1", "1:1", "2:1"]


def test_a_server_that_was_tried_gets_its_pause() -> None:
    policy = RetryPolicy(retries=5, initial_backoff=10, multiplier=1, max_backoff=10)
    attempts = made(Server("one:1"), Server("two:2"), timeout=None, retry=policy)
    assert attempts.failed(unavailable(pushback=3.0), 1.0).wait == 0.0
    attempts.begin(1.0)
    assert attempts.failed(unavailable(pushback=3.0), 1.0).wait == 3.0


def test_errors_are_recorded_with_their_server() -> None:
    one, two = Server("one:1"), Server("two:2")
    attempts = made(one, two)
    attempts.failed(unavailable(), 1.0)
    assert (one.health.ailing, one.health.until, two.health.ailing) == (True, 1.0 + FIRST_EJECTION, False)
    attempts.begin(1.0)
    attempts.failed(InternalError("the model's own"), 1.0)
    assert not two.health.ailing


def test_one_deadline_is_no_failure_of_the_server_and_two_are() -> None:
    server = Server()
    made(server).failed(DeadlineExceededError("late"), 1.0)
    assert (server.health.ailing, server.health.until) == (True, 0.0)
    made(server).failed(DeadlineExceededError("late"), 2.0)
    assert server.health.until == 2.0 + FIRST_EJECTION


def test_a_server_that_is_not_asked_keeps_its_probe() -> None:
    one, two = Server("one:1"), Server("two:2")
    two.health.failed(0.0)
    made(one, two).failed(InternalError("no"), 5.0)
    assert two.health.until == FIRST_EJECTION, "an error that is not retried needs no server"


# -- probes -----------------------------------------------------------------------------------------------------------


def options(**more: Any) -> CallOptions:
    return CallOptions(**{"timeout": 60, "retry": AT_ONCE, **more})


def test_a_probe_has_half_of_the_time() -> None:
    server: Any = Server()
    assert probe(CALL, server, options()) is CALL, "the server is well"
    server.health.failed(0.0)
    assert probe(CALL, server, options()).timeout == 30


@pytest.mark.parametrize(
    ("call", "retry"),
    [
        (Call("", timeout=60, idempotent=False), AT_ONCE),
        (Call("", timeout=None), AT_ONCE),
        (Call("", timeout=60), RetryPolicy(retries=0)),
    ],
    ids=["sent once", "no limit", "no retries"],
)
def test_a_call_that_cannot_go_elsewhere_is_no_probe(call: Call, retry: RetryPolicy) -> None:
    server: Any = Server()
    server.health.failed(0.0)
    assert probe(call, server, options(retry=retry)) is call


def test_the_other_half_of_a_probes_time_is_for_another_server() -> None:
    one, two = Server("one:1"), Server("two:2")
    attempts = made(one, two)
    late = DeadlineExceededError("late")
    assert attempts.failed(late, 30.0, probing=True).wait == 0.0
    attempts.begin(30.0)
    assert (attempts.server.target, attempts.call.timeout) == ("two:2", 30.0)
    assert attempts.failed(DeadlineExceededError("late"), 60.0).wait is None


# -- credentials ------------------------------------------------------------------------------------------------------


def test_credentials_are_renewed_once() -> None:
    attempts = made(retry=RetryPolicy(retries=0))
    refused = [UnauthenticatedError("no"), UnauthenticatedError("no")]
    assert attempts.should_renew(refused[0])
    fresh = Call(CALL.path, (("token", "new"),), timeout=60)
    assert attempts.failed(refused[0], 10.0, fresh=fresh).wait == 0.0
    attempts.begin(11.0)
    assert (attempts.call.metadata, attempts.call.timeout) == (fresh.metadata, 49.0)
    assert not attempts.should_renew(refused[1])
    assert attempts.failed(refused[1], 12.0).wait is None
    assert refused[1].previous == (refused[0],)


def test_an_attempt_with_fresh_credentials_is_none_of_the_retries() -> None:
    attempts = made(retry=RetryPolicy(retries=1, initial_backoff=0))
    attempts.failed(UnauthenticatedError("no"), 1.0, fresh=CALL)
    attempts.begin(1.0)
    assert attempts.failed(unavailable(), 1.0).wait == 0.0
    attempts.begin(1.0)
    assert attempts.failed(unavailable(), 1.0).wait is None


def test_what_is_sent_once_is_sent_again_with_fresh_credentials() -> None:
    once = Call(CALL.path, idempotent=False)
    attempts = made(call=once)
    assert attempts.failed(UnauthenticatedError("no"), 1.0, fresh=once).wait == 0.0


def test_without_other_credentials_a_refusal_stays() -> None:
    attempts = made()
    assert attempts.should_renew(UnauthenticatedError("no"))
    assert attempts.failed(UnauthenticatedError("no"), 1.0).wait is None


@pytest.mark.parametrize("status", [407, 511])
def test_a_proxy_does_not_refuse_the_servers_credentials(status: int) -> None:
    assert not made().should_renew(UnauthenticatedError("no", http_status=status))
    assert made().should_renew(UnauthenticatedError("no", http_status=401))


def test_no_other_error_renews_credentials() -> None:
    assert not made().should_renew(unavailable())


# -- what is sent once ------------------------------------------------------------------------------------------------


def test_what_is_sent_once_is_not_retried() -> None:
    attempts = made(call=Call(CALL.path, idempotent=False))
    assert attempts.failed(unavailable(), 1.0).wait is None


@pytest.mark.parametrize("is_known", [True, False])
def test_whether_what_is_sent_once_was_done(is_known: bool) -> None:
    assert is_outcome_known(unavailable(outcome_known=is_known)) is is_known
    assert not is_outcome_known(ConnectionError())


# -- what hooks are told ----------------------------------------------------------------------------------------------


def test_the_events_of_a_call_that_works_in_the_end() -> None:
    attempts = made(Server("one:1"), Server("two:2"))
    error = unavailable()
    assert attempts.failed(error, 1.0) == AttemptFailed("test.Test/Echo", "one:1", "model", 1, error, 0.0)
    attempts.begin(1.0)
    assert attempts.ended(None, 3.5) == CallEnded("test.Test/Echo", "two:2", "model", 2, 3.5, None)


def test_the_events_of_a_call_that_fails() -> None:
    attempts = made(retry=RetryPolicy(retries=1, initial_backoff=0))
    attempts.failed(unavailable(), 1.0)
    attempts.begin(1.0)
    last = ResourceExhaustedError("SERVER: Received message larger than max")
    assert attempts.failed(last, 2.0) == AttemptFailed("test.Test/Echo", "one:1", "model", 2, last, None)
    assert attempts.ended(last, 2.0) == CallEnded("test.Test/Echo", "one:1", "model", 2, 2.0, last)


def test_a_call_that_is_given_up_in_a_pause_ended_at_the_server_that_failed() -> None:
    attempts = made(Server("one:1"), Server("two:2"))
    attempts.failed(unavailable(), 1.0)
    ended = attempts.ended(GeneratorExit(), 1.5)
    assert ended is not None
    assert ended.target == "one:1"


def test_the_end_is_told_once() -> None:
    attempts = made()
    assert attempts.ended(None, 1.0) is not None
    assert attempts.ended(unavailable(), 2.0) is None
