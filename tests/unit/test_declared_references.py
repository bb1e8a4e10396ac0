"""A declared class, an instance of one, a model of one, or its id: all mean the class, wherever one is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import remote_client
from remote_client import ConnectionInfo, sync
from remote_client.declare import module, registry, taskmethod
from remote_client.errors import ConfigurationError, InputError
from remote_client.settings import Protocol
from tests.support.wire_schema import descriptor_set, document

ID = "id-of-a-test"
SCHEMAS: dict[Protocol, tuple[str, bytes]] = {
    "grpc": ("SampleTask", descriptor_set()),
    "http": ("EchoTask", document()),
}
REFERENCES: dict[str, Callable[[Any, Any], Any]] = {
    "class": lambda declared, model: declared,
    "instance": lambda declared, model: declared.__new__(declared),
    "model": lambda declared, model: model,
    "a model's copy": lambda declared, model: model.with_options(retries=0),
    "id": lambda declared, model: ID,
}


@pytest.fixture(params=["asyncio", "blocking"])
def api(request: pytest.FixtureRequest) -> Any:
    return remote_client if request.param == "asyncio" else sync


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def declared(api: Any, protocol: Protocol) -> Iterator[Any]:
    class Declared(api.RemoteModuleBase):  # type: ignore[misc]
        @taskmethod()
        async def mine(self, given: Any) -> Any:
            raise NotImplementedError

    parameter = "sample_input" if protocol == "grpc" else "words"
    Declared.mine.__annotations__ = {parameter: Any, "return": Any}
    Declared.mine.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in ("self", parameter)]
    )
    yield module(ID, task=SCHEMAS[protocol][0])(Declared)
    del registry[ID]


@pytest.fixture
def client(api: Any, protocol: Protocol) -> Any:
    return api.RemoteClient("localhost:1", protocol=protocol, schema=SCHEMAS[protocol][1])


async def got(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.mark.parametrize("kind", REFERENCES)
async def test_a_reference_means_its_class(api: Any, protocol: Protocol, client: Any, declared: Any, kind: str) -> None:
    reference = REFERENCES[kind](declared, await got(client.model("foo", declared)))
    found = await got(client.model("bar", reference))
    config = api.RemoteModuleConfig.load_from_module(
        reference, ConnectionInfo(hostname="localhost", port=1), protocol, "mm-model-id", "bar"
    )
    for each in (found, api.RemoteModelInitializer().init(config)):
        assert isinstance(each, declared)
        assert each.config.declaration.module is declared
        assert {"mine"} <= each.config.methods.keys()


async def test_a_task_is_no_reference(client: Any, declared: Any) -> None:
    with pytest.raises(InputError, match=r"no module is known by the id 'SampleTask': import .* task="):
        await got(client.model("foo", "SampleTask"))
    for reference in (declared, ID, declared.__new__(declared)):
        with pytest.raises(InputError, match="task="):
            await got(client.model("foo", reference, task="SampleTask"))


async def test_what_is_no_reference_is_told(client: Any) -> None:
    for reference in (5, dict, await got(client.model("foo"))):
        with pytest.raises(ConfigurationError, match="is no declared module"):
            await got(client.model("foo", reference))
