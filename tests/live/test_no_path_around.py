"""Whatever a client asks of a runtime is a call like others: sent again, told to hooks, counted, failed over."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from remote_client import JobStatus, RemoteClient, sync
from remote_client.errors import (
    InvalidResponseError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    SchemaError,
    UnauthenticatedError,
    UnavailableError,
)
from remote_client.hooks import AttemptFailed, CallEnded
from tests.support.edge import Edge, edge
from tests.support.runtime import SAMPLE_MODELS, Runtime, free_port

from .protocols import Protocol, nobody, target_of

CONFIG = {"config.yml": f"module_id: {SAMPLE_MODELS['foo']}\n".encode()}


@dataclass
class Deed:
    """Something that is asked of a runtime.

    Attributes:
        do: does it.
        grpc, http: the end of the method's path, and the route.
        once: whether it is sent once.
    """

    do: Callable[[Any], Any]
    grpc: str
    http: str
    once: bool = False

    def path(self, protocol: Protocol) -> str:
        return self.grpc if protocol == "grpc" else self.http


def _known(name: str) -> Callable[[Any], Any]:
    return lambda client: client.model(name)


JOB, TRAINING = "/api/v1/task/sample/job", "/management/trainings"
DEEDS = {
    "models": Deed(lambda client: client.models(), "/GetModelsInfo", "GET /info/models"),
    "model": Deed(_known("foo"), "/ServerReflectionInfo", "GET /openapi.json"),
    "describe": Deed(lambda client: client.describe(), "/ServerReflectionInfo", "GET /openapi.json"),
    "runtime_info": Deed(lambda client: client.runtime_info(), "/GetRuntimeInfo", "GET /info/version"),
    "healthy": Deed(lambda client: client.healthy(), "/Check", "GET /health"),
    "job status": Deed(
        lambda client: client.prediction_job("SampleTask", "nope").status(),
        "/SampleTaskGetPredictionJobStatus",
        f"GET {JOB}",
    ),
    "job result": Deed(
        lambda client: client.prediction_job("SampleTask", "nope").result(),
        "/SampleTaskGetPredictionJobResult",
        f"GET {JOB}/results",
    ),
    "job cancel": Deed(
        lambda client: client.prediction_job("SampleTask", "nope").cancel(),
        "/SampleTaskCancelPredictionJob",
        f"DELETE {JOB}",
    ),
    "training status": Deed(lambda client: client.training("nope").status(), "/GetTrainingStatus", f"GET {TRAINING}"),
    "training cancel": Deed(lambda client: client.training("nope").cancel(), "/CancelTraining", f"DELETE {TRAINING}"),
}
ONCE = {
    "deploy": Deed(lambda client: client.deploy_model("once", CONFIG), "/DeployModel", "POST /management/models"),
    "undeploy": Deed(lambda client: client.undeploy_model("once"), "/UndeployModel", "DELETE /management/models"),
}
ANSWERS = {"grpc": ["502", "503", "CANCEL", "INTERNAL_ERROR"], "http": ["502", "503"]}
"""What an edge answers itself."""
LOSSES = ["end", "reset"]
EACH = [(protocol, fault) for protocol in ("grpc", "http") for fault in ANSWERS[protocol]]


@pytest_asyncio.fixture
async def between(runtime: Runtime, protocol: Protocol) -> AsyncIterator[Edge]:
    """An edge before the runtime."""
    async with edge(protocol, runtime.port if protocol == "grpc" else runtime.http_port) as made:
        yield made


async def outcome(asked: Awaitable[Any]) -> Any:
    """What is answered; the runtime's own error where it knows no such job."""
    try:
        return await asked
    except NotFoundError as error:
        assert error.http_status in (None, 404)
        return error


def blocking(target: str, deed: Deed, hook: Callable[[Any], None]) -> Any:
    with sync.RemoteClient(target, hooks=[hook]) as client:
        try:
            return deed.do(client)
        except NotFoundError as error:
            return error


def failures(events: list[Any], path: str) -> list[AttemptFailed]:
    """The attempts that failed, of a method or route."""
    return [each for each in events if isinstance(each, AttemptFailed) and f"/{each.method}".endswith(path)]


