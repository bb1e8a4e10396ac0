"""The kinds of call, each hanging at some place, as coroutine functions that take a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.conftest import OLD_GRPC
from tests.support.http_wire import answer, chunked, sleep
from tests.support.slow import slow_if

Deed = Callable[[Any], Awaitable[Any]]
HANG = sleep(3600)


async def endless() -> AsyncIterator[bytes]:
    """One item, and then none for ever."""
    yield b"1"
    await asyncio.Event().wait()


async def flood() -> AsyncIterator[bytes]:
    """The server reads no more after the first item: what follows fills the connection's window, and waits."""
    yield b"hang"
    while True:
        yield bytes(1 << 20)


async def waiting() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


# -- over both protocols ----------------------------------------------------------------------------------------------


async def unary(module: Any) -> Any:
    return await module.sleep(seconds=3600)


async def stream_out(module: Any) -> Any:
    async for _ in module.silent():
        raise AssertionError("nothing was sent")


async def stream_out_between(module: Any) -> Any:
    async for _ in module.count(n=2, hang=True):
        pass


# -- over gRPC --------------------------------------------------------------------------------------------------------


async def stream_in(module: Any) -> Any:
    return await module.sum(endless())


async def stream_in_waiting(module: Any) -> Any:
    return await module.sum([b"hang"])


async def stream_in_writing(module: Any) -> Any:
    return await module.sum(flood())


async def bidi(module: Any) -> Any:
    async for _ in module.chat(waiting()):
        raise AssertionError("nothing was sent")


async def bidi_between(module: Any) -> Any:
    async for _ in module.chat(endless()):
        pass


async def bidi_writing(module: Any) -> Any:
    async for _ in module.chat(flood()):
        pass


# -- over HTTP --------------------------------------------------------------------------------------------------------


async def unary_body(module: Any) -> Any:
    return await module.script(steps=[*answer("a part", headers={"content-length": 100}), HANG])


async def stream_head(module: Any) -> Any:
    async for _ in module.script_stream(steps=[HANG]):
        raise AssertionError("nothing was sent")


async def stream_inside(module: Any) -> Any:
    async for _ in module.script_stream(steps=[*chunked("data: a part", end=False), HANG]):
        raise AssertionError("no event was sent")


_BOTH = [unary, stream_out, stream_out_between]
_STREAMED_INPUTS = [stream_in, stream_in_waiting, stream_in_writing, bidi, bidi_between, bidi_writing]
HANGING: dict[str, dict[str, Deed]] = {
    "grpc": {deed.__name__: deed for deed in [*_BOTH, *_STREAMED_INPUTS]},
    "http": {deed.__name__: deed for deed in [*_BOTH, unary_body, stream_head, stream_inside]},
}
"""By protocol and name."""
ONE_OF_EACH: dict[str, dict[str, Deed]] = {
    "grpc": {"Sleep": unary, "Count": stream_out_between, "Sum": stream_in, "Chat": bidi_between},
    "http": {
        "POST /sleep": unary,
        "POST /silent": stream_out,
        "POST /count": stream_out_between,
        "POST /script": stream_head,
    },
}
"""By protocol and the method or route the server sees."""


def every_place(deeds: dict[str, dict[str, Deed]] = HANGING) -> pytest.MarkDecorator:
    """Run a test for each protocol and place where a call hangs."""
    # Once in some runs the old grpc.aio server never noticed that a stream which it was writing to had been cancelled.
    cases = [
        pytest.param(protocol, deed, id=f"{protocol}-{name}", marks=slow_if(OLD_GRPC and deed is bidi_writing))
        for protocol, named in deeds.items()
        for name, deed in named.items()
    ]
    return pytest.mark.parametrize(("protocol", "deed"), cases)
