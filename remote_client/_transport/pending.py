"""Limits the calls that wait for a server to begin its answer: more calls queue here, first come first served.

A runtime sheds calls beyond about a thousand waiting ones, of all clients together, with a bare CANCELLED. So the
clients of an event loop share a limit per server. A CANCELLED halves it, and it grows by one per round trip, as TCP's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakValueDictionary

from .deadlines import Deadlines

MAX_PENDING = 256
"""The default of the limit."""
LEAST = 8
"""Overload never lowers the limit below this."""


class Place:
    """The place of a call among those that wait for an answer."""

    __slots__ = ("_epoch", "_held", "_pending")

    def __init__(self, pending: Pending, epoch: int) -> None:
        self._pending = pending
        self._epoch = epoch
        self._held = True

    def answered(self) -> None:
        """Free the place: the server began to answer. Idempotent."""
        if self._held:
            self._held = False
            self._pending.leave(answered=True)

    def free(self) -> None:
        """Free the place: the call is over, answered or not. Idempotent."""
        if self._held:
            self._held = False
            self._pending.leave(answered=False)

    def shed(self) -> None:
        """Halve the limit: the overloaded server dropped the call."""
        self._pending.shed(self._epoch)


class _Waiter:
    """A call in the queue."""

    __slots__ = ("owner", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: object) -> None:
        self.turn: asyncio.Future[bool] = loop.create_future()
        self.owner = owner

    def expire(self) -> None:
        if not self.turn.done():
            self.turn.set_result(False)


class Pending:
    """The calls to one server that wait for an answer.

    Args:
        most: the upper bound of the limit.

    Attributes:
        limit: the limit, between `LEAST` and `most`.
        count: the number of calls that wait.
    """

    __slots__ = ("__weakref__", "_deadlines", "_epoch", "_most", "_waiting", "count", "limit")

    def __init__(self, most: float = MAX_PENDING) -> None:
        self._most = float(most)
        self.limit: float = self._most
        self.count: int = 0
        self._epoch = 0
        """The number of halvings: calls from before a halving do not halve the limit again."""
        self._waiting: deque[_Waiter] = deque()
        self._deadlines: Deadlines | None = None

    def enter(self) -> Place | None:
        """Return a place, or None if the call must `wait`."""
        if self.count + 1 > self.limit or self._waiting:
            return None
        self.count += 1
        return Place(self, self._epoch)

    async def wait(self, seconds: float | None, owner: object = None) -> Place | None:
        """Wait for a place, and return it, or None if there was none in time. See `close` for the owner."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop, owner)
        self._waiting.append(waiter)
        due = 0.0
        if seconds is not None:
            self._deadlines = self._deadlines or Deadlines(loop)
            due = self._deadlines.add(seconds, waiter)
        try:
            in_time = await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.result():
                self.leave(answered=False)  # it got its place just now
            waiter.turn.cancel()
            raise
        finally:
            if due and self._deadlines is not None:
                self._deadlines.discard(due, waiter)
        return Place(self, self._epoch) if in_time else None

    def leave(self, *, answered: bool) -> None:
        """Free a place."""
        self.count -= 1
        if answered and self.limit < self._most:
            self.limit = min(self.limit + 1 / self.limit, self._most)
        if self._waiting:
            self._admit()

    def shed(self, epoch: int) -> None:
        """Halve the limit, unless that happened since the dropped call's epoch."""
        if epoch == self._epoch:
            self._epoch += 1
            self.limit = max(self.limit / 2, min(LEAST, self._most))

    def close(self, owner: object = None) -> None:
        """Let an owner's queued calls go on: its connections are closed, and fail them."""
        for waiter in self._waiting:
            if waiter.owner is owner and not waiter.turn.done():
                self.count += 1
                waiter.turn.set_result(True)
        self._waiting = deque(waiter for waiter in self._waiting if not waiter.turn.done())
        if not self._waiting and self._deadlines is not None:
            self._deadlines.close()

    def _admit(self) -> None:
        while self._waiting and self.count + 1 <= self.limit:
            waiter = self._waiting.popleft()
            if not waiter.turn.done():
                self.count += 1
                waiter.turn.set_result(True)


class Joining(Pending):
    """Stands in until the first call, in whose event loop clients share the limit.

    Args:
        join: replaces it by the shared one, and returns that.
    """

    __slots__ = ("_join",)

    def __init__(self, join: Callable[[], Pending]) -> None:
        super().__init__()
        self._join = join

    def enter(self) -> Place | None:
        return self._join().enter()


_of_loops: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str, float], Pending] = WeakValueDictionary()


def shared(target: str, most: float) -> Pending:
    """Return the waiting calls to a server of all clients in the running loop with this limit."""
    key = (asyncio.get_running_loop(), target, most)
    return _of_loops.get(key) or _of_loops.setdefault(key, Pending(most))
