"""What nginx does with its settings that people meet: reloads, limits of size and time, and buffering."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from remote_client.errors import ResourceExhaustedError, StreamTruncatedError
from remote_client.settings import CallOptions, RetryPolicy

from .peers import Peers
from .proxies import Nginx
from .ways import Load, end_with_504, through

MIB = 1 << 20
SHORT = {"grpc": "grpc_read_timeout 300ms;", "http": "proxy_buffering off; proxy_read_timeout 300ms;"}


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
async def test_a_reload_loses_no_call(peers: Peers, protocol: str, blocking: bool) -> None:
    with through(peers, Nginx, protocol) as (way, proxy):
        load = Load(way)

        async def reloads() -> None:
            for _ in range(3):
                await asyncio.sleep(0.3)
                proxy.signal(signal.SIGHUP)

        await load.run(reloads, workers=4, blocking=blocking)
        await load.check()


@pytest.mark.parametrize("size", [2000, 8 * MIB])
async def test_a_request_that_is_too_large(peers: Peers, protocol: str, size: int) -> None:
    events: list[Any] = []
    options = CallOptions(retry=RetryPolicy(retries=2), hooks=(events.append,))
    with through(peers, Nginx, protocol, all="client_max_body_size 1k;") as (way, _):
        async with way.module(options=options) as module:
            with pytest.raises(ResourceExhaustedError) as caught:
                await module.echo(bytes(size))
        assert caught.value.http_status == 413
        assert "413" in str(caught.value)
        assert events[-1].attempts == 1, "the same request is as large the next time"
        assert not await way.begun()


async def test_a_streamed_request_that_is_too_large(peers: Peers) -> None:
    async def items() -> Any:
        for _ in range(1000):
            yield b"1"
            await asyncio.sleep(0)

    with through(peers, Nginx, "grpc", all="client_max_body_size 1k;") as (way, _):
        async with way.module() as module:
            with pytest.raises(ResourceExhaustedError) as caught:
                await module.sum(items())
        assert caught.value.http_status == 413


async def test_a_call_longer_than_the_read_timeout(peers: Peers, protocol: str) -> None:
    with through(peers, Nginx, protocol, **SHORT) as (way, _):
        await end_with_504(way)
        assert (await way.begun())["sleep"] == 1


async def test_a_silence_in_a_stream_longer_than_the_read_timeout(peers: Peers, protocol: str) -> None:
    with through(peers, Nginx, protocol, **SHORT) as (way, _):
        async with way.module() as module, module.count(n=2, hang=True) as stream:
            await anext(stream)
            await anext(stream)
            with pytest.raises(StreamTruncatedError, match="read timeout"):
                await anext(stream)


@pytest.mark.parametrize("buffering", ["off", "on", "on; gzip on; gzip_types text/event-stream"])
async def test_events_come_as_they_are_sent(peers: Peers, buffering: str) -> None:
    """nginx passes on what came in chunks, whatever it buffers; a client that leaves ends the call at the server."""
    with through(peers, Nginx, "http", http=f"proxy_buffering {buffering};") as (way, _):
        async with way.module() as module:
            async with module.count(n=2, hang=True) as stream, asyncio.timeout(10):
                await anext(stream)
                await anext(stream)
            stats = await way.server.until(lambda seen: not seen["running"], 5)
            assert stats["running"] == {}
            assert len([item async for item in module.count(n=1000, size=500)]) == 1000


async def test_events_without_framing(peers: Peers) -> None:
    """The items arrive; whether they were all, nobody knows: neither chunks nor a length tell the end."""
    settings = "proxy_buffering off; chunked_transfer_encoding off;"
    with through(peers, Nginx, "http", http=settings) as (way, _):
        async with way.module() as module:
            seen = []
            with pytest.raises(StreamTruncatedError):
                async for item in module.count(n=3):
                    seen.append(item)
            assert len(seen) == 3
            assert await module.echo(b"x") == b"x"
