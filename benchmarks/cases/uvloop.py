"""The client on uvloop beside itself on asyncio's own loop."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator

from ..harness import Case, LeftOut, Run, Sample
from ..loops import ASYNCIO, STEPS, UVLOOP
from ..worker import Bench

ROUNDS = 7


async def cases(bench: Bench) -> AsyncIterator[Case | LeftOut]:
    """Calls and streams, each in a process that has no other loop."""
    if importlib.util.find_spec(UVLOOP) is None:
        yield LeftOut(UVLOOP, "it is not installed")
        return
    with contextlib.ExitStack() as stack:
        started = {kind: stack.enter_context(_process(kind, bench)) for kind in (ASYNCIO, UVLOOP)}
        for name, step in STEPS.items():
            unit = "item" if name.startswith("stream") else "call"
            runs = {f"client on {kind}": _run(process, name) for kind, process in started.items()}
            yield Case(f"uvloop: {name}", runs, unit=unit, step=step, rounds=ROUNDS)
        for process in started.values():
            assert process.stdin is not None
            process.stdin.close()  # it ends when its input does


def _process(kind: str, bench: Bench) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.loops", kind, bench.backend.grpc, bench.backend.http]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _run(process: subprocess.Popen[str], name: str) -> Run:
    def run(units: int) -> Sample:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{name} {units}\n")
        process.stdin.flush()
        seconds, worked = map(float, process.stdout.readline().split())
        return Sample(seconds / units, worked / units)

    return run
