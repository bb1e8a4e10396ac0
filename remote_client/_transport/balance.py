"""Which of several servers gets the next call, and which get none for a while. Pure: no I/O, no clock of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, Protocol, TypeVar

FIRST_EJECTION, LAST_EJECTION = 1.0, 30.0
"""Seconds that a failing server gets no calls, at first and at most; they double with each failure."""
SLOW_FAILURES = 2
"""Deadlines in a row that count as a failure: one may be the model's own."""


class Health:
    """What calls have told about one server."""

    __slots__ = ("_failures", "_slow", "ailing", "in_flight", "until")

    def __init__(self) -> None:
        self.in_flight = 0
        self.until = 0.0
        """When an ejection ends; who is asked next is the probe. 0 for a server that is well."""
        self._failures = 0
        self._slow = 0
        self.ailing = False
        """Whether calls have failed since the last success."""

    def succeeded(self) -> None:
        """A call was answered, with an error of the model's own or without."""
        self._failures = self._slow = 0
        self.ailing = False
        self.until = 0.0

    def failed(self, now: float) -> None:
        """A call did not reach the server, or was lost."""
        self.ailing = True
        if self._failures and now < self.until:
            return  # one of those that were under way at the first failure
        self._failures += 1
        self.until = now + min(FIRST_EJECTION * 2 ** (self._failures - 1), LAST_EJECTION)

    def expired(self, now: float) -> None:
        """A call was not answered in time."""
        self.ailing = True
        self._slow += 1
        if self._slow >= SLOW_FAILURES:
            self.failed(now)


class HasHealth(Protocol):
    """A server with its health."""

    @property
    def health(self) -> Health: ...


S = TypeVar("S", bound=HasHealth)


class Balancer(Generic[S]):
    """Chooses the one with fewer calls in flight of two that are chosen at random (power of two choices).

    Args:
        servers: all there are; may be replaced.
        choose: picks some of a sequence, as `random.sample`.
    """

    def __init__(self, servers: Sequence[S], choose: Callable[[Sequence[S], int], list[S]] = random.sample) -> None:
        self.servers = servers
        self._choose = choose

    def __reduce__(self) -> Any:
        return Balancer, (self.servers,)

    def pick(self, now: float, tried: Collection[S] = ()) -> S:
        """The server for the next call; one that this call has not tried yet, if there is one that is well.

        Where all are ejected, the one whose time is over first: a call is never refused unsent.
        """
        well = [each for each in self.servers if now >= each.health.until]
        fresh = [each for each in well if each not in tried]
        candidates = fresh or well
        if not candidates:
            untried = [each for each in self.servers if each not in tried] or self.servers
            return min(untried, key=lambda each: each.health.until)
        probes = [each for each in candidates if each.health.until]
        if probes:
            probe = probes[0]
            # Until the probe is answered the others wait, as long again as the shortest ejection.
            probe.health.until = now + FIRST_EJECTION
            return probe
        if len(candidates) == 1:
            return candidates[0]
        return min(self._choose(candidates, 2), key=lambda each: each.health.in_flight)
