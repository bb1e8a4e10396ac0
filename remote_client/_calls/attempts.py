"""The attempts of one call: which server gets the next one, when, with how much time, and the events for hooks.

Pure: no I/O, no clock of its own. `caller` and `stream` report outcomes and times, and carry the decisions out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .._transport.call import Answer, Call
from .._transport.retry import NOT_HERE, may_retry, pause
from ..errors import DeadlineExceededError, RemoteCallError, TlsError, UnauthenticatedError, UnavailableError
from ..hooks import AttemptFailed, CallEnded, CallStarted, Hook
from ..middleware import OutgoingCall
from ..settings import CallOptions

if TYPE_CHECKING:
    from .._transport.balance import Balancer, Health
    from .._transport.manager import ConnectionManager


class Circumstances(NamedTuple):
    """What is known of a call's newest attempt: the metadata of its answer, its server, its number, the call's id."""

    answer: Answer
    target: str | None
    attempts: int
    request_id: str | None


UNKNOWN = Circumstances(Answer(), None, 0, None)
"""The circumstances of a call that has not started."""


@dataclass(slots=True, eq=False, repr=False)
class Attempts:
    """The attempts of one call so far, and the decision about the next one.

    The rules for errors are those of `_transport.retry`. A call whose credentials were renewed gets one attempt beyond
    `retries`. All attempts and pauses are within the call's one deadline.

    Attributes:
        call: the newest attempt, with the time it has.
        server: the server of the newest attempt.
        options: the limits of time and the rules of retries.
        begun: when the call began.
        model: the model's name, for errors and events.
        balancer: chooses among several servers.
        hooks: the hooks of the call; none before `start`.
        started: the event of the call's start; None if nobody observes the call.
        context: the context of all hooks of a stream; None for that of the call's task.
        input: the messages of a streamed input.
        responses: the number of answers that were received, if somebody observes the call.
        added: the metadata that the hooks add.
        sent: the newest attempt of a stream, as middleware changed it.
    """

    call: Call
    server: ConnectionManager
    options: CallOptions
    begun: float
    model: str | None = None
    balancer: Balancer[ConnectionManager] | None = None
    hooks: tuple[Hook, ...] = ()
    started: CallStarted | None = None
    context: Context | None = None
    input: Any = None
    responses: int = 0
    added: Mapping[str, str | bytes] = field(default_factory=dict)
    sent: Call | None = None
    _following: ConnectionManager | None = None
    _previous: list[RemoteCallError] = field(default_factory=list)
    _tried: list[ConnectionManager] = field(default_factory=list)
    _is_renewed: bool = False
    _is_over: bool = False

    def should_renew(self, error: RemoteCallError) -> bool:
        """Return whether to renew the credentials before `failed` decides: only at the first refusal."""
        # 407 comes from a proxy and 511 from a network: these credentials are for neither.
        is_refusal = isinstance(error, UnauthenticatedError) and error.http_status not in (407, 511)
        return is_refusal and not self._is_renewed

    def failed(
        self,
        error: RemoteCallError,
        now: float,
        *,
        taken: bool = False,
        probing: bool = False,
        fresh: Call | None = None,
    ) -> AttemptFailed:
        """Decide what follows an error of the newest attempt.

        Args:
            error: gets the model's name, and the `previous` errors if it is the last one.
            now: the time.
            taken: whether a part of a streamed input is gone, so that the call cannot be sent again.
            probing: whether the attempt was a `probe`: its timeout is not the end of the call.
            fresh: the call with renewed credentials.

        Returns:
            The decision, as the event for the hooks: `begin` the next attempt after `wait` seconds, or raise the error
            if that is None.
        """
        error.model = self.model
        _record(error, self.server.health, now)
        wait, self._following = None, self.server
        if fresh is not None:
            self.call, self._is_renewed, wait = fresh, True, 0.0
        elif self._may_repeat(error, taken, probing):
            wait = self._wait(error, now)
        event = AttemptFailed(
            self.call.method,
            self.server.target,
            self.model,
            self.number,
            error,
            wait,
            self.call.request_id,
            self.started,
        )
        if wait is None:
            self.complete(error, now)
        else:
            self._previous.append(error.with_traceback(None))
            self._tried.append(self.server)
        return event

    def begin(self, now: float) -> None:
        """Begin the attempt that was decided on: at its server, with the time that is left."""
        assert self._following is not None
        self.server = self._following
        self.call = shortened(self.call, self.options, now - self.begun)

    def time_left(self, now: float) -> float | None:
        """Return the seconds until the call's deadline; None for no limit."""
        return _left(shortest(self.options), now - self.begun)

    def ended(self, error: BaseException | None, now: float) -> CallEnded | None:
        """Return the event of the call's end; None if it was returned before."""
        if self._is_over:
            return None
        self._is_over = True
        if isinstance(error, RemoteCallError) and error.request_id is None:
            self.complete(error, now)
        return CallEnded(
            self.call.method,
            self.server.target,
            self.model,
            self.number,
            now - self.begun,
            error,
            getattr(self.input, "sent", 1),
            self.responses,
            self.call.request_id,
            self.started,
            self._http_status(error),
        )

    def _http_status(self, error: BaseException | None) -> int | None:
        answer = self.call.answer
        if answer is not None and answer.status is not None:
            return answer.status  # an error within a stream has one of its own
        if isinstance(error, RemoteCallError) and self.call.protocol == "http":
            return error.http_status
        return None

    def complete(self, error: RemoteCallError, now: float) -> None:
        """Add what is known of the call to the error that ends it."""
        # Middleware may raise the same error in every attempt.
        error.previous = tuple(previous for previous in self._previous if previous is not error)
        error.attempts = self.number
        error.request_id, error.seconds = self.call.request_id, now - self.begun

    @property
    def circumstances(self) -> Circumstances:
        """What is known of the newest attempt."""
        return Circumstances(self.call.answer or Answer(), self.server.target, self.number, self.call.request_id)

    @property
    def number(self) -> int:
        """The number of the newest attempt, from 1."""
        return len(self._previous) + 1

    def start(self, hooks: tuple[Hook, ...], task: str, streams: bool) -> CallStarted:
        """Take the hooks of the call, and return the event of its start."""
        call, self.hooks = self.call, hooks
        self.started = CallStarted(
            call.method,
            self.server.target,
            self.model,
            task or None,
            call.protocol,
            streams,
            call.request_id,
            isinstance(self.input, AsyncIterator),
        )
        return self.started

    def outgoing(self, call: Call, metadata: dict[str, str | bytes], timeout: float | None) -> OutgoingCall:
        """Return the newest attempt as middleware sees it."""
        return OutgoingCall(
            call.method,
            self.server.target,
            self.model,
            call.protocol,
            self.number,
            call.request_id,
            timeout,
            metadata,
        )

    @property
    def _failures(self) -> int:
        return len(self._previous) + 1 - self._is_renewed

    def _may_repeat(self, error: RemoteCallError, taken: bool, probing: bool) -> bool:
        policy = self.options.retry
        if taken or not self.call.idempotent or self._failures > policy.retries:
            return False
        return may_retry(error, policy) or (probing and isinstance(error, DeadlineExceededError))

    def _wait(self, error: RemoteCallError, now: float) -> float | None:
        """Choose the next server, and return the seconds until then; None where time or the server's budget is out."""
        if self.balancer is not None:
            self._following = self.balancer.pick(now, [*self._tried, self.server])
        following = self._following
        assert following is not None
        is_new = following is not self.server and following not in self._tried
        if not is_new and error.pushback == NOT_HERE:
            return None
        # A pause is for the server that failed: another one is asked at once.
        wait, left = 0.0 if is_new else pause(error, self.options.retry, self._failures), self.time_left(now)
        if left is not None and wait >= left:
            return None
        # What never left a server that is down would have gone to another one from the start: it repeats no work.
        is_unsent = is_new and isinstance(error, UnavailableError) and error.outcome_known
        return wait if is_unsent or following.budget.spend(now) else None


