"""Many rows: time and memory of `map_rows`, beside grpc.aio with a semaphore, and beside `gather`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator

from tests.support.runtime import SAMPLE_MODELS, Runtime

from ..harness import Case, LeftOut, Run, Sample
from ..many_rows import WAYS
from ..worker import Bench

ROWS = 100_000
AT_RUNTIME = 10_000
"""A caikit runtime in Python answers two thousand a second."""
GROWTH = (10_000, 100_000, 1_000_000)
QUICK = 200
"""Rows with `--quick`."""
BY_HAND = [name for name in WAYS if "semaphore" in name]
MAPS = [name for name in WAYS if name.startswith("map_rows")]
MAPS_OF_ASYNCIO = [name for name in MAPS if "blocking" not in name]


async def cases(bench: Bench) -> AsyncIterator[Case | LeftOut]:
    """Each in a process of its own; the first is the floor."""
    target = bench.backend.grpc
    everything = [*BY_HAND, "grpc.aio, gather", "client, gather", *MAPS]
    yield _case("bulk rows", everything, "bench", target, ROWS, _seconds)
    yield _case("bulk memory", everything, "bench", target, ROWS, _peak)
    for rows in GROWTH:
        yield _case(f"bulk memory, rows: {rows:,}", MAPS_OF_ASYNCIO, "bench", target, rows, _peak, rounds=1)
    if not os.environ.get("RUNTIME_PYTHON"):
        yield LeftOut("bulk rows at a caikit runtime", "RUNTIME_PYTHON names no environment with caikit")
        return
    with _runtime(bench.server_core) as where:
        yield _case("bulk rows at a caikit runtime", [*BY_HAND, *MAPS], "sample", where, AT_RUNTIME, _seconds)


@contextlib.contextmanager
def _runtime(core: int | None) -> Iterator[str]:
    """A real runtime on the servers' core; it takes the core from the process that starts it."""
    before = os.sched_getaffinity(0) if core is not None else None
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        runtime = Runtime(models={"foo": SAMPLE_MODELS["foo"]}).__enter__()
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    try:
        yield runtime.target
    finally:
        runtime.__exit__()


def _case(
    name: str,
    ways: list[str],
    library: str,
    target: str,
    rows: int,
    told: Callable[[dict[str, float], int], Sample],
    rounds: int = 3,
) -> Case:
    runs = {way: _measured(way, library, target, told) for way in ways}
    measure, unit = ("KB", "map") if told is _peak else ("us", "row")
    return Case(name, runs, unit=unit, measure=measure, step=QUICK, exactly=rows, rounds=rounds)


def _measured(way: str, library: str, target: str, told: Callable[[dict[str, float], int], Sample]) -> Run:
    def run(rows: int) -> Sample:
        command = [sys.executable, "-m", "benchmarks.many_rows", way, library, target, str(rows)]
        return told(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout), rows)

    return run


def _seconds(figures: dict[str, float], rows: int) -> Sample:
    return Sample(figures["seconds"] / rows, figures["cpu"] / rows)


def _peak(figures: dict[str, float], rows: int) -> Sample:
    return Sample(max(figures["peak"], 0.0) / 1024)
