"""The blocking client, beside gRPC's own blocking calls."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from remote_client._transport.call import Transport
from remote_client.sync import RemoteClient
from remote_client.sync._loop_thread import loop_thread

from .. import engine, library
from ..floors import METADATA, TIMEOUT, sync_channel, unary
from ..harness import Case
from ..worker import Bench

THREADS = (1, 8, 32)


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Unary calls, and answers of a stream, by so many threads."""
    target = bench.backend.grpc
    with (
        RemoteClient(target) as client,
        sync_channel(target) as channel,
        _raw_engine(target) as raw,
        ThreadPoolExecutor(max(THREADS)) as pool,
    ):
        model = client.model(library.MODEL)
        for task in ("Tiny", "Rich"):
            path, request = library.rpc(task), library.text_request(task)
            calls = {
                "sync gRPC, bytes": unary(channel, path, request),
                engine.NAME: _blocking(engine.unary(raw, path, request)),
                "client": _caller(getattr(model, f"run_{task.lower()}")),
            }
            for threads in THREADS:
                runs = {name: in_threads(pool, threads, call) for name, call in calls.items()}
                yield Case(f"sync unary {task.lower()}, threads: {threads}", runs, step=threads)
        for task in ("Tiny", "Rich"):
            path, request = library.rpc(task, "ServerStreaming"), library.text_request(task)
            streams = {
                "sync gRPC, bytes": _opener(channel.unary_stream(path), request),
                "client": _caller(getattr(model, f"run_{task.lower()}_stream_out")),
            }
            for threads in THREADS if task == "Tiny" else THREADS[:1]:
                runs = {name: items_in_threads(pool, threads, opened) for name, opened in streams.items()}
                step = threads * library.ITEMS
                yield Case(f"sync stream {task.lower()}, threads: {threads}", runs, unit="item", step=step)


@contextlib.contextmanager
def _raw_engine(target: str) -> Iterator[Transport]:
    """The engine in the loop's thread, as the blocking client has it."""
    opened = engine.grpc_engine(target)
    raw = loop_thread().call(opened.__aenter__())
    try:
        yield raw
    finally:
        loop_thread().call(opened.__aexit__(None, None, None))


def _blocking(call: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], Any]:
    return lambda: loop_thread().call(call())


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


def items_in_threads(pool: ThreadPoolExecutor, count: int, stream: Callable[[], Any]) -> Callable[[int], None]:
    """A run in which so many threads read streams at once."""
    read = items(stream)

    def run(wanted: int) -> None:
        if count == 1:
            read(wanted)
        else:
            list(pool.map(read, [wanted // count] * count))

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
