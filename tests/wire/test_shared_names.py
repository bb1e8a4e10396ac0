"""Methods that share a name, and tasks that several services have: calls are refused until one is chosen."""

from __future__ import annotations

import gc
import inspect
import pickle
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

import remote_client
from remote_client import RemoteModelFinder, RemoteModelInitializer, RemoteModuleBase, RemoteModuleConfig, sync
from remote_client._settings.connection import parse_target
from remote_client.declare import module, taskmethod
from remote_client.errors import InputError, NotFoundError, UnimplementedError
from tests.support.http_wire import HttpWire
from tests.support.shared_names import document, services
from tests.support.wire import WireServer
from tests.support.wire_library import INFO_SERVICE, library_files

MODEL = {"grpc": "foo", "http": "raw"}
CLIENTS: dict[str, Any] = {"asyncio": remote_client.RemoteClient, "blocking": sync.RemoteClient}


@dataclass
class Kind:
    """Names that clash over both protocols: what the server has, the shared name, and what tells its owners apart."""

    services: dict[str, list[str]]
    routes: list[str]
    name: str
    choices: dict[str, dict[str, str]]
    """By protocol: what `task=` takes, and what is called then by the shared name."""


KINDS = {
    "a stream's suffix": Kind(
        {"A": ["FooStreamOutTaskPredict", "FooTaskPredict", "ServerStreamingFooTaskPredict"]},
        ["/v1/task/foo-stream-out", "/v1/task/foo", "/v1/task/server-streaming-foo"],
        "run_foo_stream_out",
        {
            "grpc": {
                "FooStreamOutTask": "shared.AService/FooStreamOutTaskPredict",
                "FooTask": "shared.AService/ServerStreamingFooTaskPredict",
            },
            "http": {
                "FooStreamOutTask": "POST /v1/task/foo-stream-out",
                "FooTask": "POST /v1/task/server-streaming-foo",
            },
        },
    ),
    "capitals": Kind(
        {"A": ["aBTaskPredict", "ABTaskPredict"]},
        [],  # HTTP has one route for both
        "run_a_b",
        {"grpc": {"aBTask": "shared.AService/aBTaskPredict", "ABTask": "shared.AService/ABTaskPredict"}},
    ),
    "two services": Kind(
        {"A": ["FooTaskPredict"], "B": ["FooTaskPredict"]},
        ["/v1/task/foo", "/v2/task/foo"],
        "run_foo",
        {
            "grpc": {f"shared.{each}Service/FooTaskPredict": f"shared.{each}Service/FooTaskPredict" for each in "AB"},
            "http": {f"/v{each}/task/foo": f"POST /v{each}/task/foo" for each in (1, 2)},
        },
    ),
}


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest_asyncio.fixture
async def target(protocol: str, kind: Kind, wire: WireServer, http_wire: HttpWire) -> Any:
    """A server whose names clash."""
    if protocol not in kind.choices:
        pytest.skip("the protocol cannot tell these names apart")
    gc.collect()  # an unpickled handle of another test that is garbage still has what this server told then
    if protocol == "http":
        await http_wire.faults({"GET /openapi.json": {"body": document(*kind.routes)}})
        return http_wire.target
    file, names = services(kind.services)
    files = {each.name: each.SerializeToString().hex() for each in (file, *library_files().values())}
    await wire.faults(services=[*names, INFO_SERVICE], files=files)
    return wire.info()


@pytest.fixture(params=list(CLIENTS))
def client_class(request: pytest.FixtureRequest) -> Any:
    return CLIENTS[request.param]


async def result(value: Any) -> Any:
    """What a call gave, of either client."""
    if isinstance(value, AsyncIterator):
        return await anext(value)
    if isinstance(value, Iterator):
        return next(value)
    return await value if isinstance(value, Awaitable) else value


def module_of(config: RemoteModuleConfig) -> RemoteModuleBase:
    made = RemoteModelInitializer().init(config)
    assert made is not None
    return made


async def called(model: Any, name: str) -> str | None:
    """The server's method that a method calls: the server knows none of them."""
    with pytest.raises((UnimplementedError, NotFoundError)) as caught:
        await result(getattr(model, name)("text"))
    method = caught.value.method
    assert isinstance(method, str)
    return method


