"""`max_pending`: how many calls wait for an answer at a time, on both protocols; and what a server that sheds does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client.errors import CallCancelledError, ConfigurationError, DeadlineExceededError
from remote_client.settings import CallOptions, ConnectionInfo, RetryPolicy
from tests.support.wire import WireServer, raw_module

Make = Callable[..., Any]


async def running(server: Any, count: int) -> int:
    """How many calls run at the server, once it is so many or a moment has passed."""
    seen = await server.until(lambda stats: _running(stats) >= count)
    await asyncio.sleep(0.1)
    return max(_running(seen), _running(await server.stats()))


def _running(stats: dict[str, Any]) -> int:
    told = stats["running"]
    return sum(told.values()) if isinstance(told, dict) else int(told)


async def test_no_more_wait_at_the_server(server: Any) -> None:
    async with server.plain(max_pending=5) as module:
        calls = [asyncio.create_task(module.sleep(seconds=0.4)) for _ in range(20)]
        assert await running(server, 5) == 5
        assert len(await asyncio.gather(*calls)) == 20


async def test_a_call_whose_turn_does_not_come_expires_unsent(server: Any) -> None:
    async with server.plain(max_pending=1) as module:
        first = asyncio.create_task(module.sleep(seconds=0.6))
        await running(server, 1)
        with pytest.raises(DeadlineExceededError, match="max_pending") as caught:
            await module.with_options(timeout=0.2).echo(b"late")
        assert caught.value.outcome_known
        await first
        assert await server.started("Echo", "POST /echo") == 0


async def test_a_cancelled_call_gives_its_turn_on(server: Any) -> None:
    async with server.plain(max_pending=1) as module:
        first = asyncio.create_task(module.sleep(seconds=0.3))
        await running(server, 1)
        given_up, next_one = (asyncio.create_task(module.echo(b"x")) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await next_one == b"x"
        await first
        assert given_up.cancelled()


async def test_a_stream_that_has_begun_does_not_count(server: Any) -> None:
    async with server.plain(max_pending=2) as module:
        streams = [module.count(n=1, hang=True) for _ in range(6)]
        async with asyncio.timeout(5):
            for stream in streams:
                await anext(stream)
            assert await module.echo(b"still") == b"still"
        for stream in streams:
            await stream.aclose()
        assert module._caller.connections.pending.count == 0


async def test_a_streamed_input_that_has_begun_does_not_count(wire: WireServer) -> None:
    async def forever() -> Any:
        yield b"1"
        await asyncio.Event().wait()

    async with wire.plain(max_pending=1) as module:
        calls = [asyncio.create_task(module.sum(forever())) for _ in range(3)]
        assert await running(wire, 3) == 3
        assert await module.echo(b"still") == b"still"
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert module._caller.connections.pending.count == 0


async def test_closing_ends_those_that_wait(server: Any) -> None:
    from remote_client.errors import ClosedError

    module = server.plain(max_pending=1)
    calls = [asyncio.create_task(module.sleep(seconds=30)) for _ in range(3)]
    await running(server, 1)
    async with asyncio.timeout(2):
        await module.aclose()
        ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in ended} == {ClosedError}


async def test_a_call_that_was_shed_is_sent_again(wire: WireServer) -> None:
    options = CallOptions(timeout=20, retry=RetryPolicy(retries=2, initial_backoff=0.01))
    async with raw_module(wire.info(max_pending=64), options=options) as module:
        with pytest.raises(CallCancelledError, match="overloaded"):
            await module.fail(code="CANCELLED")
        pending = module._caller.connections.pending
        assert (await wire.stats())["started"] == {"Fail": 3}
        assert pending.limit == 8
        assert await module.echo(b"x") == b"x"
        assert 8 < pending.limit < 9


async def test_a_cancel_with_words_of_its_own_is_the_handlers(wire: WireServer) -> None:
    """Metadata says that somebody answered."""
    options = CallOptions(timeout=20, retry=RetryPolicy(retries=2, initial_backoff=0.01))
    async with raw_module(wire.info(), options=options) as module:
        with pytest.raises(CallCancelledError):
            await module.fail(code="CANCELLED", trailing={"x": "y"})
        assert (await wire.stats())["started"] == {"Fail": 1}
        assert module._caller.connections.pending.limit == 256


async def test_gathered_calls_beyond_what_a_server_takes(start_wire: Make) -> None:
    server = start_wire()
    async with raw_module(server.info(timeout=60)) as module:
        answers = await asyncio.gather(*(module.echo(b"%d" % each) for each in range(5_000)))
    assert answers == [b"%d" % each for each in range(5_000)]


async def test_the_setting(wire: WireServer) -> None:
    async with RemoteClient(wire.target, max_pending=7) as client:
        model = await client.model("foo")
        assert model._caller.connections.pending.limit == 7
    with pytest.raises(ConfigurationError, match="max_pending"):
        ConnectionInfo(hostname="localhost", port=1, max_pending=0)
