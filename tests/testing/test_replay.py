"""`replay`: a cassette answers as the real runtime did that it was recorded of, to both clients over both protocols."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

import remote_client
from remote_client import JobStatus, RemoteClient, sync
from remote_client.errors import (
    ClosedError,
    ConfigurationError,
    DataLossError,
    InternalError,
    InvalidArgumentError,
    ModelNotFoundError,
    NotFoundError,
    RemoteCallError,
    UnsupportedError,
)
from remote_client.testing import record, replay

from ..live.clients import call
from ..live.deeds import DEEDS, PEOPLE
from ..live.protocols import PROTOCOLS, Protocol, target_of, undeploy
from ..support.runtime import SAMPLE_MODELS, Runtime

CONFIG = f"module_id: {SAMPLE_MODELS['foo']}\n".encode()
Outcomes = dict[str, Any]


async def _deeds(client: RemoteClient, protocol: Protocol) -> Outcomes:
    """What becomes of a call of each kind."""
    found: Outcomes = {f"{deed.model}.{deed.method}": await deed.outcome(client) for deed in DEEDS[protocol]}
    found["job"] = await DEEDS[protocol][0].job.outcome(client)
    found["models"] = sorted(model.name for model in await client.models())
    found["health"] = await client.healthy()
    found["info"] = repr(await client.runtime_info())
    found["missing"] = str(await asyncio.gather(client.model("nobody"), return_exceptions=True))
    return found


async def _changes(client: RemoteClient, name: str) -> Outcomes:
    """What becomes of a deployment and of a training."""
    info = await client.deploy_model(name, {"config.yml": CONFIG})
    await undeploy(client, name)
    model = await client.model("foo")
    training = await model.train(training_data=[{"name": "a"}], union_list=["x"])  # its name has a random end
    state = (await training.wait()).state
    trained = await (await training.model()).run_sample(PEOPLE[0])
    await undeploy(client, training.model_name or "")
    return {"deployed": info.name, "trained": state, "id": training.training_id, "answer": repr(trained)}


@pytest.fixture(scope="module", params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded(
    runtime: Runtime, protocol: Protocol, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Path, Outcomes]]:
    """A cassette, and what the runtime's answers in it were."""
    path = tmp_path_factory.mktemp("cassettes") / f"{protocol}.jsonl"
    async with record(target_of(runtime, protocol), path) as recorder:
        async with RemoteClient(getattr(recorder, protocol)) as client:
            outcomes = await _deeds(client, protocol) | await _changes(client, f"changed-{protocol}")
    yield path, outcomes


@pytest.mark.asyncio(loop_scope="module")
async def test_all_kinds_of_calls_are_answered_as_they_were(
    recorded: tuple[Path, Outcomes], protocol: Protocol
) -> None:
    path, outcomes = recorded
    async with replay(path) as replayed:
        async with RemoteClient(getattr(replayed, protocol)) as client:
            assert await _deeds(client, protocol) | await _changes(client, f"changed-{protocol}") == outcomes
    assert outcomes["trained"] is JobStatus.COMPLETED
    assert outcomes["failing.run_failing"][0] is InvalidArgumentError


def test_a_blocking_client_is_answered_without_a_loop(recorded: tuple[Path, Outcomes], protocol: Protocol) -> None:
    path, outcomes = recorded
    with replay(path) as replayed, sync.RemoteClient(getattr(replayed, protocol)) as client:
        model = client.model("foo")
        assert repr(model.run_sample(PEOPLE[0], throw=False)) == outcomes["foo.run_sample"]
        assert repr(list(model.run_sample_stream_out(PEOPLE[0], count=3))) == outcomes["foo.run_sample_stream_out"]
        if protocol == "grpc":
            chat = repr(list(model.run_sample_bidi_stream(iter(PEOPLE))))
            assert chat == outcomes["foo.run_sample_bidi_stream"]
        with pytest.raises(ModelNotFoundError):
            client.model("nobody")


