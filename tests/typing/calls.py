"""Calls that type checkers must understand, and such that they must refuse: an ignored line without an error is one."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType, TypedDict, assert_type

from remote_client import (
    Difference,
    HealthStatus,
    JobInfo,
    RemoteClient,
    RemoteModuleBase,
    RemoteStream,
    Response,
    TrainingJob,
)
from remote_client.bulk import Done, MapRows, map_frame, map_rows
from remote_client.declare import module, taskmethod


@dataclass
class Who:
    """What is sent."""

    name: str


@dataclass
class Greeting:
    """What is answered."""

    greeting: str


@module("some-id", "SampleModule", "0.1.0", task="SampleTask")
class SampleModule(RemoteModuleBase):
    """Declared by hand."""

    @taskmethod()
    async def run(self, sample_input: Who, throw: bool = False) -> Greeting:
        """Unary."""
        raise NotImplementedError

    @taskmethod()
    def run_stream_out(self, sample_input: Who) -> RemoteStream[Greeting]:
        """Many answers."""
        raise NotImplementedError

    @taskmethod()
    def run_bidi_stream(self, sample_inputs: AsyncIterable[Who]) -> AsyncIterator[Greeting]:
        """Many of both."""
        raise NotImplementedError

    async def train(self, training_data: Iterable[Who], batch_size: int = 64) -> TrainingJob[SampleModule]:
        """A training."""
        raise NotImplementedError


Label = NewType("Label", str)


class Spot(TypedDict, total=False):
    """What is sent and answered."""

    label: Label
    tags: Sequence[Annotated[str, "a mark"]]
    color: Literal["RED", "GREEN"]


@module(task="PlaceTask")
class PlaceModule(RemoteModuleBase):
    """Declared with other forms of types."""

    @taskmethod()
    async def run(self, spots: Mapping[str, Spot], label: Label = Label("x")) -> Spot:
        """Takes and gives typed dicts."""
        raise NotImplementedError


async def forms(client: RemoteClient, spot: Spot) -> None:
    """Their types arrive."""
    model = await client.model("foo", PlaceModule)
    assert_type(await model.run({"a": spot}), Spot)
    assert_type((await model.run({"a": {"color": "RED"}}, Label("y"))).get("label"), Label | None)
    await model.run({"a": {"color": "BLUE"}})  # type: ignore[typeddict-item]  # pyright: ignore[reportArgumentType]
    await model.run({}, "y")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def right(client: RemoteClient, who: Who, many: AsyncIterable[Who]) -> None:
    """All of it is understood."""
    model = await client.model("foo", SampleModule)
    assert_type(model, SampleModule)
    assert_type(await model.run(who, throw=True), Greeting)
    assert_type(await model.with_options(timeout=5).run(who), Greeting)
    async for each in model.run_stream_out(who):
        assert_type(each, Greeting)
    async with model.run_stream_out(who) as stream:
        assert_type(await anext(stream), Greeting)
        assert_type(await stream.collect(), list[Greeting])
    assert_type(await model.run_stream_out(who).text(), str)
    async for text in model.run_stream_out(who).texts("greeting"):
        assert_type(text, str)
    async for event in model.run_stream_out(who).sse():
        assert_type(event, bytes)
    async for each in model.run_bidi_stream(many):
        assert_type(each, Greeting)
    job = await model.train([who])
    assert_type(await job.wait(), JobInfo)
    assert_type(await job.model(), SampleModule)
    assert_type(await client.model("foo"), RemoteModuleBase)
    assert_type(await client.model("foo", model), Any)
    assert_type(await client.model("foo", "some-id"), Any)
    assert_type(await client.model("foo", task="SampleTask"), RemoteModuleBase)
    assert_type(await client.check_schema(b""), list[Difference])
    assert_type(await client.call("/grpc.health.v1.Health/Check", timeout=5), bytes)
    assert_type(await client.call("/grpc.health.v1.Health/Check", {}), dict[str, Any])
    assert_type(await client.call("/grpc.health.v1.Health/Check", who), Any)
    response: Response[Greeting] = await model.with_response().run(who)
    assert_type(response.value, Greeting)
    async with client.watch_health() as watch:
        async for status in watch:
            assert_type(status, HealthStatus)


async def wrong(client: RemoteClient, who: Who) -> None:
    """None of it is taken."""
    model = await client.model("foo", SampleModule)
    await model.run(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await model.run(who, thrown=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await model.run()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    (await model.run(who)).greetings  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    await model.train([5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await client.model("foo", SampleModule, task="SampleTask")  # type: ignore[call-overload]  # pyright: ignore
    await client.model("foo", "some-id", task="SampleTask")  # type: ignore[call-overload]  # pyright: ignore
    await client.model(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    RemoteClient("h:1", protocol="smtp")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def many_rows(
    client: RemoteClient, rows: Iterable[Who], later: AsyncIterable[Who], table: dict[str, int]
) -> None:
    """Rows are of any type: what a method takes is checked when they are sent."""
    model = await client.model("foo", SampleModule)
    answers = map_rows(model.run, rows, concurrency=16, ordered=False, on_error="return", checkpoint="done.jsonl")
    assert_type(answers, MapRows)
    async with answers:
        async for done in answers:
            assert_type(done, Done)
    assert_type((answers.failed, answers.skipped), tuple[int, int])
    map_rows(model.run, later, concurrency="auto", batch_size=5, split="items", outage=None, progress=print)
    map_rows((await client.model("bar")).run_bar, [("a", 1)])
    assert_type(await map_frame(model.run, table, input="who", output={"greeting": "greeting"}), dict[str, int])
    map_rows(model.run, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    map_rows(model.run, rows, on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    map_rows(model.run, rows, concurrency="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    map_rows(model.run, rows, size=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    for _ in map_rows(model.run, rows):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
