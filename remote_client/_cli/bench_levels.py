"""The measuring of `bench`: calls in flight for some seconds, their latencies, and the errors."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from ..errors import RemoteClientError

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
"""The columns of latency, and the share of calls that are at least so fast."""


class Level:
    """What a number of calls in flight gave.

    Attributes:
        in_flight: the calls in flight.
        latencies: the seconds of every call that was answered.
        errors: error class -> the calls that raised it.
        error: the first error.
        seconds: from the first call to the last answer.
    """

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight
        self.latencies = array("d")
        self.errors: Counter[str] = Counter()
        self.error: RemoteClientError | None = None
        self.seconds = 0.0

    async def measure(self, call: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Keep calls in flight for some seconds. Then none is started, and the last ones are waited for."""
        begun = perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.in_flight):
                    group.create_task(self._call_until(begun + seconds, call))
        finally:
            self.seconds = perf_counter() - begun

    async def _call_until(self, end: float, call: Callable[[], Awaitable[object]]) -> None:
        while (begun := perf_counter()) < end:
            try:
                await call()
            except RemoteClientError as error:
                self.error = self.error or error.with_traceback(None)
                self.errors[type(error).__name__] += 1
            else:
                self.latencies.append(perf_counter() - begun)

    def summary(self) -> dict[str, Any]:
        """Return the figures, as JSON has them. Latencies are milliseconds, None without an answer."""
        ordered = sorted(self.latencies)
        return {
            "in_flight": self.in_flight,
            "seconds": round(self.seconds, 3),
            "calls": len(ordered),
            "errors": dict(self.errors),
            "calls_per_second": round(len(ordered) / self.seconds, 1) if self.seconds else 0.0,
            **{f"{name}_ms": _milliseconds(percentile(ordered, share)) for name, share in PERCENTILES.items()},
        }


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that is not exceeded by a share of the values (the nearest rank); None of none.

    Args:
        ordered: the values in ascending order.
        share: more than 0, at most 1.
    """
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)
