"""How middleware and the time limits of calls go together: its time is the call's, and no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import DeadlineExceededError, RemoteCallError, UnavailableError
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.settings import RetryPolicy
from tests.support.http_wire import LAST_CHUNK, chunk, event, events, send, sleep
from tests.support.ways import Way

ONCE = RetryPolicy(retries=0)


async def plain(call: OutgoingCall, proceed: Proceed) -> Answer:
    return await proceed(call)


@pytest.mark.sampled(2)
async def test_its_time_does_not_shorten_the_waits_between_items(way: Way) -> None:
    async def slow(call: OutgoingCall, proceed: Proceed) -> Answer:
        await asyncio.sleep(0.5)
        return await proceed(call)

    async def items() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.sleep(0.9)
        yield b"2"

    async with way.module(middleware=(slow,), timeout=1.2, retry=ONCE) as module:
        steps = [*events("1", end=False), sleep(0.9), send(chunk(event("2")) + LAST_CHUNK)]
        stream = module.chat(items()) if way.is_grpc else module.script_stream(steps=steps)
        assert len([item async for item in stream]) == 2


@pytest.mark.sampled(2)
async def test_the_first_answer_comes_within_the_calls_time(way: Way) -> None:
    async def slow(call: OutgoingCall, proceed: Proceed) -> Answer:
        await asyncio.sleep(0.6)
        return await proceed(call)

    async with way.module(middleware=(slow,), timeout=1.0, retry=ONCE) as module:
        with pytest.raises(DeadlineExceededError):
            async with asyncio.timeout(1.4):
                await anext(module.silent())


@pytest.mark.sampled(2)
async def test_it_is_told_what_time_is_left(way: Way) -> None:
    told: list[float] = []

    async def notes(call: OutgoingCall, proceed: Proceed) -> Answer:
        assert call.timeout is not None
        told.append(call.timeout)
        if call.attempt == 1:
            await asyncio.sleep(0.5)
            raise UnavailableError("not yet")
        return await proceed(call)

    async with way.module(middleware=(notes,), timeout=20) as module:
        await module.echo(b"x")
        assert [item async for item in module.count(n=1)]
        assert [item async for item in module.with_options(total_timeout=10).count(n=1)]
    assert [round(each * 2) / 2 for each in told] == [20, 19.5, 20, 19.5, 10, 9.5]


@pytest.mark.sampled(2)
async def test_it_gets_the_error_of_a_stream_without_a_head_in_time(way: Way) -> None:
    errors: list[Any] = []

    async def notes(call: OutgoingCall, proceed: Proceed) -> Answer:
        try:
            return await proceed(call)
        except RemoteCallError as error:
            errors.append(error)
            raise

    async with way.module(middleware=(notes,), timeout=0.3, retry=ONCE) as module:
        if way.is_grpc:
            with pytest.raises(DeadlineExceededError):
                await anext(module.silent())
        else:
            with pytest.raises(DeadlineExceededError):
                await anext(module.script_stream(steps=[["sleep", 9]]))
        with pytest.raises(DeadlineExceededError):
            await module.sleep(seconds=9)
    assert [type(each) for each in errors] == [DeadlineExceededError] * 2


async def slowly(number: int, seconds: float) -> AsyncIterator[bytes]:
    for _ in range(number):
        await asyncio.sleep(seconds)
        yield b"1"


async def test_a_streamed_input_limits_only_the_waits(wire: Any) -> None:
    async def hangs(call: OutgoingCall, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        await asyncio.Event().wait()
        return answer

    for engine in ("asyncio", "grpcio"):
        async with Way(wire, engine).module(middleware=(plain,), timeout=0.5) as module:
            assert await module.sum(slowly(8, 0.1)) == b"8"
        async with Way(wire, engine).module(middleware=(hangs,), timeout=0.3) as module:
            with pytest.raises(DeadlineExceededError):
                await module.sum([b"1"])


@pytest.mark.sampled(2)
async def test_a_unary_call_has_the_same_time_with_middleware(way: Way) -> None:
    for middleware in ((), (plain,)):
        async with way.module(middleware=middleware, total_timeout=0.2, timeout=5) as module:
            assert await module.sleep(seconds=0.6)
