"""A gateway of token streams: many at once, each with an item every 20 ms.

The server sets the pace, so that the times on the clock say nothing: the processor's time of an item counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from remote_client import RemoteClient

from .. import engine, library
from ..floors import METADATA, TIMEOUT, aio_channel
from ..harness import Case
from ..worker import Bench

PATH = library.rpc("Paced", "ServerStreaming")
Read = Callable[[], Awaitable[int]]


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """So many streams, which start together and whose items come at different times."""
    target = bench.backend.grpc
    async with RemoteClient(target) as client, engine.grpc_engine(target) as raw, aio_channel(target) as channel:
        model, request = await client.model(library.MODEL), library.text_request("Paced")
        method = channel.unary_stream(PATH)
        reads = {
            "grpc.aio, bytes": _reader(lambda: method(request, metadata=METADATA, timeout=TIMEOUT)),
            engine.NAME: engine.stream(raw, PATH, request),
            "client": _reader(lambda: model.run_paced_stream_out(sample_input=library.TEXT)),
        }
        for count in (50, 200):
            runs = {name: _at_once(count, read) for name, read in reads.items()}
            step = count * library.PACED_ITEMS
            yield Case(f"gateway of streams: {count}", runs, unit="item", step=step, limit=step)


def _reader(open_stream: Callable[[], Any]) -> Read:
    async def read() -> int:
        seen = 0
        async for _ in open_stream():
            seen += 1
        return seen

    return read


def _at_once(count: int, read: Read) -> Callable[[int], Awaitable[None]]:
    async def run(_: int) -> None:
        seen = await asyncio.gather(*(read() for _ in range(count)))
        assert seen == [library.PACED_ITEMS] * count, seen

    return run
