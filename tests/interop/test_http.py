"""HTTP/1.1 with uvicorn and hypercorn, and through every proxy."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client._transport.status_codes import http_error_class
from remote_client.errors import DeadlineExceededError, InternalError, NotFoundError, RemoteCallError, UnavailableError
from remote_client.settings import CallOptions
from tests.support.http_wire import HttpWire, http_module

from .peers import AsgiServer, Hypercorn, Peer, Peers, Uvicorn
from .proxies import PROXIES
from .ways import Way, lose_none

MIB = 1 << 20
STATUSES = [400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 499, 500, 501, 502, 503, 504, 418, 511]


@pytest_asyncio.fixture
async def http(web: Peer) -> AsyncIterator[Any]:
    """The peer's routes, on connections of their own."""
    async with http_module(web.info()) as made:
        yield made


async def test_a_body_comes_back_as_it_went(http: Any) -> None:
    for size in (0, 1, 65_536, 3_000_001):
        body = bytes(number % 256 for number in range(256)) * (size // 256 + 1)
        assert await http.echo(body[:size]) == body[:size]


async def test_a_big_answer(http: Any) -> None:
    assert await http.big(size=32 * MIB) == b'"' + b"x" * (32 * MIB) + b'"'


async def test_events(http: Any) -> None:
    items = [json.loads(item) async for item in http.count(count=100, size=500)]
    assert items == [{"number": number, "text": "x" * 500} for number in range(100)]


async def test_events_come_as_they_are_sent(http: Any) -> None:
    """Nobody on the way keeps them until the answer is whole."""
    async with http.count(count=2, delay=0.1, hang=True) as stream, asyncio.timeout(10):
        await anext(stream)
        await anext(stream)


async def test_many_events(http: Any) -> None:
    assert len([item async for item in http.count(count=3000)]) == 3000


async def test_an_event_of_an_error(http: Any) -> None:
    seen = []
    with pytest.raises(InternalError) as caught:
        async for item in http.count(count=2, fail=500):
            seen.append(item)
    assert len(seen) == 2
    assert "after the events" in caught.value.details


async def test_every_status_is_a_class(http: Any) -> None:
    for status in STATUSES:
        told = {"details": f"it is {status}", "code": status, "id": "0" * 32}
        with pytest.raises(http_error_class(status)) as caught:
            await http.fail(status=status, body=told)
        assert caught.value.http_status == status
        assert caught.value.details == f"it is {status}", caught.value


async def test_a_route_that_is_not_there(web: Peer) -> None:
    async with http_module(web.info()) as module:
        with pytest.raises(NotFoundError if web.name in ("uvicorn", "hypercorn") else RemoteCallError):
            await module.script(steps=None)


async def test_connections_are_used_again(web: Peer, http: Any) -> None:
    for number in range(30):
        assert await http.echo(b"%d" % number) == b"%d" % number
    if web.proxy is None:
        assert (await web.stats())["connections"] == 1


async def test_1500_calls_in_a_row_lose_none(http: Any) -> None:
    """nginx closes a connection after 1,000 requests."""
    for number in range(1500):
        assert await http.echo(b"%d" % number) == b"%d" % number


@pytest.mark.parametrize("kind", [Uvicorn, Hypercorn])
async def test_connections_that_a_server_closes_when_they_are_idle(kind: type[AsgiServer]) -> None:
    """Some calls come just when the server closes: those find a new connection."""
    with kind(keep_alive=1) as server:
        async with http_module(server.info()) as module:
            for pause in (0.99, 0.995, 1.0, 1.005, 1.2):
                assert await module.echo(b"x") == b"x"
                await asyncio.sleep(pause)
            assert await module.echo(b"x") == b"x"
        assert (await server.stats())["connections"] > 1


async def test_many_calls_at_once(http: Any) -> None:
    bodies = [b"%d" % number for number in range(500)]
    assert await asyncio.gather(*map(http.echo, bodies)) == bodies


@pytest.mark.parametrize("kind", ["unary", "stream", "stream between"])
async def test_a_cancel_reaches_the_server(web: Peer, http: Any, kind: str) -> None:
    async def deed() -> None:
        if kind == "unary":
            await http.sleep(seconds=3600)
        async for _ in http.silent() if kind == "stream" else http.count(count=1, hang=True):
            pass

    task = asyncio.ensure_future(deed())
    stats = await web.until(lambda seen: bool(seen["running"]))
    assert stats["running"], "the call did not reach the server"
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stats = await web.until(lambda seen: not seen["running"])
    assert stats["running"] == {}, f"the server still runs {stats['running']}: no cancel reached it"
    assert await http.echo(b"on") == b"on"


async def test_a_deadline_ends_the_call_at_both_ends(web: Peer) -> None:
    async with http_module(web.info(), options=CallOptions(timeout=0.3)) as module:
        begun = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await module.sleep(seconds=60)
        with pytest.raises(DeadlineExceededError):
            await anext(module.silent())
        assert time.monotonic() - begun < 2
    assert (await web.until(lambda seen: not seen["running"]))["running"] == {}


async def test_metadata_becomes_headers(web: Peer) -> None:
    metadata = {"authorization": "Bearer " + "x" * 4000, "x-odd": "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"}
    async with http_module(web.info(), options=CallOptions(metadata=(metadata,))) as module:
        for _ in range(3):
            assert await module.echo(b"x") == b"x"
            headers = {name.lower(): value for name, value in (await web.stats())["last"]["headers"]}
            assert headers["authorization"] == metadata["authorization"]
            assert headers["x-odd"] == metadata["x-odd"]


@pytest.mark.parametrize("age", [0, 0.05])
async def test_rotation_loses_no_call(web: Peer, age: float) -> None:
    end = time.monotonic() + 0.7

    async def load(module: Any) -> None:
        while time.monotonic() < end or module._caller.connections.opened <= 5:
            assert await module.echo(b"x") == b"x"
            assert len([item async for item in module.count(count=3, delay=0.01)]) == 3

    async with http_module(web.info(max_session_age=age)) as module:
        await asyncio.gather(*(load(module) for _ in range(4)))
    assert not (await web.stats())["cancelled"].get("POST /count")


async def test_a_restart_is_survived(web: Peer) -> None:
    async with http_module(web.info(retries=5)) as module:
        assert await module.echo(b"before") == b"before"
        stream = module.count(count=1, hang=True)
        await anext(stream)
        await asyncio.to_thread(web.restart)
        with pytest.raises(UnavailableError):
            await anext(stream)
        async with asyncio.timeout(5):
            assert await module.echo(b"after") == b"after"


@pytest.fixture(params=PROXIES)
def proxied(request: pytest.FixtureRequest, peers: Peers) -> Peer:
    """The proxies in turn."""
    peer = peers.http(request.param)
    peer.server.command("reset")
    return peer


async def test_a_restart_of_the_server_behind_a_proxy(proxied: Peer) -> None:
    async with http_module(proxied.info()) as module:
        assert await module.echo(b"before") == b"before"
        proxied.server.__exit__()
        try:
            with pytest.raises(UnavailableError) as caught:
                await module.echo(b"during")
            assert caught.value.http_status in (502, 503)
        finally:
            proxied.server.__enter__()
        end = time.monotonic() + 10
        while True:
            try:
                assert await module.echo(b"after") == b"after"
                break
            except UnavailableError:
                assert time.monotonic() < end, "the proxy does not find its server again"
                await asyncio.sleep(0.1)


async def test_3000_gathered_calls_are_answered_once(proxied: Peer) -> None:
    """nginx closes a connection after 1,000 requests."""
    await lose_none(Way("http", proxied.server, proxied.port), 3000)


async def test_an_event_stream_that_is_cut_behind_a_proxy(proxied: Peer) -> None:
    """The server ends in the middle of a stream: that is no end of it."""
    async with http_module(proxied.info()) as module:
        stream = module.count(count=1, hang=True)
        await anext(stream)
        assert isinstance(proxied.server, HttpWire)
        proxied.server.__exit__()
        try:
            with pytest.raises(UnavailableError):
                await anext(stream)
        finally:
            proxied.server.__enter__()
