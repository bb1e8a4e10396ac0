"""What the iterator of a streamed request does wrong reaches the caller as it was raised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client.errors import FailedPreconditionError, InputError
from tests.support.wire import WireServer

from .kinds import endless


class BoomError(Exception):
    pass


def sync_items(good: int, error: BaseException) -> Iterator[bytes]:
    yield from [b"1"] * good
    raise error


async def async_items(good: int, error: BaseException) -> AsyncIterator[bytes]:
    for _ in range(good):
        yield b"1"
        await asyncio.sleep(0.005)
    raise error


class ByHand:
    """An async iterator that is no generator, so that it may raise anything."""

    def __init__(self, good: int, error: BaseException) -> None:
        self._good = good
        self._error = error

    def __aiter__(self) -> ByHand:
        return self

    async def __anext__(self) -> bytes:
        if not self._good:
            raise self._error
        self._good -= 1
        return b"1"


async def send_sum(module: Any, items: Any) -> Any:
    return await module.sum(items)


async def send_chat(module: Any, items: Any) -> Any:
    return [item async for item in module.chat(items)]


both = pytest.mark.parametrize("send", [send_sum, send_chat])


@both
@pytest.mark.parametrize("good", [0, 1, 5])
@pytest.mark.parametrize("make", [sync_items, async_items, ByHand])
async def test_an_exception_surfaces_unchanged(
    wire: WireServer, module: Any, send: Any, good: int, make: Callable[..., Any]
) -> None:
    error = BoomError("mine")
    async with asyncio.timeout(5):
        with pytest.raises(BoomError) as caught:
            await send(module, make(good, error))
    assert caught.value is error
    stats = await wire.until(lambda seen: not seen["running"])
    assert not stats["running"]
    assert await module.echo(b"still well") == b"still well"


@both
@pytest.mark.parametrize("good", [0, 2])
@pytest.mark.parametrize("make", [async_items, ByHand])
async def test_an_iterator_that_raises_cancelled_error(module: Any, send: Any, good: int, make: Any) -> None:
    # It cancelled itself: nobody cancelled this task, so it is an error like any other, and no hang.
    task = asyncio.create_task(send(module, make(good, asyncio.CancelledError("mine"))))
    async with asyncio.timeout(5):
        await asyncio.wait((task,))
    assert task.cancelled()
    assert await module.echo(b"still well") == b"still well"


@both
@pytest.mark.parametrize("make", [sync_items, async_items])
@pytest.mark.parametrize("error", [StopIteration(), StopAsyncIteration()], ids=["StopIteration", "StopAsyncIteration"])
async def test_a_generator_that_raises_a_stop_is_no_quiet_end(
    module: Any, send: Any, make: Any, error: Exception
) -> None:
    # Python makes a RuntimeError of most of these (PEP 479); what it leaves must not cut the request short.
    if make is sync_items and isinstance(error, StopAsyncIteration):
        expected: Any = (RuntimeError, StopAsyncIteration)
    else:
        expected = RuntimeError
    async with asyncio.timeout(5):
        with pytest.raises(expected):
            await send(module, make(2, error))


@both
async def test_a_stop_raised_by_hand_ends_the_request(module: Any, send: Any) -> None:
    async with asyncio.timeout(5):
        assert await send(module, ByHand(3, StopAsyncIteration("with a value"))) in (b"3", [b"1"] * 3)


async def test_an_item_that_does_not_fit_cancels_the_call(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        model = await client.model("foo", task="SampleTask")
        async with asyncio.timeout(5):
            with pytest.raises(InputError, match=r"\[1\]"):
                await model.run_stream_in(iter([{"name": "a"}, {"name": 1}]))
            with pytest.raises(InputError, match=r"\[1\]"):
                async for _ in model.run_bidi_stream(iter([{"name": "a"}, {"name": 1}])):
                    pass
    assert not (await wire.until(lambda seen: not seen["running"]))["running"]


@both
async def test_an_empty_request(module: Any, send: Any) -> None:
    async with asyncio.timeout(5):
        assert await send(module, []) in (b"0", [])
        assert await send(module, iter(())) in (b"0", [])


async def test_what_was_answered_before_the_exception_arrives(module: Any) -> None:
    answered = asyncio.Event()

    async def items() -> AsyncIterator[bytes]:
        yield b"a"
        await answered.wait()
        raise BoomError

    async with module.chat(items()) as stream:
        assert await anext(stream) == b"a"
        answered.set()
        with pytest.raises(BoomError):
            await anext(stream)


@both
async def test_a_server_that_ends_early_stops_the_iterator(wire: WireServer, module: Any, send: Any) -> None:
    taken = 0

    async def items() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b"stop"
        while True:
            taken += 1
            yield b"1"
            await asyncio.sleep(0.001)

    async with asyncio.timeout(5):
        assert await send(module, items()) in (b"0", [])
    after = taken
    await asyncio.sleep(0.05)
    assert taken == after


@both
async def test_a_server_that_fails_midway_is_told_though_the_iterator_waits(module: Any, send: Any) -> None:
    async def items() -> AsyncIterator[bytes]:
        yield b"1"
        yield b"fail"
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        with pytest.raises(FailedPreconditionError, match="as ordered"):
            await send(module, items())


async def test_backpressure_reaches_the_iterator(wire: WireServer, module: Any) -> None:
    taken = 0

    def items() -> Iterator[bytes]:
        nonlocal taken
        yield b"hang"
        while True:
            taken += 1
            yield bytes(1 << 20)

    async with module.chat(items()):
        await wire.until_running(1)
        await asyncio.sleep(0.3)
        assert taken < 100  # a few windows' worth, not everything there is


async def test_one_iterator_for_many_calls_at_once(module: Any) -> None:
    # Each call has a pump of its own; 200 at once must neither mix items nor leave one behind.
    results = await asyncio.gather(*(module.sum([b"%d" % index] * 3) for index in range(200)))
    assert results == [b"%d" % (3 * index) for index in range(200)]
    tasks = [asyncio.create_task(send_chat(module, endless())) for _ in range(20)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    assert {type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)} == {asyncio.CancelledError}


caller: ContextVar[str] = ContextVar("caller", default="nobody")


@both
@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
async def test_an_iterator_sees_the_context_of_its_caller(wire: WireServer, send: Any, engine: str) -> None:
    seen: list[str] = []

    async def items() -> AsyncIterator[bytes]:
        seen.append(caller.get())
        yield b"1"
        await asyncio.sleep(0.01)
        seen.append(caller.get())
        yield b"2"

    async def called_by(name: str) -> None:
        caller.set(name)
        await send(module, items())

    async with wire.plain(engine=engine) as module:
        await asyncio.create_task(called_by("first"))  # whose call opens the connection
        await asyncio.create_task(called_by("second"))
    assert seen == ["first", "first", "second", "second"]
