"""Spans of everything that a client asks of a real runtime, beside gRPC's own instrumentor, which makes none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.sdk.trace import ReadableSpan

from remote_client import JobStatus, RemoteClient
from remote_client.errors import InternalError, JobFailedError
from remote_client.opentelemetry import instrument, uninstrument
from remote_client.sync import RemoteClient as BlockingClient

from ..support.runtime import Runtime
from ..support.telemetry import Telemetry

ROWS = [{"name": "a"}, {"name": "b"}]
HOW = {"grpc by asyncio": "asyncio", "grpc by grpcio": "grpcio", "http": None}
GRPC = "caikit.runtime.SampleLib.SampleLibService/"
NAMES = {
    "grpc": {
        "discovery": "caikit.runtime.info.InfoService/GetModelsInfo",
        "unary": f"{GRPC}SampleTaskPredict",
        "stream": f"{GRPC}ServerStreamingSampleTaskPredict",
        "job": "caikit.runtime.SampleLib.SampleLibJobService/SampleTaskStartPredictionJob",
    },
    "http": {
        "discovery": "GET /info/models",
        "unary": "POST /api/v1/task/sample",
        "stream": "POST /api/v1/task/server-streaming-sample",
        "job": "POST /api/v1/task/sample/job",
    },
}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    makers: list[Any] = [GrpcAioInstrumentorClient, GrpcInstrumentorClient]
    for each in makers:
        each().instrument(tracer_provider=made.tracer_provider)
    instrument(tracer_provider=made.tracer_provider, meter_provider=made.meter_provider)
    yield made
    uninstrument()
    for each in makers:
        each().uninstrument()
    made.close()


@pytest.fixture(params=HOW.values(), ids=HOW)
def settings(request: pytest.FixtureRequest, runtime: Runtime, telemetry: Telemetry) -> dict[str, Any]:
    """What a client is made with."""
    target = runtime.http_target if request.param is None else runtime.target
    return {"target": target, "engine": request.param}


def told(spans: list[ReadableSpan], name: str) -> dict[str, Any]:
    """The attributes of the first span of that name."""
    return dict(next(each for each in spans if each.name == name).attributes or {})


def check(telemetry: Telemetry, settings: dict[str, Any]) -> None:
    spans = telemetry.calls()
    names = NAMES["grpc" if settings["engine"] else "http"]
    assert {each.instrumentation_scope.name for each in spans if each.instrumentation_scope} == {"remote_client"}
    (mine,) = [each for each in telemetry.spans() if each.name == "mine"]
    assert all(each.parent == mine.context for each in spans)
    for kind in ("unary", "stream", "job"):
        found = told(spans, names[kind])
        assert (found["caikit.model"], found["caikit.task"]) == ("foo", "SampleTask")
    assert "caikit.task" not in told(spans, names["discovery"])
    # This runtime has the older version of the reflection alone.
    failed = [each for each in spans if not each.status.is_ok and "reflection.v1." not in each.name]
    assert [each.name for each in failed] == [names["unary"]]
    assert dict(failed[0].attributes or {})["error.type"] == ("INTERNAL" if settings["engine"] else "500")
    assert len({dict(each.attributes or {})["caikit.request_id"] for each in spans}) == len(spans)
    assert telemetry.total("caikit.client.active_calls") == 0
    assert sum(each.count for each in telemetry.points("rpc.client.call.duration")) == len(spans)


async def test_from_a_loop(settings: dict[str, Any], telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("mine"):
        async with RemoteClient(**settings) as client:
            model = await client.model("foo")
            assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
            async with model.run_sample_stream_out({"name": "World"}) as stream:
                await anext(stream)
            with pytest.raises(InternalError):
                await model.run_sample({"name": "World"}, throw=True)
            job = await model.start_sample_job({"name": "World"})
            assert (await job.wait()).state is JobStatus.COMPLETED
            assert (await job.result()).greeting == "Hello World"
            with pytest.raises(JobFailedError, match="barf!"):
                await (await model.start_sample_job({"name": "World"}, throw=True)).wait()
            training = await model.train(training_data=ROWS, union_list=["x"])
            assert (await training.wait()).state is JobStatus.COMPLETED
    check(telemetry, settings)


def test_from_a_thread(settings: dict[str, Any], telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("mine"), BlockingClient(**settings) as client:
        model = client.model("foo")
        assert model.run_sample({"name": "World"}).greeting == "Hello World"
        with model.run_sample_stream_out({"name": "World"}) as stream:
            next(stream)
        with pytest.raises(InternalError):
            model.run_sample({"name": "World"}, throw=True)
        job = model.start_sample_job({"name": "World"})
        assert job.wait().state is JobStatus.COMPLETED
        training = model.train(training_data=ROWS, union_list=["x"])
        assert training.wait().state is JobStatus.COMPLETED
    check(telemetry, settings)
