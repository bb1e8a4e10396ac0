"""The four kinds of call, each hanging at some place, as coroutine functions that take a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Deed = Callable[[Any], Awaitable[Any]]


async def endless() -> AsyncIterator[bytes]:
    """One item, and then none for ever."""
    yield b"1"
    await asyncio.Event().wait()


async def flood() -> AsyncIterator[bytes]:
    """The server reads no more after the first item: what follows fills the connection's window, and waits."""
    yield b"hang"
    while True:
        yield bytes(1 << 20)


async def unary(module: Any) -> Any:
    return await module.sleep(seconds=3600)


async def stream_out(module: Any) -> Any:
    async for _ in module.silent():
        raise AssertionError("nothing was sent")


async def stream_out_between(module: Any) -> Any:
    async for _ in module.count(n=2, hang=True):
        pass


async def stream_in(module: Any) -> Any:
    return await module.sum(endless())


async def stream_in_waiting(module: Any) -> Any:
    return await module.sum([b"hang"])


async def stream_in_writing(module: Any) -> Any:
    return await module.sum(flood())


async def bidi(module: Any) -> Any:
    async for _ in module.chat(waiting()):
        raise AssertionError("nothing was sent")


async def waiting() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def bidi_between(module: Any) -> Any:
    async for _ in module.chat(endless()):
        pass


async def bidi_writing(module: Any) -> Any:
    async for _ in module.chat(flood()):
        pass


HANGING: dict[str, Deed] = {
    each.__name__: each
    for each in (
        unary,
        stream_out,
        stream_out_between,
        stream_in,
        stream_in_waiting,
        stream_in_writing,
        bidi,
        bidi_between,
        bidi_writing,
    )
}
ONE_OF_EACH: dict[str, Deed] = {
    "Sleep": unary,
    "Count": stream_out_between,
    "Sum": stream_in,
    "Chat": bidi_between,
}
"""By the method's name on the server."""
