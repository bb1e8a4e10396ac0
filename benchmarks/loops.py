"""Calls on one kind of event loop: a process that `cases/uvloop.py` starts for each kind.

`python -m benchmarks.loops KIND GRPC HTTP` makes the calls that its standard input names, with their number, and tells
the seconds of each on the clock and of the processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import inspect
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import remote_client.sync
from remote_client import RemoteClient

from . import library
from .cases.stream import items as items_of
from .cases.sync import in_threads
from .harness import Run, in_flight, processor_time

ASYNCIO, UVLOOP = "asyncio", "uvloop"
THREADS = (1, 32)
"""Of blocking calls."""
STEPS = {
    **{f"grpc unary {task}, in flight: {count}": count for task in ("tiny", "rich") for count in (1, 32, 256)},
    "stream out tiny": library.ITEMS,
    **{f"http unary tiny, in flight: {count}": count for count in (1, 32)},
    **{f"sync unary tiny, threads: {count}": count for count in THREADS},
}
"""What can be asked for, and of what its number must be a multiple."""


@contextlib.contextmanager
def runs(runner: asyncio.Runner, grpc: str, http: str) -> Iterator[Mapping[str, Run]]:
    """Open the clients, and return all that can be asked for."""
    over_grpc, over_http, blocking = RemoteClient(grpc), RemoteClient(http), remote_client.sync.RemoteClient(grpc)
    with blocking, ThreadPoolExecutor(max(THREADS)) as pool:
        model: Any = runner.run(over_grpc.model(library.MODEL))
        other: Any = runner.run(over_http.model(library.MODEL))
        third: Any = blocking.model(library.MODEL)
        calls = {
            "grpc unary tiny": lambda: model.run_tiny(sample_input=library.TEXT),
            "grpc unary rich": lambda: model.run_rich(sample_input=library.TEXT),
            "http unary tiny": lambda: other.run_tiny("World"),
        }
        found: dict[str, Run] = {"stream out tiny": items_of(model.run_tiny_stream_out)}
        for name, step in STEPS.items():
            what = name.partition(",")[0]
            if what in calls:
                found[name] = in_flight(step, calls[what])
            elif what == "sync unary tiny":
                found[name] = in_threads(pool, step, lambda: third.run_tiny(sample_input=library.TEXT))
        yield found
        runner.run(over_grpc.aclose())
        runner.run(over_http.aclose())


def main() -> None:
    """Make what is asked for until the input ends."""
    kind, grpc, http = sys.argv[1:]
    if kind == UVLOOP:
        # Also for the loop's thread of the blocking client.
        asyncio.set_event_loop_policy(importlib.import_module(UVLOOP).EventLoopPolicy())
    with asyncio.Runner() as runner, runs(runner, grpc, http) as known:
        for line in sys.stdin:
            name, _, units = line.rpartition(" ")
            gc.collect()
            worked, began = processor_time(), time.perf_counter()
            made = known[name](int(units))
            if inspect.iscoroutine(made):
                runner.run(made)
            print(time.perf_counter() - began, processor_time() - worked, flush=True)


if __name__ == "__main__":
    main()
