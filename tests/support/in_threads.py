"""The blocking twin of a module, called by tests as the asyncio one is: each of its calls blocks a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from remote_client.sync._modules import wrapped


class Threads:
    """A blocking module."""

    def __init__(self, module: Any) -> None:
        self._module = module

    async def echo(self, body: bytes) -> Any:
        return await asyncio.to_thread(self._module.echo, body)

    async def count(self, **wish: Any) -> AsyncIterator[Any]:
        stream, end = self._module.count(**wish), object()
        while (item := await asyncio.to_thread(next, stream, end)) is not end:
            yield item


@asynccontextmanager
async def in_threads(module: Any) -> AsyncIterator[Threads]:
    """The twin of a module nobody has called yet; closed at the end."""
    blocking = wrapped(module)
    try:
        yield Threads(blocking)
    finally:
        await asyncio.to_thread(blocking.close)
