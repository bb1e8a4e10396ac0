"""Unary calls over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from remote_client import RemoteClient

from .. import library
from ..floors import aio_channel, naive_unary, unary
from ..harness import Case, in_flight
from ..worker import Bench


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """A tiny and a rich answer, with so many calls in flight."""
    target = bench.backend.grpc
    async with RemoteClient(target) as client, aio_channel(target) as channel:
        model = await client.model(library.MODEL)
        for task in ("Tiny", "Rich"):
            calls = {
                "grpc.aio, bytes": unary(channel, library.rpc(task), library.text_request(task)),
                "client": _caller(getattr(model, f"run_{task.lower()}")),
                "json_format": naive_unary(channel, task),
            }
            for count in (1, 32, 256):
                runs = {name: in_flight(count, call) for name, call in calls.items()}
                yield Case(f"grpc unary {task.lower()}, in flight: {count}", runs, step=count)


def _caller(method: Callable[..., Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    return lambda: method(sample_input=library.TEXT)
