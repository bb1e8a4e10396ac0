"""What HAProxy does with its settings that people meet: backends that are down, closed connections, idle limits."""

from __future__ import annotations

import asyncio

import pytest

from remote_client.errors import StreamTruncatedError, UnavailableError

from .peers import Peers
from .proxies import Haproxy
from .ways import Load, answer_after, end_with_504, lose_none, through


async def test_a_backend_that_is_down(peers: Peers, protocol: str) -> None:
    """HAProxy's page of 503 is told by its status and its title; nothing reached a server."""
    with through(peers, Haproxy, protocol) as (way, proxy):
        for name in ("grpc_server", "http_server"):
            proxy.tell(f"disable server {name}/one")
        async with way.module() as module:
            for answers in (False, True):
                with pytest.raises(UnavailableError) as caught:
                    await (anext(module.count(n=1)) if answers else module.echo(b"x"))
                assert caught.value.http_status == 503
                assert "503" in str(caught.value)
                assert "<" not in str(caught.value), "the page's markup tells nobody anything"
        async with way.caller(blocking=True) as module:
            with pytest.raises(UnavailableError, match="503") as caught:
                await module.echo(b"x")
        assert not await way.begun()
        async with way.module(retries=8) as module:
            call = asyncio.ensure_future(module.echo(b"x"))
            await asyncio.sleep(0.2)
            for name in ("grpc_server", "http_server"):
                proxy.tell(f"enable server {name}/one")
            assert await call == b"x"


@pytest.mark.parametrize("option", ["httpclose", "http-server-close"])
async def test_connections_that_end_after_each_answer(peers: Peers, protocol: str, option: str) -> None:
    with through(peers, Haproxy, protocol, all=f"option {option}") as (way, _):
        await lose_none(way, 500)
        load = Load(way)
        way.server.command("reset")
        await load.run(lambda: asyncio.sleep(0.5))
        await load.check()


@pytest.mark.parametrize("limit", ["http-keep-alive", "client", "http-request"])
async def test_idle_connections_that_the_proxy_closes(peers: Peers, protocol: str, limit: str) -> None:
    """Calls come just when the proxy closes: they are sent on a new connection, and begin once."""
    with through(peers, Haproxy, protocol, all=f"timeout {limit} 200ms") as (way, _):
        await answer_after(way, (0.19, 0.195, 0.198, 0.2, 0.201, 0.202, 0.205, 0.21, 0.3))


async def test_a_call_longer_than_the_servers_timeout(peers: Peers, protocol: str) -> None:
    with through(peers, Haproxy, protocol, all="timeout server 300ms") as (way, _):
        await end_with_504(way)
        assert await way.begun() == {"sleep": 1}


async def test_a_silence_in_a_stream_longer_than_the_servers_timeout(peers: Peers, protocol: str) -> None:
    with through(peers, Haproxy, protocol, all="timeout server 300ms") as (way, _):
        async with way.module() as module, module.count(n=2, hang=True) as stream:
            await anext(stream)
            await anext(stream)
            with pytest.raises(StreamTruncatedError, match="read timeout"):
                await anext(stream)


async def test_calls_longer_than_the_clients_timeout(peers: Peers, protocol: str) -> None:
    """`timeout client` does not count while the server works."""
    with through(peers, Haproxy, protocol, all="timeout client 200ms") as (way, _):
        async with way.module() as module:
            assert await module.sleep(seconds=0.6) in (b"slept", b'"slept"')
            assert len([item async for item in module.count(n=2, delay=0.6)]) == 2
