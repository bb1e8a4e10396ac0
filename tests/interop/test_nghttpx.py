"""What nghttpx does with its settings that people meet: few streams, few requests a connection, its own limits."""

from __future__ import annotations

import asyncio

import pytest

from remote_client.errors import StreamTruncatedError, UnavailableError

from .peers import Peers
from .proxies import Nghttpx
from .ways import Load, lose_none, through

FEW = {
    "streams": "frontend-http2-max-concurrent-streams=4",
    "requests": "frontend-max-requests=10",
    "streams of the server": "backend-http2-max-concurrent-streams=4",
}


@pytest.mark.parametrize("few", FEW)
async def test_500_gathered_calls_are_answered_once(peers: Peers, protocol: str, few: str) -> None:
    with through(peers, Nghttpx, protocol, all=FEW[few]) as (way, _):
        await lose_none(way, 500)


async def test_streams_and_calls_over_4_streams(peers: Peers, protocol: str) -> None:
    with through(peers, Nghttpx, protocol, all=FEW["streams"]) as (way, _):
        load = Load(way)
        await load.run(lambda: asyncio.sleep(0.5), workers=16)
        await load.check()


async def test_a_call_longer_than_the_backends_timeout(peers: Peers, protocol: str) -> None:
    with through(peers, Nghttpx, protocol, all="backend-read-timeout=300ms\nstream-read-timeout=300ms") as (way, _):
        async with way.module() as module:
            with pytest.raises(UnavailableError) as caught:
                await module.sleep(seconds=30)
            assert not caught.value.outcome_known
            async with module.count(n=2, hang=True) as stream:
                await anext(stream)
                await anext(stream)
                with pytest.raises(StreamTruncatedError, match="read timeout"):
                    await anext(stream)
