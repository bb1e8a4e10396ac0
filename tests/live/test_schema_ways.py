"""Whoever can reach one method of a runtime can call it: nothing else is asked of the front before it."""

from __future__ import annotations

import asyncio
import pickle
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from remote_client import ServiceDescription, sync
from remote_client._cli.main import main
from remote_client.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    RemoteClientError,
    UnavailableError,
    UnimplementedError,
)

from ..support.front import Front, GrpcFront, HttpFront
from ..support.runtime import Runtime, dump_services
from ..support.script import python
from ..support.stubs import imported
from .clients import call
from .protocols import Protocol, nobody, target_of
from .ways import FILES, WAYS, Place, Way, greet

SCHEMA: dict[Protocol, str] = {"grpc": "runtime.binpb", "http": "runtime.json"}
CALLED: dict[Protocol, str] = {"grpc": "SampleTaskPredict", "http": "POST /api/v1/task/sample"}
REFUSALS = [
    ("grpc", "UNIMPLEMENTED", UnimplementedError),
    ("grpc", "PERMISSION_DENIED", PermissionDeniedError),
    ("grpc", "INVALID_ARGUMENT", InvalidArgumentError),
    ("grpc", "CANCEL", UnavailableError),
    ("http", "404", NotFoundError),
    ("http", "403", PermissionDeniedError),
]
OTHER_PROCESS = """
import asyncio, pathlib, pickle, sys
module = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())

async def main():
    print((await module.run_sample({"name": "World"})).greeting)
    await module.aclose()

if sys.argv[2] == "asyncio":
    asyncio.run(main())
else:
    print(module.run_sample({"name": "World"}).greeting)
    module.close()
"""
LISTED: dict[Protocol, str] = {"grpc": "GetModelsInfo", "http": "GET /info/models"}


def front_of(runtime: Runtime, protocol: Protocol, *refusal: str) -> Front:
    if protocol == "grpc":
        return GrpcFront(runtime.port, *refusal)
    return HttpFront(runtime.http_port, [CALLED[protocol]], *refusal)


