"""Interceptors of a user's own that misbehave: no call hangs, and nothing of it is left running."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from remote_client import RemoteClient
from remote_client._transport.engines import grpcio, grpcio_stream
from remote_client.errors import ClosedError, DeadlineExceededError
from tests.support.wire import WireServer

from .intercepting import Bidi, StreamOut, around_all, intercepted, intercepted_in_a_thread
from .kinds import ONE_OF_EACH, Deed

OLD_GRPC = tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 85)
"""This grpc.aio raises again, into the loop's log, what an interceptor raised."""
WITHIN = 10.0
"""Seconds that nothing here may take: who waits longer waits for ever."""


async def echo(module: Any) -> Any:
    return await module.echo(b"x")


async def count(module: Any) -> Any:
    return [item async for item in module.count(n=2)]


async def sum_(module: Any) -> Any:
    return await module.sum([b"1", b"2"])


async def chat(module: Any) -> Any:
    return [item async for item in module.chat([b"a", b"b"])]


CALLS: dict[str, tuple[Deed, Callable[[Any], Any], Any]] = {
    "echo": (echo, lambda module: module.echo(b"x"), b"x"),
    "count": (count, lambda module: list(module.count(n=2)), [b"0", b"1"]),
    "sum": (sum_, lambda module: module.sum([b"1", b"2"]), b"3"),
    "chat": (chat, lambda module: list(module.chat([b"a", b"b"])), [b"a", b"b"]),
}
every_call = pytest.mark.parametrize("name", CALLS)


def raising(when: str) -> list[Any]:
    """Interceptors that raise before the call, after its answer, or after a stream's first item."""

    async def unary(continuation: Any, details: Any, request: Any) -> Any:
        if when != "before":
            await (await continuation(details, request))
        raise LookupError(when)

    async def streaming(continuation: Any, details: Any, request: Any) -> Any:
        if when == "before":
            raise LookupError(when)
        call = await continuation(details, request)

        async def answers() -> AsyncIterator[bytes]:
            async for each in call:
                yield each
                if when == "in mid-stream":
                    raise LookupError(when)
            raise LookupError(when)

        return answers()

    return around_all(unary, streaming)


def waiting(where: str) -> list[Any]:
    """Interceptors that wait for ever, before the call or behind its first item, and pass no time limit on."""

    async def unary(continuation: Any, details: Any, request: Any) -> Any:
        if where == "after":
            await (await continuation(details._replace(timeout=None), request))
        await asyncio.Event().wait()

    async def streaming(continuation: Any, details: Any, request: Any) -> Any:
        if where == "before":
            await asyncio.Event().wait()
        call = await continuation(details._replace(timeout=None), request)

        async def answers() -> AsyncIterator[bytes]:
            async for each in call:
                yield each
                await asyncio.Event().wait()

        return answers()

    return around_all(unary, streaming)


class Deputy:
    """A call object of the user's own, which cannot be cancelled and goes on after its call's end."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def cancel(self) -> bool:
        raise RuntimeError("cannot be cancelled")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answers()

    async def _answers(self) -> AsyncIterator[bytes]:
        try:
            async for each in self._call:
                yield each
        finally:
            await asyncio.Event().wait()


async def as_deputy(continuation: Any, details: Any, request: Any) -> Any:
    return Deputy(await continuation(details, request))


async def endless(continuation: Any, details: Any, request: Any) -> Any:
    """Yield for ever, and never wait."""
    call = await continuation(details, request)

    async def answers() -> AsyncIterator[bytes]:
        async for each in call:
            yield each
            break
        while True:
            yield b"more"

    return answers()


async def deaf(continuation: Any, details: Any, request: Any) -> Any:
    """Yield, whatever happens, as often as asked: also when cancelled."""
    call = await continuation(details, request)

    async def answers() -> AsyncIterator[bytes]:
        yield await anext(aiter(call))
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
            yield b"more"

    return answers()


async def blocking(continuation: Any, details: Any, request: Any) -> Any:
    time.sleep(0.02)
    return await continuation(details, request)


@pytest.fixture
def soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a cancelled stream gets little time to end."""
    for each in (grpcio, grpcio_stream):
        monkeypatch.setattr(each, "WIND_UP", 0.1)


@every_call
@pytest.mark.parametrize("when", ["before", "after", "in mid-stream"])
async def test_what_they_raise_reaches_the_caller(
    wire: WireServer, caplog: pytest.LogCaptureFixture, when: str, name: str
) -> None:
    async with asyncio.timeout(WITHIN), intercepted(wire, raising(when)) as module:
        with pytest.raises(LookupError, match=when):
            await CALLS[name][0](module)
        assert not (await wire.until(lambda seen: not any(seen["running"].values())))["running"]
    if not OLD_GRPC:
        assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


