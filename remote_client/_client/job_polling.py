"""When to poll a job, and when to give up on a server that does not answer.

`PollSchedule` and `RateLimit` decide, and are pure: no I/O, no clock of their own. `JobPoller` follows them.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar
from weakref import WeakValueDictionary

from .._transport.retry import NOT_HERE, may_retry
from ..errors import DeadlineExceededError, RemoteCallError, UnavailableError
from ..settings import RetryPolicy

T = TypeVar("T")
OUTAGE = 300.0
"""Seconds without an answer after which a wait without a timeout ends."""
FIRST_PAUSE, LAST_PAUSE, GROWTH = 0.25, 5.0, 1.5
"""The longest pauses between two questions in seconds, at first and at last, and how they grow."""
JITTER = 0.2
"""The share of a pause that is random: jobs that were started together are not asked about together."""
LEAST_PAUSE = 0.1
LEAST_LIMIT = 5.0
"""Seconds that a question always has, however long nobody has answered."""
RATE = 45.0
"""Questions a second of all waits: a server sees no more than 50, though the network bunches them up."""
_RULES = RetryPolicy()


def is_transient(error: RemoteCallError) -> bool:
    """Whether polling goes on after an error: retries would call it transient, or a deadline passed."""
    return isinstance(error, DeadlineExceededError) or (may_retry(error, _RULES) and error.pushback != NOT_HERE)


class PollSchedule:
    """When the next question of one wait is due, and whether there is one.

    Args:
        outage: seconds without an answer after which the wait ends; `math.inf` for no limit.
        poll: seconds between two questions, at least `LEAST_PAUSE`; without it they grow from 0.2 to 5.
        last: the longest pause.
        jitter: gives a number from 0 to 1.

    Attributes:
        error: why the last question was not answered; None where it was, and before the first one.
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
        """Note an answer; return the seconds until the next question."""
        if self.error is not None or self._answering == math.inf:
            self._answering = now
        self.error, self._silent = None, math.inf
        return self._next()

    def failed(self, error: RemoteCallError, asked: float, now: float) -> float | None:
        """Note a question that was not answered; return the seconds until the next one, None to give up.

        Args:
            error: why; a transient one.
            asked: when.
            now: when that was known.
        """
        self.error, self._silent = error, min(self._silent, asked)
        left = self._silent + self._outage - now
        return min(max(self._next(), error.pushback or 0.0), left) if left > 0 else None

    def limit(self, now: float) -> float:
        """Return the seconds that a question may take now."""
        return max(self._outage - self.silent(now), LEAST_LIMIT)

    def silent(self, now: float) -> float:
        """Return for how many seconds nobody has answered."""
        return max(0.0, now - self._silent)

    def answering(self, now: float) -> float:
        """Return for how many seconds somebody has answered, without an outage in between."""
        return 0.0 if self.error is not None else max(0.0, now - self._answering)

    def _next(self) -> float:
        if self._poll is not None:
            return self._poll
        pause = min(self._pause, self._last)
        self._pause = min(pause * GROWTH, self._last)
        return pause * (1 - JITTER * self._jitter())


class RateLimit:
    """A rate limit for polls, first come, first served.

    Args:
        rate: turns a second.
    """

    def __init__(self, rate: float = RATE) -> None:
        self._interval = 1 / rate
        self._waiting: dict[Hashable, None] = {}
        self._due = -math.inf

    @property
    def due(self) -> float | None:
        """When the next turn is; None where nobody waits for it."""
        return self._due if self._waiting else None

    def join(self, who: Hashable) -> None:
        """Queue up."""
        self._waiting[who] = None

    def leave(self, who: Hashable) -> None:
        """Leave the queue. Idempotent."""
        self._waiting.pop(who, None)

    def take(self, now: float) -> Hashable | None:
        """Take the first in the queue out of it and return it, or None if no poll is due."""
        if not self._waiting or now < self._due:
            return None
        self._due = now + self._interval
        who = next(iter(self._waiting))
        del self._waiting[who]
        return who


class _Turns:
    """Hands out the turns of a pace in an event loop."""

    def __init__(self) -> None:
        self._pace = RateLimit()
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self) -> None:
        """Wait for a turn."""
        turn = asyncio.get_running_loop().create_future()
        self._pace.join(turn)
        self._give()
        try:
            await turn
        finally:
            self._pace.leave(turn)
            if self._timer is not None and self._pace.due is None:
                self._timer.cancel()
                self._timer = None

    def _give(self) -> None:
        loop = asyncio.get_running_loop()
        who = self._pace.take(loop.time())
        if isinstance(who, asyncio.Future) and not who.done():
            who.set_result(None)
        due = self._pace.due
        if due is not None and self._timer is None:
            self._timer = loop.call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        self._give()


_of_loops: WeakValueDictionary[asyncio.AbstractEventLoop, _Turns] = WeakValueDictionary()


class JobPoller:
    """Polls a job. All waits of an event loop share one pace.

    Args:
        what: what is asked about, for errors.
        polling: decides when.
    """

    def __init__(self, what: object, polling: PollSchedule) -> None:
        self._what = what
        self._polling = polling
        self._pause = 0.0
        self._turns = _of_loops.setdefault(asyncio.get_running_loop(), _Turns())

    async def ask(self, question: Callable[[], Awaitable[T]], turns: int = 1) -> T | None:
        """Poll when the next poll is due; return None after an error that may pass.

        Args:
            question: asks.
            turns: how many servers it asks.

        Raises:
            UnavailableError: nobody has answered for too long.
            RemoteCallError: the answer is an error that stays.
        """
        await asyncio.sleep(self._pause)
        for _ in range(turns):
            await self._turns.turn()
        now = asyncio.get_running_loop().time
        asked = now()
        try:
            answer = await self._within(self._polling.limit(asked), question)
        except RemoteCallError as error:
            if not is_transient(error):
                raise
            failure = error.with_traceback(None)  # which leads here, and so to itself
        else:
            self._pause = self._polling.answered(now())
            return answer
        pause = self._polling.failed(failure, asked, now())
        if pause is None:
            told = f"{self._what!r}: nobody has answered for {self._polling.silent(now()):.3g} seconds: {failure}"
            raise UnavailableError(told) from failure
        self._pause = pause
        return None

    @staticmethod
    async def _within(seconds: float, question: Callable[[], Awaitable[T]]) -> T:
        limit = asyncio.timeout(None if seconds == math.inf else seconds)
        try:
            async with limit:
                return await question()
        except TimeoutError as error:
            if not limit.expired() or isinstance(error, RemoteCallError):
                raise
        finally:
            del limit  # see `RemoteStream._read`
        raise DeadlineExceededError(f"no answer within {seconds:.3g} seconds")
