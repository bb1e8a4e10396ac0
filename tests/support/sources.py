"""Inputs of every kind that know how they were closed, and the ways in which a call that reads one can end.

Those of the wire tests, against `wire_server`, and of the live ones, against a real runtime, are the same.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

import aiostream
import anyio
import pytest

from remote_client.errors import DeadlineExceededError, FailedPreconditionError, RemoteCallError

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="outside")


class BoomError(Exception):
    """What a source raises by itself."""


class Source:
    """What a test knows of an input: who read it, who closed it, and in which context.

    Args:
        items: what it gives.
        own: raised after the items, in the place of an end.
        closing: raised as it is closed.

    Attributes:
        under_way: done when the second item is asked for.
        closed: done when it is closed; twice is an error.
        users: the threads and tasks that read it and closed it.
        where: the context it was closed in.
    """

    def __init__(self, items: list[Any], own: Exception | None = None, closing: Exception | None = None) -> None:
        self.items = items
        self.own = own
        self.closing = closing
        self.under_way: Future[None] = Future()
        self.closed: Future[None] = Future()
        self.users: list[tuple[threading.Thread, asyncio.Task[Any] | None]] = []
        self.where = ""
        self._asked = 0

    def asked(self) -> None:
        """Note that an item is wanted."""
        self._asked += 1
        if self._asked == 1:
            where.set("reader")
            self._note()
        if self._asked == 2:
            self.under_way.set_result(None)
        if self.own is not None and self._asked > len(self.items):
            raise self.own

    def end(self) -> None:
        """Note that it is closed."""
        self.where = where.get()
        self._note()
        self.closed.set_result(None)
        if self.closing is not None:
            raise self.closing

    def _note(self) -> None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a thread without a loop
            task = None
        self.users.append((threading.current_thread(), task))

    def check(self) -> None:
        """Assert that who read it has closed it."""
        assert self.closed.done()
        assert self.where == "reader"
        assert len(set(self.users)) == 1


async def async_generator(source: Source) -> AsyncIterator[Any]:
    try:
        for item in source.items:
            source.asked()
            yield item
        source.asked()
    finally:
        source.end()


def generator(source: Source) -> Iterator[Any]:
    try:
        for item in source.items:
            source.asked()
            yield item
        source.asked()
    finally:
        source.end()


class iterator:
    """An iterator with `close`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._items = iter(source.items)

    def __iter__(self) -> iterator:
        return self

    def __next__(self) -> Any:
        self._source.asked()
        return next(self._items)

    def close(self) -> None:
        self._source.end()


