"""Memory: of an open client, of an open stream, and what remains of 10,000 calls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

from ..harness import Case, Run
from ..worker import Bench

UNITS = {"client": "client", "stream": "stream", "calls": "10,000 calls"}
ROUNDS = 3
"""Each is a process of its own that measures an average."""


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Beside a channel of grpc.aio that does the same."""
    for what, unit in UNITS.items():
        runs = {name: _measured(what, who, bench.backend.grpc) for name, who in VARIANTS.items()}
        yield Case(f"memory: {unit}", runs, unit=unit, measure="KB", limit=1, rounds=ROUNDS)


VARIANTS = {"grpc.aio, bytes": "plain", "client": "client"}


def _measured(what: str, who: str, target: str) -> Run:
    command = [sys.executable, "-m", "benchmarks.footprint", what, who, target]

    def run(_: int) -> float:
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) / 1024

    return run