@pytest.mark.sampled(40)
@pytest.mark.parametrize("blocks", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize(("protocol", "fault"), EACH)
@pytest.mark.parametrize("name", DEEDS)
async def test_what_an_edge_refuses_is_asked_again(
    between: Edge, protocol: Protocol, name: str, fault: str, blocks: bool
) -> None:
    deed, events = DEEDS[name], list[Any]()
    between.faults[deed.path(protocol)] = [fault]
    if blocks:
        assert await asyncio.to_thread(blocking, between.target, deed, events.append)
    else:
        async with RemoteClient(between.target, hooks=[events.append]) as client:
            assert await outcome(deed.do(client))
    (failed,) = [each for each in failures(events, deed.path(protocol)) if each.wait is not None]
    assert failed.attempt == 1
    assert isinstance(failed.error, UnavailableError)
    (ended,) = [each for each in events if isinstance(each, CallEnded) and each.method == failed.method]
    assert ended.attempts == 2


@pytest.mark.parametrize("fault", LOSSES)
@pytest.mark.parametrize("name", DEEDS)
async def test_what_is_lost_is_asked_again(between: Edge, protocol: Protocol, name: str, fault: str) -> None:
    deed = DEEDS[name]
    between.faults[deed.path(protocol)] = [fault]
    async with RemoteClient(between.target) as client:
        assert await outcome(deed.do(client))
    assert between.requests(deed.path(protocol)) == 2


@pytest.mark.sampled(20)
@pytest.mark.parametrize(("protocol", "fault"), EACH)
@pytest.mark.parametrize("name", DEEDS)
async def test_what_an_edge_goes_on_refusing(between: Edge, protocol: Protocol, name: str, fault: str) -> None:
    deed, events = DEEDS[name], list[Any]()
    between.faults[deed.path(protocol)] = [fault] * 9
    async with RemoteClient(between.target, retries=2, hooks=[events.append]) as client:
        if name == "healthy":
            assert await deed.do(client) is False
        else:
            with pytest.raises((UnavailableError, SchemaError)) as caught:
                await deed.do(client)
            error: Any = caught.value
            if isinstance(error, SchemaError):  # the document cannot be had: with the reason
                error = error.__cause__
            assert isinstance(error, UnavailableError)
            assert error.http_status == (int(fault) if fault.isdecimal() else None)
    failed = failures(events, deed.path(protocol))
    assert [each.attempt for each in failed] == [1, 2, 3]
    assert between.requests(deed.path(protocol)) == 3


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a healthy one"])
@pytest.mark.parametrize("fault", ["502", "503", "504", "520", *LOSSES])
async def test_who_is_kept_away_is_not_healthy(
    runtime: Runtime, between: Edge, protocol: Protocol, fault: str, beside: bool
) -> None:
    between.faults[DEEDS["healthy"].path(protocol)] = [fault] * 9
    async with RemoteClient([between.target, *([target_of(runtime, protocol)] if beside else [])]) as client:
        assert await client.healthy() is False


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a healthy one"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("401", UnauthenticatedError),
        ("403", PermissionDeniedError),
        ("404", NotFoundError),
    ],
)
async def test_what_is_wrong_with_the_target_is_no_matter_of_health(
    runtime: Runtime, between: Edge, protocol: Protocol, fault: str, error: type[Exception], beside: bool
) -> None:
    between.faults[DEEDS["healthy"].path(protocol)] = [fault] * 9
    async with RemoteClient([between.target, *([target_of(runtime, protocol)] if beside else [])]) as client:
        with pytest.raises(error, match=f"HTTP status {fault}"):
            await client.healthy()


@pytest.mark.parametrize(
    "protocol", [pytest.param("grpc", marks=pytest.mark.only_engine("asyncio", "grpc.aio tells no type")), "http"]
)
async def test_a_page_with_a_good_status_is_no_matter_of_health(between: Edge, protocol: Protocol) -> None:
    between.faults[DEEDS["healthy"].path(protocol)] = ["200"] * 9
    async with RemoteClient(between.target) as client:
        with pytest.raises(InvalidResponseError, match="HTTP status 200, but text/html"):
            await client.healthy()


