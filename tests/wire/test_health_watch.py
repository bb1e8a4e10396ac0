"""The health of servers as it changes: by gRPC's Watch, by polls, and across what happens to servers and readers."""

from __future__ import annotations

import asyncio
import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from remote_client import HealthState, HealthStatus, HealthWatch, RemoteClient, sync
from remote_client.errors import (
    ClosedError,
    ConfigurationError,
    PicklingError,
    UnauthenticatedError,
    UnavailableError,
    WrongLoopError,
)
from remote_client.hooks import CallEnded
from tests.support.gate import Gate
from tests.support.runtime import free_port
from tests.support.wire import WireServer

WORDS = {"grpc": {True: "SERVING", False: "NOT_SERVING"}, "http": {True: "OK", False: "later"}}
POLL = 0.1
SERVING, NOT_SERVING = HealthState.SERVING, HealthState.NOT_SERVING
Start = Callable[..., Any]


async def serves(server: Any, yes: bool) -> None:
    word = WORDS[server.protocol][yes]
    await server.faults({"health": word} if server.protocol == "grpc" else {"GET /health": {"body": word}})


async def next_state(watch: HealthWatch) -> HealthState:
    async with asyncio.timeout(10):
        return (await anext(watch)).state


async def nothing_more(watch: HealthWatch, seconds: float = 0.3) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await anext(watch)


async def test_changes_are_given(server: Any) -> None:
    async with RemoteClient(server.target) as client, client.watch_health(poll=POLL) as watch:
        assert await anext(watch) == HealthStatus(f"127.0.0.1:{server.port}", SERVING)
        await serves(server, False)
        assert await next_state(watch) is NOT_SERVING
        await serves(server, True)
        assert await next_state(watch) is SERVING
        await nothing_more(watch)


