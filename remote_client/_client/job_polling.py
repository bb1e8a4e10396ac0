"""When to poll a job, and when to give up on a server that does not answer.

`PollSchedule` and `RateLimit` are pure: no I/O, no clock of their own. `JobPoller` applies them.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar
from weakref import WeakValueDictionary

from .._concurrency.time_limits import LATE, within
from .._settings.durations import OUTAGE
from .._transport.retry import NOT_HERE, may_retry
from ..errors import DeadlineExceededError, RemoteCallError, UnavailableError
from ..settings import RetryPolicy

T = TypeVar("T")
FIRST_PAUSE, LAST_PAUSE, GROWTH = 0.25, 5.0, 1.5
"""The first and the longest pause between two polls in seconds, and the factor between two pauses."""
JITTER = 0.2
"""The share of a pause that is random, so that jobs that were started together are not polled together."""
LEAST_PAUSE = 0.1
LEAST_LIMIT = 5.0
"""Seconds that a poll may always take, however long the outage."""
RATE = 45.0
"""Polls a second of all waits: a server sees no more than 50, even if the network bunches them up."""
_RULES = RetryPolicy()


def is_transient(error: RemoteCallError) -> bool:
    """Return whether polling goes on after an error: one that allows a retry, or a deadline that passed."""
    return isinstance(error, DeadlineExceededError) or (may_retry(error, _RULES) and error.pushback != NOT_HERE)


class PollSchedule:
    """The times of one wait's polls, and its end in an outage.

    Args:
        outage: seconds without an answer after which the wait ends; `math.inf` for no limit.
        poll: seconds between polls, at least `LEAST_PAUSE`; by default they grow from 0.2 to 5.
        last: the longest pause.
        jitter: returns a number from 0 to 1.

    Attributes:
        error: the last poll's error; None after an answer, and before the first poll.
    """

    def __init__(
        self,
        outage: float = OUTAGE,
        poll: float | None = None,
        *,
        last: float = LAST_PAUSE,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.error: RemoteCallError | None = None
        self._outage = outage
        self._poll = None if poll is None else max(poll, LEAST_PAUSE)
        self._last = last
        self._jitter = jitter
        self._pause = FIRST_PAUSE
        self._answering = math.inf
        self._silent = math.inf

    def answered(self, now: float) -> float:
        """Record an answer, and return the seconds until the next poll."""
        if self.error is not None or self._answering == math.inf:
            self._answering = now
        self.error, self._silent = None, math.inf
        return self._next()

    def failed(self, error: RemoteCallError, asked: float, now: float) -> float | None:
        """Record a failed poll, and return the seconds until the next one, or None to give up.

        Args:
            error: its error, a transient one.
            asked: when it was sent.
            now: when it failed.
        """
        self.error, self._silent = error, min(self._silent, asked)
        left = self._silent + self._outage - now
        return min(max(self._next(), error.pushback or 0.0), left) if left > 0 else None

    def limit(self, now: float) -> float:
        """Return the seconds that a poll may take now."""
        return max(self._outage - self.silent(now), LEAST_LIMIT)

    def silent(self, now: float) -> float:
        """Return the seconds since the outage began; 0 without one."""
        return max(0.0, now - self._silent)

    def answering(self, now: float) -> float:
        """Return the seconds since the first answer after the last outage; 0 in an outage."""
        return 0.0 if self.error is not None else max(0.0, now - self._answering)

    def _next(self) -> float:
        if self._poll is not None:
            return self._poll
        pause = min(self._pause, self._last)
        self._pause = min(pause * GROWTH, self._last)
        return pause * (1 - JITTER * self._jitter())


class RateLimit:
    """A limit of turns per second with a queue, first come, first served."""

    def __init__(self, rate: float = RATE) -> None:
        self._interval = 1 / rate
        self._waiting: dict[Hashable, None] = {}
        self._due = -math.inf

    @property
    def due(self) -> float | None:
        """The time of the next turn; None with an empty queue."""
        return self._due if self._waiting else None

    def join(self, waiter: Hashable) -> None:
        """Add a waiter to the queue."""
        self._waiting[waiter] = None

    def leave(self, waiter: Hashable) -> None:
        """Remove a waiter from the queue. Idempotent."""
        self._waiting.pop(waiter, None)

    def take(self, now: float) -> Hashable | None:
        """Remove the first waiter from the queue and return it, or None if no turn is due."""
        if not self._waiting or now < self._due:
            return None
        self._due = now + self._interval
        waiter = next(iter(self._waiting))
        del self._waiting[waiter]
        return waiter


class _LoopRateLimit:
    """The rate limit of all polls in an event loop."""

    def __init__(self) -> None:
        self._limit = RateLimit()
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self) -> None:
        """Wait for a turn."""
        turn = asyncio.get_running_loop().create_future()
        self._limit.join(turn)
        self._give()
        try:
            await turn
        finally:
            self._limit.leave(turn)
            if self._timer is not None and self._limit.due is None:
                self._timer.cancel()
                self._timer = None

    def _give(self) -> None:
        loop = asyncio.get_running_loop()
        turn = self._limit.take(loop.time())
        if isinstance(turn, asyncio.Future) and not turn.done():
            turn.set_result(None)
        due = self._limit.due
        if due is not None and self._timer is None:
            self._timer = loop.call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        self._give()


_rate_limits: WeakValueDictionary[asyncio.AbstractEventLoop, _LoopRateLimit] = WeakValueDictionary()


class JobPoller:
    """Polls a job at its scheduled times. All waits of an event loop share one rate limit."""

    def __init__(self, job: object, schedule: PollSchedule) -> None:
        self._job = job
        self._schedule = schedule
        self._pause = 0.0
        self._rate_limit = _rate_limits.setdefault(asyncio.get_running_loop(), _LoopRateLimit())

    async def poll(self, question: Callable[[], Awaitable[T]], turns: int = 1) -> T | None:
        """Ask the question when the next poll is due, and return the answer, or None after a transient error.

        Args:
            question: asks the server.
            turns: the number of servers it asks.

        Raises:
            UnavailableError: the outage lasts too long.
            RemoteCallError: the server answered with an error that is not transient.
        """
        await asyncio.sleep(self._pause)
        for _ in range(turns):
            await self._rate_limit.turn()
        now = asyncio.get_running_loop().time
        asked = now()
        try:
            answer = await self._within(self._schedule.limit(asked), question)
        except RemoteCallError as error:
            if not is_transient(error):
                raise
            failure = error.with_traceback(None)  # leads to this frame, and so to the error itself: a reference cycle
        else:
            self._pause = self._schedule.answered(now())
            return answer
        pause = self._schedule.failed(failure, asked, now())
        if pause is None:
            silent = f"{self._schedule.silent(now()):.3g}"
            raise UnavailableError(f"{self._job!r}: nobody has answered for {silent} seconds: {failure}") from failure
        self._pause = pause
        return None

    @staticmethod
    async def _within(seconds: float, question: Callable[[], Awaitable[T]]) -> T:
        answer = await within(None if seconds == math.inf else seconds, question())
        if answer is LATE:
            raise DeadlineExceededError(f"no answer within {seconds:.3g} seconds")
        return answer
