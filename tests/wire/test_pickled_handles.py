"""Unpickled handles of equal settings share connections, and what the server tells of itself."""

from __future__ import annotations

import asyncio
import gc
import pickle
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client import RemoteClient, RemoteModelInitializer, Response
from remote_client import sync as blocking
from remote_client._client import shared_connections
from remote_client.errors import SchemaError
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer

Server = WireServer | HttpWire


@pytest_asyncio.fixture(autouse=True)
async def nothing_shared(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    # What other tests of this process share is theirs, and the blocking client's stays until the process ends.
    monkeypatch.setattr(shared_connections, "_servers", weakref.WeakValueDictionary())
    monkeypatch.setattr(shared_connections, "_kept", set())
    yield
    for each in list(shared_connections._servers.values()):
        await each.aclose()


def mine() -> dict[str, str]:
    return {"x-token": "mine"}


def yours() -> dict[str, str]:
    return {"x-token": "yours"}


def again(handle: Any) -> Any:
    return pickle.loads(pickle.dumps(handle))


async def model_of(client: RemoteClient, server: Server) -> Any:
    return await client.model("foo" if isinstance(server, WireServer) else "raw")


async def say(model: Any) -> str:
    answer = await (model.run_sample({"name": "x"}) if hasattr(model, "run_sample") else model.run_echo("Hello x"))
    said: str = answer.greeting if hasattr(answer, "greeting") else answer.text
    return said


async def asked(server: Server) -> int:
    """How often the server described itself."""
    return await server.started("reflection v1", "GET /openapi.json")


async def connected(server: Server) -> int:
    """How often somebody connected to the server."""
    stats = await server.stats()
    count: int = stats["connections"]
    return count


@pytest.mark.own_http("httpx is told to keep no connections, see tests/support/over_httpx.py")
async def test_many_handles_ask_once_on_one_connection(server: Server) -> None:
    async with RemoteClient(server.target, metadata=mine) as client:
        model = await model_of(client, server)
        own: Any = RemoteModelInitializer().init(model.config)
        pickles = [pickle.dumps(each) for each in (client, model, model.with_options(timeout=9), own, model.config)]
        await own.aclose()
    told, connections = await asked(server), await connected(server)
    client, *models, config = (pickle.loads(each) for each in pickles)
    models += [pickle.loads(pickles[1]) for _ in range(20)]
    assert config.model_path == model.config.model_path
    assert await connected(server) == connections  # not before the first call
    models.append(await model_of(client, server))
    for each in models:
        assert await say(each) == "Hello x"
    # The module with connections of its own sends no metadata, and may be told something else.
    assert await asked(server) == told + 2
    assert await connected(server) == connections + 1


async def test_others_are_told_by_the_server_itself(server: Server) -> None:
    for source in (mine, yours, None):
        async with RemoteClient(server.target, metadata=source) as client:
            model = await model_of(client, server)
        before = await asked(server)
        one, other = again(model), again(model)
        assert await say(one) == await say(other) == "Hello x"
        assert await asked(server) == before + 1


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize("more", [{"x-token": "static"}, Unhashable()], ids=["static", "unhashable"])
async def test_an_unpickled_handle_takes_any_metadata(server: Server, more: Any) -> None:
    async with RemoteClient(server.target) as client:
        found = again(await model_of(client, server)).with_options(metadata=more)
        assert await say(found) == "Hello x"


async def test_handles_that_are_gone_leave_nothing(server: Server) -> None:
    async with RemoteClient(server.target) as client:
        model = await model_of(client, server)
    found = again(model)
    await say(found)
    connections, again_found = found._caller.connections._server.manager(), again(model)
    del found
    gc.collect()
    assert await say(again_found) == "Hello x"
    assert connections.opened == 1
    gone = weakref.ref(connections)
    del connections, again_found
    gc.collect()
    assert gone() is None
    assert not shared_connections._servers


def test_the_blocking_clients_stay_for_the_next(server: Server) -> None:
    with blocking.RemoteClient(server.target) as client:
        pickled = pickle.dumps(client)
    opened = []
    for _ in range(3):
        handle = pickle.loads(pickled)
        handle.models()
        opened.append(handle._twin._finder.servers[0].caller.connections.opened)
        del handle
        gc.collect()
    assert opened == [1, 1, 1]
    last = pickle.loads(pickled)
    last.models()
    last.close()
    assert not shared_connections._kept


async def test_a_method_that_the_server_has_no_more_is_told(server: Server) -> None:
    async with RemoteClient(server.target) as client:
        model = await model_of(client, server)
        config = again(model.config)
    task, methods = config.task_methods[0]
    object.__setattr__(methods[0], "name", "run_gone")
    gone: Any = RemoteModelInitializer().init(config)
    with pytest.raises(SchemaError, match=f"no method run_gone of {task}"):
        await gone.run_gone("x")
    await gone.aclose()


def test_a_handle_serves_one_loop_after_the_other(server: Server) -> None:
    async def made() -> bytes:
        async with RemoteClient(server.target) as client:
            return pickle.dumps(await model_of(client, server))

    async def use() -> str:
        said = await say(model)
        for each in list(shared_connections._servers.values()):
            await each.aclose()
        return said

    model = pickle.loads(asyncio.run(made()))
    assert [asyncio.run(use()) for _ in range(3)] == ["Hello x"] * 3


async def test_one_that_returns_responses_returns_them_afterwards(server: Server) -> None:
    async with RemoteClient(server.target) as client:
        model = again((await model_of(client, server)).with_response())
    async with model:
        method = "run_sample" if hasattr(model, "run_sample") else "run_echo"
        argument = {"name": "x"} if isinstance(server, WireServer) else "Hello x"
        response = await getattr(again(model), method)(argument)
    assert isinstance(response, Response)
    assert response.attempts == 1
