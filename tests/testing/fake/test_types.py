"""Declared types of all kinds, through a fake runtime and back, and the types that it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from remote_client import JobStatus, RemoteClient
from remote_client.declare import module, taskmethod
from remote_client.errors import (
    AlreadyExistsError,
    ConfigurationError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
)
from remote_client.testing import FakeRuntime

from .greeters import Greeter, Greeting, Held, Mood, Text, Who


class Weekday(Enum):
    MONDAY = 1
    TUESDAY = 2


class Day(BaseModel):
    mood: Mood
    weekday: Weekday


# -- types ------------------------------------------------------------------------------------------------------------


async def test_arguments_arrive_as_the_declared_types(protocol: str) -> None:
    seen: list[Any] = []

    @module("seen-id", "Seen", "1", task="SeenTask")
    class Seen:
        @taskmethod()
        def run(
            self, who: Who, moods: list[Mood], weights: dict[str, float], choice: int | str, note: str = "-"
        ) -> Text:
            seen[:] = [who, moods, weights, choice, note]
            return Text(text="ok")

    with FakeRuntime({"seen": Seen}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            declared = await client.model("seen", Seen)
            given = (Who("Ada", Mood.LOUD), [Mood.CALM, Mood.LOUD], {"a": 1.5}, "text")
            assert (await declared.run(*given)).text == "ok"
    assert seen == [*given, "-"]
    assert type(seen[0]) is Who


async def test_unset_fields_of_an_answer_have_their_defaults(model: Any) -> None:
    assert (await model.run_sample({"name": "World"})).count == 3


async def test_enums_go_in_and_come_out(protocol: str) -> None:
    @module("day-id", "Day", "1", task="DayTask")
    class Days:
        @taskmethod()
        def run(self, day: Day) -> Day:
            return day

    with FakeRuntime({"day": Days}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            declared = await client.model("day", Days)
            day = Day(mood=Mood.LOUD, weekday=Weekday.TUESDAY)
            assert await declared.run(day) == day


UNUSABLE: list[tuple[Any, Any, str]] = [
    (complex, Text, "number: complex has no type in gRPC"),
    (str, str, "run: str cannot be an answer: declare a pydantic model"),
    (list[Text] | str, Text, r"number: list\[.*Text\] cannot be a member of a union"),
]


@pytest.mark.parametrize(("parameter", "result", "told"), UNUSABLE, ids=["parameter", "answer", "union"])
def test_types_that_grpc_does_not_have(parameter: Any, result: Any, told: str) -> None:
    async def run(self: Any, number: Any) -> Any:
        raise AssertionError

    run.__annotations__ = {"number": parameter, "return": result}
    declared = module("odd-id", "Odd", "1", task="OddTask")(type("Odd", (), {"run": taskmethod()(run)}))
    with pytest.raises(ConfigurationError, match=told):
        FakeRuntime({"odd": declared})


def test_two_modules_of_a_task_that_declare_it_differently() -> None:
    @module("other-id", "Other", "1", task="SampleTask")
    class Other:
        @taskmethod()
        def run(self, sample_input: str) -> Greeting:
            raise AssertionError

    with pytest.raises(ConfigurationError, match="SampleTask: sample_input is declared as Who and str"):
        FakeRuntime({"foo": Greeter, "other": Other})


class Tree(BaseModel):
    label: str
    children: list[Tree] = []
    parent: Tree | None = None
    raw: bytes | None = None
    moods: dict[str, Mood] = {}
    days: list[Weekday] = []


class Point(TypedDict):
    x: float
    label: NotRequired[str]


@dataclass
class Everything:
    tree: Tree
    point: Point
    when: datetime
    span: timedelta
    anything: Any
    mixed: list[int | str]
    values: list[str] | list[int] | int
    nested: dict[str, Any]
    note: str | None
    tags: set[str] = field(default_factory=set)


@module("everything-id", "Everything", "1", task="EverythingTask")
class EverythingModule:
    @taskmethod()
    async def run(self, everything: Everything, again: Everything | None = None) -> Everything:
        assert again is None or again == everything
        return everything


EVERYTHING = Everything(
    Tree(
        label="root",
        children=[Tree(label="leaf", raw=b"\x00\xff", moods={"a": Mood.LOUD}), Tree(label="", parent=Tree(label="up"))],
        days=[Weekday.TUESDAY],
    ),
    {"x": 1.5, "label": "p"},
    datetime(2026, 1, 2, tzinfo=UTC),
    timedelta(seconds=90),
    {"any": [1.5, None, "x"]},
    ["a", "b"],
    ["a", "b"],
    {"deep": {"er": [True]}},
    None,
    {"tag"},
)


async def test_types_of_all_kinds_return_equal(protocol: str) -> None:
    with FakeRuntime({"all": EverythingModule}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            declared = await client.model("all", EverythingModule)
            assert await declared.run(EVERYTHING) == EVERYTHING
            assert await declared.run(EVERYTHING, EVERYTHING) == EVERYTHING


async def test_a_required_parameter_that_may_be_none(protocol: str) -> None:
    @module("nullable-id", "Nullable", "1", task="NullableTask")
    class Nullable:
        @taskmethod()
        def run(self, text: str, note: str | None) -> Text:
            return Text(text=f"{text} {note}")

    with FakeRuntime({"nullable": Nullable}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            declared = await client.model("nullable", Nullable)
            assert (await declared.run("a", None)).text == "a None"
            assert (await declared.run("a", "b")).text == "a b"


async def test_what_a_declared_type_does_not_take() -> None:
    @module("strict-id", "Strict", "1", task="StrictTask")
    class Strict:
        @taskmethod()
        def run(self, number: Annotated[int, Field(gt=3)]) -> Text:
            raise AssertionError

    with FakeRuntime({"strict": Strict}) as runtime:
        async with RemoteClient(runtime.grpc) as client:
            with pytest.raises(InvalidArgumentError, match="number: Input should be greater than 3"):
                await (await client.model("strict")).run_strict(2)


async def test_an_async_body_that_reads_a_stream_with_for() -> None:
    @module("wrong-id", "Wrong", "1", task="WrongTask")
    class Wrong:
        @taskmethod()
        async def run(self, texts: AsyncIterable[str]) -> Text:
            wrong: Any = texts
            return Text(text=",".join(wrong))

    with FakeRuntime({"wrong": Wrong}) as runtime:
        async with RemoteClient(runtime.grpc) as client:
            with pytest.raises(InternalError, match="an async body reads texts with `async for`"):
                await (await client.model("wrong")).run_wrong_stream_in(["a"])


async def test_jobs_are_cancelled(protocol: str) -> None:
    held = Held()
    with FakeRuntime({"held": held}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            job = await (await client.model("held")).start_held_job("x")
            assert await asyncio.to_thread(held.begun.wait, 5)
            with pytest.raises(NotFoundError, match="is still in progress"):
                await job.result()
            assert (await job.cancel()).state is JobStatus.CANCELED
            assert await asyncio.to_thread(held.cancelled.wait, 5)
            with pytest.raises(NotFoundError, match="was cancelled"):
                await job.result()
            with pytest.raises(NotFoundError, match="Cannot undeploy unknown model nobody"):
                await client.undeploy_model("nobody")
            await client.deploy_model("own", {"config.yml": b"module_id: held-id"})
            with pytest.raises(AlreadyExistsError):
                await client.deploy_model("own", {"config.yml": b"module_id: held-id"})
            assert {info.name: info.loaded for info in await client.models()} == {"held": True, "own": False}


async def test_stopping_ends_jobs() -> None:
    held = Held()
    with FakeRuntime({"held": held}) as runtime:
        async with RemoteClient(runtime.grpc) as client:
            await (await client.model("held")).start_held_job("x")
            assert await asyncio.to_thread(held.begun.wait, 5)
    assert held.cancelled.is_set()
