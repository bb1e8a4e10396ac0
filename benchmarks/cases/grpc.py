"""Unary calls over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from remote_client import RemoteClient

from .. import engine, library
from ..floors import aio_channel, naive_unary, unary
from ..harness import Case, in_flight
from ..worker import Bench

COUNTS = {"Tiny": (1, 32, 256), "Rich": (1, 32, 256), "Page": (1, 8)}
"""Calls in flight."""
NAMES = {"Tiny": "tiny", "Rich": "rich", "Page": "100 KB"}
Call = Callable[[], Awaitable[Any]]


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """A tiny, a rich and a large answer, with so many calls in flight."""
    target = bench.backend.grpc
    async with (
        RemoteClient(target) as client,
        RemoteClient(target, engine="grpcio") as other,
        engine.grpc_engine(target) as raw,
        aio_channel(target) as channel,
    ):
        model, theirs = await client.model(library.MODEL), await other.model(library.MODEL)
        for task, counts in COUNTS.items():
            calls = {**plain(task, channel, raw), "client": caller(model, task)}
            if task != "Page":
                calls["json_format"] = naive_unary(channel, task)
            for count in counts:
                more = {"client, grpcio": caller(theirs, task)} if (task, count) == ("Tiny", 32) else {}
                yield unary_case("grpc", task, count, calls | more)


def plain(task: str, channel: Any, raw: Any) -> dict[str, Call]:
    """The floor, and the engine beside it."""
    path, request = library.rpc(task), library.text_request(task)
    return {"grpc.aio, bytes": unary(channel, path, request), engine.NAME: engine.unary(raw, path, request)}


def caller(model: Any, task: str) -> Call:
    """A call of the client's."""
    method = getattr(model, f"run_{task.lower()}")
    return lambda: method(sample_input=library.TEXT)


def unary_case(file: str, task: str, count: int, calls: Mapping[str, Call]) -> Case:
    """So many calls in flight."""
    runs = {name: in_flight(count, call) for name, call in calls.items()}
    return Case(f"{file} unary {NAMES[task]}, in flight: {count}", runs, step=count)
