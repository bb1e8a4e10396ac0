"""Whoever can reach one method of a runtime can call it: nothing else is asked of the front before it."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from remote_client import ServiceDescription, sync
from remote_client.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    RemoteClientError,
    UnavailableError,
    UnimplementedError,
)
from remote_client.stubs import write

from ..support.front import Front, GrpcFront, HttpFront
from ..support.runtime import Runtime
from ..support.stubs import imported
from .clients import call
from .protocols import Protocol, target_of
from .ways import WAYS, Place, Way, greet

CALLED: dict[Protocol, str] = {"grpc": "SampleTaskPredict", "http": "POST /api/v1/task/sample"}
REFUSALS = [
    ("grpc", "UNIMPLEMENTED", UnimplementedError),
    ("grpc", "PERMISSION_DENIED", PermissionDeniedError),
    ("grpc", "INVALID_ARGUMENT", InvalidArgumentError),
    ("grpc", "CANCEL", UnavailableError),
    ("http", "404", NotFoundError),
    ("http", "403", PermissionDeniedError),
]
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
def schema(description: ServiceDescription, protocol: Protocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime's schema, as `remote-client schema` writes it."""
    assert description.source is not None
    _, told, *_ = description.source
    path = tmp_path_factory.mktemp("schema") / f"runtime.{'json' if protocol == 'http' else 'binpb'}"
    if protocol == "grpc":
        told = FileDescriptorSet(file=map(FileDescriptorProto.FromString, told)).SerializeToString()
    path.write_bytes(told)
    return path


@pytest.fixture
def stubs(description: ServiceDescription, schema: Path, kind_of_client: str) -> Iterator[Any]:
    text = write(description, "a runtime", blocking=kind_of_client == "blocking", schema=schema.name)
    with imported(text, schema.parent) as stubs:
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
    schema: Path,
    description: ServiceDescription,
    stubs: Any,
) -> AsyncIterator[Place]:
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


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
@pytest.mark.parametrize("protocol", ["grpc"], indirect=True)
async def test_both_engines(place: Place, engine: str) -> None:
    place.engine = engine
    for way in WAYS.values():
        assert await greet(await way(place)) == "Hello World"
    assert (place.front.passed, place.front.refused) == ({CALLED[place.protocol]: len(WAYS)}, {})


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
