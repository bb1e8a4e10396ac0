"""How a case is measured: its variants in random order, again and again, each beside its floor.

The time of the processor stands beside the time on the clock: it is the steadier of the two, and counts all threads of
the process and the processes that ended in it.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import random
import resource
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """One run: seconds of a unit, on the clock and of the processor, or what the run measured itself."""

    value: float
    cpu: float | None = None


Run = Callable[[int], Awaitable[None] | float | Sample | None]
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
        seconds: the most seconds of a run.
        exactly: the number of units of a run, however long they take, except in a quick one.
    """

    name: str
    variants: Mapping[str, Run]
    unit: str = "call"
    step: int = 1
    measure: str = "us"
    limit: int | None = None
    rounds: int | None = None
    seconds: float = math.inf
    exactly: int | None = None


@dataclass(frozen=True)
class LeftOut:
    """A case that cannot be measured here, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Effort:
    """How long is measured: so many rounds, in each so many seconds for a variant."""

    rounds: int = 11
    seconds: float = 0.25


QUICK = Effort(rounds=1, seconds=0.0)


@dataclass(frozen=True)
class Figure:
    """What a variant of a case showed: medians, and the quartiles of the ratio to the floor in the same round.

    `cpu` and what begins so is of the processor's time; None where the case does not measure time.
    """

    case: str
    variant: str
    unit: str
    measure: str
    value: float
    units: int
    rounds: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    cpu: float | None = None
    cpu_ratio: float | None = None
    cpu_low: float | None = None
    cpu_high: float | None = None

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
        seen: dict[str, list[Sample]] = {name: [] for name in case.variants}
        for _ in range(min(self._effort.rounds, case.rounds or self._effort.rounds)):
            for name in random.sample(list(case.variants), len(case.variants)):
                seen[name].append(self._once(case.variants[name], units[name]))
        floor, *_ = seen.values()
        return [self._figure(case, name, units[name], seen[name], floor) for name in seen]

    def _units(self, case: Case, run: Run) -> int:
        """How many units fill the time of a run; trying that warms everything up as well."""
        units, seconds = case.step, min(self._effort.seconds, case.seconds)
        if not seconds or case.limit == 1:
            return units
        if case.exactly:
            return case.exactly
        while True:
            gc.collect()
            started = time.perf_counter()
            measured = self._run(run, units)
            took = measured.value * units if isinstance(measured, Sample) else time.perf_counter() - started
            if took >= seconds / 2 or (case.limit and units >= case.limit):
                break
            units *= 4
        units = max(1, round(units * seconds / took / case.step)) * case.step
        return min(units, case.limit or units)

    def _once(self, run: Run, units: int) -> Sample:
        gc.collect()
        worked, started = processor_time(), time.perf_counter()
        measured = self._run(run, units)
        took, cpu = time.perf_counter() - started, processor_time() - worked
        if isinstance(measured, Sample):
            return measured
        return Sample(measured) if isinstance(measured, float) else Sample(took / units, cpu / units)

    def _run(self, run: Run, units: int) -> Any:
        told = run(units)
        return self._runner.run(told) if inspect.iscoroutine(told) else told

    def _figure(self, case: Case, name: str, units: int, seen: list[Sample], floor: list[Sample]) -> Figure:
        scale = 1e6 if case.measure == "us" else 1
        value = statistics.median(each.value for each in seen) * scale
        cpus, floors = [each.cpu or 0 for each in seen], [each.cpu or 0 for each in floor]
        cpu = statistics.median(cpus) * scale if any(cpus) else None
        alone = Figure(case.name, name, case.unit, case.measure, value, units, len(seen), cpu=cpu)
        if seen is floor:
            return alone
        low, ratio, high = _ratios([each.value for each in seen], [each.value for each in floor])
        cpu_low, cpu_ratio, cpu_high = _ratios(cpus, floors)
        return replace(alone, ratio=ratio, low=low, high=high, cpu_ratio=cpu_ratio, cpu_low=cpu_low, cpu_high=cpu_high)


def processor_time() -> float:
    """Seconds of the processor, of all threads of this process and of the processes it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _ratios(mine: list[float], floor: list[float]) -> tuple[float | None, float | None, float | None]:
    """The quartiles of the ratios within a round."""
    return quartiles([one / its for one, its in zip(mine, floor, strict=True) if one > 0 and its > 0])


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
