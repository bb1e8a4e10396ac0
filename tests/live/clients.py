"""Clients of either kind behind gates, called alike."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from remote_client import RemoteClient, sync

from ..support.gate import Gate
from .protocols import Protocol


async def call(method: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a method of either client, from a thread where it blocks."""
    if inspect.iscoroutinefunction(method):
        return await method(*args, **kwargs)
    return await asyncio.to_thread(method, *args, **kwargs)


@asynccontextmanager
async def client_of(kind: str, protocol: Protocol, *gates: Gate, **settings: Any) -> AsyncIterator[Any]:
    """A client of either kind."""
    scheme = "http" if protocol == "http" else "grpc"
    targets = [f"{scheme}://127.0.0.1:{each.port}" for each in gates]
    if kind == "asyncio":
        async with RemoteClient(targets, **settings) as client:
            yield client
        return
    blocking = await asyncio.to_thread(sync.RemoteClient, targets, **settings)
    try:
        yield blocking
    finally:
        await asyncio.to_thread(blocking.close)
