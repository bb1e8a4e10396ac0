"""Declared modules, over both protocols: their own names and types, and what is told where they are wrong."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NewType, TypedDict

import pytest
from pydantic import BaseModel

from remote_client import (
    ConnectionInfo,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    RemoteModuleBase,
    RemoteModuleConfig,
    RemoteStream,
    construct_remote_module_class,
)
from remote_client import TrainingJob as Training
from remote_client._transport.engine import open_connections
from remote_client.declare import module, registry, task, taskmethod
from remote_client.errors import (
    ConfigurationError,
    InputError,
    InvalidResponseError,
    SchemaError,
    UnavailableError,
    UnsupportedError,
)

from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, Recorder, connection_of, target_of


@dataclass
class Who:
    name: str


class Greeting(BaseModel):
    greeting: str


@task
class SampleTask:
    """Greets."""


@module(SAMPLE_MODELS["foo"], "SampleModule", "0.1.0", task=SampleTask)
class SampleModule(RemoteModuleBase):
    """Greets."""

    @taskmethod()
    async def greet(self, sample_input: Who, throw: bool = False) -> Greeting:
        raise NotImplementedError

    @taskmethod(SampleTask)
    def greet_often(self, sample_input: Who, count: int = 2) -> RemoteStream[Greeting]:
        raise NotImplementedError

    @taskmethod("SampleTask")
    async def greet_all(self, sample_inputs: AsyncIterable[Who] | Iterable[Who], greeting: str = "Hi ") -> Greeting:
        raise NotImplementedError

    @taskmethod()
    def greet_each(self, sample_inputs: AsyncIterable[Who]) -> AsyncIterator[Greeting]:
        raise NotImplementedError

    async def train(
        self, training_data: Iterable[Who], union_list: list[str] | list[int], batch_size: int = 64
    ) -> Training[SampleModule]:
        raise NotImplementedError


async def test_own_names_and_types(client: RemoteClient) -> None:
    model = await client.model("foo", SampleModule)
    assert isinstance(model, SampleModule)
    assert await model.greet(Who("World")) == Greeting(greeting="Hello World")
    assert await model.greet(sample_input=Who("World"), throw=False) == Greeting(greeting="Hello World")
    assert [each.greeting async for each in model.greet_often(Who("W"))] == ["Hello W 0", "Hello W 1"]
    async with model.greet_often(Who("W"), 5) as stream:
        assert (await anext(stream)).greeting == "Hello W 0"
    assert await model.with_options(output="dict").greet(Who("World")) == {"greeting": "Hello World"}
    assert (await model.run_sample({"name": "World"})).greeting == "Hello World"  # the names that all modules have
    job = await model.start_sample_job(Who("World"))  # pyright: ignore
    await job.wait()


async def test_streamed_inputs(grpc_client: RemoteClient) -> None:
    model = await grpc_client.model("foo", SampleModule)
    assert await model.greet_all([Who("a"), Who("b")]) == Greeting(greeting="Hi a,b")

    async def people() -> AsyncIterator[Who]:
        yield Who("a")
        yield Who("b")

    assert [each async for each in model.greet_each(people())] == [
        Greeting(greeting="Hello a"),
        Greeting(greeting="Hello b"),
    ]


async def test_streamed_inputs_are_refused_over_http(http_client: RemoteClient) -> None:
    model = await http_client.model("foo", SampleModule)
    with pytest.raises(UnsupportedError, match="gRPC"):
        await model.greet_all([Who("a")])
    with pytest.raises(UnsupportedError, match="gRPC"):
        model.greet_each(None)  # type: ignore[arg-type]


async def test_a_training(client: RemoteClient) -> None:
    model = await client.model("foo", SampleModule)
    training = await model.train([Who("a")], [1, 2], batch_size=0)
    trained = await training.model()
    assert isinstance(trained, SampleModule)
    assert await trained.greet(Who("World")) == Greeting(greeting="Hello World")


async def test_the_registry_binds_by_itself(runtime: Runtime, protocol: Protocol, client: RemoteClient) -> None:
    registry[SAMPLE_MODELS["foo"]] = SampleModule
    assert isinstance(await client.model("bar"), SampleModule)
    assert not isinstance(await client.model("primitive"), SampleModule)
    config = {"connection": connection_of(runtime, protocol), "protocol": protocol, "discover_models": False}
    finder = RemoteModelFinder({**config, "supported_models": {"foo": SAMPLE_MODELS["foo"]}})
    found = await finder.find_model("foo")
    assert found is not None
    made = RemoteModelInitializer().init(found)
    assert made is not None
    async with made:
        assert isinstance(made, SampleModule)
        assert await made.greet(Who("World")) == Greeting(greeting="Hello World")
    await finder.aclose()


class WrongGreeting(BaseModel):
    greeting: int
    more: str = ""


@module("another-id", task="SampleTask")
class Wrong(RemoteModuleBase):
    @taskmethod()
    async def run(self, sample_input: Who, thrown: bool = False, prefix: int = 1) -> WrongGreeting:
        raise NotImplementedError

    @taskmethod("NoTask")
    async def other(self, x: int) -> int:
        raise NotImplementedError

    @taskmethod("ZooTask")
    def zoos(self) -> AsyncIterator[Any]:
        raise NotImplementedError


async def test_all_differences_are_told_at_once(client: RemoteClient, protocol: Protocol) -> None:
    with pytest.raises(SchemaError) as caught:
        await client.model("foo", Wrong)
    told = str(caught.value)
    for each in (
        f"the model's module is {SAMPLE_MODELS['foo']}, not another-id",
        "run: the server knows no parameter thrown",
        "run: prefix is str on the server, not int",
        "run: the answer.greeting is str on the server, not int",
        "run: the answer has no field more",
        "other: the server has no task NoTask",
        f"zoos: the server requires {'zoo' if protocol == 'grpc' else 'inputs'}",
    ):
        assert each in told


async def test_what_is_no_declaration(client: RemoteClient) -> None:
    with pytest.raises(ConfigurationError, match="is no declared module"):
        await client.model("foo", dict)
    with pytest.raises(InputError, match="task="):
        await client.model("foo", "SampleTask")


async def test_errors_have_the_declared_names(client: RemoteClient, protocol: Protocol) -> None:
    model: Any = await client.model("foo", SampleModule)
    with pytest.raises(InputError, match=r"^greet\(\): sample_input\.name: expected str, not int"):
        await model.greet({"name": 5})
    with pytest.raises(InputError, match=r"^greet_often\(\): sample_input\.name: expected str, not int"):
        model.greet_often({"name": 5})
    if protocol == "grpc":
        with pytest.raises(InputError, match=r"^greet_all\(\): sample_inputs\[1\]\.name: expected str, not int"):
            await model.greet_all([Who("a"), {"name": 5}])
        with pytest.raises(InputError, match=r"^greet_all\(\) needs a stream"):
            await model.greet_all(Who("a"))


class Shade(enum.Enum):
    RED = 0
    GREEN = 1
    BLUE = 7


@dataclass
class Spot:
    label: str
    lat: float
    lon: float


class Zoo(BaseModel):
    flag: bool | None = None
    uint64: int | None = None
    blob: bytes | None = None
    color: Shade | None = None
    place: Spot | None = None
    places: list[Spot] | None = None
    counts: dict[str, int] | None = None
    when: datetime | None = None
    settings: dict[str, Any] | None = None
    scalar_union: bool | int | float | str | None = None
    optional_text: str | None = None


@module("", task="ZooTask")
class Echo:
    """Not even a subclass."""

    @taskmethod()
    async def run(self, zoo: Zoo) -> Zoo:
        raise NotImplementedError


async def test_types_of_ones_own_return_equal(client: RemoteClient) -> None:
    spot = Spot("x", 1.5, -2.5)
    zoo = Zoo(
        flag=True,
        uint64=2**64 - 1,
        blob=bytes(range(256)),
        color=Shade.BLUE,
        place=spot,
        places=[spot, spot],
        counts={"a": 1},
        when=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        settings={"a": "b"},
        scalar_union="text",
        optional_text="",
    )
    model = await client.model("zoo", Echo)
    answer = await model.run(zoo)
    assert answer == zoo
    assert await model.run(answer) == zoo


Label = NewType("Label", str)


class Mode(enum.StrEnum):
    GREEDY = "greedy"


class Point(TypedDict, total=False):
    label: Label
    lat: Annotated[float, "degrees"]


class Things(TypedDict, total=False):
    text: Literal["x", "greedy"]
    texts: Sequence[Label]
    counts: Mapping[str, int]
    place: Point | None
    places: Sequence[Point]
    color: Shade


@module(task="ZooTask")
class EchoThings(RemoteModuleBase):
    @taskmethod()
    async def run(self, zoo: Things) -> Things:
        raise NotImplementedError


async def test_forms_of_types_return_equal(client: RemoteClient) -> None:
    things: Things = {
        "text": "x",
        "texts": [Label("a")],
        "counts": {"a": 2**60 + 1},
        "place": {"label": Label("x"), "lat": 1.5},
        "places": [{"label": Label("y"), "lat": 0.5}],
        "color": Shade.GREEN,
    }
    model = await client.model("zoo", EchoThings)
    answer = await model.run(things)
    assert answer == things
    assert await model.run(answer) == things
    sent = await model.run({**things, "text": Mode.GREEDY, "texts": [Label(Mode.GREEDY)]})  # type: ignore[typeddict-item]
    assert (sent["text"], sent["texts"]) == ("greedy", ["greedy"])


async def test_an_answer_of_another_task_is_no_object(grpc_client: RemoteClient) -> None:
    """What one message has and the other has not shows that it is another one."""
    model = await grpc_client.model("foo")
    (method,) = [each for _, methods in model.config.task_methods for each in methods if each.name == "run_numbers"]
    with pytest.raises(InvalidResponseError, match="the model may be of another task"):
        method.codec.decode(b"\x52\x03abc", "pydantic")


async def test_a_proxy_says_what_it_does_not_know(client: RemoteClient) -> None:
    assert "all tasks of the runtime" in repr(await client.model("foo"))
    assert "No server tells which tasks" in (type(await client.model("foo")).__doc__ or "")
    for known in (await client.model("foo", task="SampleTask"), await client.model("foo", SampleModule)):
        assert "all tasks" not in repr(known)


# -- RemoteModuleConfig.load_from_module ------------------------------------------------------------------------------


def loaded(reference: Any, runtime: Runtime, protocol: Protocol, model: str = "foo") -> Any:
    connection = ConnectionInfo(**connection_of(runtime, protocol))
    config = RemoteModuleConfig.load_from_module(reference, connection, protocol, "mm-model-id", model)
    made = RemoteModelInitializer().init(config)
    assert made is not None
    return made


@pytest.mark.parametrize("kind", ["class", "instance", "id"])
async def test_a_module_of_a_reference(runtime: Runtime, protocol: Protocol, kind: str) -> None:
    registry[SAMPLE_MODELS["foo"]] = SampleModule
    instance = SampleModule.__new__(SampleModule)
    reference = {"class": SampleModule, "instance": instance, "id": SAMPLE_MODELS["foo"]}[kind]
    async with RemoteClient(target_of(runtime, protocol)) as client:
        named = await client.model("foo", reference)
        assert isinstance(named, SampleModule)
        assert await named.greet(Who("World")) == Greeting(greeting="Hello World")
    async with loaded(reference, runtime, protocol) as model:
        assert isinstance(model, SampleModule)
        assert (model.config.module_id, model.config.module_name) == (SAMPLE_MODELS["foo"], "SampleModule")
        assert await model.greet(Who("World")) == Greeting(greeting="Hello World")
        assert [each.greeting async for each in model.greet_often(Who("W"))] == ["Hello W 0", "Hello W 1"]
        async with model.with_options(output="dict").greet_often(sample_input={"name": "W"}, count=1) as stream:  # type: ignore[arg-type]
            assert await anext(stream) == {"greeting": "Hello W 0"}


async def test_a_loaded_module_trains(runtime: Runtime, protocol: Protocol) -> None:
    async with loaded(SampleModule, runtime, protocol) as model:
        training = await model.train([Who("a")], [1, 2], batch_size=0)
        assert await (await training.model()).greet(Who("World")) == Greeting(greeting="Hello World")


async def test_a_loaded_module_streams_in(runtime: Runtime) -> None:
    async with loaded(SampleModule, runtime, "grpc") as model:
        assert await model.greet_all([Who("a"), Who("b")]) == Greeting(greeting="Hi a,b")
        assert [each.greeting async for each in model.greet_each([Who("a")])] == ["Hello a"]
    async with loaded(SampleModule, runtime, "http") as model:
        with pytest.raises(UnsupportedError, match="gRPC"):
            await model.greet_all([Who("a")])


async def test_over_http_a_loaded_module_asks_for_nothing_but_its_answer(runtime: Runtime) -> None:
    recorder = Recorder()
    config = RemoteModuleConfig.load_from_module(
        SampleModule, ConnectionInfo(**connection_of(runtime, "http")), "http", "mm-model-id", "foo"
    )
    made: Any = construct_remote_module_class(config)(
        config, connections=open_connections(config.connection, "http", recorder)
    )
    assert await made.greet(Who("World")) == Greeting(greeting="Hello World")
    job = await made.start_sample_job(Who("World"))
    await job.wait()
    assert await job.result() == Greeting(greeting="Hello World")
    assert {request.url.path.partition("/job")[0] for request in recorder.requests} == {"/api/v1/task/sample"}
    await recorder.aclose()


async def test_a_loaded_module_sends_nothing_before_its_first_call(protocol: Protocol) -> None:
    connection = ConnectionInfo(hostname="localhost", port=1)
    config = RemoteModuleConfig.load_from_module(SampleModule, connection, protocol, "mm-model-id", "foo")
    made: Any = RemoteModelInitializer().init(config)
    for call in (lambda: made.greet(), lambda: made.greet_often(Who("a"), more=1)):
        with pytest.raises(InputError):
            call()
    with pytest.raises(UnavailableError):
        await made.greet(Who("World"))
    await made.aclose()


async def test_a_loaded_module_that_disagrees_says_so_at_its_first_call(runtime: Runtime) -> None:
    async with loaded(Wrong, runtime, "grpc") as model:
        with pytest.raises(SchemaError, match=r"(?s)no parameter thrown.*prefix is str.*greeting is str"):
            await model.run(Who("World"))
        with pytest.raises(SchemaError, match="NoTask"):
            async for _ in model.zoos():
                pass


async def test_calls_at_the_same_time_read_the_description_once(runtime: Runtime) -> None:
    async with loaded(SampleModule, runtime, "grpc") as model:
        first = asyncio.ensure_future(model.greet(Who("a")))
        others = [asyncio.ensure_future(model.with_options(timeout=30).greet(Who("b"))) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == [Greeting(greeting="Hello b")] * 3
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.mark.parametrize("reference", ["no-such-id", object, 5])
def test_an_unknown_reference(reference: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"no module is known|no declared module"):
        RemoteModuleConfig.load_from_module(reference, ConnectionInfo(hostname="h"), "grpc", "mm-model-id", "foo")


def test_a_declared_type_that_json_cannot_say() -> None:
    @module(task="SampleTask")
    class Odd(RemoteModuleBase):
        @taskmethod()
        async def run(self, sample_input: Callable[[], int]) -> Greeting:
            raise NotImplementedError

    with pytest.raises(ConfigurationError, match="Callable"):
        RemoteModuleConfig.load_from_module(Odd, ConnectionInfo(hostname="h"), "http", "mm-model-id", "foo")


async def test_output_caikit_needs_a_caikit_class(client: RemoteClient) -> None:
    with pytest.raises(UnsupportedError, match="caikit"):
        (await client.model("foo", SampleModule)).with_options(output="caikit")