@pytest.mark.asyncio(loop_scope="module")
async def test_other_engines_are_answered_too(recorded: tuple[Path, Outcomes], protocol: Protocol) -> None:
    path, outcomes = recorded
    settings: Any = {"engine": "grpcio"} if protocol == "grpc" else {"transport": httpx.AsyncHTTPTransport()}
    async with replay(path) as replayed, RemoteClient(getattr(replayed, protocol), **settings) as client:
        for deed in DEEDS[protocol]:
            assert await deed.outcome(client) == outcomes[f"{deed.model}.{deed.method}"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_that_was_not_recorded_shows_the_nearest(
    recorded: tuple[Path, Outcomes], protocol: Protocol
) -> None:
    async with replay(recorded[0]) as replayed, RemoteClient(getattr(replayed, protocol)) as client:
        model = await client.model("foo")
        with pytest.raises(RemoteCallError, match=r"name was 'Ada', is 'Grace'") as caught:
            await model.run_sample({"name": "Grace"}, throw=False)
        assert caught.value.status == "FAILED_PRECONDITION"
        assert not caught.value.previous  # trying again would not help
        with pytest.raises(RemoteCallError, match=r"count was '?3'?, is '?4'?"):
            async for _ in model.run_sample_stream_out(PEOPLE[0], count=4):
                pass
        with pytest.raises(RemoteCallError, match=r"it is recorded for 'foo'"):
            await (await client.model("bar")).run_sample(PEOPLE[0], throw=False)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_other_protocol_is_refused(recorded: tuple[Path, Outcomes], protocol: Protocol) -> None:
    other = "http" if protocol == "grpc" else "grpc"
    made = replay(recorded[0])
    with pytest.raises(UnsupportedError, match=rf"{other}: .*{protocol}.jsonl has calls of .*; use \.{protocol}"):
        getattr(made, other)
    with pytest.raises(ClosedError):
        getattr(made, protocol)
    assert repr(made) == "<Replay which does not run>"
    async with made:
        assert repr(made) == f"<Replay at {getattr(made, protocol)}>"
        with pytest.raises(UnsupportedError):
            getattr(made, other)


def test_a_cassette_is_read_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        replay(tmp_path / "missing.jsonl")


# -- recorded for one test --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        ("grpc", "asyncio"),
        ("http", "blocking"),
        pytest.param("grpc", "blocking", marks=pytest.mark.slow),
        pytest.param("http", "asyncio", marks=pytest.mark.slow),
    ],
    scope="function",
)
async def test_equal_calls_are_answered_in_order(
    runtime: Runtime, protocol: Protocol, kind: str, tmp_path: Path
) -> None:
    """A model that comes, goes, and is not there any more."""
    path, name = tmp_path / "calls.jsonl", f"ordered-{protocol}-{kind}"
    api: Any = sync if kind == "blocking" else remote_client

    async def look(client: Any) -> bool:
        return name in [model.name for model in await call(client.models)]

    async with record(target_of(runtime, protocol), path) as recorder:
        client = api.RemoteClient(getattr(recorder, protocol))
        seen = [await look(client)]
        await call(client.deploy_model, name, {"config.yml": CONFIG})
        seen.append(await look(client))
        with contextlib.suppress(NotFoundError):  # as in `undeploy`
            await call(client.undeploy_model, name)
        seen.append(await look(client))
        await call(client.close if kind == "blocking" else client.aclose)
    assert seen == [False, True, False]
    async with replay(path) as replayed:
        client = api.RemoteClient(getattr(replayed, protocol))
        assert [await look(client) for _ in range(4)] == [False, True, False, False]
        await call(client.close if kind == "blocking" else client.aclose)


@pytest.mark.parametrize("protocol", PROTOCOLS, scope="function")
async def test_a_stream_whose_reader_left_is_not_served_as_a_whole_one(
    runtime: Runtime, protocol: Protocol, tmp_path: Path
) -> None:
    path = tmp_path / "calls.jsonl"

    async def first(client: RemoteClient, at_most: int) -> list[Any]:
        model, found = await client.model("slow"), []
        async with model.run_slow_stream_out(0.05, count=100) as stream:
            async for item in stream:
                found.append(item)
                if len(found) == at_most:
                    break
        return found

    async with record(target_of(runtime, protocol), path) as recorder:
        async with RemoteClient(getattr(recorder, protocol)) as client:
            items = await first(client, 2)
    async with replay(path) as replayed, RemoteClient(getattr(replayed, protocol)) as client:
        assert await first(client, 2) == items
        with pytest.raises(DataLossError if protocol == "grpc" else InternalError, match="only the beginning"):
            await first(client, 50)


async def test_streams_are_replayed_without_their_delays(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    loop = asyncio.get_running_loop()
    seconds = []
    for server in (record(runtime.target, path), None):
        async with server or replay(path) as running, RemoteClient(running.grpc) as client:
            model, started = await client.model("slow"), loop.time()
            assert len([item async for item in model.run_slow_stream_out(0.1, count=5)]) == 5
            seconds.append(loop.time() - started)
    assert seconds[0] > 0.4
    assert seconds[1] < seconds[0] / 2
