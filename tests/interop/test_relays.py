"""What a network or an old relay between client and server does to calls, on both protocols."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import (
    DeadlineExceededError,
    InternalError,
    RemoteCallError,
    StreamTruncatedError,
    UnavailableError,
)
from remote_client.settings import CallOptions
from tests.support.faulty_proxy import FaultyProxy
from tests.support.old_relay import OldRelay
from tests.support.proxy import Proxy

from .peers import Peers
from .ways import Load, Way, lose_none

BODY = bytes(20_000)
CUTS = (1, 30, 2000, 19_000)
"""Bytes of answers, across connections' and answers' heads and bodies."""


@pytest.fixture
def server(peers: Peers, protocol: str) -> Any:
    """The server of a protocol, with nothing counted."""
    found = peers.server("wire" if protocol == "http" else "asyncio")
    found.command("reset")
    return found


@contextlib.asynccontextmanager
async def faulty(server: Any, protocol: str) -> AsyncIterator[tuple[Way, FaultyProxy]]:
    async with FaultyProxy(server.port, None, random.Random(18)) as relay:
        yield Way(protocol, server, relay.port), relay


async def test_a_relay_that_black_holes_connections(server: Any, protocol: str) -> None:
    """A call ends by its deadline; what is sent when the way is free again finds a connection that works."""
    async with faulty(server, protocol) as (way, relay), way.module(options=CallOptions(timeout=0.5)) as module:
        assert await module.echo(b"before") == b"before"
        relay.fault = "freeze"
        for _ in range(3):
            with pytest.raises(DeadlineExceededError) as caught:
                await module.echo(b"lost")
            assert not caught.value.outcome_known
        relay.fault = None
        assert await _until_it_works(module) == b"x"
        assert await way.begun() == {"echo": 2}


async def test_a_relay_that_resets_connections(server: Any, protocol: str) -> None:
    """Every call began, none was answered: no outcome is known, and retries find the way when it is free again."""
    async with faulty(server, protocol) as (way, relay), way.module() as module:
        relay.cut_after = 1
        for _ in range(5):
            with pytest.raises(UnavailableError) as caught:
                await module.echo(b"x")
            assert not isinstance(caught.value, InternalError)
        relay.cut_after = 0
        assert await _until_it_works(module) == b"x"


async def test_a_relay_that_takes_connections_and_closes_them(server: Any, protocol: str) -> None:
    async with faulty(server, protocol) as (way, relay):
        relay.fault = "accept and close"
        async with way.module() as module:
            with pytest.raises(UnavailableError) as caught:
                await module.echo(b"x")
            assert "127.0.0.1" in str(caught.value)
            relay.fault = None
            assert await _until_it_works(module) == b"x"
        assert await way.begun() == {"echo": 1}


async def test_a_relay_that_drips(server: Any, protocol: str) -> None:
    async with faulty(server, protocol) as (way, relay):
        relay.fault = "throttle"
        await lose_none(way, 50)
        async with way.module() as module:
            assert await module.echo(BODY[:5000]) == BODY[:5000]
            assert len([item async for item in module.count(n=20)]) == 20


@pytest.mark.parametrize("gently", [False, True], ids=["reset", "closed"])
@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("cut", CUTS)
async def test_an_answer_that_is_cut(server: Any, protocol: str, cut: int, blocking: bool, gently: bool) -> None:
    """A length, a frame or a chunk that is not filled is no answer, and the model's own error neither."""
    async with faulty(server, protocol) as (way, relay), way.caller(blocking) as module:
        relay.cut_after, relay.gently = cut, gently
        with pytest.raises(UnavailableError):
            await module.echo(BODY)
        seen = []
        with pytest.raises(UnavailableError) as caught:
            async for item in module.count(n=100, size=1000):
                seen.append(item)
        assert len(seen) <= cut // 1000
        assert bool(seen) <= isinstance(caught.value, StreamTruncatedError)
        assert "ount" in (caught.value.method or ""), "the error names the method"
        relay.cut_after = 0
        assert await _until_it_works(module) == b"x"


async def test_a_relay_that_cuts_under_load(server: Any, protocol: str) -> None:
    """Retries get everything through that can be sent again: what fails is a stream that had given items."""
    async with Proxy(server.port) as relay:
        load = Load(Way(protocol, server, relay.port))

        async def cuts() -> None:
            for _ in range(5):
                await asyncio.sleep(0.2)
                relay.cut()

        await load.run(cuts, retries=5)
        assert {name for name, _ in load.lost} <= {"count"}, load.lost
        assert all(isinstance(error, UnavailableError) for _, error in load.lost), load.lost
        assert load.answered["echo"] > 20


@pytest.mark.parametrize("protocol", ["http"])
async def test_answers_of_http_1_0(server: Any, protocol: str) -> None:
    """A connection for each call; the end of events cannot be told from a cut."""
    async with OldRelay(server.port) as relay:
        way = Way(protocol, server, relay.port)
        await lose_none(way, 200)
        async with way.module() as module:
            seen = []
            with pytest.raises(StreamTruncatedError) as caught:
                async for item in module.count(n=3):
                    seen.append(item)
            assert len(seen) == 3
            assert "known" in str(caught.value)


@pytest.mark.parametrize("protocol", ["grpc"])
async def test_a_relay_that_speaks_http_1_alone(server: Any, protocol: str) -> None:
    async with OldRelay(server.port) as relay, Way(protocol, server, relay.port).module() as module:
        with pytest.raises(RemoteCallError) as caught:
            await module.echo(b"x")
        assert "HTTP/1" in str(caught.value)


async def _until_it_works(module: Any) -> Any:
    """The first answer; meanwhile a pause after a failed connect, or a connection that is silent, may be noticed."""
    async with asyncio.timeout(8):
        while True:
            with contextlib.suppress(UnavailableError, DeadlineExceededError):
                return await module.echo(b"x")
            await asyncio.sleep(0.05)
