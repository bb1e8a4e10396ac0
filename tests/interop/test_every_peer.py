"""Calls, statuses, sizes, deadlines, cancels and restarts, against every gRPC server and through every proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from remote_client._client.client import RemoteClient
from remote_client._transport.status_codes import error_class
from remote_client.errors import DeadlineExceededError, RemoteCallError, UnavailableError
from remote_client.settings import CallOptions
from tests.wire.kinds import HANGING, Deed

from .methods import interop_module
from .peers import GRPC_SERVERS, Peer, Peers
from .proxies import PROXIES
from .ways import Way, lose_none

MIB = 1 << 20
CODES = [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


async def test_all_four_kinds_carry_bytes(module: Any) -> None:
    assert await module.echo(b"hello") == b"hello"
    assert [item async for item in module.count(n=3)] == [b"0", b"1", b"2"]
    assert await module.sum([b"1", b"2", b"3"]) == b"6"
    assert [item async for item in module.chat([b"a", b"b"])] == [b"a", b"b"]


async def test_every_status_is_the_class_of_its_name(module: Any) -> None:
    for code in CODES:
        with pytest.raises(error_class(code)) as caught:
            await module.fail(code=code, details=f"it is {code}")
        assert caught.value.details.endswith(f"it is {code}"), f"{code}: {caught.value}"
        assert caught.value.code.name == code


async def test_a_status_after_items(module: Any) -> None:
    seen = []
    with pytest.raises(error_class("DATA_LOSS")):
        async for item in module.count(n=2, fail="DATA_LOSS"):
            seen.append(item)
    assert seen == [b"0", b"1"]


async def test_a_status_that_comes_before_the_request_is_whole(module: Any) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"fail"
        await asyncio.Event().wait()

    with pytest.raises(error_class("FAILED_PRECONDITION")):
        await module.sum(requests())


async def test_an_answer_that_comes_before_the_request_is_whole(module: Any) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"41"
        yield b"stop"
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        assert await module.sum(requests()) == b"41"


async def test_a_big_message_each_way(module: Any) -> None:
    body = bytes(range(256)) * (8 * MIB // 256)
    assert await module.echo(body) == body
    assert len(await module.big(size=32 * MIB)) == 32 * MIB


async def test_big_items_each_way(module: Any) -> None:
    items = [bytes([number]) * (MIB + number) for number in range(8)]
    assert [item async for item in module.chat(items)] == items


async def test_many_items_each_way(module: Any) -> None:
    items = [b"%d" % number for number in range(2000)]
    assert [item async for item in module.chat(items)] == items
    assert await module.sum(items) == b"%d" % sum(range(2000))
    assert len([item async for item in module.count(n=2000)]) == 2000


async def test_many_calls_at_once(module: Any) -> None:
    bodies = [b"%d" % number for number in range(500)]
    assert await asyncio.gather(*map(module.echo, bodies)) == bodies


async def test_streams_and_calls_beside_a_reader_that_does_not_read(module: Any) -> None:
    async with contextlib.AsyncExitStack() as stack:
        unread = [await stack.enter_async_context(module.count(n=50, size=MIB)) for _ in range(4)]
        for each in unread:
            assert len(await anext(each)) > MIB
        async with asyncio.timeout(10):
            assert await module.echo(b"beside") == b"beside"
            assert [item async for item in module.count(n=3)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("kind", HANGING["grpc"])
async def test_a_cancel_reaches_the_server(peer: Peer, module: Any, kind: str) -> None:
    deed: Deed = HANGING["grpc"][kind]
    await peer.faults(lag=2)
    task = asyncio.ensure_future(deed(module))
    stats = await peer.until(lambda seen: bool(seen["running"]))
    if kind == "bidi":  # a proxy may keep a head to itself until data follows
        await asyncio.sleep(0.1)
    else:
        assert stats["running"], "the call did not reach the server"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stats = await peer.until(lambda seen: not seen["running"])
    assert stats["running"] == {}, f"the server still runs {stats['running']}: no cancel reached it"
    assert await module.echo(b"on") == b"on"


async def test_a_stream_that_is_left_is_cancelled(peer: Peer, module: Any) -> None:
    async with module.count(n=2, hang=True) as stream:
        assert await anext(stream) == b"0"
    stats = await peer.until(lambda seen: not seen["running"])
    assert stats["cancelled"] == {"Count": 1}, f"no cancel reached the server: {stats}"


async def test_a_deadline_ends_the_call_at_both_ends(peer: Peer) -> None:
    async with interop_module(peer.info(), options=CallOptions(timeout=0.3)) as module:
        begun = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await module.sleep(seconds=60)
        assert 0.25 < time.monotonic() - begun < 1.5
        stats = await peer.until(lambda seen: not seen["running"])
        assert stats["running"] == {}, "the server still works on a call whose deadline has passed"


async def test_the_deadline_is_told_to_the_server(peer: Peer) -> None:
    async with interop_module(peer.info(), options=CallOptions(timeout=17)) as module:
        assert 15 < json.loads(await module.left(b"")) <= 17.5
    async with interop_module(peer.info(), options=CallOptions(timeout=1e6)) as module:
        assert json.loads(await module.left(b"")) > 0.99e6
    async with interop_module(peer.info(), options=CallOptions(timeout=None)) as module:
        assert (json.loads(await module.left(b"")) or float("inf")) > 1e9


async def test_a_silent_stream_ends_by_its_timeout(peer: Peer) -> None:
    async with interop_module(peer.info(), options=CallOptions(timeout=0.3)) as module:
        with pytest.raises(DeadlineExceededError):
            await anext(module.silent())
    assert (await peer.until(lambda seen: not seen["running"]))["running"] == {}


async def test_metadata_as_large_as_a_token(peer: Peer) -> None:
    metadata = {"authorization": "Bearer " + "x" * 4000, "x-odd": " !#$%&'()*+,-./:;<=>?@[]^_`{|}~ ".strip()}
    async with interop_module(peer.info(), options=CallOptions(metadata=(metadata,))) as module:
        for _ in range(3):
            seen = dict(json.loads(await module.meta(b"")))
            assert seen["authorization"] == metadata["authorization"]
            assert seen["x-odd"] == metadata["x-odd"]
            assert seen["mm-model-id"] == "raw"


async def test_a_servers_own_pushback_is_kept(module: Any) -> None:
    with pytest.raises(UnavailableError) as caught:
        await module.fail(code="UNAVAILABLE", details="later", trailing={"grpc-retry-pushback-ms": "1500"})
    assert caught.value.pushback == 1.5


async def test_cancels_under_load_disturb_nothing(peer: Peer, module: Any) -> None:
    chance = random.Random(16)

    async def give_up(number: int) -> None:
        deeds: list[Callable[[], Awaitable[Any]]] = [
            lambda: module.sleep(seconds=60),
            lambda: module.echo(bytes(100_000)),
            lambda: _all(module.count(n=50, delay=0.01, size=20_000)),
            lambda: module.sum([b"1"] * 50 + [b"hang"]),
            lambda: _all(module.chat([bytes(1000)] * 50 + [b"hang"])),
        ]
        task = asyncio.ensure_future(deeds[number % len(deeds)]())
        await asyncio.sleep(chance.random() * 0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def go_on() -> None:
        for number in range(20):
            assert await module.echo(b"%d" % number) == b"%d" % number
            assert await _all(module.count(n=3, size=1000)) == [b"%d" % n + bytes(1000) for n in range(3)]

    await asyncio.gather(*map(give_up, range(100)), *(go_on() for _ in range(4)))
    stats = await peer.until(lambda seen: not seen["running"])
    assert stats["running"] == {}, f"the server still runs {stats['running']}: no cancel reached it"
    assert len(await module.big(size=4 * MIB)) == 4 * MIB


async def _all(stream: Any) -> list[bytes]:
    return [item async for item in stream]


async def test_keepalive_ends_no_quiet_call(peer: Peer) -> None:
    """A gRPC server ends a connection with more pings than it likes: the third without data between them, at most."""
    async with interop_module(peer.info(options={"grpc.keepalive_time_ms": 100}, timeout=30)) as module:
        quiet = asyncio.ensure_future(module.sleep(seconds=1.5))
        async with module.count(n=1, hang=True) as stream:
            assert await anext(stream) == b"0"
            assert await quiet == b"slept"
        assert await module.echo(b"on") == b"on"
    if peer.name == "strict":
        assert (await peer.stats())["made"] == 1


async def test_1500_calls_in_a_row_lose_none(module: Any) -> None:
    """nginx replaces a connection after 1,000 requests."""
    for number in range(1500):
        assert await module.echo(b"%d" % number) == b"%d" % number


@pytest.mark.parametrize("age", [0, 0.05])
async def test_rotation_loses_no_call(peer: Peer, age: float) -> None:
    end = time.monotonic() + 0.7
    answered = 0

    async def load(module: Any) -> None:
        nonlocal answered
        while time.monotonic() < end or module._caller.connections.opened <= 5:
            assert await module.echo(b"x") == b"x"
            assert [item async for item in module.count(n=3, delay=0.01)] == [b"0", b"1", b"2"]
            assert await module.sum([b"1", b"2"]) == b"3"
            assert [item async for item in module.chat([b"a", b"b"])] == [b"a", b"b"]
            answered += 4

    async with interop_module(peer.info(max_session_age=age)) as module:
        await asyncio.gather(*(load(module) for _ in range(4)))
    stats = await peer.stats()
    assert answered > 20
    assert stats["cancelled"] == {}


async def test_a_restart_is_survived(peer: Peer) -> None:
    async with interop_module(peer.info(retries=5)) as module:
        assert await module.echo(b"before") == b"before"
        stream = module.count(n=1, hang=True)
        assert await anext(stream) == b"0"
        await asyncio.to_thread(peer.restart)
        with pytest.raises(RemoteCallError) as caught:
            await anext(stream)
        assert caught.value.code.name in ("UNAVAILABLE", "UNKNOWN", "INTERNAL", "CANCELLED"), caught.value
        async with asyncio.timeout(5):
            assert await module.echo(b"after") == b"after"


@pytest.fixture(params=PROXIES)
def proxied(request: pytest.FixtureRequest, peers: Peers) -> Peer:
    """The proxies in turn."""
    peer = peers.grpc(request.param)
    peer.server.command("reset")
    return peer


async def test_a_restart_of_the_server_behind_a_proxy(proxied: Peer) -> None:
    async with interop_module(proxied.info()) as module:
        assert await module.echo(b"before") == b"before"
        proxied.server.__exit__()
        try:
            with pytest.raises(UnavailableError):
                await module.echo(b"during")
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


@pytest.mark.parametrize("name", [name for name, kind in PROXIES.items() if kind.peaceful])
async def test_a_proxy_that_ends_in_peace(peers: Peers, name: str) -> None:
    """What runs finishes, the connection is given up so that the proxy can end, and its successor gets what follows."""
    proxied, proxy = peers.grpc(name), peers.proxy(name)
    assert proxy.peaceful is not None
    async with interop_module(proxied.info(retries=5)) as module:
        stream = module.count(n=10, delay=0.05)
        assert await anext(stream) == b"0"
        try:
            proxy.signal(proxy.peaceful)
            assert await _all(stream) == [b"%d" % number for number in range(1, 10)]
            assert await asyncio.to_thread(proxy.ended, 5), "the client keeps the connection of a proxy that ends"
        finally:
            proxy.stop()
            await asyncio.to_thread(proxy.start)
        assert await module.echo(b"after") == b"after"


async def test_discovery_and_health_through_a_proxy(proxied: Peer) -> None:
    async with RemoteClient(f"127.0.0.1:{proxied.port}") as client:
        assert await client.healthy()
        assert [each.name for each in await client.models()] == ["foo"]
        model = await client.model("foo", task="SampleTask")
        assert (await model.run({"name": "a"})).greeting == "Hello a"
        assert [each.greeting async for each in model.run_stream_out({"name": "b"})] == ["Hello b"] * 3
        assert (await model.run_stream_in([{"name": "c"}, {"name": "d"}])).greeting == "Hello d"
        assert [each.greeting async for each in model.run_bidi_stream([{"name": "e"}])] == ["Hello e"]


async def test_3000_gathered_calls_are_answered_once(proxied: Peer) -> None:
    """nginx replaces a connection after 1,000 requests: what it did not take is sent anew, and nothing twice."""
    await lose_none(Way("grpc", proxied.server, proxied.port), 3000)


async def _load(module: Any, seconds: float = 2) -> None:
    """Calls and streams, eight at a time, all of which must come through."""
    end = time.monotonic() + seconds

    async def calls() -> None:
        while time.monotonic() < end:
            assert await module.echo(b"x") == b"x"
            assert [item async for item in module.count(n=2, delay=0.02)] == [b"0", b"1"]

    await asyncio.gather(*(calls() for _ in range(8)))


@pytest.mark.parametrize("name", ["asyncio", "blocking"])
async def test_connections_that_a_server_ends_by_their_age(peers: Peers, name: str) -> None:
    options = {"grpc.max_connection_age_ms": 200, "grpc.max_connection_age_grace_ms": 2000}
    with GRPC_SERVERS[name](options=options) as server:
        async with interop_module(server.info()) as module:
            await _load(module)
        assert (await server.stats())["connections"] > 3
