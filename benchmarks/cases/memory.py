"""Memory: of an open client, in the clear and over TLS, of an open stream, and what remains of 10,000 calls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

from .. import engine
from ..harness import Case, LeftOut, Run
from ..worker import Bench

UNITS = {"client": "client", "stream": "stream", "calls": "10,000 calls"}
ROUNDS = 3
"""Each is a process of its own that measures an average."""


VARIANTS = {"grpc.aio, bytes": "plain", engine.NAME: "engine", "client": "client", "client, grpcio": "grpcio"}


async def cases(bench: Bench) -> AsyncIterator[Case | LeftOut]:
    """Beside a channel of grpc.aio that does the same."""
    backend = bench.backend
    for what, unit in UNITS.items():
        yield _case(what, unit, unit, backend.grpc)
    if backend.secure:
        yield _case("client", "client, TLS", "client", backend.secure, backend.ca)
    else:
        yield LeftOut("memory: client, TLS", "the server has no TLS")


def _case(what: str, name: str, unit: str, *where: str) -> Case:
    runs = {variant: _measured(what, who, *where) for variant, who in VARIANTS.items()}
    return Case(f"memory: {name}", runs, unit=unit, measure="KB", limit=1, rounds=ROUNDS)


def _measured(what: str, who: str, *where: str) -> Run:
    command = [sys.executable, "-m", "benchmarks.footprint", what, who, *where]

    def run(_: int) -> float:
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) / 1024

    return run
