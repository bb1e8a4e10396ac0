"""Clients of one event loop share what they can: a server's limit of waiting calls, and what it tells of itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import tracemalloc
from typing import Any

import pytest

from remote_client import RemoteClient, sync
from remote_client.errors import ClosedError
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer, raw_module

Server = WireServer | HttpWire


@pytest.fixture
def many_files() -> Any:
    """Sockets for a thousand clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_they_share_a_servers_limit(server: Server) -> None:
    async with contextlib.AsyncExitStack() as stack:
        modules = [await stack.enter_async_context(server.plain(max_pending=5)) for _ in range(10)]
        calls = [asyncio.ensure_future(each.sleep(seconds=0.2)) for each in modules for _ in range(2)]
        most = 0
        while not all(each.done() for each in calls):
            most = max(most, sum((await server.stats())["running"].values()))
            await asyncio.sleep(0.01)
        await asyncio.gather(*calls)
    assert 1 <= most <= 5


async def test_one_that_closes_frees_its_calls_alone(server: Server) -> None:
    async with server.plain(max_pending=1) as first, server.plain(max_pending=1) as other:
        closing = server.plain(max_pending=1)
        holds_the_place = asyncio.ensure_future(first.sleep(seconds=0.5))
        await asyncio.sleep(0)
        waits, goes_on = (asyncio.ensure_future(each.echo(b'"x"')) for each in (closing, other))
        await asyncio.sleep(0)
        await closing.aclose()
        with pytest.raises(ClosedError):
            await waits
        assert not holds_the_place.done()
        with pytest.raises(ClosedError):  # at once, not when its turn comes
            await closing.echo(b"")
        assert not holds_the_place.done()
        assert await goes_on == b'"x"'
        await holds_the_place


async def test_no_server_sheds_for_many_clients_of_many_calls(wire: WireServer, many_files: None) -> None:
    async with contextlib.AsyncExitStack() as stack:
        modules = [await stack.enter_async_context(raw_module(wire.info())) for _ in range(300)]
        answers = await asyncio.gather(*(each.sleep(seconds=0.3) for each in modules for _ in range(5)))
    assert answers == [b"slept"] * 1500


async def test_a_thousand_clients_find_their_model_and_call_it(server: Server, many_files: None) -> None:
    grpc = isinstance(server, WireServer)
    target = server.target

    async def use(client: RemoteClient) -> str:
        model = await client.model("foo" if grpc else "raw")
        answer = await (model.run_sample({"name": "x"}) if grpc else model.run_echo("Hello x"))
        said: str = answer.greeting if grpc else answer.text
        return said

    clients = [RemoteClient(target) for _ in range(1000)]
    try:
        assert await asyncio.gather(*map(use, clients)) == ["Hello x"] * 1000
    finally:
        await asyncio.gather(*(each.aclose() for each in clients))


async def test_one_more_client_makes_no_types_and_takes_little(server: Server) -> None:
    """A client may take 60 KB. The types of a server's interface are megabytes, so all clients have the same."""

    async def one_more() -> tuple[RemoteClient, Any]:
        client = RemoteClient(server.target)
        model = await client.model("foo" if isinstance(server, WireServer) else "raw")
        await (model.run_sample({"name": "x"}) if isinstance(server, WireServer) else model.run_echo("x"))
        return client, model

    opened = [await one_more() for _ in range(5)]
    gc.collect()
    types = {each for each in gc.get_objects() if isinstance(each, type)}
    tracemalloc.start()
    try:
        opened += [await one_more() for _ in range(20)]
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] / 20
    finally:
        tracemalloc.stop()
    assert {each for each in gc.get_objects() if isinstance(each, type)} <= types
    assert taken < 60_000
    await asyncio.gather(*(client.aclose() for client, _ in opened))


def test_blocking_clients_share_too(wire: WireServer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(sync.RemoteClient(wire.target)) for _ in range(3)]
        for each in clients:
            each.models()
        twins = [each._twin._finder.servers[0].caller.connections for each in clients]
        assert len({id(each.pending) for each in twins}) == 1


# -- a server's description -------------------------------------------------------------------------------------------


async def described(count: int, *targets: Any, **settings: Any) -> list[Any]:
    """What clients of these targets that ask at the same time learn."""
    clients = [RemoteClient(each, **settings) for each in targets for _ in range(count)]
    try:
        return await asyncio.gather(*(each.describe() for each in clients))
    finally:
        await asyncio.gather(*(each.aclose() for each in clients))


async def asked(server: Server) -> int:
    """How often the server was asked to describe itself."""
    return await server.started("reflection v1", "GET /openapi.json")


@pytest.mark.parametrize("settings", [{}, {"metadata": {"x-api-key": "mine"}}], ids=["", "metadata"])
async def test_who_asks_the_same_at_the_same_time_asks_once(server: Server, settings: Any) -> None:
    assert len({id(each) for each in await described(20, server.target, **settings)}) == 1
    assert await asked(server) == 1


async def test_who_asks_as_somebody_else_asks_by_himself(server: Server) -> None:
    users = [described(1, server.target, metadata={"x-api-key": each}) for each in ("mine", "yours")]
    await asyncio.gather(*users, described(1, server.target), described(1, server.target, timeout=50))
    assert await asked(server) == 4


async def test_who_has_hooks_or_functions_asks_by_himself(server: Server) -> None:
    heard: list[Any] = []
    await described(3, server.target, hooks=[heard.append])
    await described(3, server.target, metadata=dict)
    assert await asked(server) == 6


async def test_who_asked_is_closed(server: Server) -> None:
    slow: dict[str, Any] = {"reflection_hang": True} if isinstance(server, WireServer) else {}
    await server.faults({"GET /openapi.json": [{"delay": 60}]} | slow)
    asking, waiting = RemoteClient(server.target), RemoteClient(server.target)
    first, second = asyncio.ensure_future(asking.describe()), asyncio.ensure_future(waiting.describe())
    await server.until(lambda seen: seen["running"])
    await server.faults(reflection_hang=False)
    await asking.aclose()
    with pytest.raises(ClosedError):
        await first
    assert (await second).tasks
    await waiting.aclose()


async def test_who_asked_fails(server: Server) -> None:
    refused = ["PERMISSION_DENIED"] * 9
    await server.faults({"GET /openapi.json": {"status": 403}, "refuse": {"ServerReflectionInfo": refused}})
    clients = [RemoteClient(server.target) for _ in range(5)]
    errors = await asyncio.gather(*(each.describe() for each in clients), return_exceptions=True)
    assert len({type(each) for each in errors}) == 1
    assert len({id(each) for each in errors}) == 5
    await asyncio.gather(*(each.aclose() for each in clients))
