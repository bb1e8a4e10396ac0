"""Who iterates a streamed input closes it, in the task that read it, however the call ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import ClosedError, FailedPreconditionError, InvalidResponseError
from tests.support.sources import (
    ENDS,
    SOURCES,
    WIRE_ITEMS,
    BoomError,
    End,
    Source,
    aiostream_stream,
    anyio_stream,
    async_generator,
    cancel,
    flood,
    generator,
    iterator,
    server_error,
    stream_error,
    wire_methods,
)
from tests.support.wire import RawCodec, WireServer, module_of, raw_method


async def read(stream: Any) -> None:
    async for _ in stream:
        pass


@pytest.mark.sampled(20)
@pytest.mark.parametrize("end", ENDS, ids=str)
@pytest.mark.parametrize("make", SOURCES, ids=lambda each: each.__name__)
@pytest.mark.filterwarnings("error::UserWarning")
async def test_a_source_is_closed_where_it_was_read(module: Any, no_gc: None, make: Any, end: End) -> None:
    source = end.source(WIRE_ITEMS[end.order])
    async with asyncio.timeout(20):
        await end.run(wire_methods(module), source, make(source))
        if end.awaited:
            source.check()
        await asyncio.wrap_future(source.closed)
    source.check()
    assert await module.echo(b"still well") == b"still well"


@pytest.mark.parametrize("run", [server_error, stream_error, cancel])
@pytest.mark.parametrize("make", [async_generator, generator, iterator])
async def test_what_closing_raises_hides_nothing(
    module: Any, make: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(flood(b"hang" if run is cancel else b"fail"), closing=BoomError("as it closed"))
    async with asyncio.timeout(20):
        await run(wire_methods(module), source, make(source))
    source.check()
    assert "as it closed" in caplog.text


@pytest.mark.parametrize("make", SOURCES, ids=lambda each: each.__name__)
async def test_a_source_that_nobody_iterated_stays_open(module: Any, make: Any) -> None:
    source = Source([b"1"])
    items = make(source)
    await module.chat(items).aclose()
    assert not source.closed.done()
    if make is anyio_stream:
        items.close()
    elif make is not aiostream_stream:
        await module.sum(items)
        source.check()


class Slow(AsyncIterator[bytes]):
    """Some items, and a close that takes longer than the server's answer."""

    def __init__(self, items: list[bytes]) -> None:
        self._items = iter(items)
        self.closed = False

    async def __anext__(self) -> bytes:
        try:
            return next(self._items)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        await asyncio.sleep(0.1)
        self.closed = True


@pytest.mark.parametrize("first", [b"1", b"stop", b"fail"])
async def test_the_end_of_the_call_does_not_cut_a_close_short(module: Any, first: bytes) -> None:
    for call in (module.sum, lambda items: read(module.chat(items))):
        items = Slow([first])
        with contextlib.suppress(FailedPreconditionError):
            await call(items)
        assert items.closed


class Odd(RawCodec):
    """Takes no answer for one."""

    def decode(self, data: bytes, output: Any) -> Any:
        raise InvalidResponseError("odd")


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["small", "large"])
async def test_an_answer_that_does_not_fit_ends_the_call_after_its_input(wire: WireServer, size: int) -> None:
    chat = raw_method("chat", "/test.Test/Chat", (True, True), Odd())
    async with module_of([chat], wire.info(), "grpc", None, None) as module:
        items = Slow([bytes(size)] * 64)
        with pytest.raises(InvalidResponseError):
            await read(module.chat(items))
        assert items.closed


async def test_closing_the_client_closes_what_its_calls_read(module: Any) -> None:
    source = Source(flood(b"hang"))
    call = asyncio.ensure_future(module.sum(generator(source)))
    await asyncio.wrap_future(source.under_way)
    await module.aclose()
    with pytest.raises(ClosedError):
        await call
    source.check()


async def test_one_that_hangs_as_it_closes_holds_nothing_up(module: Any) -> None:
    begun = asyncio.Event()

    async def items() -> AsyncIterator[bytes]:
        try:
            for each in flood(b"fail"):
                yield each
        finally:
            begun.set()
            await asyncio.Event().wait()

    held = items()
    async with asyncio.timeout(20):
        await server_error(wire_methods(module), Source([]), held)
    assert begun.is_set()