@pytest.fixture(scope="module", params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def description(runtime: Runtime, protocol: Protocol) -> ServiceDescription:
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        return client.describe()


@pytest.fixture(scope="module")
def written(runtime: Runtime, protocol: Protocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes of the runtime: its schema, and stubs for either kind of client."""
    folder = tmp_path_factory.mktemp("written")
    target = ["-t", target_of(runtime, protocol)]
    assert main(["schema", *target, "-o", str(folder / SCHEMA[protocol])]) == 0
    assert main(["stubs", *target, "-o", str(folder / "asyncio.py")]) == 0
    assert main(["stubs", *target, "-o", str(folder / "blocking.py"), "--sync"]) == 0
    return folder


@pytest.fixture(scope="module")
def protos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dump_services("sample_lib", tmp_path_factory.mktemp("protos"))


@pytest.fixture
def stubs(written: Path, kind_of_client: str) -> Iterator[Any]:
    with imported((written / f"{kind_of_client}.py").read_text(), written) as stubs:
        yield stubs


@pytest_asyncio.fixture
async def front(runtime: Runtime, protocol: Protocol) -> AsyncIterator[Front]:
    async with front_of(runtime, protocol) as front:
        yield front


@pytest_asyncio.fixture
async def place(
    front: Front,
    protocol: Protocol,
    kind_of_client: str,
    written: Path,
    description: ServiceDescription,
    stubs: Any,
) -> AsyncIterator[Place]:
    schema = written / SCHEMA[protocol]
    async with aclosing(Place(front, protocol, kind_of_client, None, schema, description, stubs)) as place:
        yield place


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_call_is_all_that_is_sent(place: Place, way: Way) -> None:
    assert await greet(await way(place)) == "Hello World"
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: 1}, {})


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_module_that_was_pickled_asks_nothing(place: Place, way: Way) -> None:
    other = place.opened(pickle.loads(pickle.dumps(await way(place))))
    assert await greet(other) == "Hello World"
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: 1}, {})


async def test_a_client_that_was_pickled_asks_nothing(place: Place) -> None:
    pickled = pickle.dumps(place.client(schema=place.schema))
    other = place.opened(pickle.loads(pickled))
    assert await greet(await call(other.model, "foo")) == "Hello World"
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: 1}, {})


@pytest.mark.parametrize("way", ["a path", "a description", "a finder"])
async def test_a_module_asks_nothing_in_another_process(place: Place, way: str, tmp_path: Path) -> None:
    """Which has no file of the schema."""
    place.schema = Path(shutil.copy(place.schema, tmp_path))
    pickled = tmp_path / "module"
    pickled.write_bytes(pickle.dumps(await FILES[way](place)))
    place.schema.unlink()
    assert await asyncio.to_thread(python, OTHER_PROCESS, str(pickled), place.kind) == "Hello World\n"
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: 1}, {})


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
@pytest.mark.parametrize("protocol", ["grpc"], indirect=True)
async def test_both_engines(place: Place, engine: str) -> None:
    place.engine = engine
    for way in WAYS.values():
        assert await greet(await way(place)) == "Hello World"
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: len(WAYS)}, {})


@pytest.mark.parametrize("path", ["", "samplelibservice.proto"])
@pytest.mark.parametrize("protocol", ["grpc"], indirect=True)
async def test_proto_files_ask_nothing(place: Place, protos: Path, path: str) -> None:
    client = place.client(schema=protos / path)
    assert await greet(await call(client.model, "foo")) == "Hello World"
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: 1}, {})


async def test_of_several_fronts_one_is_called(runtime: Runtime, place: Place) -> None:
    async with front_of(runtime, place.protocol) as other:
        targets = [place.target, other.target]
        known = place.opened(place.api.RemoteClient(targets, schema=place.schema))
        assert await greet(await call(known.model, "foo")) == "Hello World"
        assert (place.front.passed, place.front.refused, other.seen) == ({CALLED[place.protocol]: 1}, {}, {})
        declared = place.opened(place.api.RemoteClient(targets))  # which asks where the model is, and can do without
        assert await greet(await call(declared.model, "foo", place.stubs.SampleTask)) == "Hello World"
        assert place.front.passed + other.passed == {CALLED[place.protocol]: 2}


async def test_a_server_that_is_away_does_not_hide_that_another_refuses(place: Place) -> None:
    targets = [nobody(1, place.protocol), place.target]
    client = place.opened(place.api.RemoteClient(targets, retries=0))
    assert await greet(await call(client.model, "foo", place.stubs.SampleTask)) == "Hello World"
    assert place.front.passed == {CALLED[place.protocol]: 1}


async def test_a_wrong_name_is_told_by_the_call(place: Place) -> None:
    client = place.client(schema=place.schema)
    module = await call(client.model, "no such model")
    assert place.front.seen == {}
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await greet(module)
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: 2}, {})


async def test_a_description_comes_from_the_file(place: Place) -> None:
    told = await call(place.client(schema=place.schema).describe)
    assert str(told) == str(place.description)
    assert place.front.seen == {}


@pytest.mark.parametrize(("protocol", "refusal", "told"), REFUSALS, indirect=["protocol"])
async def test_models_are_asked_for_and_the_refusal_is_told(
    place: Place, refusal: str, told: type[RemoteCallError]
) -> None:
    place.front.refusal = refusal
    client = place.client(schema=place.schema, retries=0)
    with pytest.raises(told, match=LISTED[place.protocol]):
        await call(client.models)
    assert (place.front.passed, place.front.refused) == ({}, {LISTED[place.protocol]: 1})
    assert await greet(await call(client.model, "foo")) == "Hello World"


async def test_without_a_schema_the_front_refuses_what_is_asked(place: Place) -> None:
    with pytest.raises(RemoteClientError):
        await call(place.client().model, "foo")
    assert place.front.refused
    assert not place.front.passed
