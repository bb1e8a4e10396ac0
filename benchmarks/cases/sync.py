"""The blocking client, beside gRPC's own blocking calls."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from remote_client.sync import RemoteClient

from .. import library
from ..floors import METADATA, TIMEOUT, sync_channel, unary
from ..harness import Case
from ..worker import Bench

THREADS = (1, 32)


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Unary calls, and answers of a stream."""
    target = bench.backend.grpc
    with RemoteClient(target) as client, sync_channel(target) as channel, ThreadPoolExecutor(max(THREADS)) as pool:
        model = client.model(library.MODEL)
        for task in ("Tiny", "Rich"):
            request, method = library.text_request(task), getattr(model, f"run_{task.lower()}")
            for threads in THREADS:
                floor, ours = unary(channel, library.rpc(task), request), _caller(method)
                runs = {"sync gRPC, bytes": in_threads(pool, threads, floor)}
                runs["client"] = in_threads(pool, threads, ours)
                yield Case(f"sync unary {task.lower()}, threads: {threads}", runs, step=threads)
        for task in ("Tiny", "Rich"):
            path, request = library.rpc(task, "ServerStreaming"), library.text_request(task)
            plain = channel.unary_stream(path)
            method = getattr(model, f"run_{task.lower()}_stream_out")
            yield Case(
                f"sync stream {task.lower()}",
                {"sync gRPC, bytes": items(_opener(plain, request)), "client": items(_caller(method))},
                unit="item",
                step=library.ITEMS,
            )


def _caller(method: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: method(sample_input=library.TEXT)


def _opener(method: Any, request: bytes) -> Callable[[], Any]:
    return lambda: method(request, metadata=METADATA, timeout=TIMEOUT)


def in_threads(pool: ThreadPoolExecutor, count: int, call: Callable[[], Any]) -> Callable[[int], None]:
    """A run whose calls are made by so many threads, one after the other in each."""

    def some(calls: int) -> None:
        for _ in itertools.repeat(None, calls):
            call()

    def run(calls: int) -> None:
        if count == 1:
            some(calls)
        else:
            list(pool.map(some, [calls // count] * count))

    return run


def items(stream: Callable[[], Any]) -> Callable[[int], None]:
    """A run that reads streams to their ends."""

    def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            seen = 0
            for _ in stream():
                seen += 1
            assert seen == library.ITEMS, seen

    return run