@every_call
@pytest.mark.parametrize("when", ["before", "after", "in mid-stream"])
def test_what_they_raise_reaches_a_blocking_caller(wire: WireServer, when: str, name: str) -> None:
    pool = ThreadPoolExecutor(1)
    try:
        with intercepted_in_a_thread(wire, raising(when)) as module:
            assert isinstance(pool.submit(CALLS[name][1], module).exception(WITHIN), LookupError)
    finally:
        pool.shutdown(wait=False)


BLOCKING: dict[str, Callable[[Any], Any]] = {
    "Sleep": lambda module: module.sleep(seconds=3600),
    "Count": lambda module: list(module.count(n=2, hang=True)),
    "Sum": lambda module: module.sum([b"hang"]),
    "Chat": lambda module: list(module.chat([b"hang"])),
}


@pytest.mark.parametrize("name", BLOCKING)
def test_a_blocking_callers_deadline_holds_where_they_wait(wire: WireServer, name: str) -> None:
    pool = ThreadPoolExecutor(1)
    try:
        with intercepted_in_a_thread(wire, waiting("after")) as module:
            error = pool.submit(BLOCKING[name], module.with_options(timeout=0.1)).exception(WITHIN)
            assert isinstance(error, DeadlineExceededError)
    finally:
        pool.shutdown(wait=False)


@pytest.mark.parametrize("around", [as_deputy, endless, deaf])
async def test_a_blocking_caller_leaves_a_stream_that_never_ends(
    wire: WireServer, soon_over: None, around: Any
) -> None:
    def leave() -> None:
        with intercepted_in_a_thread(wire, [StreamOut(around)]) as module:
            for _ in module.count(n=2, hang=True):
                break

    await asyncio.wait_for(asyncio.to_thread(leave), WITHIN)
    assert not (await wire.until(lambda seen: not any(seen["running"].values())))["running"]


@pytest.mark.parametrize("around", [as_deputy, endless, deaf])
async def test_rotation_leaves_nothing_of_what_never_ends(wire: WireServer, soon_over: None, around: Any) -> None:
    streaming = [StreamOut(around), Bidi(around)]
    async with asyncio.timeout(WITHIN), intercepted(wire, streaming, max_session_age=0) as module:
        for _ in range(3):
            async with module.count(n=2, hang=True) as stream:
                await anext(stream)
            assert await module.echo(b"on") == b"on"
        assert not (await wire.until(lambda seen: not any(seen["running"].values())))["running"]


@every_call
async def test_their_blocking_code_delays_calls_only(wire: WireServer, name: str) -> None:
    async with intercepted(wire, around_all(blocking), max_session_age=0.05) as module:
        deed, _, answer = CALLS[name]
        for _ in range(5):
            assert await deed(module) == answer


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("name", ONE_OF_EACH["grpc"])
async def test_a_deadline_holds_where_they_wait(wire: WireServer, name: str, where: str) -> None:
    async with asyncio.timeout(WITHIN), intercepted(wire, waiting(where)) as module:
        with pytest.raises(DeadlineExceededError):
            await ONE_OF_EACH["grpc"][name](module.with_options(timeout=0.1))
        assert not (await wire.until(lambda seen: not any(seen["running"].values())))["running"]


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("name", ONE_OF_EACH["grpc"])
async def test_closing_ends_calls_where_they_wait(wire: WireServer, name: str, where: str) -> None:
    async with asyncio.timeout(WITHIN), intercepted(wire, waiting(where)) as module:
        task = asyncio.ensure_future(ONE_OF_EACH["grpc"][name](module))
        if where == "after" and name != "Sleep":
            await wire.until_running(1)
        await asyncio.sleep(0.05)
        assert not task.done()
    await asyncio.wait_for(asyncio.wait((task,)), WITHIN)
    assert isinstance(task.exception(), ClosedError)


@pytest.mark.parametrize("around", [as_deputy, endless, deaf])
@pytest.mark.parametrize("name", ["count", "chat"])
async def test_streams_left_early_that_never_end(wire: WireServer, soon_over: None, name: str, around: Any) -> None:
    streaming = [StreamOut(around), Bidi(around)]
    async with asyncio.timeout(WITHIN), intercepted(wire, streaming) as module:
        async with module.count(n=2, hang=True) if name == "count" else module.chat([b"a", b"b"]) as stream:
            await anext(stream)
        assert not (await wire.until(lambda seen: not any(seen["running"].values())))["running"]


async def test_the_end_of_a_loop_with_a_wrong_interceptor(wire: WireServer) -> None:
    # Old grpc.aio leaves calls to the collector; met while pytest parses an import they break ast (cpython#106905).
    gc.collect()
    said: list[Any] = []
    kept: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        async with RemoteClient(wire.info(engine="grpcio"), interceptors=[object()]) as client:  # type: ignore[list-item]
            try:
                await client.models()
            except ValueError as error:
                kept.append(error)  # and with its traceback the transport

    await asyncio.to_thread(asyncio.run, main())
    assert [type(each) for each in kept] == [ValueError]
    assert not said
