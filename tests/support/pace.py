"""How fast the servers of the wire tests answer, and how many calls they take at a time."""

from __future__ import annotations

import asyncio
import heapq
from typing import Any


class Pace:
    """The fault `pace` (method or route -> an object), which may be changed at any time.

    seconds: the work of a call.
    workers: the calls that are worked on at a time; the others wait for their turn. By default all are.
    room: the calls that are here at a time; those beyond are refused.
    """

    def __init__(self) -> None:
        self._here = 0
        self._free: list[float] = []
        """When the workers are free again."""

    async def take(self, pace: dict[str, Any]) -> bool:
        """Work on a call, or return False to refuse it."""
        if self._here >= pace.get("room", self._here + 1):
            return False
        self._here += 1
        try:
            await asyncio.sleep(self._seconds(pace))
        finally:
            self._here -= 1
        return True

    def _seconds(self, pace: dict[str, Any]) -> float:
        """Return the seconds until a call that came now is answered."""
        seconds: float = pace.get("seconds", 0.0)
        if "workers" not in pace:
            return seconds
        if len(self._free) != pace["workers"]:
            self._free = [0.0] * pace["workers"]
        now = asyncio.get_running_loop().time()
        end = max(now, self._free[0]) + seconds
        heapq.heapreplace(self._free, end)
        return end - now
