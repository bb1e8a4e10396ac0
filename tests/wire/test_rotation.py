"""Connections are replaced without losing a call, and leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._transport.call import Transport
from remote_client._transport.engine import open_connections
from remote_client._transport.manager import ConnectionManager
from tests.support.clock import Hours
from tests.support.proxy import Proxy
from tests.support.wire import WireServer, open_files, raw_module, settled


class Connector:
    """Makes transports and counts them."""

    def __init__(self, wire: WireServer, port: int | None = None) -> None:
        self._connect = open_connections(wire.info(port=port or wire.port), "grpc")._connect
        self.made = 0

    def __call__(self) -> Transport:
        self.made += 1
        return self._connect()


async def _aged(
    wire: WireServer, age: float, port: int | None = None, **more: Any
) -> tuple[Any, ConnectionManager, Connector]:
    connector = Connector(wire, port)
    manager = ConnectionManager(connector, max_session_age=age, jitter=lambda: 0, **more)
    return raw_module(wire.info(), manager), manager, connector


async def test_1000_rotations_under_load_lose_no_call_and_leave_no_file(wire: WireServer, module: Any) -> None:
    await module.echo(b"")  # what gRPC opens once and for all is open now
    files, sockets = open_files(), (await wire.stats())["open"]
    answered = 0

    async def load() -> None:
        nonlocal answered
        while connector.made <= 1000:
            assert await module.echo(b"x") == b"x"
            assert [item async for item in module.count(n=3)] == [b"0", b"1", b"2"]
            assert await module.sum([b"1", b"2"]) == b"3"
            assert [item async for item in module.chat([b"a", b"b"])] == [b"a", b"b"]
            answered += 4

    async with Proxy(wire.port) as proxy:  # it counts what is accepted: the server knows connections by their ports
        module, manager, connector = await _aged(wire, 0.004, port=proxy.port)
        await asyncio.gather(*(load() for _ in range(4)))
        await manager.aclose()
        assert proxy.accepted == connector.made > 1000
    stats = await wire.stats()
    assert sum(stats["started"].values()) == answered + 1
    assert stats["cancelled"] == {}
    assert await settled(open_files, files) <= files
    assert (await wire.until(lambda seen: seen["open"] <= sockets))["open"] <= sockets


async def test_below_zero_never_rotates(wire: WireServer) -> None:
    module, manager, connector = await _aged(wire, -1)
    for _ in range(50):
        await module.echo(b"")
    await manager.aclose()
    assert (connector.made, (await wire.stats())["connections"]) == (1, 1)


async def test_zero_is_a_connection_for_each_call(wire: WireServer) -> None:
    module, manager, connector = await _aged(wire, 0)
    for _ in range(20):
        await module.echo(b"")
    await asyncio.gather(*(module.echo(b"") for _ in range(20)))
    assert [item async for item in module.count(n=2)] == [b"0", b"1"]
    assert connector.made == 41
    assert (await wire.stats())["connections"] > 38
    assert not manager._draining
    await manager.aclose()


async def test_above_zero_rotates_by_age(wire: WireServer) -> None:
    module, manager, connector = await _aged(wire, 0.1)
    begun = asyncio.get_running_loop().time()
    for _ in range(20):
        await module.echo(b"")
        await asyncio.sleep(0.02)
    most = 1 + (asyncio.get_running_loop().time() - begun) / 0.1
    await manager.aclose()
    assert 3 <= connector.made <= most
    assert (await wire.stats())["connections"] == connector.made


async def test_the_setting_is_the_connection_infos(wire: WireServer) -> None:
    async with raw_module(wire.info(max_session_age=0)) as module:
        for _ in range(5):
            await module.echo(b"")
    assert (await wire.stats())["connections"] >= 4


async def test_a_long_stream_keeps_its_connection(wire: WireServer, module: Any) -> None:
    await module.echo(b"")
    sockets = (await wire.stats())["open"]
    module, manager, connector = await _aged(wire, 0.02)
    items = []
    async for item in module.count(n=30, delay=0.02):
        items.append(item)
        await module.echo(b"")
    assert items == [b"%d" % index for index in range(30)]
    assert connector.made > 5
    # The stream's generation ended with it, and all others when the next came.
    assert (await wire.until(lambda seen: seen["open"] <= sockets + 1))["open"] <= sockets + 1
    await manager.aclose()


async def test_calls_of_hours_outlive_the_age_of_their_connection(wire: WireServer) -> None:
    module, manager, connector = await _aged(wire, 600)
    forever = module.with_options(timeout=None)
    with Hours(asyncio.get_running_loop()) as clock:
        hanging = [
            asyncio.create_task(forever.sleep(seconds=3600)),
            asyncio.create_task(anext(forever.silent())),
            asyncio.create_task(forever.sum([b"hang"])),
            asyncio.create_task(anext(forever.chat([b"hang"]))),
        ]
        await wire.until_running(4)
        for _ in range(12):
            await clock.go_by(700)
            assert await module.echo(b"x") == b"x"  # rotates
        assert connector.made == 13
        assert not any(each.done() for each in hanging)
        await wire.until_running(4)
        for each in hanging:
            each.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        await manager.aclose()
    assert (await wire.until(lambda seen: not seen["running"]))["running"] == {}


@pytest.mark.parametrize(
    "start",
    [
        lambda module: module.sleep(seconds=3600),
        lambda module: anext(module.silent()),
        lambda module: module.sum([b"hang"]),
        lambda module: anext(module.chat([b"hang"])),
    ],
    ids=["unary", "stream_out", "stream_in", "bidi"],
)
@pytest.mark.parametrize("wait", [0, 0.004])
async def test_cancel_then_close_leaks_no_socket(
    wire: WireServer, module: Any, no_gc: None, start: Callable[[Any], Any], wait: float
) -> None:
    await module.echo(b"")
    files, sockets = open_files(), (await wire.stats())["open"]
    for _ in range(40):
        manager = open_connections(wire.info(), "grpc")
        task = asyncio.ensure_future(start(raw_module(wire.info(), manager)))
        await asyncio.sleep(wait)
        task.cancel()
        await manager.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task
    del task, manager
    assert await settled(open_files, files) <= files
    assert (await wire.until(lambda seen: seen["open"] <= sockets))["open"] <= sockets


async def test_a_dropped_stream_gives_its_connection_back(wire: WireServer) -> None:
    module, manager, _ = await _aged(wire, 0.01)
    for _ in range(20):
        async for _ in module.count(n=1, hang=True):
            break
        await asyncio.sleep(0.012)
    await module.echo(b"")
    await asyncio.sleep(0.05)
    assert not manager._draining
    await manager.aclose()


async def test_a_failed_connect_loses_nothing(wire: WireServer) -> None:
    """A generation that cannot be made leaves the manager able to try again."""
    connector = Connector(wire)
    broken = True

    def connect() -> Transport:
        if broken:
            raise OSError("no file")
        return connector()

    module = raw_module(wire.info(), ConnectionManager(connect))
    with pytest.raises(OSError, match="no file"):
        await module.echo(b"")
    broken = False
    assert await module.echo(b"") == b""
    await module._caller.connections.aclose()
