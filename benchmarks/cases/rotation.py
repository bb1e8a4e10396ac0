"""A new connection every 50 ms, while calls go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from remote_client import RemoteClient

from .. import library
from ..floors import aio_channel, unary
from ..harness import Case, in_flight
from ..worker import Bench

AGE = 0.05
COUNT = 32


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Beside a connection that stays."""
    target = bench.backend.grpc
    async with (
        RemoteClient(target) as one,
        RemoteClient(target, max_session_age=AGE) as many,
        aio_channel(target) as channel,
    ):
        calls = {
            "grpc.aio, bytes": unary(channel, library.rpc("Tiny"), library.text_request("Tiny")),
            "client, one connection": await _caller(one),
            "client, a new one each 50 ms": await _caller(many),
        }
        runs = {name: in_flight(COUNT, call) for name, call in calls.items()}
        yield Case(f"rotation, in flight: {COUNT}", runs, step=COUNT)


async def _caller(client: RemoteClient) -> Callable[[], Awaitable[Any]]:
    model = await client.model(library.MODEL)
    return lambda: model.run_tiny(sample_input=library.TEXT)
