"""Who iterates a streamed input closes it, in the task that read it, however the call ends."""

from __future__ import annotations

import asyncio
import contextvars
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiostream
import anyio
import pytest

from remote_client.errors import DeadlineExceededError, FailedPreconditionError

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="outside")


class BoomError(Exception):
    pass


class Source:
    """What a test knows of an input: whether it was closed, by which task, in which context."""

    def __init__(self, items: list[bytes], error: Exception | None = None) -> None:
        self.items = items
        self.error = error
        self.closed = asyncio.Event()
        self.tasks: list[Any] = []
        self.where = ""

    def begin(self) -> None:
        where.set("reader")
        self.tasks.append(asyncio.current_task())

    def end(self) -> None:
        self.where = where.get()
        self.tasks.append(asyncio.current_task())
        self.closed.set()
        if self.error is not None:
            raise self.error


async def async_generator(source: Source) -> AsyncIterator[bytes]:
    source.begin()
    try:
        for item in source.items:
            yield item
    finally:
        source.end()


def generator(source: Source) -> Iterator[bytes]:
    source.begin()
    try:
        yield from source.items
    finally:
        source.end()


class iterator:
    """An iterator with `close`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._items = iter(source.items)

    def __iter__(self) -> iterator:
        return self

    def __next__(self) -> bytes:
        if not self._source.tasks:
            self._source.begin()
        return next(self._items)

    def close(self) -> None:
        self._source.end()


class file(io.BytesIO):
    def __init__(self, source: Source) -> None:
        super().__init__(b"\n".join(source.items))
        self._source = source

    def __next__(self) -> bytes:
        if not self._source.tasks:
            self._source.begin()
        return super().__next__().rstrip(b"\n")

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._source.end()


def anyio_stream(source: Source) -> Any:
    send, receive = anyio.create_memory_object_stream[bytes](len(source.items))
    for item in source.items:
        send.send_nowait(item)

    class Receive(type(receive)):  # type: ignore[misc]
        async def __anext__(self) -> bytes:
            if not source.tasks:
                source.begin()
            return await super().__anext__()

        def close(self) -> None:
            super().close()
            if not source.closed.is_set():
                source.end()
                send.close()

    receive.__class__ = Receive
    return receive


def aiostream_stream(source: Source) -> Any:
    return aiostream.stream.iterate(async_generator(source))


SOURCES = (async_generator, generator, iterator, file, anyio_stream, aiostream_stream)


async def end_by_break(module: Any, items: Any) -> None:
    async for _ in module.chat(items):
        break


async def end_by_aclose(module: Any, items: Any) -> None:
    async with module.chat(items) as stream:
        await anext(stream)


async def end_by_server_error(module: Any, items: Any) -> None:
    with pytest.raises(FailedPreconditionError):
        await module.sum(items)


async def end_by_stream_error(module: Any, items: Any) -> None:
    with pytest.raises(FailedPreconditionError):
        async for _ in module.chat(items):
            pass


async def end_by_deadline(module: Any, items: Any) -> None:
    with pytest.raises(DeadlineExceededError):
        await module.with_options(timeout=0.3).sum(items)


async def end_by_cancel(module: Any, items: Any) -> None:
    task = asyncio.create_task(module.sum(items))
    await asyncio.wait((task,), timeout=0.3)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


async def end_by_garbage(module: Any, items: Any) -> None:
    stream = module.chat(items)
    await anext(stream)
    del stream


FLOOD = [bytes(1 << 20)] * 64
"""More than the network takes of a server that reads nothing."""
ENDS: dict[Callable[[Any, Any], Any], list[bytes]] = {
    end_by_break: [b"1", *FLOOD],
    end_by_aclose: [b"1", *FLOOD],
    end_by_server_error: [b"fail", *FLOOD],
    end_by_stream_error: [b"fail", *FLOOD],
    end_by_deadline: [b"hang", *FLOOD],
    end_by_cancel: [b"hang", *FLOOD],
    end_by_garbage: [b"1", *FLOOD],
}
AT_ONCE = (end_by_aclose, end_by_server_error, end_by_stream_error, end_by_deadline, end_by_cancel)
"""The ends that somebody waits for."""


@pytest.mark.parametrize("end", ENDS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("make", SOURCES, ids=lambda each: each.__name__)
@pytest.mark.filterwarnings("error::UserWarning")
async def test_a_source_is_closed_where_it_was_read(module: Any, no_gc: None, make: Any, end: Any) -> None:
    source = Source(ENDS[end])
    items = make(source)
    async with asyncio.timeout(20):
        await end(module, items)
        if end in AT_ONCE:
            assert source.closed.is_set()
        await source.closed.wait()
    assert source.where == "reader"
    assert len(set(source.tasks)) == 1
    assert await module.echo(b"still well") == b"still well"


@pytest.mark.parametrize("end", [end_by_server_error, end_by_stream_error, end_by_cancel])
@pytest.mark.parametrize("make", [async_generator, generator, iterator])
async def test_what_closing_raises_hides_nothing(
    module: Any, make: Any, end: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(ENDS[end], BoomError("as it closed"))
    async with asyncio.timeout(20):
        await end(module, make(source))
    assert source.closed.is_set()
    assert "as it closed" in caplog.text


@pytest.mark.parametrize("make", SOURCES, ids=lambda each: each.__name__)
async def test_a_source_that_nobody_iterated_stays_open(module: Any, make: Any) -> None:
    source = Source([b"1"])
    items = make(source)
    await module.chat(items).aclose()
    assert not source.closed.is_set()
    if make is anyio_stream:
        items.close()
    elif make is not aiostream_stream:
        await module.sum(items)
        assert source.closed.is_set()


async def test_one_that_hangs_as_it_closes_holds_nothing_up(module: Any) -> None:
    begun = asyncio.Event()

    async def items() -> AsyncIterator[bytes]:
        try:
            yield b"fail"
            for each in FLOOD:
                yield each
        finally:
            begun.set()
            await asyncio.Event().wait()

    held = items()
    async with asyncio.timeout(20):
        await end_by_server_error(module, held)
    assert begun.is_set()
