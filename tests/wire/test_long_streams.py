"""Streams of an item a minute, for hours: tokens that change, connections that are replaced, and both time limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_client.auth import BearerToken
from remote_client.errors import DeadlineExceededError, UnauthenticatedError
from remote_client.settings import CallOptions
from remote_client.sync._modules import wrapped
from tests.support.clock import Hours
from tests.support.http_wire import http_module
from tests.support.wire import raw_module

from .test_auth import KINDS, Server

HOURS = 3
SIDES = ["output", "input", "both"]
PATIENT = {"grpc.http2.ping_timeout_ms": 3_600_000}
"""An hour for the answer to a PING: the clock goes faster than the server answers."""


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request)


class Feed:
    """A streamed input that a test gives item by item."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def give(self, item: bytes | None) -> None:
        """Give an item; return when it was taken."""
        self._items.put_nowait(item)
        await self._items.join()

    async def items(self) -> AsyncIterator[bytes]:
        while (item := await self._items.get()) is not None:
            yield item
            self._items.task_done()
        self._items.task_done()


def _module(server: Server, options: CallOptions, max_session_age: float = -1) -> Any:
    make: Any = raw_module if server.grpc else http_module
    info = server.wire.info(**server.settings, max_session_age=max_session_age, options=PATIENT if server.grpc else {})
    return make(info, options=options)


def _skip_http(server: Server, side: str) -> None:
    if side != "output" and not server.grpc:
        pytest.skip("HTTP has no streamed input")


def _renew(server: Server, file: Path, token: str) -> None:
    """Let the server take a new token alone."""
    file.write_text(token)
    server.take(token)


def _begin(module: Any, side: str, feed: Feed) -> Any:
    if side == "input":
        return asyncio.ensure_future(module.sum(feed.items()))
    return module.count(n=HOURS * 60 + 1, delay=0.01) if side == "output" else module.chat(feed.items())


async def _minute(clock: Hours, stream: Any, side: str, feed: Feed) -> None:
    """Let the next item come after a minute."""
    reading = None if side == "input" else asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await clock.go_by(59)
    if side != "output":
        await feed.give(b"1")
    if reading is not None:
        assert await reading


@pytest.mark.parametrize("side", SIDES)
async def test_a_stream_of_hours(server: Server, tmp_path: Path, side: str) -> None:
    """Every hour the old token is refused, all ten minutes the connection is replaced, and the stream goes on."""
    _skip_http(server, side)
    file, feed = tmp_path / "token", Feed()
    options = CallOptions(timeout=60, metadata=(BearerToken(file=file),))
    with Hours(asyncio.get_running_loop()) as clock:
        async with _module(server, options, max_session_age=600) as module:
            _renew(server, file, "the-first")
            stream = _begin(module, side, feed)
            for minute in range(HOURS * 60):
                await _minute(clock, stream, side, feed)
                if minute % 10 == 9:
                    assert await module.echo(b"x") == b"x"
                if minute % 60 == 59:
                    _renew(server, file, f"after-{minute}")
            assert module._caller.connections.opened > HOURS * 2
            if side == "input":
                await feed.give(None)
                assert await stream == b"%d" % (HOURS * 60)
            else:
                await stream.aclose()
    name = {"output": "Count" if server.grpc else "POST /count", "input": "Sum", "both": "Chat"}[side]
    assert server.calls(name) == 1


async def test_a_token_that_ends_within_a_stream_is_no_reason_to_send_it_again(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    _renew(server, file, "the-first")
    seen = []
    async with _module(server, CallOptions(timeout=10, metadata=(BearerToken(file=file),))) as module:
        with pytest.raises(UnauthenticatedError):
            async for item in module.count(n=2, fail="UNAUTHENTICATED" if server.grpc else 401):
                seen.append(item)
                _renew(server, file, "the-next")
    assert len(seen) == 2
    assert server.calls("Count" if server.grpc else "POST /count") == 1


# -- limits -----------------------------------------------------------------------------------------------------------


def _items(pause: float) -> Iterator[bytes]:
    for _ in range(8):
        time.sleep(pause)
        yield b"1"


async def _slow_items(pause: float) -> AsyncIterator[bytes]:
    for _ in range(8):
        await asyncio.sleep(pause)
        yield b"1"


async def _all(module: Any, side: str, pause: float, blocking: bool) -> Any:
    """Stream eight items; return what came."""
    if blocking:
        deeds = {
            "output": lambda: list(module.count(n=8, delay=pause)),
            "input": lambda: module.sum(_items(pause)),
            "both": lambda: list(module.chat(_items(pause))),
        }
        return await asyncio.to_thread(deeds[side])
    if side == "input":
        return await module.sum(_slow_items(pause))
    stream = module.count(n=8, delay=pause) if side == "output" else module.chat(_slow_items(pause))
    return [item async for item in stream]


@pytest.mark.sampled(6)
@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("side", SIDES)
async def test_timeout_is_between_two_items_and_total_timeout_for_all(
    server: Server, side: str, blocking: bool
) -> None:
    """The stream takes twice its `timeout`."""
    _skip_http(server, side)
    server.wire.command("reset")
    made = _module(server, CallOptions(timeout=0.6))
    module = wrapped(made) if blocking else made
    answer = await _all(module, side, 0.15, blocking)
    assert answer == b"8" if side == "input" else len(answer) == 8
    with pytest.raises(DeadlineExceededError):
        await _all(module.with_options(total_timeout=0.6), side, 0.15, blocking)
    with pytest.raises(DeadlineExceededError):
        await _all(module.with_options(timeout=0.15), side, 0.5, blocking)
    await (asyncio.to_thread(module.close) if blocking else module.aclose())
