"""How a case is measured: its variants in random order, again and again, each beside its floor."""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

Run = Callable[[int], Awaitable[None] | float | None]
"""Does so many units of work. It is timed, unless it returns what it measured itself (for one unit)."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        name: begins with the name of its file.
        variants: name -> what it does; the first is the floor, the others are compared with it.
        unit: what is counted, for example a call.
        step: the number of units of a run is a multiple of it.
        measure: what is told of a unit: `us` (microseconds) or `KB`.
        limit: the most units of a run, where more would measure something else, or take too long.
        rounds: the most rounds.
    """

    name: str
    variants: Mapping[str, Run]
    unit: str = "call"
    step: int = 1
    measure: str = "us"
    limit: int | None = None
    rounds: int | None = None


@dataclass(frozen=True)
class Effort:
    """How long is measured: so many rounds, in each so many seconds for a variant."""

    rounds: int = 11
    seconds: float = 0.25


QUICK = Effort(rounds=1, seconds=0.0)


@dataclass(frozen=True)
class Figure:
    """What a variant of a case showed: medians, and the quartiles of the ratio to the floor in the same round."""

    case: str
    variant: str
    unit: str
    measure: str
    value: float
    ratio: float | None
    low: float | None
    high: float | None
    units: int
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """Itself as JSON."""
        return asdict(self)


class Harness:
    """Measures cases whose runs are functions or coroutine functions."""

    def __init__(self, effort: Effort, runner: asyncio.Runner) -> None:
        self._effort = effort
        self._runner = runner

    def measure(self, case: Case) -> list[Figure]:
        """All figures of a case, the floor's first."""
        units = {name: self._units(case, run) for name, run in case.variants.items()}
        seen: dict[str, list[float]] = {name: [] for name in case.variants}
        for _ in range(min(self._effort.rounds, case.rounds or self._effort.rounds)):
            for name in random.sample(list(case.variants), len(case.variants)):
                seen[name].append(self._once(case.variants[name], units[name]))
        floor, *_ = seen.values()
        return [self._figure(case, name, units[name], seen[name], floor) for name in seen]

    def _units(self, case: Case, run: Run) -> int:
        """How many units fill the time of a run; trying that warms everything up as well."""
        units = case.step
        if not self._effort.seconds or case.limit == 1:
            return units
        while True:
            started = time.perf_counter()
            self._once(run, units)
            took = time.perf_counter() - started
            if took >= self._effort.seconds / 2 or (case.limit and units >= case.limit):
                break
            units *= 4
        units = max(1, round(units * self._effort.seconds / took / case.step)) * case.step
        return min(units, case.limit or units)

    def _once(self, run: Run, units: int) -> float:
        """Seconds of a unit, or what the run measured itself."""
        gc.collect()
        started = time.perf_counter()
        told = run(units)
        measured = self._runner.run(told) if inspect.iscoroutine(told) else told
        took = time.perf_counter() - started
        return measured if isinstance(measured, float) else took / units

    def _figure(self, case: Case, name: str, units: int, seen: list[float], floor: list[float]) -> Figure:
        scale = 1e6 if case.measure == "us" else 1
        value = statistics.median(seen) * scale
        alone = Figure(case.name, name, case.unit, case.measure, value, None, None, None, units, len(seen))
        if seen is floor:
            return alone
        ratios = [mine / its for mine, its in zip(seen, floor, strict=True) if mine > 0 and its > 0]
        low, middle, high = quartiles(ratios)
        return replace(alone, ratio=middle, low=low, high=high)


def quartiles(values: list[float]) -> tuple[float | None, float | None, float | None]:
    """The quartiles; of no values there are none."""
    if len(values) < 2:
        return (values[0], values[0], values[0]) if values else (None, None, None)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def in_flight(count: int, call: Callable[[], Awaitable[Any]]) -> Callable[[int], Awaitable[None]]:
    """A run whose calls are made by so many tasks, one after the other in each."""

    async def some(calls: int) -> None:
        for _ in range(calls):
            await call()

    async def run(calls: int) -> None:
        if count == 1:
            await some(calls)
        else:
            await asyncio.gather(*(some(calls // count) for _ in range(count)))

    return run
