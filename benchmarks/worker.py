"""Runs the cases of one file in a process of its own, so that they do not disturb each other: started by `__main__`.

gRPC's loops, for example, wake each other when a process has several. Figures are told as lines of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from .backend import Backend, cores, pin
from .harness import Case, Effort, Harness


@dataclass(frozen=True)
class Bench:
    """What a file of cases is given.

    Attributes:
        backend: a server with one model.
        start: starts another one, with so many models.
    """

    backend: Backend
    start: Callable[[int], Backend]


def work(file: str, only: str, effort: Effort, command: list[str]) -> None:
    """Measure the cases of a file whose names begin with `only`."""
    cases = importlib.import_module(f"benchmarks.cases.{file}").cases
    client, server = cores()
    with contextlib.ExitStack() as stack:

        def start(models: int) -> Backend:
            return stack.enter_context(Backend(command, server, models))

        bench = Bench(start(1), start)
        pin(0, client)
        runner = stack.enter_context(asyncio.Runner())
        harness = Harness(effort, runner)
        found: AsyncIterator[Case] = cases(bench)
        while (case := runner.run(_next(found))) is not None:
            if case.name.startswith(only):
                for figure in harness.measure(case):
                    print(json.dumps(figure.as_json()), flush=True)


async def _next(cases: AsyncIterator[Case]) -> Case | None:
    return await anext(cases, None)


if __name__ == "__main__":
    wish = json.loads(sys.argv[1])
    work(wish["file"], wish["only"], Effort(**wish["effort"]), wish["command"])
