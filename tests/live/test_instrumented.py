"""Learned modules, jobs and trainings of a real runtime while OpenTelemetry has gRPC instrumented, on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient

from remote_client import JobStatus, RemoteClient
from remote_client.errors import JobFailedError
from remote_client.sync import RemoteClient as BlockingClient

from ..support.runtime import Runtime

ROWS = [{"name": "a"}, {"name": "b"}]
HOW = {"grpc by asyncio": "asyncio", "grpc by grpcio": "grpcio", "http": None}


@pytest.fixture
def instrumented() -> Iterator[None]:
    makers: list[Any] = [GrpcAioInstrumentorClient, GrpcInstrumentorClient]
    for each in makers:
        each().instrument()
    yield
    for each in makers:
        each().uninstrument()


@pytest.fixture(params=HOW.values(), ids=HOW)
def settings(request: pytest.FixtureRequest, runtime: Runtime, instrumented: None) -> dict[str, Any]:
    """What a client is made with."""
    target = runtime.http_target if request.param is None else runtime.target
    return {"target": target, "engine": request.param}


async def test_from_a_loop(settings: dict[str, Any]) -> None:
    async with RemoteClient(**settings) as client:
        model = await client.model("foo")
        assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
        async for _ in model.run_sample_stream_out({"name": "World"}):
            break
        job = await model.start_sample_job({"name": "World"})
        assert (await job.wait()).state is JobStatus.COMPLETED
        assert (await job.result()).greeting == "Hello World"
        with pytest.raises(JobFailedError, match="barf!"):
            await (await model.start_sample_job({"name": "World"}, throw=True)).wait()
        training = await model.train(training_data=ROWS, union_list=["x"])
        assert (await training.wait()).state is JobStatus.COMPLETED
        assert (await (await client.model(training.model_name)).run_sample({"name": "W"})).greeting == "Hello W"


def test_from_a_thread(settings: dict[str, Any]) -> None:
    with BlockingClient(**settings) as client:
        model = client.model("foo")
        assert model.run_sample({"name": "World"}).greeting == "Hello World"
        for _ in model.run_sample_stream_out({"name": "World"}):
            break
        job = model.start_sample_job({"name": "World"})
        assert job.wait().state is JobStatus.COMPLETED
        assert job.result().greeting == "Hello World"
