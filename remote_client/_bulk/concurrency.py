"""How many calls of a map run at a time: hill climbing on the rows per second. Fed with answers and times; no I/O.

A server has a plateau: more calls than it works on only wait. The climb stays at the low end of the plateau. Steps up
must gain, steps down must not lose, both against the best rate of the last seconds.
"""

from __future__ import annotations

START, LEAST, MOST = 64, 4, 256
STEP = 1.3
"""The factor between two limits that are compared."""
WINDOW = 0.25
"""The least seconds over which a rate is measured."""
ANSWERS = 24
"""The least answers over which a rate is measured: of fewer the rate is noise."""
GAIN, LOSS = 1.05, 0.95
"""The factor that a step up must gain at least, and the one that a step down may lose."""
OTHER_SPEED = 1.4
"""The factor by which a rate differs if the server has another speed now."""
REST = 6
"""Windows to stay at a limit both of whose neighbours are worse, or above which calls were refused."""
BELOW = 0.9
"""The factor between a limit at which calls were refused and the next one that is used for some time."""
LONGEST_REST = 24
"""Windows to stay below a limit at which calls were refused again and again."""
REMEMBER = 30.0
"""Seconds for which a refusal makes the next one more likely to be of the same cause."""
CROWDED = 0.25
"""The share of a call's timeout that answers take at least if calls which expire have waited for others."""
FORGET = 0.99
"""The factor by which the best rate fades with every window."""


class FixedLimit:
    """A number of calls that never changes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def answered(self, now: float, seconds: float) -> None:
        """Note an answer."""

    def refused(self, now: float) -> None:
        """Note that the server refused a call for overload."""

    def is_crowded(self, seconds: float) -> bool:
        """Return whether a call that expired after some seconds waited for others. The caller chose their number."""
        return False


class AdaptiveLimit:
    """The number of calls with which a server is fastest, as far as its answers tell.

    Attributes:
        limit: the calls that may run now.
    """

    def __init__(self) -> None:
        self.limit: int = START
        self._base = float(START)
        """The best limit so far; `limit` is this one, or a neighbour that is tried."""
        self._rate: float | None = None
        """The rate at the base."""
        self._best = 0.0
        self._latency: float | None = None
        self._ceiling = float(MOST)
        """The limit for now, below the one at which the server refused calls. It rises after a rest."""
        self._refused_at = float(MOST)
        self._at_ceiling = False
        self._patience = REST
        self._cut_at = float("-inf")
        self._rest = 0
        self._climbs = False
        """Whether the last step up gained, so that the next one is tried first."""
        self._falls = False
        self._trial = 0
        """1 while a step up is tried, -1 while a step down is, 0 at the base."""
        self._begun: float | None = None
        self._count = 0

    def answered(self, now: float, seconds: float) -> None:
        """Note an answer, and how long the call took."""
        self._latency = seconds if self._latency is None else 0.9 * self._latency + 0.1 * seconds
        if self._begun is None:
            self._begun = now + self._latency  # until then answers are of calls under the limit before
            return
        if now < self._begun:
            return
        self._count += 1
        passed = now - self._begun
        if passed >= WINDOW and self._count >= max(ANSWERS, self.limit / 2):
            self._measured(self._count / passed)

    def refused(self, now: float) -> None:
        """Note that the server refused a call for overload: half as many, once a round trip."""
        if now - self._cut_at < (self._latency or 0.1):
            return
        is_again = now - self._cut_at < REMEMBER
        self._patience = min(self._patience * 2, LONGEST_REST) if is_again else REST
        self._cut_at = now
        self._refused_at = self.limit
        self._ceiling = max(self.limit * BELOW, 1.0)
        self._base, self._rate, self._rest = max(self.limit / 2, 1.0), None, 0
        self._climbs, self._falls, self._at_ceiling = True, False, False
        self._try(0)

    def is_crowded(self, seconds: float) -> bool:
        """Return whether a call that expired after some seconds waited for others: then answers take long, too."""
        return self.limit > 1 and (self._latency is None or self._latency > seconds * CROWDED)

    def _measured(self, rate: float) -> None:
        self._best = max(self._best * FORGET, rate)
        trial = self._trial
        if trial == 0:
            known, self._rate = self._rate, rate
            if known is not None and not known / OTHER_SPEED < rate < known * OTHER_SPEED:
                self._best, self._rest = rate, 0
            if self._rest:
                self._rest -= 1
                self._try(0)
                return
            if self._at_ceiling:
                self._ceiling, self._at_ceiling = _step_up(self._ceiling), False
            self._try(-1 if self._falls else 1)
            return
        assert self._rate is not None
        explained = self._rate * self.limit / self._base
        if rate > max(explained, self._rate) * OTHER_SPEED or rate < min(explained, self._rate) / OTHER_SPEED:
            self._best = rate  # no step explains this: the server has another speed
            self._rate = None
            self._try(0)
            return
        if trial == 1 and rate >= self._rate * GAIN:
            self._accept(rate, 1)
        elif trial == -1 and rate >= max(self._rate, self._best) * LOSS:
            self._accept(rate, -1)
        elif trial == 1 and not self._climbs:
            self._try(-1)
        else:
            self._climbs = self._falls = False
            self._rest = REST
            self._try(0)

    def _accept(self, rate: float, trial: int) -> None:
        self._base, self._rate = self._neighbour(trial), rate
        if self._base > self._refused_at * BELOW:  # what was refused there is taken now
            self._ceiling, self._patience = min(self._base * 2, MOST), REST
            self._refused_at = self._ceiling
        self._climbs, self._falls = trial == 1, trial == -1
        self._try(trial)

    def _neighbour(self, trial: int) -> float:
        """Return the limit one step up (1) or down (-1), or the base itself (0)."""
        if trial == 1:
            return min(_step_up(self._base), max(self._ceiling, self._base))
        return max(self._base / STEP, min(LEAST, self._base)) if trial == -1 else self._base

    def _try(self, trial: int) -> None:
        limit = self._neighbour(trial)
        if trial and round(limit) == round(self._base):  # at the end of the range
            self._climbs = self._falls = False
            self._at_ceiling = trial == 1
            trial, self._rest = 0, self._patience if self._at_ceiling else REST
        self._trial, self.limit = trial, max(round(limit), 1)
        self._begun, self._count = None, 0


def _step_up(limit: float) -> float:
    return min(max(limit * STEP, limit + 1), MOST)
