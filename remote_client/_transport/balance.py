"""Balances calls over several servers, and ejects failing ones for a while. Pure: no I/O, no clock of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, Protocol, TypeVar

FIRST_EJECTION, LAST_EJECTION = 1.0, 30.0
"""Seconds that a failing server gets no calls, at first and at most; every failure doubles them."""
SLOW_FAILURES = 2
"""Expired deadlines in a row that count as a failure: a single one may be due to the model."""


class Health:
    """The health of one server, as calls found it."""

    __slots__ = ("_failures", "_slow", "ailing", "in_flight", "until")

    def __init__(self) -> None:
        self.in_flight: int = 0
        self.until: float = 0.0
        """The end of its ejection; the next call after that is a probe. 0 for a healthy server."""
        self._failures = 0
        self._slow = 0
        self.ailing: bool = False
        """Whether calls have failed since the last success."""

    def succeeded(self) -> None:
        """Note a response, even an error of the model."""
        self._failures = self._slow = 0
        self.ailing = False
        self.until = 0.0

    def failed(self, now: float) -> None:
        """Note a call that did not reach the server, or was lost."""
        self.ailing = True
        if self._failures and now < self.until:
            return  # a call that was in flight at the first failure
        self._failures += 1
        self.until = now + min(FIRST_EJECTION * 2 ** (self._failures - 1), LAST_EJECTION)

    def expired(self, now: float) -> None:
        """Note a call without a response in time."""
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
    """Picks two servers at random, and of these the one with fewer calls in flight (power of two choices).

    Args:
        servers: all servers; may be replaced.
        choose: `random.sample`, or a replacement.
    """

    def __init__(self, servers: Sequence[S], choose: Callable[[Sequence[S], int], list[S]] = random.sample) -> None:
        self.servers = servers
        self._choose = choose

    def __reduce__(self) -> Any:
        return Balancer, (self.servers,)

    def pick(self, now: float, tried: Collection[S] = ()) -> S:
        """Return the server for the next attempt, a healthy one that this call has not tried if possible.

        If all are ejected, it is the one whose ejection ends first: no call fails without being sent.
        """
        healthy = [server for server in self.servers if now >= server.health.until]
        candidates = [server for server in healthy if server not in tried] or healthy
        if not candidates:
            untried = [server for server in self.servers if server not in tried] or self.servers
            return min(untried, key=lambda server: server.health.until)
        probes = [server for server in candidates if server.health.until]
        if probes:
            probe = probes[0]
            # Other calls avoid it until the probe is answered, or the shortest ejection has passed again.
            probe.health.until = now + FIRST_EJECTION
            return probe
        if len(candidates) == 1:
            return candidates[0]
        return min(self._choose(candidates, 2), key=lambda server: server.health.in_flight)
