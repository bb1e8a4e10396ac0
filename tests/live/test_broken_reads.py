"""A real runtime's stream that was not read to its end never looks complete: learned and declared, both clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import pytest_asyncio

from remote_client.errors import ClosedError, DeadlineExceededError, RemoteCallError, WrongLoopError

from ..support.gate import Gate
from .clients import call, client_of
from .declared import LEARNED_OR_DECLARED, Sample, Slow
from .protocols import Protocol

pytestmark = [
    LEARNED_OR_DECLARED,
    pytest.mark.parametrize(("protocol", "kind"), [("grpc", "out"), ("grpc", "two-way"), ("http", "out")]),
]
END = object()
READERS = 4
ASYNCIO = pytest.mark.parametrize("kind_of_client", ["asyncio"])
BLOCKING = pytest.mark.parametrize("kind_of_client", ["blocking"])


@pytest_asyncio.fixture
async def client(gate: Gate, protocol: Protocol, kind_of_client: str) -> AsyncIterator[Any]:
    async with client_of(kind_of_client, protocol, gate) as client:
        yield client
        gate.release()


async def stream_of(client: Any, kind: str, declared: bool, count: int | None = None, **options: Any) -> Any:
    """A stream of so many answers, a hundredth of a second between two; by default it never comes to its end."""
    if kind == "out":
        slow = await (call(client.model, "slow", Slow) if declared else call(client.model, "slow"))
        return slow.with_options(**options).run_slow_stream_out(0.01, count=count or 1000)
    foo = await (call(client.model, "foo", Sample) if declared else call(client.model, "foo"))
    return foo.with_options(**options).run_sample_bidi_stream(_slowly(count))


async def _slowly(count: int | None) -> AsyncIterator[dict[str, str]]:
    for number in range(count or 20):
        await asyncio.sleep(0.01)
        yield {"name": str(number)}
    if count is None:
        await asyncio.Event().wait()


async def following(stream: Any) -> Any:
    """The next answer, or `END`."""
    if hasattr(stream, "__anext__"):
        return await anext(stream, END)
    return await asyncio.to_thread(next, stream, END)


async def read(stream: Any) -> None:
    while await following(stream) is not END:
        pass


async def is_lost(stream: Any, told: str) -> None:
    for _ in range(2):
        with pytest.raises(ClosedError, match=told):
            await following(stream)


@ASYNCIO
async def test_after_wait_for_the_stream_is_closed_not_complete(
    client: Any, gate: Gate, kind: str, declared: bool
) -> None:
    stream = await stream_of(client, kind, declared)
    await anext(stream)
    gate.hold()
    with pytest.raises(TimeoutError):
        while True:
            await asyncio.wait_for(anext(stream), 0.3)
    gate.release()
    await is_lost(stream, "broken off")


async def test_after_a_deadline_the_stream_is_closed_not_complete(
    client: Any, gate: Gate, kind: str, declared: bool
) -> None:
    stream = await stream_of(client, kind, declared, timeout=0.3)
    await following(stream)
    gate.hold()
    with pytest.raises(DeadlineExceededError):
        await read(stream)
    gate.release()
    await is_lost(stream, "DeadlineExceededError")


async def test_after_an_outage_the_stream_is_closed_not_complete(
    client: Any, gate: Gate, kind: str, declared: bool
) -> None:
    stream = await stream_of(client, kind, declared)
    await following(stream)
    await gate.shut()
    with pytest.raises(RemoteCallError) as caught:
        await read(stream)
    await gate.open()
    await is_lost(stream, type(caught.value).__name__)


@BLOCKING
async def test_threads_that_share_a_stream_all_see_its_end(client: Any, kind: str, declared: bool) -> None:
    stream = await stream_of(client, kind, declared, count=20)
    with ThreadPoolExecutor(READERS) as pool:
        reading = [asyncio.wrap_future(pool.submit(list, stream)) for _ in range(READERS)]
        async with asyncio.timeout(20):
            assert sum(map(len, await asyncio.gather(*reading))) == 20


@BLOCKING
async def test_threads_that_share_a_stream_all_see_an_outage(
    client: Any, gate: Gate, kind: str, declared: bool
) -> None:
    stream = await stream_of(client, kind, declared)
    await following(stream)
    with ThreadPoolExecutor(READERS) as pool:
        reading = [asyncio.wrap_future(pool.submit(list, stream)) for _ in range(READERS)]
        await gate.shut()
        async with asyncio.timeout(20):
            errors = await asyncio.gather(*reading, return_exceptions=True)
    await gate.open()
    assert sorted(isinstance(each, ClosedError) for each in errors) == [False] + [True] * (READERS - 1)
    assert sum(isinstance(each, RemoteCallError) for each in errors) == 1


@ASYNCIO
async def test_a_begun_stream_is_read_in_its_own_loop(client: Any, kind: str, declared: bool) -> None:
    stream = await stream_of(client, kind, declared, count=5)
    await anext(stream)
    with pytest.raises(WrongLoopError):
        await asyncio.to_thread(asyncio.run, asyncio.wait_for(anext(stream), 5))
    await read(stream)
