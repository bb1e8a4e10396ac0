"""Polls are shared, lose nothing, and are no more than needed."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client._client.finder import RemoteModelFinder
from remote_client.errors import (
    InputError,
    InvalidResponseError,
    ModelNotFoundError,
    PermissionDeniedError,
    SchemaUnavailableError,
    UnavailableError,
    UnimplementedError,
)
from remote_client.settings import ConnectionInfo, FinderConfig
from tests.support.clock import Stopwatch
from tests.support.wire import WireServer

ID = "00110203-0405-0607-0809-0a0b02dd0e0f"


def finder(*connections: ConnectionInfo, **config: Any) -> RemoteModelFinder:
    return RemoteModelFinder(FinderConfig(remote_connections=connections[:-1], connection=connections[-1], **config))


def polls(stats: dict[str, Any]) -> int:
    return int(stats["started"].get("GetModelsInfo", 0))


@pytest.fixture
def dead() -> Iterator[ConnectionInfo]:
    """A port where nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield ConnectionInfo(hostname="127.0.0.1", port=taken.getsockname()[1], timeout=5)


async def test_1000_callers_make_one_poll(wire: WireServer) -> None:
    found = finder(wire.info())
    names = ["missing"] * 500 + [f"missing-{index}" for index in range(500)]
    assert await asyncio.gather(*map(found.find_model, names)) == [None] * 1000
    stats = await wire.stats()
    assert polls(stats) == 1
    assert stats["started"]["reflection v1"] == 1
    await found.aclose()


async def test_a_cancelled_leader_takes_nobody_along(wire: WireServer) -> None:
    await wire.faults(models_delay=0.3)
    found = finder(wire.info())
    leader, *others = [asyncio.create_task(found.find_model("foo")) for _ in range(10)]
    await wire.until(lambda seen: "GetModelsInfo" in seen["running"])
    leader.cancel()
    await asyncio.wait((leader,))
    assert leader.cancelled()
    assert all(await asyncio.gather(*others))
    stats = await wire.stats()
    assert polls(stats) == 1
    assert "GetModelsInfo" not in stats["cancelled"]
    await found.aclose()


async def test_all_waiters_cancelled_leave_a_finder_that_works(wire: WireServer) -> None:
    await wire.faults(models_delay=0.2)
    found = finder(wire.info())
    waiters = [asyncio.create_task(found.find_model("foo")) for _ in range(3)]
    await asyncio.sleep(0.05)
    for each in waiters:
        each.cancel()
    await asyncio.wait(waiters)
    assert await found.find_model("foo") is not None
    assert polls(await wire.stats()) == 1
    await found.aclose()


async def test_a_failed_poll_loses_no_model(wire: WireServer) -> None:
    async with RemoteClient(wire.info()) as client:
        assert [each.name for each in await client.models()] == ["foo"]
        await wire.faults(models_fail="PERMISSION_DENIED")
        with pytest.raises(PermissionDeniedError):
            await client.models()
        with pytest.raises(ModelNotFoundError, match="could not be asked"):  # it was asked just now
            await client.model("other")
        model = await client.model("foo", task="SampleTask")
        assert (await model.run({"name": "still"})).greeting == "Hello still"
        await wire.faults(models_fail=None, models=["other"])
        assert [each.name for each in await client.models()] == ["other"]


async def test_a_failed_poll_is_no_reason_to_wait(wire: WireServer) -> None:
    await wire.faults(models_fail="UNAVAILABLE")
    found = finder(wire.info(), min_poll_time=3600)
    with pytest.raises(UnavailableError):
        await found.find_model("foo")
    await wire.faults(models_fail=None)
    assert await found.find_model("foo") is not None
    await found.aclose()


async def test_configured_models_survive(wire: WireServer) -> None:
    supported = {"bar": ID, "baz": {"module_id": ID, "tasks": ["SampleTask"]}}
    found = finder(wire.info(), supported_models=supported)
    assert await found.find_model("bar") is not None
    assert polls(await wire.stats()) == 0
    assert sorted(await found.discover()) == ["bar", "baz", "foo"]
    await wire.faults(models=[])
    assert sorted(await found.discover()) == ["bar", "baz"]
    await wire.faults(models_fail="UNAVAILABLE")
    with pytest.raises(UnavailableError):
        await found.discover()
    for name in supported:
        config = await found.find_model(name)
        assert config is not None
        assert config.module_id == ID
    await found.aclose()


async def test_min_poll_time(wire: WireServer) -> None:
    patient, eager = finder(wire.info(), min_poll_time=0.5), finder(wire.info(), min_poll_time=0)
    for _ in range(5):
        assert await patient.find_model("missing") is None
    assert polls(await wire.stats()) == 1
    assert await patient.find_model("foo") is not None
    assert await patient.find_model("another") is None
    assert polls(await wire.stats()) == 1
    await asyncio.sleep(0.5)
    await wire.faults(models=["foo", "missing"])
    assert await patient.find_model("missing") is not None
    assert polls(await wire.stats()) == 2
    for _ in range(3):
        assert await eager.find_model("nowhere") is None
    assert polls(await wire.stats()) == 5
    await patient.aclose()
    await eager.aclose()


async def test_without_discovery_nothing_is_asked(wire: WireServer) -> None:
    found = finder(wire.info(), discover_models=False, supported_models={"bar": ID})
    assert await found.find_model("foo") is None
    assert (await wire.stats())["started"] == {}
    assert await found.find_model("bar") is not None
    await found.aclose()