async def test_grpc_servers_tell_themselves(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client, client.watch_health(poll=POLL) as watch:
        await next_state(watch)
        await nothing_more(watch)
    assert await wire.started("Watch") == 1
    assert await wire.started("Check") == 0


async def test_a_server_without_watch_is_polled(wire: WireServer) -> None:
    await wire.faults(unwatched=True)
    async with RemoteClient(wire.target) as client, client.watch_health(poll=POLL) as watch:
        assert await next_state(watch) is SERVING
        await serves(wire, False)
        assert await next_state(watch) is NOT_SERVING
    assert await wire.started("Watch") == 1
    assert await wire.started("Check") > 1


async def test_polls_are_apart(http_wire: Any) -> None:
    async with RemoteClient(http_wire.target) as client, client.watch_health(poll=0.3) as watch:
        await next_state(watch)
        await nothing_more(watch, 1.0)
    assert 3 <= await http_wire.started("GET /health") <= 6


async def test_a_watch_that_a_proxy_ends_is_no_change(wire: WireServer) -> None:
    await wire.faults(watch_ends=0.05)
    async with RemoteClient(wire.target) as client, client.watch_health(poll=POLL) as watch:
        assert await next_state(watch) is SERVING
        await nothing_more(watch, 1.0)
    assert 3 <= await wire.started("Watch") <= 20  # no busy loop either


async def test_a_server_that_restarts(start: Start, protocol: str) -> None:
    server = await asyncio.to_thread(start)
    async with RemoteClient(server.target) as client, client.watch_health(poll=POLL) as watch:
        assert await next_state(watch) is SERVING
        await asyncio.to_thread(server.__exit__)
        away = await anext(watch)
        assert (away.state, away.is_serving) == (HealthState.UNREACHABLE, False)
        assert isinstance(away.error, UnavailableError)
        assert str(away).startswith(f"127.0.0.1:{server.port} is UNREACHABLE (UNAVAILABLE: ")
        await asyncio.to_thread(server.restart)
        assert await next_state(watch) is SERVING


async def test_a_server_that_starts_late(start: Start, protocol: str) -> None:
    port = free_port()
    async with RemoteClient(f"{protocol}://127.0.0.1:{port}") as client, client.watch_health(poll=POLL) as watch:
        assert await next_state(watch) is HealthState.UNREACHABLE
        await asyncio.to_thread(start, port=port)
        assert await next_state(watch) is SERVING


async def test_connections_that_are_cut(server: Any) -> None:
    """A lost connection alone is no change, as the next one shows that the server is there."""
    async with Gate(server.port) as gate:
        target = f"{server.protocol}://127.0.0.1:{gate.port}"
        async with RemoteClient(target) as client, client.watch_health(poll=POLL) as watch:
            assert await next_state(watch) is SERVING
            gate.cut()
            await nothing_more(watch, 0.8)
            await gate.shut()
            assert await next_state(watch) is HealthState.UNREACHABLE
            await gate.open()
            assert await next_state(watch) is SERVING


@pytest.mark.slow
async def test_a_frozen_server_over_grpc(start_wire: Start) -> None:
    """gRPC's keepalive finds it."""
    await _frozen(await asyncio.to_thread(start_wire))


async def test_a_frozen_server_over_http(start_http: Start) -> None:
    """The client's timeout finds it."""
    await _frozen(await asyncio.to_thread(start_http))


async def _frozen(server: Any) -> None:
    options = {"grpc.keepalive_time_ms": 1000, "grpc.keepalive_timeout_ms": 500, "grpc.http2.ping_timeout_ms": 500}
    info = server.info(options=options if server.protocol == "grpc" else {}, timeout=0.3)
    async with RemoteClient(info, protocol=server.protocol) as client, client.watch_health(poll=POLL) as watch:
        assert await next_state(watch) is SERVING
        server.signal(signal.SIGSTOP)
        assert await next_state(watch) is HealthState.UNREACHABLE
        server.signal(signal.SIGCONT)
        assert await next_state(watch) is SERVING


async def test_a_refusal_is_a_status(server: Any) -> None:
    await server.faults(only=["Bearer right"])
    async with RemoteClient(server.target) as client, client.watch_health(poll=POLL) as watch:
        status = await anext(watch)
        assert status.state is HealthState.UNKNOWN
        assert isinstance(status.error, UnauthenticatedError)
        await server.faults(only=[None if server.protocol == "grpc" else ""])
        assert await next_state(watch) is SERVING


async def test_all_servers_are_watched(server: Any, start: Start) -> None:
    second = await asyncio.to_thread(start)
    async with RemoteClient([server.target, second.target]) as client, client.watch_health(poll=POLL) as watch:
        first = {(await anext(watch)).target, (await anext(watch)).target}
        assert first == {f"127.0.0.1:{server.port}", f"127.0.0.1:{second.port}"}
        await serves(second, False)
        assert await anext(watch) == HealthStatus(f"127.0.0.1:{second.port}", NOT_SERVING)


async def test_a_slow_reader_gets_what_is_true(server: Any) -> None:
    async with RemoteClient(server.target) as client, client.watch_health(poll=POLL) as watch:
        assert await next_state(watch) is SERVING
        await serves(server, False)
        await asyncio.sleep(0.25)
        await serves(server, True)
        await asyncio.sleep(0.25)
        await nothing_more(watch, 0.2)


async def test_a_function_that_raises_ends_the_watch(server: Any) -> None:
    def token() -> dict[str, str]:
        raise LookupError("no token")

    async with RemoteClient(server.target, metadata=token) as client, client.watch_health() as watch:
        with pytest.raises(LookupError, match="no token"):
            await anext(watch)
        with pytest.raises(StopAsyncIteration):
            await anext(watch)


# -- its end ----------------------------------------------------------------------------------------------------------


async def test_the_end_of_the_client_is_its_end(server: Any) -> None:
    async with RemoteClient(server.target) as client:
        watch = client.watch_health(poll=60)
        await next_state(watch)
        waiting = asyncio.create_task(anext(watch, None))
        await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        assert await waiting is None
        assert await anext(watch, None) is None


async def test_the_watch_of_a_copy_outlives_the_copy_alone(server: Any) -> None:
    async with RemoteClient(server.target) as client:
        async with client.with_options(timeout=5) as copy:
            await copy.wait_until_ready(5)
            watch = copy.watch_health(poll=POLL)
            assert await next_state(watch) is SERVING
        await serves(server, False)
        assert await next_state(watch) is NOT_SERVING
    assert await anext(watch, None) is None


async def test_a_closed_client_watches_nothing(server: Any) -> None:
    client = RemoteClient(server.target)
    await client.aclose()
    with pytest.raises(ClosedError):
        await anext(client.watch_health())


async def _left(way: str, client: RemoteClient, wire: WireServer) -> None:
    watch: Any = client.watch_health()
    await next_state(watch)
    await wire.until_running(1)
    if way == "aclose":
        await watch.aclose()
        assert await anext(watch, None) is None
    elif way == "async with":
        async with watch:
            pass
    elif way == "dropped":
        del watch
    else:
        await client.aclose()


@pytest.mark.parametrize("way", ["aclose", "async with", "dropped", "client"])
async def test_leaving_it_cancels_the_watch_at_the_server(wire: WireServer, no_gc: None, way: str) -> None:
    async with RemoteClient(wire.target) as client:
        await _left(way, client, wire)
        await wire.until_running(0)
        if way != "client":
            assert await client.healthy()


async def test_a_break_cancels_the_watch_at_the_server(wire: WireServer, no_gc: None) -> None:
    async with RemoteClient(wire.target) as client:
        async for status in client.watch_health():
            assert status.is_serving
            break
        await wire.until_running(0)


async def test_a_cancelled_read_loses_nothing(server: Any) -> None:
    async with RemoteClient(server.target) as client, client.watch_health(poll=POLL) as watch:
        await next_state(watch)
        await nothing_more(watch, 0.05)
        await serves(server, False)
        assert await next_state(watch) is NOT_SERVING


async def test_several_readers_share_the_changes(server: Any) -> None:
    async with RemoteClient(server.target) as client, client.watch_health(poll=POLL) as watch:
        readers = [asyncio.create_task(anext(watch)) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert sum(reader.done() for reader in readers) == 1
        await serves(server, False)
        assert sorted([(await reader).state for reader in readers]) == [NOT_SERVING, SERVING]


async def test_hooks_see_the_calls(server: Any) -> None:
    events: list[Any] = []
    async with RemoteClient(server.target, hooks=[events.append]) as client, client.watch_health(poll=POLL) as watch:
        await next_state(watch)
    ended = [each.method for each in events if isinstance(each, CallEnded)]
    assert ended == ["grpc.health.v1.Health/Watch" if server.protocol == "grpc" else "GET /health"]


async def test_a_watch_belongs_to_its_loop(server: Any) -> None:
    async with RemoteClient(server.target) as client, client.watch_health() as watch:
        for deed in (lambda: anext(watch), watch.aclose):
            with pytest.raises(WrongLoopError):
                await asyncio.to_thread(lambda deed=deed: asyncio.run(_awaited(deed)))


async def _awaited(deed: Callable[[], Any]) -> None:
    await deed()


async def test_a_watch_is_not_pickled_but_its_client_is(server: Any) -> None:
    async with RemoteClient(server.target) as client, client.watch_health() as watch:
        assert await next_state(watch) is SERVING
        with pytest.raises(PicklingError):
            pickle.dumps(watch)
        async with pickle.loads(pickle.dumps(client)) as other:
            assert await other.healthy()


@pytest.mark.parametrize("poll", [None, "1", float("nan")])
def test_polls_that_are_no_duration(poll: Any) -> None:
    with pytest.raises(ConfigurationError, match="poll"):
        RemoteClient("localhost:1").watch_health(poll=poll)


# -- blocking ---------------------------------------------------------------------------------------------------------


def _blocking(server: Any, states: list[HealthState], seen: threading.Event) -> None:
    with sync.RemoteClient(server.target) as client:
        for status in client.watch_health(poll=POLL):
            states.append(status.state)
            seen.set()
            if len(states) == 2:
                break


async def test_a_blocking_watch(server: Any) -> None:
    states, seen = list[HealthState](), threading.Event()
    reading = asyncio.create_task(asyncio.to_thread(_blocking, server, states, seen))
    assert await asyncio.to_thread(seen.wait, 10)
    await serves(server, False)
    await reading
    assert states == [SERVING, NOT_SERVING]
    await server.until_running(0)


@pytest.mark.parametrize("way", ["watch", "client"])
async def test_a_blocking_watch_that_is_closed(server: Any, way: str) -> None:
    def read(watch: Any) -> list[Any]:
        return list(watch)

    client = await asyncio.to_thread(sync.RemoteClient, server.target)
    watch = client.watch_health(poll=60)
    assert (await asyncio.to_thread(next, watch)).is_serving
    reading = asyncio.create_task(asyncio.to_thread(read, watch))
    await asyncio.sleep(0.1)
    await asyncio.to_thread((watch if way == "watch" else client).close)
    assert await reading == []
    await asyncio.to_thread(client.close)
