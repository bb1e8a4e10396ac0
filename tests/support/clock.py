"""A clock for tests that must not fail because the machine is busy with something else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Self


class Stopwatch:
    """Seconds since it was made.

    Attributes:
        started: as `time.monotonic` tells it.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._waits = _waits()
        self._stolen = _stolen()

    @property
    def wall(self) -> float:
        """As a clock on the wall tells it: what must not end too early is compared with this."""
        return time.monotonic() - self.started

    @property
    def seconds(self) -> float:
        """Without the time in which somebody else had the processor: what must not take too long is compared with this.

        Linux tells how long every thread was ready to run and had to wait. What threads of this process and its servers
        waited at once is subtracted for each of them: on a busy machine that is generous, on an idle one it is nothing.
        """
        now = _waits()
        waited = sum(total - self._waits.get(thread, 0.0) for thread, total in now.items())
        return self.wall - waited - (_stolen() - self._stolen)


async def longest_stall(deed: Awaitable[Any]) -> float:
    """Await a deed; return for how many seconds at most its loop did nothing else."""
    task, longest = asyncio.ensure_future(deed), 0.0
    while not task.done():
        watch = Stopwatch()
        await asyncio.sleep(0.005)
        longest = max(longest, watch.seconds)
    await task
    return longest


class Hours:
    """An event loop's clock that a test puts forward: what is due by then happens at once.

    Args:
        loop: the loop; its own clock again when the context ends.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Any = loop
        self._time = loop.time
        self.passed = 0.0

    def __enter__(self) -> Self:
        self._loop.time = lambda: self._time() + self.passed
        return self

    def __exit__(self, *_: object) -> None:
        del self._loop.time  # its timers are late from now on, and go on

    async def go_by(self, seconds: float) -> None:
        """Put the clock forward, and let the loop do what is due."""
        self.passed += seconds
        for _ in range(3):
            await asyncio.sleep(0)


def _waits() -> dict[str, float]:
    """Return how long each thread of this process and its children has waited so far, where the system tells."""
    waits = {}
    for task in _tasks():
        try:
            waits[str(task)] = int((task / "schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):  # it ended meanwhile, or the kernel keeps no such statistics
            continue
    return waits


def _tasks() -> list[Path]:
    own = list(Path("/proc/self/task").glob("*"))
    try:
        children = [child for task in own for child in (task / "children").read_text().split()]
    except OSError:
        children = []
    return [*own, *(task for child in children for task in Path("/proc", child, "task").glob("*"))]


def _stolen() -> float:
    """Return how long this machine, being a virtual one, had to wait for a processor of the real one."""
    try:
        first = Path("/proc/stat").read_text().partition("\n")[0].split()
    except OSError:
        return 0.0
    return int(first[8]) / os.sysconf("SC_CLK_TCK") if len(first) > 8 else 0.0