def _record(error: RemoteCallError, health: Health, now: float) -> None:
    if isinstance(error, (UnavailableError, TlsError)):
        health.failed(now)
    elif isinstance(error, DeadlineExceededError):
        health.expired(now)
    else:
        health.succeeded()


def probe(call: Call, server: ConnectionManager, options: CallOptions) -> Call:
    """Return the call with half of its time if the server failed lately and the other half may go to another one."""
    if not server.health.until or not call.idempotent or not options.retry.retries or call.timeout is None:
        return call
    return replace(call, timeout=call.timeout / 2)


def is_outcome_known(error: Exception) -> bool:
    """Whether it is certain that a call which is sent once did nothing."""
    return isinstance(error, RemoteCallError) and error.outcome_known


def shortest(limits: Call | CallOptions) -> float | None:
    """Return the seconds that a call may take until its first answer; None for no limit."""
    return min((limit for limit in (limits.timeout, limits.total_timeout) if limit is not None), default=None)


def shortened(call: Call, limits: Call | CallOptions, passed: float) -> Call:
    """Return the call with what is left of the limits after so many seconds."""
    return replace(call, timeout=_left(limits.timeout, passed), total_timeout=_left(limits.total_timeout, passed))


def _left(limit: float | None, passed: float) -> float | None:
    return None if limit is None else max(limit - passed, 0.001)  # transports take no 0