class file(io.BytesIO):
    """The items as the lines of a file: bytes, or JSON."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._is_raw = isinstance(source.items[0], bytes)
        super().__init__(b"\n".join(each if self._is_raw else json.dumps(each).encode() for each in source.items))

    def __next__(self) -> Any:
        self._source.asked()
        line = super().__next__().rstrip(b"\n")
        return line if self._is_raw else json.loads(line)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._source.end()


def anyio_stream(source: Source) -> Any:
    send, receive = anyio.create_memory_object_stream[Any](len(source.items))
    for item in source.items:
        send.send_nowait(item)
    send.close()

    class Receive(type(receive)):  # type: ignore[misc]
        async def __anext__(self) -> Any:
            source.asked()
            return await super().__anext__()

        def close(self) -> None:
            if not self._closed:
                super().close()
                source.end()

    receive.__class__ = Receive
    return receive


def aiostream_stream(source: Source) -> Any:
    return aiostream.stream.iterate(async_generator(source))


SOURCES = (async_generator, generator, iterator, file, anyio_stream, aiostream_stream)
SYNC_SOURCES = (generator, iterator, file)


def flood(first: bytes) -> list[bytes]:
    """What orders something of `wire_server`, and more than the network takes if that reads nothing."""
    return [first, *[bytes(1 << 20)] * 64]


# -- ends -------------------------------------------------------------------------------------------------------------

Order = Literal["answer", "fail", "hang"]


@dataclass(frozen=True)
class Methods:
    """What a source is given to.

    Attributes:
        whole: the method of one answer to all items; takes them and `timeout`.
        each: the method of an answer to each item; takes them.
        error: what the server answers, where it fails.
    """

    whole: Callable[..., Any]
    each: Callable[[Any], Any]
    error: type[RemoteCallError] = RemoteCallError


def wire_methods(module: Any) -> Methods:
    """Those of `wire_server`, which does what the first item orders."""
    return Methods(
        whole=lambda items, timeout=20: module.with_options(timeout=timeout).sum(items),
        each=module.chat,
        error=FailedPreconditionError,
    )


WIRE_ITEMS: dict[Order, list[bytes]] = {
    order: flood(first) for order, first in (("answer", b"1"), ("fail", b"fail"), ("hang", b"hang"))
}


@dataclass(frozen=True)
class End:
    """A way in which a call ends before its input does.

    Attributes:
        run: makes a call that ends so; a coroutine function, or a plain one for the blocking client.
        order: what the server does: it answers each item, fails, or takes no more.
        awaited: whether somebody waits for the end, after which the source has to be closed.
        own: whether the source raises an error by itself.
    """

    run: Callable[[Methods, Source, Any], Any]
    order: Order = "answer"
    awaited: bool = True
    own: bool = False

    def source(self, flood: list[Any]) -> Source:
        """Return a source for such a call: more than the network takes, or an item and an error."""
        return Source(flood[:1], own=BoomError("own")) if self.own else Source(flood)

    def __str__(self) -> str:
        return self.run.__name__.strip("_")


async def break_(methods: Methods, source: Source, items: Any) -> None:
    async for _ in methods.each(items):
        break


async def aclose(methods: Methods, source: Source, items: Any) -> None:
    async with methods.each(items) as stream:
        await anext(stream)


async def server_error(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(methods.error):
        await methods.whole(items)


async def stream_error(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(methods.error):
        async for _ in methods.each(items):
            pass


async def deadline(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(DeadlineExceededError):
        await methods.whole(items, timeout=0.3)


async def cancel(methods: Methods, source: Source, items: Any) -> None:
    task = asyncio.ensure_future(methods.whole(items))
    await asyncio.wrap_future(source.under_way)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


async def own_error(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(BoomError, match="own"):
        await methods.whole(items)


async def own_error_of_a_stream(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(BoomError, match="own"):
        async for _ in methods.each(items):
            pass


async def garbage(methods: Methods, source: Source, items: Any) -> None:
    stream = methods.each(items)
    await anext(stream)
    del stream


ENDS = (
    End(break_, awaited=False),
    End(aclose),
    End(server_error, "fail"),
    End(stream_error, "fail"),
    End(deadline, "hang"),
    End(cancel, "hang"),
    End(own_error, own=True),
    End(own_error_of_a_stream, own=True),
    End(garbage, awaited=False),
)


def blocking_break(methods: Methods, source: Source, items: Any) -> None:
    for _ in methods.each(items):
        break


def blocking_close(methods: Methods, source: Source, items: Any) -> None:
    with methods.each(items) as stream:
        next(stream)


def blocking_server_error(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(methods.error):
        methods.whole(items)


def blocking_stream_error(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(methods.error):
        list(methods.each(items))


def blocking_deadline(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(DeadlineExceededError):
        methods.whole(items, timeout=0.3)


def blocking_own_error(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(BoomError, match="own"):
        methods.whole(items)


def blocking_own_error_of_a_stream(methods: Methods, source: Source, items: Any) -> None:
    with pytest.raises(BoomError, match="own"):
        list(methods.each(items))


def blocking_garbage(methods: Methods, source: Source, items: Any) -> None:
    stream = methods.each(items)
    next(stream)
    del stream


def ctrl_c(methods: Methods, source: Source, items: Any) -> None:
    """Interrupt the main thread, which calls, when the source is under way."""
    main = threading.main_thread().ident
    assert threading.get_ident() == main
    source.under_way.add_done_callback(lambda _: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        methods.whole(items)


BLOCKING_ENDS = (
    End(blocking_break, awaited=False),
    End(blocking_close),
    End(blocking_server_error, "fail"),
    End(blocking_stream_error, "fail"),
    End(blocking_deadline, "hang"),
    End(blocking_own_error, own=True),
    End(blocking_own_error_of_a_stream, own=True),
    End(blocking_garbage, awaited=False),
)
CTRL_C = End(ctrl_c, "hang")
"""In the main thread only, where nothing but the blocking client catches Ctrl-C."""


# -- streams of answers -----------------------------------------------------------------------------------------------

Kind = Literal["grpc", "bidi", "http"]
KINDS: tuple[Kind, ...] = ("grpc", "bidi", "http")
Then = Literal["end", "fail", "hang"]


def wire_answers(module: Any, kind: Kind, count: int, then: Then, timeout: float = 20) -> Any:
    """A stream of so many answers of a wire server, which then ends, fails, or hangs."""
    module = module.with_options(timeout=timeout)
    if kind == "bidi":
        return module.chat(_inputs(count, then))
    failure = "FAILED_PRECONDITION" if kind == "grpc" else 400
    return module.count(n=count, hang=then == "hang", fail=failure if then == "fail" else None)


async def _inputs(count: int, then: Then) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"1"
    if then == "fail":
        yield b"fail"
    if then == "hang":
        await asyncio.Event().wait()
