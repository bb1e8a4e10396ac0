"""Copies of a client that `with_options` made: servers by model names, what is left of them, several servers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.errors import ClosedError, UnavailableError
from tests.support.wire import WireServer

ADA = {"name": "Ada"}


def polls(stats: dict[str, Any]) -> int:
    return int(stats["started"].get("GetModelsInfo", 0))


@pytest.mark.parametrize("options", [{"timeout": 5}, {"metadata": {"x-user": "b"}}], ids=["timeout", "metadata"])
async def test_a_copy_uses_the_clients_server_of_a_model(wire: WireServer, options: dict[str, Any]) -> None:
    await wire.faults(models=["localhost"])
    async with RemoteClient(wire.info(hostname="{}")) as client:
        copy = client.with_options(**options)
        assert (await (await copy.model("localhost")).run_sample(ADA)).greeting == "Hello Ada"
        assert (await (await client.model("localhost")).run_sample(ADA)).greeting == "Hello Ada"
        assert repr(client) == repr(copy) == f"<RemoteClient of localhost:{wire.port}: 1 connection opened>"
    with pytest.raises(ClosedError):
        await copy.models()


async def test_a_copy_drops_no_server_of_the_client(wire: WireServer) -> None:
    """That of a model which the copy asked for in vain: the client may be asking, too."""
    await wire.faults(models=["localhost"])
    async with RemoteClient(wire.info(hostname="{}", timeout=5)) as client:
        model = await client.model("localhost")
        copy = client.with_options(metadata={"x-user": "b"})
        await wire.faults(models=[])
        assert await copy._finder._finders[0].find_model("localhost") is None
        assert (await model.run_sample(ADA)).greeting == "Hello Ada"
        with pytest.raises(UnavailableError):
            await copy.model("no-such-model")
        await wire.faults(models=["localhost"])
        assert await copy.with_options(retries=0).model("localhost")


async def test_copies_made_in_passing_share_a_poll_and_are_freed(wire: WireServer) -> None:
    gone = []
    async with RemoteClient(wire.info()) as client:
        for number in range(1, 11):
            copy = client.with_options(timeout=number)
            assert (await (await copy.model("foo")).run_sample(ADA)).greeting == "Hello Ada"
            gone.append(weakref.ref(copy))
            del copy
        gc.collect()
        assert [each() for each in gone] == [None] * 10
        stats = await wire.stats()
        assert polls(stats) == 1
        assert stats["started"]["reflection v1"] == 1
        assert stats["connections"] == 1


async def test_closing_a_client_ends_the_questions_of_dropped_copies(wire: WireServer) -> None:
    await wire.faults(models_delay=30)
    client = RemoteClient(wire.info())
    question = asyncio.create_task(client.with_options(metadata={"x-user": "b"}).models())
    await wire.until_running(1)
    await client.aclose()
    with pytest.raises(ClosedError):
        await question
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_calls_of_a_copys_models_are_shared_by_the_servers(wire: WireServer, start_wire: Any) -> None:
    other = start_wire()
    async with RemoteClient([wire.info(), other.info()]) as client:
        copy = client.with_options(timeout=10)
        await copy.models()  # of both: a late answer counts for later calls
        model = await copy.model("foo")
        await asyncio.gather(*(model.run_sample(ADA) for _ in range(40)))
    shares = [await each.started("SampleTaskPredict") for each in (wire, other)]
    assert min(shares) > 0
    assert sum(shares) == 40


async def test_models_of_a_copy_learn_what_the_client_learns(wire: WireServer, start_wire: Any) -> None:
    """Here that another server has the model by now."""
    other = start_wire()
    await other.faults(models=[])
    async with RemoteClient([wire.info(), other.info()]) as client:
        await client.models()
        model = await client.with_options(timeout=10).model("foo")
        await client.model("foo")
        await other.faults(models=["foo"])
        await client.models()
        await client.model("foo")  # reads the description of the other one, too
        await asyncio.gather(*(model.run_sample(ADA) for _ in range(40)))
    assert await other.started("SampleTaskPredict") > 0


async def test_a_watch_of_a_copy_ends_with_the_client(wire: WireServer) -> None:
    client = RemoteClient(wire.info())
    copy = client.with_options(timeout=5)
    watch = copy.watch_health()
    assert (await anext(watch)).is_serving
    await copy.aclose()
    await client.aclose()
    assert [status async for status in watch] == []