@pytest.mark.parametrize(("protocol", "fault"), EACH)
@pytest.mark.parametrize("name", ONCE)
async def test_what_is_sent_once(between: Edge, protocol: Protocol, name: str, fault: str) -> None:
    deed, events = ONCE[name], list[Any]()
    between.faults[deed.path(protocol)] = [fault] * 9
    async with RemoteClient(between.target, hooks=[events.append]) as client:
        with pytest.raises(OutcomeUnknownError):
            await deed.do(client)
    (failed,) = failures(events, deed.path(protocol))
    assert (failed.attempt, failed.wait) == (1, None)
    assert between.requests(deed.path(protocol)) == 1


async def test_all_take_a_place(between: Edge, protocol: Protocol) -> None:
    between.delay = 0.01
    async with RemoteClient(between.target, max_pending=1) as client:
        await asyncio.gather(*(outcome(deed.do(client)) for deed in DEEDS.values()))
    assert between.most == 1


async def test_places_are_needed(between: Edge, protocol: Protocol) -> None:
    """The test before would see a call without one."""
    between.delay = 0.01
    async with RemoteClient(between.target) as client:
        await asyncio.gather(*(outcome(deed.do(client)) for deed in DEEDS.values()))
    assert between.most > 1


@pytest.mark.parametrize("name", [name for name in DEEDS if name != "healthy"])
async def test_one_of_two_is_down(runtime: Runtime, protocol: Protocol, name: str) -> None:
    async with RemoteClient([nobody(free_port(), protocol), target_of(runtime, protocol)], retries=0) as client:
        if name.startswith(("job", "training")):
            with pytest.raises(UnavailableError):  # the one that is down may have it
                await DEEDS[name].do(client)
        else:
            assert await DEEDS[name].do(client)


async def test_jobs_of_one_of_two(runtime: Runtime, between: Edge, protocol: Protocol) -> None:
    """Neither one that is down nor one that says nothing is in the way of the one that has a job."""
    between.faults[""] = ["silence"] * 99
    async with RemoteClient(target_of(runtime, protocol)) as client:
        started = await (await client.model("foo")).start_sample_job({"name": "World"})
        await started.wait()
    targets = [nobody(free_port(), protocol), between.target, target_of(runtime, protocol)]
    async with RemoteClient(targets, timeout=3600) as client, asyncio.timeout(20):
        job = client.prediction_job("SampleTask", started.id)
        assert (await job.wait()).state is JobStatus.COMPLETED
        assert (await job.result()).greeting == "Hello World"


@pytest.mark.parametrize("blocks", [False, True], ids=["asyncio", "blocking"])
async def test_polling_goes_on(between: Edge, protocol: Protocol, blocks: bool) -> None:
    statuses = ["502", None, "503", "reset", None, "end", *ANSWERS[protocol]]

    def work() -> Any:
        with sync.RemoteClient(between.target, retries=5) as client:
            return client.model("slow").start_slow_job(1.0).wait(poll=0.1)

    between.faults[DEEDS["job status"].path(protocol)] = list(statuses)
    if blocks:
        info = await asyncio.to_thread(work)
    else:
        between.faults["/SlowTaskGetPredictionJobStatus"] = list(statuses)
        async with RemoteClient(between.target, retries=5) as client:
            info = await (await (await client.model("slow")).start_slow_job(1.0)).wait(poll=0.1)
    assert info.state is JobStatus.COMPLETED


async def test_a_training_goes_on(between: Edge, protocol: Protocol) -> None:
    between.faults[DEEDS["training status"].path(protocol)] = ["502", None, "503", "reset"]
    async with RemoteClient(between.target, retries=5) as client:
        model: Any = await client.model("foo")
        name = f"trained-{uuid.uuid4().hex[:8]}"
        rows = [{"name": "a"}]
        training = await model.train(
            module="SampleModule", training_data=rows, union_list=["x"], seconds=0.5, model_name=name
        )
        assert (await training.wait(poll=0.1)).state is JobStatus.COMPLETED
        assert await client.models(ids=["foo"])
    assert not between.faults[DEEDS["training status"].path(protocol)]
