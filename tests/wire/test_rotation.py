"""Connections are replaced without losing a call, and leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from remote_client._transport.call import Transport
from remote_client._transport.engine import open_connections
from remote_client._transport.http.transport import HttpTransport
from remote_client._transport.manager import ConnectionManager
from tests.support.clock import Hours
from tests.support.http_wire import HttpWire
from tests.support.proxy import Proxy
from tests.support.wire import WireServer, open_files, settled

from .kinds import HANGING, Deed, every_place, stream_in_waiting, stream_out, unary

Server = WireServer | HttpWire


async def bidi_waiting(module: Any) -> Any:
    return await anext(module.chat([b"hang"]))


SOME = {
    "grpc": {deed.__name__: deed for deed in (unary, stream_out, stream_in_waiting, bidi_waiting)},
    "http": HANGING["http"],
}


class Connector:
    """Makes transports and counts them."""

    def __init__(self, server: Server, port: int | None = None) -> None:
        info = server.info(port=port or server.port)
        # Over HTTP always the client's own engine: httpx's keeps no connections in these tests.
        self._connect: Callable[[], Transport] = (
            partial(HttpTransport, info) if server.protocol == "http" else open_connections(info, "grpc")._connect
        )
        self.made = 0

    def __call__(self) -> Transport:
        self.made += 1
        return self._connect()


def _aged(server: Server, age: float, port: int | None = None) -> tuple[Any, ConnectionManager, Connector]:
    connector = Connector(server, port)
    manager = ConnectionManager(connector, max_session_age=age, jitter=lambda: 0)
    return server.plain(manager), manager, connector


async def _one_is_left(server: Server, before: int) -> None:
    """Of the connections that were made one is open; a gRPC server counts sockets of its own too."""
    most = before + 1 if server.protocol == "grpc" else 1
    assert 1 <= (await server.until(lambda seen: seen["open"] <= most))["open"] <= most


async def test_1000_rotations_over_grpc_lose_no_call_and_leave_no_file(wire: WireServer, module: Any) -> None:
    await module.echo(b"")  # what gRPC opens once and for all is open now
    files, before = open_files(), (await wire.stats())["open"]
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
        module, manager, connector = _aged(wire, 0.004, port=proxy.port)
        await asyncio.gather(*(load() for _ in range(4)))
        await manager.aclose()
        assert proxy.accepted == connector.made > 1000
    stats = await wire.stats()
    assert sum(stats["started"].values()) == answered + 1
    assert stats["cancelled"] == {}
    assert await settled(open_files, files) <= files
    assert (await wire.until(lambda seen: seen["open"] <= before))["open"] <= before


async def test_1000_rotations_over_http_lose_no_call_and_leave_no_file(http_wire: HttpWire) -> None:
    files = open_files()
    module, manager, connector = _aged(http_wire, 0.0005)
    answered = 0

    async def load() -> None:
        nonlocal answered
        while connector.made <= 1000:
            assert await module.echo(b"x") == b"x"
            assert len([item async for item in module.count(n=2)]) == 2
            answered += 2

    await asyncio.gather(*(load() for _ in range(4)))
    await manager.aclose()
    stats = await http_wire.until(lambda seen: not seen["open"])
    assert (stats["open"], stats["running"], stats["cancelled"]) == (0, {}, {})
    assert sum(stats["started"].values()) == answered
    assert 900 < stats["connections"] <= 4 * connector.made
    assert await settled(open_files, files) <= files


async def test_below_zero_never_rotates(server: Server) -> None:
    module, manager, connector = _aged(server, -1)
    for _ in range(50):
        await module.echo(b"")
    await manager.aclose()
    assert (connector.made, (await server.stats())["connections"]) == (1, 1)


async def test_zero_is_a_connection_for_each_call(server: Server, protocol: str) -> None:
    module, manager, connector = _aged(server, 0)
    before = (await server.stats())["open"]
    for _ in range(20):
        await module.echo(b"")
    await asyncio.gather(*(module.echo(b"") for _ in range(20)))
    assert len([item async for item in module.count(n=2)]) == 2
    async for _ in module.count(n=2, hang=True):
        break
    stats = await server.until(lambda seen: seen["open"] <= before)
    assert connector.made == 42
    assert stats["open"] <= before
    # A gRPC server knows connections by their ports, which may come again.
    assert stats["connections"] == 42 or (protocol == "grpc" and stats["connections"] > 38)
    assert not manager._draining
    await manager.aclose()


async def test_above_zero_rotates_by_age(server: Server) -> None:
    module, manager, connector = _aged(server, 0.1)
    before = (await server.stats())["open"]
    begun = asyncio.get_running_loop().time()
    for _ in range(20):
        await module.echo(b"")
        await asyncio.sleep(0.02)
    most = 1 + (asyncio.get_running_loop().time() - begun) / 0.1
    await _one_is_left(server, before)
    assert 3 <= connector.made <= most
    assert (await server.stats())["connections"] == connector.made
    await manager.aclose()


async def test_the_setting_is_the_connection_infos(server: Server) -> None:
    async with server.plain(max_session_age=0) as module:
        for _ in range(5):
            await module.echo(b"")
    # A gRPC server knows connections by their ports, which may come again.
    assert 5 - (server.protocol == "grpc") <= (await server.stats())["connections"] <= 5


async def test_a_long_stream_keeps_its_connection(server: Server) -> None:
    async with server.plain() as other:
        await other.echo(b"")  # what gRPC opens once and for all is open now
    before = (await server.stats())["open"]
    module, manager, connector = _aged(server, 0.02)
    items = []
    async for item in module.count(n=20, delay=0.02):
        items.append(item)
        await module.echo(b"")
    assert [int("".join(filter(str.isdigit, item.decode()))) for item in items] == list(range(20))
    assert connector.made > 5
    # The stream's generation ended with it, and all others when the next came.
    await _one_is_left(server, before)
    await manager.aclose()
    assert (await server.stats())["cancelled"] == {}


@every_place(SOME)
async def test_calls_of_hours_outlive_the_age_of_their_connection(server: Server, deed: Deed) -> None:
    module, manager, connector = _aged(server, 600)
    forever = module.with_options(timeout=None)
    with Hours(asyncio.get_running_loop()) as clock:
        hanging = [asyncio.ensure_future(deed(forever)) for _ in range(2)]
        await server.until_running(2)
        for _ in range(12):
            await clock.go_by(700)
            assert await module.echo(b"x") == b"x"  # rotates
        assert connector.made == 13
        await server.until_running(2)
        assert not any(call.done() for call in hanging)
        for call in hanging:
            call.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        await manager.aclose()
    assert (await server.until(lambda seen: not seen["running"]))["running"] == {}


@every_place(SOME)
@pytest.mark.parametrize("wait", [0, 0.004])
async def test_cancel_then_close_leaks_no_socket(
    server: Server, plain: Any, no_gc: None, deed: Deed, wait: float
) -> None:
    await plain.echo(b"")
    files, before = open_files(), (await server.stats())["open"]
    for _ in range(20):
        manager = open_connections(server.info(), server.protocol)
        task = asyncio.ensure_future(deed(server.plain(manager)))
        await asyncio.sleep(wait)
        task.cancel()
        await manager.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task
    del task, manager
    assert await settled(open_files, files) <= files
    assert (await server.until(lambda seen: seen["open"] <= before))["open"] <= before


async def test_a_dropped_stream_gives_its_connection_back(server: Server) -> None:
    before = (await server.stats())["open"]
    module, manager, _ = _aged(server, 0.01)
    for _ in range(20):
        async for _ in module.count(n=1, hang=True):
            break
        await asyncio.sleep(0.012)
    await module.echo(b"")
    await _one_is_left(server, before)
    assert not manager._draining
    await manager.aclose()


async def test_a_failed_connect_loses_nothing(server: Server) -> None:
    """A generation that cannot be made leaves the manager able to try again."""
    connector = Connector(server)
    broken = True

    def connect() -> Transport:
        if broken:
            raise OSError("no file")
        return connector()

    module = server.plain(ConnectionManager(connect))
    with pytest.raises(OSError, match="no file"):
        await module.echo(b"")
    broken = False
    assert await module.echo(b"") == b""
    await module._caller.connections.aclose()
