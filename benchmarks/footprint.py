"""How much memory something takes, in a process that does nothing else: started by `cases/memory.py`.

`python -m benchmarks.footprint WHAT WHO TARGET [CA]` prints bytes for one of it; with an authority's file over TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from remote_client import RemoteClient
from remote_client._transport.call import Call
from remote_client.settings import Engine

from . import engine, library
from .floors import METADATA, TIMEOUT, aio_channel, unary

CLIENTS, STREAMS, CALLS = 50, 1_000, 10_000
FIRST_STREAMS, FIRST_CALLS = 300, 2_000
"""They fill the room that earlier work left free, and do not count."""
REQUEST = library.text_request("Tiny")
T = TypeVar("T")
Opened = tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]
"""Makes a call; opens a dialogue and has its first answer."""


@contextlib.asynccontextmanager
async def plain(target: str, ca: str) -> AsyncIterator[Opened]:
    """grpc.aio's channel, bytes in and out."""
    async with aio_channel(target, ca) as channel:
        method = channel.stream_stream(library.rpc("Tiny", "BidiStreaming"))

        async def dialogue() -> Any:
            call = method(metadata=METADATA)
            await call.write(REQUEST)
            await call.read()
            return call

        yield unary(channel, library.rpc("Tiny"), REQUEST), dialogue


@contextlib.asynccontextmanager
async def raw(target: str, ca: str) -> AsyncIterator[Opened]:
    """The engine, bytes in and out."""
    async with engine.grpc_engine(target, ca) as transport:

        async def dialogue() -> Any:
            call = Call(library.rpc("Tiny", "BidiStreaming"), METADATA, TIMEOUT)
            stream = transport.stream(call, _first_only(REQUEST))
            await stream.read()
            return stream

        yield engine.unary(transport, library.rpc("Tiny"), REQUEST), dialogue


@contextlib.asynccontextmanager
async def client(target: str, ca: str, chosen: Engine | None = None) -> AsyncIterator[Opened]:
    """The client."""
    async with RemoteClient(engine.connection(target, ca), engine=chosen) as opened:
        model = await opened.model(library.MODEL)

        async def dialogue() -> Any:
            stream = model.run_tiny_bidi_stream(sample_input=_first_only(library.TEXT))
            await anext(stream)
            return stream

        yield lambda: model.run_tiny(sample_input=library.TEXT), dialogue


async def _first_only(item: T) -> AsyncIterator[T]:
    yield item
    await asyncio.Event().wait()


WHO = {"plain": plain, "engine": raw, "client": client, "grpcio": partial(client, chosen="grpcio")}


async def of_clients(who: Any, *where: str) -> float:
    """An open client that made a call; the first one, which loads what all share, does not count."""
    async with contextlib.AsyncExitStack() as stack:

        async def one_more() -> None:
            call, _ = await stack.enter_async_context(who(*where))
            await call()

        await one_more()
        before = resident()
        for _ in range(CLIENTS):
            await one_more()
        return (resident() - before) / CLIENTS


async def of_streams(who: Any, *where: str) -> float:
    """An open dialogue."""
    async with who(*where) as (_, dialogue):
        kept = [await dialogue() for _ in range(FIRST_STREAMS)]
        before = resident()
        kept += [await dialogue() for _ in range(STREAMS)]
        return (resident() - before) / STREAMS


async def of_calls(who: Any, *where: str) -> float:
    """What remains of 10,000 calls."""
    async with who(*where) as (call, _):
        for _ in range(FIRST_CALLS):
            await call()
        before = resident()
        for _ in range(CALLS):
            await call()
        return resident() - before


WHAT = {"client": of_clients, "stream": of_streams, "calls": of_calls}


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free is given back, so that it does not hide what is taken later
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    what, who, target, *ca = sys.argv[1:]
    print(asyncio.run(WHAT[what](WHO[who], target, *(ca or [""]))))
