"""Runs the cases of one file in a process of its own, so that they do not disturb each other: started by `__main__`.

gRPC's loops, for example, wake each other when a process has several. Figures are told as lines of JSON, and so are
cases that are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from .answers import Answer
from .backend import Backend, Program, cores, pin
from .harness import Case, Effort, Harness, LeftOut


@dataclass(frozen=True)
class Bench:
    """What a file of cases is given.

    Attributes:
        backend: a server with one model.
        start: starts another one; its arguments are those of `Backend`, from `model_count` on.
        server_core: the core of the servers; None where they have none of their own.
    """

    backend: Backend
    start: Callable[..., Backend]
    server_core: int | None


def work(file: str, only: str, effort: Effort, program: Program) -> None:
    """Measure the cases of a file whose names begin with `only`."""
    cases = importlib.import_module(f"benchmarks.cases.{file}").cases
    client, server = cores()
    with contextlib.ExitStack() as stack:

        def start(models: int, more_tasks: int = 0, answers: Sequence[Answer] = (), *, large: bool = True) -> Backend:
            return stack.enter_context(Backend(program, server, models, more_tasks, answers, large))

        bench = Bench(start(1), start, server)
        pin(0, client)
        runner = stack.enter_context(asyncio.Runner())
        harness = Harness(effort, runner)
        found: AsyncIterator[Case | LeftOut] = cases(bench)
        while (case := runner.run(_next(found))) is not None:
            if not case.name.startswith(only):
                continue
            if isinstance(case, LeftOut):
                print(json.dumps({"left_out": case.name, "reason": case.reason}), flush=True)
                continue
            for figure in harness.measure(case):
                print(json.dumps(figure.as_json()), flush=True)


async def _next(cases: AsyncIterator[Case | LeftOut]) -> Case | LeftOut | None:
    return await anext(cases, None)


if __name__ == "__main__":
    wish = json.loads(sys.argv[1])
    work(wish["file"], wish["only"], Effort(**wish["effort"]), Program(**wish["program"]))
