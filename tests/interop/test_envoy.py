"""What Envoy does with its settings that people meet: limits of connections and streams, drains, no retries."""

from __future__ import annotations

import asyncio

import pytest

from remote_client.errors import StreamTruncatedError, UnavailableError

from .peers import Peers
from .proxies import Envoy
from .ways import Load, answer_after, lose_none, through

AGE = "common_http_protocol_options: {max_connection_duration: 0.3s}\n          drain_timeout: 0.2s"
"""A connection is told twice that it ends: at first that all its streams are served, then which are."""
IDLE = "common_http_protocol_options: {idle_timeout: 0.2s}"
SILENCE = "stream_idle_timeout: 0.3s"


async def test_a_server_that_dies_in_a_call(peers: Peers, protocol: str) -> None:
    """Without a retry policy of Envoy's the call began once, and the client says that it may have done its work."""
    with through(peers, Envoy, protocol) as (way, _):
        async with way.module() as module:
            call = asyncio.ensure_future(module.sleep(seconds=60))
            await way.until_running()
            assert await way.begun() == {"sleep": 1}
            way.server.__exit__()
            try:
                with pytest.raises(UnavailableError) as caught:
                    await call
                assert not caught.value.outcome_known
                with pytest.raises(UnavailableError) as caught:
                    await module.echo(b"x")
            finally:
                way.server.__enter__()
        if protocol == "http":
            assert caught.value.http_status == 503
            assert "503" in str(caught.value)


@pytest.mark.parametrize("place", ["connections", "cluster"])
async def test_connections_of_few_requests(peers: Peers, protocol: str, place: str) -> None:
    """Those of the client, and those to the server."""
    limit = {place: "common_http_protocol_options: {max_requests_per_connection: 10}"}
    with through(peers, Envoy, protocol, **limit) as (way, _):
        await lose_none(way, 1000)


async def test_connections_that_end_by_their_age(peers: Peers, protocol: str) -> None:
    with through(peers, Envoy, protocol, connections=AGE) as (way, _):
        load = Load(way)
        await load.run(lambda: asyncio.sleep(1.5))
        await load.check()


async def test_idle_connections_that_the_proxy_closes(peers: Peers, protocol: str) -> None:
    """Calls come just when the proxy closes: they are sent on a new connection, and begin once."""
    with through(peers, Envoy, protocol, connections=IDLE) as (way, _):
        await answer_after(way, (0.19, 0.195, 0.198, 0.2, 0.201, 0.202, 0.205, 0.21, 0.3))


async def test_idle_connections_to_the_server_that_the_proxy_closes(peers: Peers, protocol: str) -> None:
    with through(peers, Envoy, protocol, cluster=IDLE) as (way, _):
        await answer_after(way, (0.195, 0.2, 0.205, 0.3))


async def test_a_call_longer_than_a_streams_idle_time(peers: Peers, protocol: str) -> None:
    with through(peers, Envoy, protocol, connections=SILENCE) as (way, _):
        async with way.module() as module:
            with pytest.raises(UnavailableError) as caught:
                await module.sleep(seconds=30)
        assert not caught.value.outcome_known
        assert "timeout" in str(caught.value)
        assert await way.begun() == {"sleep": 1}


async def test_a_call_longer_than_the_routes_timeout(peers: Peers, protocol: str) -> None:
    """By default 15 seconds, streams included."""
    with through(peers, Envoy, protocol, route="timeout: 0.3s") as (way, _):
        async with way.module() as module:
            with pytest.raises(UnavailableError) as caught:
                await module.sleep(seconds=30)
            assert not caught.value.outcome_known
            assert "timeout" in str(caught.value)
            with pytest.raises(StreamTruncatedError):
                async for _ in module.count(n=100, delay=0.1):
                    pass


async def test_a_silence_in_a_stream_longer_than_its_idle_time(peers: Peers, protocol: str) -> None:
    with through(peers, Envoy, protocol, connections=SILENCE) as (way, _):
        async with way.module() as module, module.count(n=2, hang=True) as stream:
            await anext(stream)
            await anext(stream)
            with pytest.raises(StreamTruncatedError, match="read timeout"):
                await anext(stream)


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
async def test_a_drain_under_load_loses_no_call(peers: Peers, protocol: str, blocking: bool) -> None:
    """Every connection is told to end, while new ones are taken still."""
    with through(peers, Envoy, protocol, arguments="--drain-strategy immediate --drain-time-s 60") as (way, proxy):
        load = Load(way)

        async def drain() -> None:
            await asyncio.sleep(0.3)
            await asyncio.to_thread(proxy.tell, "/drain_listeners?graceful&skip_exit")
            await asyncio.sleep(0.7)

        await load.run(drain, workers=4, blocking=blocking)
        await load.check()
