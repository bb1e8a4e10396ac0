"""The deadlines of many calls on one timer of the event loop."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from math import ceil
from typing import Protocol

_FINE, _MEDIUM, _COARSE = 1 / 64, 1 / 8, 1.0
"""The ticks in seconds to which timeouts are rounded up: below one second, below eight, and beyond."""
_FEW = 64
"""The number of slots from which on empty ones are dropped."""


class Expiring(Protocol):
    """Something with a deadline."""

    def expire(self) -> None:
        """React to the deadline. Must not raise."""


class Deadlines:
    """Calls `expire` of items that are not discarded in time, at most a tick (3 to 13 % of the timeout) late.

    An asyncio timer per call costs several times as much, and a cancelled one stays in the loop's heap.
    """

    __slots__ = ("_loop", "_most", "_order", "_slots", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[float, set[Expiring]] = {}
        self._order: list[float] = []
        self._most = _FEW
        self._timer: asyncio.TimerHandle | None = None

    def add(self, seconds: float, item: Expiring) -> float:
        """Let an item expire after so many seconds, and return the key for `discard`."""
        tick = _FINE if seconds < 1 else _MEDIUM if seconds < 8 else _COARSE
        when = ceil((self._loop.time() + seconds) / tick) * tick
        slot = self._slots.get(when)
        if slot is None:
            if len(self._order) >= self._most:
                self._drop_empty()
            slot = self._slots[when] = set()
            heappush(self._order, when)
            if self._order[0] == when:
                self._arm()
        slot.add(item)
        return when

    def discard(self, when: float, item: Expiring) -> None:
        """Remove an item that was added with this key. Idempotent."""
        slot = self._slots.get(when)
        if slot is not None:
            slot.discard(item)

    def _drop_empty(self) -> None:
        """Drop the empty slots: those of long timeouts would stay until their time."""
        self._slots = {when: slot for when, slot in self._slots.items() if slot}
        self._order = sorted(self._slots)
        self._most = max(_FEW, 2 * len(self._order))

    def close(self) -> None:
        """Remove all items."""
        self._slots.clear()
        self._order.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._order[0], self._turn)

    def _turn(self) -> None:
        self._timer = None
        # A loop may call a timer a clock's resolution early.
        now = self._loop.time() + 0.001
        while self._order and self._order[0] <= now:
            for item in self._slots.pop(heappop(self._order)):
                item.expire()
        if self._order and self._timer is None:
            self._arm()
