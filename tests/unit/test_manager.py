"""ConnectionManager: generations, leases, draining; with transports that only count."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from remote_client._transport.call import ByteStream, Call, Transport
from remote_client._transport.manager import ConnectionManager
from remote_client.errors import ClosedError, RemoteClientError, UnavailableError, WrongLoopError
from tests.support.clock import Hours, Stopwatch


class Counting(Transport):
    """Knows only whether it was closed, and why."""

    def __init__(self) -> None:
        self.closed: RemoteClientError | None = None

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes]) -> bytes:
        raise NotImplementedError

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes]) -> ByteStream:
        raise NotImplementedError

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        await asyncio.sleep(0.01)
        self.closed = reason()


class Pool:
    """A manager and the transports it made."""

    def __init__(self, **options: Any) -> None:
        self.made: list[Counting] = []
        self.manager = ConnectionManager(self._connect, **options)

    def _connect(self) -> Transport:
        self.made.append(Counting())
        return self.made[-1]

    @property
    def open(self) -> list[int]:
        return [number for number, each in enumerate(self.made) if each.closed is None]


async def test_below_zero_one_connection_serves_all() -> None:
    pool = Pool(max_session_age=-1)
    for _ in range(5):
        pool.manager.lease().release()
    assert (len(pool.made), pool.manager.opened) == (1, 1)
    await pool.manager.aclose()
    assert pool.open == []


async def test_zero_is_a_connection_for_each_call() -> None:
    pool = Pool(max_session_age=0)
    first, second = pool.manager.lease(), pool.manager.lease()
    assert first.transport is not second.transport
    first.release()
    await asyncio.sleep(0.05)
    assert pool.open == [1]
    second.release()
    await asyncio.sleep(0.05)
    assert pool.open == []
    await pool.manager.aclose()


async def test_an_old_connection_ends_with_its_last_lease() -> None:
    pool = Pool(max_session_age=0.05, jitter=lambda: 0.0)
    old = [pool.manager.lease(), pool.manager.lease()]
    await asyncio.sleep(0.06)
    new = pool.manager.lease()
    assert new.transport is pool.made[1]
    old[0].release()
    await asyncio.sleep(0.03)
    assert pool.open == [0, 1]
    old[1].release()
    await asyncio.sleep(0.03)
    assert pool.open == [1]
    assert isinstance(pool.made[0].closed, UnavailableError)
    new.release()
    await pool.manager.aclose()


async def test_an_idle_connection_is_replaced_at_the_next_call() -> None:
    pool = Pool(max_session_age=0.02)
    pool.manager.lease().release()
    await asyncio.sleep(0.03)
    assert pool.open == [0]
    pool.manager.lease().release()
    await asyncio.sleep(0.02)
    assert pool.open == [1]
    await pool.manager.aclose()


@pytest.mark.parametrize(("jitter", "age"), [(0.0, 0.1), (1.0, 0.08)])
async def test_jitter_shortens_by_a_fifth_at_most(jitter: float, age: float) -> None:
    pool = Pool(max_session_age=0.1, jitter=lambda: jitter)
    watch = Stopwatch()
    while len(pool.made) < 2:
        pool.manager.lease().release()
        await asyncio.sleep(0.001)
    assert watch.wall >= age
    assert watch.seconds < age + 0.05
    await pool.manager.aclose()


async def test_a_lease_keeps_its_connection_for_hours() -> None:
    """A stream that goes on all day is no reason to cut it."""
    pool = Pool(max_session_age=60)
    with Hours(asyncio.get_running_loop()) as clock:
        stream = pool.manager.lease()
        for _ in range(24):
            await clock.go_by(3600)
            pool.manager.lease().release()
        await asyncio.sleep(0.03)
        assert pool.open == [0, 24]
        stream.release()
        await asyncio.sleep(0.03)
        assert pool.open == [24]
        await pool.manager.aclose()


async def test_closing_is_for_good() -> None:
    pool = Pool(max_session_age=0.01)
    held = pool.manager.lease()
    await asyncio.sleep(0.02)
    pool.manager.lease()
    await asyncio.gather(pool.manager.aclose(), pool.manager.aclose())
    assert pool.open == []
    assert all(isinstance(each.closed, ClosedError) for each in pool.made)
    with pytest.raises(ClosedError):
        pool.manager.lease()
    with pytest.raises(ClosedError):
        pool.manager.check()
    held.release()
    await pool.manager.aclose()


def test_loops() -> None:
    pool = Pool()

    async def use() -> None:
        pool.manager.lease().release()

    async def close() -> None:
        await pool.manager.aclose()

    asyncio.run(use())
    with pytest.raises(WrongLoopError, match="has ended"):
        asyncio.run(use())
    asyncio.run(close())  # the loop is gone and took the connection along; closing still works
    with pytest.raises(ClosedError):
        asyncio.run(use())


async def test_two_loops_at_once() -> None:
    pool = Pool()
    pool.manager.lease().release()

    def elsewhere() -> list[type[BaseException]]:
        raised = []
        for what in (pool.manager.aclose, use):
            try:
                asyncio.run(what())
            except RemoteClientError as error:
                raised.append(type(error))
        return raised

    async def use() -> None:
        pool.manager.lease()

    assert await asyncio.to_thread(elsewhere) == [WrongLoopError, WrongLoopError]
    await pool.manager.aclose()


async def test_needs_a_running_loop() -> None:
    pool = Pool()
    with pytest.raises(RuntimeError, match="no running event loop"):
        await asyncio.to_thread(pool.manager.lease)