async def test_a_shared_name_is_refused_with_the_choices(
    target: Any, protocol: str, kind: Kind, client_class: Any
) -> None:
    client = client_class(target)
    try:
        model = await result(client.model(MODEL[protocol]))
        with pytest.raises(InputError) as caught:
            await result(getattr(model, kind.name)("text"))
        for choice in kind.choices[protocol]:
            assert f"client.model({MODEL[protocol]!r}, task={choice!r})" in str(caught.value)
        assert str(caught.value) in (inspect.getdoc(getattr(model, kind.name)) or "")
        assert kind.name in dir(model)
        assert str(inspect.signature(getattr(model, kind.name))) == "(*args, **kwargs) -> NoReturn"
        for choice in kind.choices[protocol]:
            assert choice in repr(model)
    finally:
        await result(client.aclose())


async def test_a_chosen_task_has_the_name(target: Any, protocol: str, kind: Kind, client_class: Any) -> None:
    client = client_class(target)
    try:
        for choice, method in kind.choices[protocol].items():
            model = await result(client.model(MODEL[protocol], task=choice))
            assert await called(model, kind.name) == method
    finally:
        await result(client.aclose())


async def test_a_task_is_chosen_by_any_of_its_methods(
    target: Any, protocol: str, kind: Kind, client_class: Any
) -> None:
    client = client_class(target)
    try:
        for method in kind.choices[protocol].values():
            for choice in (method, method.removeprefix("POST "), f"/{method}" if protocol == "grpc" else method):
                model = await result(client.model(MODEL[protocol], task=choice))
                assert await called(model, kind.name) == method
    finally:
        await result(client.aclose())


@pytest.mark.parametrize("kind", [KINDS["a stream's suffix"]], ids=["suffix"])
async def test_a_class_chooses_the_task_of_its_name(target: Any, protocol: str, client_class: Any) -> None:
    chosen: Any = type("FooStreamOutTask", (), {})
    other: Any = type("BarTask", (), {})
    client = client_class(target)
    try:
        model = await result(client.model(MODEL[protocol], task=chosen))
        assert "stream" in str(await called(model, "run")).lower()
        with pytest.raises(InputError, match="no task 'BarTask'"):
            await result(client.model(MODEL[protocol], task=other))
    finally:
        await result(client.aclose())


async def test_a_description_tells_the_clash(target: Any, protocol: str, kind: Kind, client_class: Any) -> None:
    client = client_class(target)
    try:
        described = await result(client.describe())
        (note,) = described.notes
        assert kind.name in note
        for choice in kind.choices[protocol]:
            assert f"task={choice!r}" in note
    finally:
        await result(client.aclose())


async def test_a_finders_module_refuses_and_chooses(target: Any, protocol: str, kind: Kind) -> None:
    info = target if protocol == "grpc" else parse_target(target, None)[0]
    config = {"connection": info, "protocol": protocol}
    finder = RemoteModelFinder(config)
    try:
        found = await finder.find_model(MODEL[protocol])
        assert found is not None
        shared = module_of(found)
        with pytest.raises(InputError, match="choose one"):
            getattr(shared, kind.name)("text")
        for choice, method in kind.choices[protocol].items():
            found = await finder.find_model(MODEL[protocol])
            assert found is not None
            found.choose_task(choice)
            async with module_of(found) as chosen:
                assert await called(chosen, kind.name) == method
    finally:
        await finder.aclose()


async def test_configured_tasks_may_be_methods(target: Any, protocol: str, kind: Kind) -> None:
    info = target if protocol == "grpc" else parse_target(target, None)[0]
    for choice, method in kind.choices[protocol].items():
        supported = {MODEL[protocol]: {"module_id": "", "tasks": [choice]}}
        finder = RemoteModelFinder({"connection": info, "protocol": protocol, "supported_models": supported})
        try:
            found = await finder.find_model(MODEL[protocol])
            assert found is not None
            async with module_of(found) as chosen:
                assert await called(chosen, kind.name) == method
        finally:
            await finder.aclose()


async def test_an_unpickled_module_refuses_and_calls_as_before(target: Any, protocol: str, kind: Kind) -> None:
    async with remote_client.RemoteClient(target) as client:
        shared = await client.model(MODEL[protocol])
        chosen = {choice: await client.model(MODEL[protocol], task=choice) for choice in kind.choices[protocol]}
        async with pickle.loads(pickle.dumps(shared)) as again:
            with pytest.raises(InputError, match="choose one"):
                getattr(again, kind.name)("text")
        for choice, method in kind.choices[protocol].items():
            async with pickle.loads(pickle.dumps(chosen[choice])) as again:
                assert await called(again, kind.name) == method


