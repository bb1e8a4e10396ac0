"""`remote-client bench`: the calls a second and the latencies of a runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import wants_json, write_json, write_table
from .parameters import AllOptions, Input, Model, Task, Word
from .progress import note, status_line
from .usage import FAILED, UsageError

if TYPE_CHECKING:
    from .bench_levels import Level
    from .options import Options

_COLUMNS = ("in flight", "calls", "errors", "calls/s", "p50 ms", "p90 ms", "p99 ms", "max ms")
_PENDING = 256
"""The calls that a client sends at least before the first answers, its own default."""
_TICK = 0.2
"""Seconds between two updates of the line of progress."""


async def bench(
    model: Model,
    task: Task,
    /,
    *arguments: Word,
    input: Input = None,
    in_flight: str = "1,8,32",
    seconds: float = 10.0,
    plot: Path | None = None,
    options: AllOptions,
) -> int:
    """Measure the calls a second and the latencies of a model.

    Every number of calls in flight is held for some seconds: where a call ends, the next one starts. A latency is the
    time to the answer, of a stream to its last one. Nothing is retried: calls that fail are counted, and make the exit
    code 1. The first call is not measured; the command ends if it fails.

    Args:
        model: The model's name.
        task: The task's class, such as SampleTask, or the method's name, such as run_sample_stream_out.
        arguments: The arguments of every call, as those of `call`.
        input: A file with JSON, or - for standard input, as that of `call`.
        in_flight: The numbers of calls in flight, with commas between them.
        seconds: The time for each number.
        plot: The SVG file for a plot.
        options: Name the runtime.
    """
    from .call_arguments import CallArguments
    from .methods import method_to_call

    numbers = _levels(in_flight)
    if not seconds > 0:
        raise UsageError(f"--seconds {seconds:g}: expected more than 0")
    if plot is not None and plot.suffix != ".svg":
        raise UsageError(f"--plot {plot}: name a .svg file")
    if plot is not None and not plot.parent.is_dir():
        raise UsageError(f"--plot {plot}: there is no such folder")
    async with options.client(retries=0, max_pending=max(_PENDING, *numbers)) as client:
        method: Any = await method_to_call(client, model, task)
        given = await _repeatable(CallArguments(method.rpc).of(arguments, input))
        call = partial(_call, method, given)
        await call()
        levels: list[Level] = []
        try:
            for number in numbers:
                await _measured(levels, number, call, seconds)
        finally:  # also those before Ctrl-C
            _write(levels, options)
    if plot is not None:
        _draw(plot, f"{model} {method.rpc.name}", levels)
    for level in levels:
        if level.error is not None:
            note(f"{level.in_flight} in flight: the first error is {type(level.error).__name__}: {level.error}")
    return FAILED if any(level.errors for level in levels) else 0


async def _repeatable(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with the items of streams as lists, which every call can send."""
    from .._client.training import materialized

    return {name: await materialized(value) for name, value in arguments.items()}


async def _call(method: Any, arguments: dict[str, Any]) -> None:
    if not method.rpc.output_streaming:
        await method(**arguments)
        return
    async with method(**arguments) as stream:
        async for _ in stream:
            pass


def _levels(text: str) -> list[int]:
    """Return the numbers of calls in flight. Raises a UsageError."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--in-flight {text}: expected positive numbers with commas between them, such as 1,8,32")
    return [int(part) for part in parts]


async def _measured(levels: list[Level], number: int, call: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Measure a level, which is the last one of `levels` from the beginning."""
    import asyncio

    from .bench_levels import Level

    level = Level(number)
    levels.append(level)
    with status_line(f"{number} in flight") as show:
        measuring = asyncio.ensure_future(level.measure(call, seconds))
        try:
            while not (await asyncio.wait((measuring,), timeout=_TICK))[0]:
                show(f"{number} in flight: {len(level.latencies):,} calls, {level.errors.total():,} errors")
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)
    await measuring  # for what is no error of a call


def _write(levels: list[Level], options: Options) -> None:
    summaries = [level.summary() for level in levels]
    if wants_json(options):
        write_json(summaries)
        return
    rows = [
        [
            each["in_flight"],
            each["calls"],
            sum(each["errors"].values()),
            each["calls_per_second"],
            *(each[f"{name}_ms"] for name in ("p50", "p90", "p99", "max")),
        ]
        for each in summaries
    ]
    write_table(_COLUMNS, rows)


def _draw(file: Path, title: str, levels: list[Level]) -> None:
    from .bench_plot import svg
    from .files import write

    write(file, svg(title, [level.summary() for level in levels]).encode())
