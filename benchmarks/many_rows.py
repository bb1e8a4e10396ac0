"""Many rows through one method, in a process that does nothing else: started by `cases/bulk.py`.

`python -m benchmarks.many_rows WAY LIBRARY TARGET ROWS` prints JSON: seconds on the clock and of the processor, and how
many bytes the process grew at its peak.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import remote_client.sync
from remote_client import RemoteClient, bulk
from remote_client.sync import bulk as blocking_bulk

from . import library
from .floors import TIMEOUT, aio_channel

FIRST = 1_000
"""Rows before those that count: they load what all rows share."""


class Task(NamedTuple):
    """A task, and the text field of its input."""

    model: str
    path: str
    method: str
    field: str


TASKS = {
    "bench": Task(library.MODEL, library.rpc("Tiny"), "run_tiny", "text"),
    # Its request and its answer have the same bytes.
    "sample": Task("foo", "/caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict", "run_sample", "name"),
}
Concurrency = int | Literal["auto"]
Way = Callable[[int], Awaitable[None]]
"""Has so many rows answered."""


def _rows(count: int) -> Iterator[str]:
    """A generator, so that the rows themselves take no memory."""
    return map(str, range(count))


@contextlib.asynccontextmanager
async def by_hand(task: Task, target: str, in_flight: int) -> AsyncIterator[Way]:
    """grpc.aio with messages of protobuf's, and a semaphore; 0 in flight: all at once."""
    request, text, answer = (library.message(name) for name in ("TinyTaskRequest", "Text", "Greeting"))
    async with aio_channel(target) as channel:
        call = channel.unary_unary(
            task.path, request_serializer=request.SerializeToString, response_deserializer=answer.FromString
        )

        async def one(row: str) -> Any:
            message = request(sample_input=text(text=row))
            return await call(message, metadata=((library.MODEL_KEY, task.model),), timeout=TIMEOUT)

        async def gathered(count: int) -> None:
            room: Any = asyncio.Semaphore(in_flight) if in_flight else contextlib.nullcontext()

            async def limited(row: str) -> Any:
                async with room:
                    return await one(row)

            answers = await asyncio.gather(*map(limited, _rows(count)), return_exceptions=True)
            lost = sum(isinstance(each, Exception) for each in answers)
            if lost:
                print(f"{lost} of {count} rows were lost", file=sys.stderr)

        yield gathered


@contextlib.asynccontextmanager
async def gather(task: Task, target: str) -> AsyncIterator[Way]:
    """The client's calls, all at once."""
    async with RemoteClient(target) as client:
        method = getattr(await client.model(task.model), task.method)

        async def run(count: int) -> None:
            await asyncio.gather(*(method({task.field: row}) for row in _rows(count)))

        yield run


@contextlib.asynccontextmanager
async def mapped(task: Task, target: str, concurrency: Concurrency) -> AsyncIterator[Way]:
    """The map."""
    async with RemoteClient(target) as client:
        method = getattr(await client.model(task.model), task.method)

        async def run(count: int) -> None:
            rows = (({task.field: row},) for row in _rows(count))
            seen = 0
            async for _ in bulk.map_rows(method, rows, concurrency=concurrency):
                seen += 1
            assert seen == count, seen

        yield run


@contextlib.asynccontextmanager
async def blocking(task: Task, target: str, concurrency: Concurrency) -> AsyncIterator[Way]:
    """The blocking map."""
    with remote_client.sync.RemoteClient(target) as client:
        method = getattr(client.model(task.model), task.method)

        async def run(count: int) -> None:
            rows = (({task.field: row},) for row in _rows(count))
            seen = sum(1 for _ in blocking_bulk.map_rows(method, rows, concurrency=concurrency))
            assert seen == count, seen

        yield run


WAYS: dict[str, Callable[..., contextlib.AbstractAsyncContextManager[Way]]] = {
    "grpc.aio, semaphore of 64": partial(by_hand, in_flight=64),
    "grpc.aio, semaphore of 32": partial(by_hand, in_flight=32),
    "grpc.aio, gather": partial(by_hand, in_flight=0),
    "client, gather": gather,
    "map_rows, 64": partial(mapped, concurrency=64),
    "map_rows, auto": partial(mapped, concurrency="auto"),
    "map_rows, blocking, 64": partial(blocking, concurrency=64),
    "map_rows, blocking, auto": partial(blocking, concurrency="auto"),
}


async def measure(way: str, task: str, target: str, count: int) -> dict[str, float]:
    """What so many rows cost."""
    async with WAYS[way](TASKS[task], target) as run:
        await run(min(FIRST, count))
        gc.collect()
        before = _reset_peak()
        worked, started = time.process_time(), time.perf_counter()
        await run(count)
        seconds, cpu = time.perf_counter() - started, time.process_time() - worked
        return {"seconds": seconds, "cpu": cpu, "peak": _peak() - before}


def _reset_peak() -> int:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """The bytes that this process held at most. (That of `getrusage` begins with what the parent held.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    name, library_name, where, rows = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(name, library_name, where, int(rows)))))