# -- declared classes -------------------------------------------------------------------------------------------------


@module(name="Declared", task="FooTask")
class Declared(RemoteModuleBase):
    """Of a task that two services have."""

    @taskmethod()
    async def mine(self, text: str) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", [KINDS["two services"]], ids=["two services"])
async def test_a_declared_method_of_several_tasks_is_refused_with_the_choices(
    target: Any, protocol: str, kind: Kind, client_class: Any
) -> None:
    client = client_class(target)
    try:
        model = await result(client.model(MODEL[protocol], Declared))
        with pytest.raises(InputError) as caught:
            await result(model.mine("text"))
        for choice in kind.choices[protocol]:
            assert f"client.model(name, task={choice!r})" in str(caught.value)
    finally:
        await result(client.aclose())


@pytest.mark.parametrize("kind", [KINDS["two services"]], ids=["two services"])
async def test_a_choice_is_of_the_models_own_declaration(target: Any, protocol: str, kind: Kind) -> None:
    async with remote_client.RemoteClient(target) as client:
        (info,) = await client.models()
        module(info.module_id, task="FooTask")(type("Own", (Declared,), {}))
        with pytest.raises(InputError, match="choose one"):
            (await client.model(info.name)).mine("text")
        for choice, method in kind.choices[protocol].items():
            assert await called(await client.model(info.name, task=choice), "mine") == method


@pytest.mark.parametrize("kind", [KINDS["two services"]], ids=["two services"])
async def test_a_declaration_names_its_task_by_a_method(target: Any, protocol: str, kind: Kind) -> None:
    async with remote_client.RemoteClient(target) as client:
        for choice, method in kind.choices[protocol].items():

            @module(name="Declared")
            class Chosen(RemoteModuleBase):
                @taskmethod(choice)
                async def mine(self, text: str) -> Any:
                    raise NotImplementedError

            assert await called(await client.model(MODEL[protocol], Chosen), "mine") == method
            assert await called(await client.model(MODEL[protocol], task=Chosen), "mine") == method


@module(name="Both")
class Both(RemoteModuleBase):
    """Its own name is the standard one of another of its tasks."""

    @taskmethod("FooTask")
    async def run_foo_stream_out(self, text: str) -> Any:
        raise NotImplementedError

    @taskmethod("FooStreamOutTask")
    async def other(self, text: str) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", [KINDS["a stream's suffix"]], ids=["suffix"])
async def test_a_declared_name_is_the_declared_method(target: Any, protocol: str) -> None:
    async with remote_client.RemoteClient(target) as client:
        model = await client.model(MODEL[protocol], Both)
        assert str(await called(model, "run_foo_stream_out")).rpartition("/")[2] in ("FooTaskPredict", "foo")


JOBS = [f"FooTask{each}" for each in ("StartPredictionJob", "GetPredictionJobStatus", "GetPredictionJobResult")]
JOBS.append("FooTaskCancelPredictionJob")
WITH_JOBS = Kind(
    {"A": ["FooTaskPredict"], "B": ["FooTaskPredict"], "AJob": JOBS, "BJob": JOBS},
    [f"/v{each}/task/foo" for each in (1, 2)],
    "run_foo",
    {
        "grpc": {
            f"shared.{each}Service/FooTaskPredict": f"shared.{each}JobService/FooTaskGetPredictionJobStatus"
            for each in "AB"
        }
    },
)


@pytest.mark.parametrize("kind", [WITH_JOBS], ids=["jobs"])
async def test_a_jobs_task_is_chosen(target: Any, protocol: str, kind: Kind, client_class: Any) -> None:
    client = client_class(target)
    try:
        with pytest.raises(InputError, match="several tasks 'FooTask'"):
            await result(client.prediction_job("FooTask", "an-id").status())
        for choice, method in kind.choices[protocol].items():
            with pytest.raises(UnimplementedError) as caught:
                await result(client.prediction_job(choice, "an-id").status())
            assert caught.value.method == method
    finally:
        await result(client.aclose())