async def test_servers_are_polled_at_the_same_time(wire: WireServer, start_wire: Callable[..., WireServer]) -> None:
    second = start_wire()
    for each in (wire, second):
        await each.faults(models_delay=0.5)
    await second.faults(models=["foo", "second"])
    async with RemoteClient([wire.info(), second.info()]) as client:
        watch = Stopwatch()
        assert sorted(each.name for each in await client.models()) == ["foo", "second"]
        assert watch.seconds < 0.9
        for name, server in (("foo", wire), ("second", second)):
            assert (await client.model(name)).config.connection.target == server.target


async def test_a_dead_server_among_two(wire: WireServer, dead: ConnectionInfo) -> None:
    for connections in ([dead, wire.info()], [wire.info(), dead]):
        async with RemoteClient(connections) as client:
            assert [each.name for each in await client.models()] == ["foo"]
            model = await client.model("foo", task="SampleTask")
            assert (await model.run({"name": "a"})).greeting == "Hello a"
            with pytest.raises(ModelNotFoundError, match=f"{dead.target} could not be asked"):
                await client.model("missing")
            assert await client.healthy() is False


async def test_all_servers_dead(dead: ConnectionInfo) -> None:
    async with RemoteClient([dead, dead]) as client:
        for call in (client.models(), client.model("foo"), client.describe(), client.runtime_info()):
            with pytest.raises(UnavailableError):
                await call
        assert await client.healthy() is False


async def test_an_error_that_many_wait_for_reaches_each(wire: WireServer) -> None:
    await wire.faults(models_fail="UNAVAILABLE", models_delay=0.1)
    found = finder(wire.info())
    results = await asyncio.gather(*(found.find_model("foo") for _ in range(100)), return_exceptions=True)
    assert {type(each) for each in results} == {UnavailableError}
    assert polls(await wire.stats()) == 1
    await found.aclose()


@pytest.mark.parametrize("raw", ["ff", "0a02ffff", "0a0412020a80", "0a03120180"])
async def test_a_list_of_models_that_is_none(wire: WireServer, raw: str) -> None:
    await wire.faults(models_raw=raw)
    async with RemoteClient(wire.info()) as client:
        with pytest.raises(InvalidResponseError):
            await client.models()


async def test_a_deadline_of_discovery(wire: WireServer) -> None:
    await wire.faults(reflection_hang=True)
    async with RemoteClient(wire.info(timeout=0.3)) as client:
        watch = Stopwatch()
        with pytest.raises(TimeoutError):
            await client.model("foo")
        assert watch.seconds < 1
    await wire.faults(reflection_hang=False, models_delay=5)
    async with RemoteClient(wire.info(timeout=0.3)) as client:
        with pytest.raises(TimeoutError):
            await client.model("foo")


@pytest.mark.parametrize(
    ("versions", "asked"),
    [(["v1"], ["v1"]), (["v1alpha"], ["v1", "v1alpha"]), (["v1", "v1alpha"], ["v1"])],
)
async def test_the_newest_reflection_first(wire: WireServer, versions: list[str], asked: list[str]) -> None:
    await wire.faults(reflection_versions=versions)
    async with RemoteClient(wire.info()) as client:
        assert list((await client.describe()).tasks) == ["SampleTask"]
    seen = (await wire.stats())["started"]
    assert [name.removeprefix("reflection ") for name in seen if name.startswith("reflection")] == asked


async def test_no_reflection_at_all(wire: WireServer) -> None:
    await wire.faults(reflection_versions=[])
    async with RemoteClient(wire.info()) as client:
        with pytest.raises(SchemaUnavailableError) as caught:
            await client.model("foo")
    assert isinstance(caught.value.error, UnimplementedError)


async def test_a_failed_description_is_asked_for_again(wire: WireServer) -> None:
    await wire.faults(reflection_versions=[])
    async with RemoteClient(wire.info()) as client:
        with pytest.raises(SchemaUnavailableError):
            await client.model("foo")
        await wire.faults(reflection_versions=["v1"])
        assert (await client.model("foo")).config.model_path == "foo"


# -- one server for each model ----------------------------------------------------------------------------------------


async def test_a_server_for_each_model(wire: WireServer) -> None:
    await wire.faults(models=["localhost"])
    found = finder(wire.info(hostname="{}"), min_poll_time=0)
    config = await found.find_model("localhost")
    assert config is not None
    assert config.connection.target == f"localhost:{wire.port}"
    with pytest.raises(UnavailableError):
        await found.find_model("no-such-model")
    assert [server.connection.hostname for server in found.servers] == ["localhost"]
    await found.aclose()


@pytest.mark.parametrize(
    "name", ["evil.com/", "evil.com#", "127.0.0.1", "a.b", "a@b", "", "-a", "{0.__class__}", "A", "a" * 64, "a\n", "é"]
)
async def test_a_name_that_is_no_label_dials_nothing(wire: WireServer, name: str) -> None:
    found = finder(wire.info(hostname="{}"))
    with pytest.raises(InputError):
        await found.find_model(name)
    assert found.servers == []
    assert (await wire.stats())["connections"] == 0
    await found.aclose()


async def test_a_dropped_client_is_freed_without_the_garbage_collector(wire: WireServer) -> None:
    client = RemoteClient(wire.target)
    assert await client.models()
    parts = [weakref.ref(part) for part in (client, *client._finder._finders, *client._finder.servers)]
    await client.aclose()
    gc.disable()
    try:
        del client
        await asyncio.sleep(0)
        assert [part() for part in parts] == [None] * 3
    finally:
        gc.enable()
