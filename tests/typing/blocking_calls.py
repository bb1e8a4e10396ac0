"""Blocking calls that type checkers must understand or refuse: an ignored line without an error is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, assert_type

from remote_client.declare import module, taskmethod
from remote_client.sync import (
    Difference,
    HealthStatus,
    JobInfo,
    ModelInfo,
    RemoteClient,
    RemoteModuleBase,
    RemoteStream,
    TrainingJob,
)
from remote_client.sync.bulk import Done, MapRows, map_frame, map_rows


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
    def run(self, sample_input: Who, throw: bool = False) -> Greeting:
        """Unary."""
        raise NotImplementedError

    @taskmethod()
    def run_stream_out(self, sample_input: Who) -> RemoteStream[Greeting]:
        """Many answers."""
        raise NotImplementedError

    @taskmethod()
    def run_bidi_stream(self, sample_inputs: Iterable[Who]) -> Iterator[Greeting]:
        """Many of both."""
        raise NotImplementedError

    def train(self, training_data: Iterable[Who], batch_size: int = 64) -> TrainingJob[SampleModule]:
        """A training."""
        raise NotImplementedError


def right(client: RemoteClient, who: Who, many: Iterable[Who]) -> None:
    """All of it is understood."""
    model = client.model("foo", SampleModule)
    assert_type(model, SampleModule)
    assert_type(model.run(who, throw=True), Greeting)
    assert_type(model.with_options(timeout=5).run(who), Greeting)
    for each in model.run_stream_out(who):
        assert_type(each, Greeting)
    with model.run_stream_out(who) as stream:
        assert_type(next(stream), Greeting)
        assert_type(stream.collect(), list[Greeting])
    assert_type(model.run_stream_out(who).text(), str)
    for text in model.run_stream_out(who).texts("greeting"):
        assert_type(text, str)
    for event in model.run_stream_out(who).sse():
        assert_type(event, bytes)
    for each in model.run_bidi_stream(many):
        assert_type(each, Greeting)
    job = model.train([who])
    assert_type(job.wait(), JobInfo)
    assert_type(job.model(), SampleModule)
    assert_type(client.model("foo"), RemoteModuleBase)
    assert_type(client.model("foo", model), Any)
    assert_type(client.model("foo", "some-id"), Any)
    assert_type(client.models(["foo"]), list[ModelInfo])
    assert_type(client.healthy(), bool)
    assert_type(client.call("/grpc.health.v1.Health/Check", timeout=5), bytes)
    assert_type(client.call("/grpc.health.v1.Health/Check", {}), dict[str, Any])
    assert_type(client.call("/grpc.health.v1.Health/Check", who), Any)
    client.wait_until_ready(5, models="foo")
    for status in client.watch_health(poll=1):
        assert_type(status, HealthStatus)
    assert_type(client.check_schema("runtime.binpb"), list[Difference])
    assert_type(client.model("foo", task="SampleTask"), RemoteModuleBase)


def wrong(client: RemoteClient, who: Who) -> None:
    """None of it is taken."""
    model = client.model("foo", SampleModule)
    model.run(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    model.run(who, thrown=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    model.run()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    (model.run(who)).greetings  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    model.train([5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    client.model("foo", SampleModule, task="SampleTask")  # type: ignore[call-overload]  # pyright: ignore
    client.models(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.healthy(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    job = model.train([who])
    job.wait("soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.model("foo", "some-id", task="SampleTask")  # type: ignore[call-overload]  # pyright: ignore
    client.model(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    RemoteClient("h:1", protocol="smtp")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def many_rows(client: RemoteClient, rows: Iterable[Who], table: dict[str, int]) -> None:
    """Rows are of any type: what a method takes is checked when they are sent."""
    model = client.model("foo", SampleModule)
    with map_rows(model.run, rows, concurrency="auto", on_error="skip", total=5) as answers:
        assert_type(answers, MapRows)
        for done in answers:
            assert_type(done, Done)
    answers.close()
    assert_type(map_frame(model.run, table, input="who", output="greeting", error_column="error"), dict[str, int])
    map_rows(model.run, rows, on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    map_rows(model.run, rows, size=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    map_rows("run", rows)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
