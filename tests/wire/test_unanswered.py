"""Which gRPC connections are left when calls on them are not answered in their time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client._transport.net import sockets
from remote_client._transport.net.silent_peers import Unanswered
from remote_client.errors import DeadlineExceededError
from remote_client.settings import CallOptions, ConnectionInfo
from tests.support.h2_model import Received
from tests.support.strict_h2 import Connection, StrictServer
from tests.support.wire import WireServer, raw_module

pytestmark = pytest.mark.only_engine("asyncio", "grpc.aio keeps a silent connection until keepalive ends it")


@pytest_asyncio.fixture
async def module(wire: WireServer) -> AsyncIterator[Any]:
    async with raw_module(wire.info(), options=CallOptions(timeout=0.3)) as made:
        yield made


async def late(module: Any) -> None:
    """Make a call that is not answered in its time."""
    with pytest.raises(DeadlineExceededError):
        await module.sleep(seconds=60)


async def test_one_on_which_nothing_comes_is_left(wire: WireServer, module: Any) -> None:
    assert await module.echo(b"x") == b"x"
    wire.signal(signal.SIGSTOP)
    try:
        await late(module)
    finally:
        wire.signal(signal.SIGCONT)
    assert await module.echo(b"x") == b"x"
    stats = await wire.until(lambda seen: not seen["running"])
    assert stats["connections"] == 2


async def test_one_on_which_others_are_answered_is_kept(wire: WireServer, module: Any) -> None:
    waiting = asyncio.ensure_future(late(module))
    while not waiting.done():
        assert await module.echo(b"x") == b"x"
        await asyncio.sleep(0.02)
    await waiting
    assert await module.echo(b"x") == b"x"
    assert (await wire.stats())["connections"] == 1


async def test_one_that_never_answered_is_kept(wire: WireServer, module: Any) -> None:
    """Its server is slow, and would be as slow on others."""
    patient = module.with_options(timeout=1)  # on a busy machine it takes a while to connect
    for _ in range(2):
        await late(patient)
    assert (await wire.stats())["connections"] == 1


async def test_a_stream_on_one_that_is_left_goes_on(module: Any) -> None:
    assert await module.echo(b"x") == b"x"
    patient = module.with_options(timeout=20).count(n=2, delay=0.8)
    async with patient as stream:
        waiting = asyncio.ensure_future(late(module))
        assert [item async for item in stream] == [b"0", b"1"]
        await waiting


async def test_a_call_on_one_that_drains_outlives_a_pause_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that takes no new calls is given up early only if its address is no longer the server's."""
    begun: list[tuple[Connection, int]] = []
    looks: list[None] = []

    def silent(_: object) -> Unanswered:
        looks.append(None)
        if len(looks) == 6:  # after 2.5 seconds the network is back
            begun[0][0].echo(begun[0][1])
        return Unanswered(len(looks) < 6, 100.0)

    def drain(connection: Connection, stream: int, _: Received) -> None:
        begun.append((connection, stream))
        connection.goaway(2**31 - 1)
        monkeypatch.setattr(sockets, "unanswered", silent)

    async with (
        StrictServer(drain) as server,
        raw_module(ConnectionInfo(hostname="127.0.0.1", port=server.port)) as made,
    ):
        assert await made.echo(b"x") == b"x"
    assert len(begun) == 1
