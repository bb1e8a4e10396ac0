"""A gateway: a real runtime whose models are all on another one. Calls, jobs, trainings, errors, models, threads."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import grpc
import pytest
from caikit.runtime.protobufs import model_runtime_pb2 as mesh
from caikit.runtime.protobufs import model_runtime_pb2_grpc as mesh_grpc

from remote_client import JobStatus
from remote_client.errors import (
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    RemoteCallError,
    UnimplementedError,
)
from remote_client.sync import RemoteClient

from ..support.runtime import SAMPLE_MODELS, Runtime
from .gateways import ROUTES, Gateway, Protocol, Route, client_of

WORLD = {"name": "World"}


@pytest.fixture(scope="module")
def gateways(runtime: Runtime) -> Iterator[dict[Protocol, Gateway]]:
    with Gateway(runtime, "grpc") as over_grpc, Gateway(runtime, "http") as over_http:
        yield {"grpc": over_grpc, "http": over_http}


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def gateway(gateways: dict[Protocol, Gateway], route: Route) -> Gateway:
    return gateways[route[0]]


@pytest.fixture
def before(route: Route) -> Protocol:
    """The protocol between the caller and the gateway."""
    return route[1]


@pytest.fixture
def client(gateway: Gateway, before: Protocol) -> Iterator[RemoteClient]:
    with client_of(gateway, before) as client:
        yield client


@pytest.fixture
def direct(runtime: Runtime, before: Protocol) -> Iterator[RemoteClient]:
    """A client of the runtime behind."""
    with client_of(runtime, before) as client:
        yield client


@pytest.fixture
def foo(client: RemoteClient) -> Any:
    return client.model("foo", task="SampleTask")


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_unary_call(foo: Any) -> None:
    assert foo.run(WORLD).greeting == "Hello World"


def test_a_streamed_answer(foo: Any) -> None:
    assert [item.greeting for item in foo.run_stream_out(WORLD, count=3)] == [f"Hello World {n}" for n in range(3)]


def test_a_streamed_answer_without_items(foo: Any) -> None:
    assert list(foo.run_stream_out(WORLD, count=0)) == []


def test_streamed_inputs(gateways: dict[Protocol, Gateway]) -> None:
    with client_of(gateways["grpc"], "grpc") as client:
        foo = client.model("foo", task="SampleTask")
        names = [{"name": name} for name in "abc"]
        assert foo.run_stream_in(names, greeting="Hi ").greeting == "Hi a,b,c"
        assert [item.greeting for item in foo.run_bidi_stream(names)] == ["Hello a", "Hello b", "Hello c"]
        geo = client.model("geo", task="GeoSpatialTask")
        assert [(p.lat, p.lon, p.label) for p in geo.run_bidi_stream([1.0, 2.0], [3.0, 4.0], label="there")] == [
            (1.0, 3.0, "there"),
            (2.0, 4.0, "there"),
        ]


def test_bidirectional_items_pass_as_they_come(gateways: dict[Protocol, Gateway]) -> None:
    with client_of(gateways["grpc"], "grpc") as client:
        answered: list[str] = []

        def names() -> Iterator[dict[str, str]]:
            for number in range(3):
                deadline = time.monotonic() + 10
                while len(answered) < number and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert len(answered) == number
                yield {"name": str(number)}

        for item in client.model("foo", task="SampleTask").run_bidi_stream(names()):
            answered.append(item.greeting)
        assert answered == ["Hello 0", "Hello 1", "Hello 2"]


def test_streamed_inputs_over_http_behind(gateways: dict[Protocol, Gateway]) -> None:
    with client_of(gateways["http"], "grpc") as client:
        foo = client.model("foo", task="SampleTask")
        with pytest.raises(UnimplementedError, match="HTTP has no streamed inputs; connect to the runtime's gRPC port"):
            foo.run_stream_in([WORLD])
        with pytest.raises(UnimplementedError, match="HTTP has no streamed inputs; connect to the runtime's gRPC port"):
            list(foo.run_bidi_stream([WORLD]))


ZOO = {
    "text": "t",
    "uint64": 2**64 - 1,
    "blob": b"\0\xff",
    "color": 7,
    "places": [{"label": "p", "lat": 1.5, "lon": 2.5}],
    "counts": {"a": 1},
    "when": datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
    "settings": {"a": 1.5, "b": "text"},
    "scalar_union": 5,
    "optional_int": 3,
}


def test_a_message_of_every_type(client: RemoteClient) -> None:
    answer = client.model("zoo", task="ZooTask").run(ZOO)
    assert (answer.text, answer.uint64, answer.blob, answer.scalar_union) == ("t", 2**64 - 1, b"\0\xff", 5)
    assert (answer.counts, answer.optional_int, answer.when) == ({"a": 1}, 3, ZOO["when"])
    assert answer.settings == {"a": 1.5, "b": "text"}
    assert getattr(answer.color, "name", answer.color) == "BLUE"  # over HTTP an enum's value is its name
    assert [(place.label, place.lat, place.lon) for place in answer.places] == [("p", 1.5, 2.5)]


def test_files_and_bytes(client: RemoteClient) -> None:
    data = bytes(range(256)) * 4
    assert client.model("file", task="FileTask").run({"data": data, "filename": "f", "type": "t"}).size == 1024
    assert client.model("bundle", task="BundleTask").run("name").data == data


def test_not_a_number(client: RemoteClient) -> None:
    first, second = client.model("numbers", task="NumbersTask").run([1.5, float("nan")]).numbers
    assert first == 1.5
    assert math.isnan(second)


# -- prediction jobs --------------------------------------------------------------------------------------------------


def test_a_job(foo: Any) -> None:
    job = foo.start_job(WORLD)
    assert job.wait(timeout=20).state is JobStatus.COMPLETED
    assert job.result().greeting == "Hello World"


def test_a_job_outlives_the_client_that_started_it(gateway: Gateway, before: Protocol) -> None:
    with client_of(gateway, before) as client:
        id = client.model("slow", task="SlowTask").start_job(0.5).id
    with client_of(gateway, before) as client:
        job = client.prediction_job("SlowTask", id)
        assert job.status().state is JobStatus.RUNNING
        with pytest.raises(NotFoundError, match="still in progress"):
            job.result()
        job.wait(timeout=20)
        assert job.result().greeting == "slept 0.5"


def test_a_failing_job_tells_why(client: RemoteClient) -> None:
    job = client.model("failing", task="FailingTask").start_job("ValueError")
    with pytest.raises(JobFailedError, match="a value of the model's is wrong"):
        job.wait(timeout=20)
    with pytest.raises(NotFoundError, match="encountered an error"):
        job.result()


def test_a_cancelled_job(client: RemoteClient) -> None:
    job = client.model("slow", task="SlowTask").start_job(20.0)
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=20)


# -- trainings --------------------------------------------------------------------------------------------------------


def train(client: RemoteClient, **parameters: Any) -> Any:
    model = client.model("foo", task="SampleTask")
    return model.train(training_data=[WORLD], union_list=["x"], module="SampleModule", **parameters)


def test_a_trained_model_is_called_through_the_gateway(client: RemoteClient, direct: RemoteClient) -> None:
    training = train(client)
    assert training.wait(timeout=20).state is JobStatus.COMPLETED
    for each in (client, direct):
        model = each.model(training.model_name, task="SampleTask")
        assert model.run(WORLD).greeting == "Hello World"


def test_a_failing_training_tells_why(client: RemoteClient) -> None:
    training = train(client, fail=True)
    with pytest.raises(JobFailedError, match="the training was asked to fail"):
        training.wait(timeout=20)


def test_a_cancelled_training(client: RemoteClient) -> None:
    training = train(client, seconds=30.0)
    assert training.status().state is JobStatus.RUNNING
    training.cancel()
    with pytest.raises(JobCancelledError):
        training.wait(timeout=20)


# -- errors -----------------------------------------------------------------------------------------------------------


def outcome(call: Callable[[], Any]) -> tuple[str, str | None]:
    with pytest.raises(RemoteCallError) as caught:
        call()
    return caught.value.status, caught.value.details


SAME = ["ValueError", "TypeError", "RuntimeError", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "INVALID_ARGUMENT"]
"""Errors of models whose statuses HTTP tells apart."""
LOST = {"CONNECTION_ERROR": "UNIMPLEMENTED", "UNKNOWN": "INTERNAL"}
"""Statuses that HTTP does not tell apart from others, and what a gRPC client sees instead if HTTP is behind."""


@pytest.mark.parametrize("kind", [*SAME, "RESOURCE_EXHAUSTED", *LOST])
def test_an_error_of_the_model(client: RemoteClient, direct: RemoteClient, route: Route, kind: str) -> None:
    status, details = outcome(lambda: direct.model("failing", task="FailingTask").run(kind))
    got, told = outcome(lambda: client.model("failing", task="FailingTask").run(kind))
    assert details is not None
    assert (told or "").partition(";")[0] == details.partition(";")[0]  # what a client adds to an UNIMPLEMENTED follows
    assert got == (LOST.get(kind, status) if route == ("http", "grpc") else status)


@pytest.mark.parametrize("kind", SAME)
def test_an_error_in_the_middle_of_a_stream(client: RemoteClient, direct: RemoteClient, kind: str) -> None:
    own = outcome(lambda: list(direct.model("failing", task="FailingTask").run_stream_out(kind)))
    stream = client.model("failing", task="FailingTask").run_stream_out(kind)
    assert [next(stream).greeting, next(stream).greeting] == ["0", "1"]
    got, told = outcome(lambda: next(stream))
    assert got == own[0]
    # Over HTTP a caikit server writes the exception's repr, or a prefix, around the message.
    words = {"ValueError": "a value of the model's is wrong", "TypeError": "a type of the model's is wrong"}
    assert words.get(kind, "the model broke" if kind == "RuntimeError" else f"the model says {kind}") in (told or "")


def test_an_unknown_model(client: RemoteClient) -> None:
    nix = client.model("nix", task="SampleTask")
    for call in (lambda: nix.run(WORLD), lambda: list(nix.run_stream_out(WORLD))):
        status, details = outcome(call)
        assert status == "NOT_FOUND"
        assert "Model nix not found" in (details or "")


def test_a_task_of_another_module(client: RemoteClient) -> None:
    slow = client.model("slow", task="SampleTask")
    assert outcome(lambda: slow.run(WORLD)) == ("INVALID_ARGUMENT", "run(): missing a required argument: 'seconds'")


def over_grpc(runtime: Runtime, method: str, body: bytes, model: str | None) -> str:
    with grpc.insecure_channel(runtime.target) as channel, pytest.raises(grpc.RpcError) as caught:
        call = channel.unary_unary(f"/caikit.runtime.SampleLib.SampleLibService/{method}")
        call(body, timeout=10, metadata=[("mm-model-id", model)] if model else [])
    return str(caught.value.code().name)


@pytest.mark.parametrize(
    ("method", "body", "model", "expected"),
    [
        ("SampleTaskPredict", b"", None, "INVALID_ARGUMENT"),
        ("SampleTaskPredict", b"", "foo", "INVALID_ARGUMENT"),
        ("RerankTaskPredict", b"", "rerank", "INVALID_ARGUMENT"),
        ("SampleTaskPredict", b"\xff\xff", "foo", "INTERNAL"),
        ("NixTaskPredict", b"", "foo", "UNIMPLEMENTED"),
    ],
    ids=["no model named", "no input", "empty list", "not deserializable", "unknown method"],
)
def test_a_bad_request_over_grpc(
    runtime: Runtime, gateway: Gateway, method: str, body: bytes, model: str | None, expected: str
) -> None:
    assert over_grpc(runtime, method, body, model) == expected
    assert over_grpc(gateway, method, body, model) == expected


def over_http(runtime: Runtime, path: str, body: Any) -> int:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{runtime.http_target}/api/v1/{path}", json.dumps(body).encode(), headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as answer:
        return int(answer.code)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("task/sample", {"inputs": WORLD}, 400),
        ("task/sample", {"model_id": "foo"}, 400),
        ("task/sample", {"model_id": "foo", "inputs": {"name": 5}}, 422),
        ("task/sample", {"model_id": "foo", "inputs": {"name": "x", "nix": 5}}, 422),
        ("task/slow", {"model_id": "foo", "inputs": 0.1}, 400),
        ("task/nix", {"model_id": "foo"}, 404),
    ],
    ids=["no model named", "no input", "wrong type", "unknown field", "another task", "unknown route"],
)
def test_a_bad_request_over_http(runtime: Runtime, gateway: Gateway, path: str, body: Any, expected: int) -> None:
    assert over_http(runtime, path, body) == expected
    assert over_http(gateway, path, body) == expected


# -- models -----------------------------------------------------------------------------------------------------------


def test_a_remote_model_is_listed_after_its_first_call_and_takes_no_memory(client: RemoteClient) -> None:
    client.model("pair", task="PairTask").run("text", {"label": "l"})
    (info,) = [each for each in client.models() if each.name == "pair"]
    assert (info.loaded, info.size, info.module_id) == (True, 0, f"{SAMPLE_MODELS['pair']}-remote")


def test_model_mesh_loads_sizes_and_unloads_remote_models(
    gateway: Gateway, client: RemoteClient, direct: RemoteClient
) -> None:
    with grpc.insecure_channel(gateway.target) as channel:
        runtime = mesh_grpc.ModelRuntimeStub(channel)
        runtime.loadModel(mesh.LoadModelRequest(modelId="bar", modelPath="bar", modelType="any"), timeout=10)
        assert runtime.modelSize(mesh.ModelSizeRequest(modelId="bar"), timeout=10).sizeInBytes == 0
        runtime.unloadModel(mesh.UnloadModelRequest(modelId="bar"), timeout=10)
        with pytest.raises(grpc.RpcError, match="unregistered or unloaded"):
            runtime.modelSize(mesh.ModelSizeRequest(modelId="bar"), timeout=10)
    for each in (direct, client):  # unloaded in the gateway only, which finds it again
        assert each.model("bar", task="SampleTask").run(WORLD).greeting == "Hello World"


def test_undeploying_is_left_to_the_runtime_that_has_the_model(client: RemoteClient, foo: Any) -> None:
    assert foo.run(WORLD).greeting == "Hello World"
    with pytest.raises(NotFoundError, match="unknown model foo"):
        client.undeploy_model("foo")
    assert foo.run(WORLD).greeting == "Hello World"


def test_a_model_that_is_deployed_and_undeployed_behind(client: RemoteClient, direct: RemoteClient) -> None:
    name = f"late-{time.monotonic_ns()}"
    late = client.model(name, task="SampleTask")
    with pytest.raises(NotFoundError):
        late.run(WORLD)
    config = {"config.yml": f"module_id: {SAMPLE_MODELS['foo']}\n".encode()}
    direct.deploy_model(name, config)
    assert called_until(lambda: late.run(WORLD)).greeting == "Hello World"  # at most `min_poll_time` later
    direct.undeploy_model(name)
    with pytest.raises(NotFoundError):
        late.run(WORLD)
    direct.deploy_model(name, config)
    assert late.run(WORLD).greeting == "Hello World"
    direct.undeploy_model(name)


def called_until(call: Callable[[], Any], seconds: float = 10) -> Any:
    """Call until the model is found."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return call()
        except NotFoundError:
            time.sleep(0.1)
    return call()


# -- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_150_threads_at_once(foo: Any, streamed: bool) -> None:
    barrier = Barrier(150)

    def call(number: int) -> bool:
        barrier.wait(timeout=20)
        if streamed:
            return [item.greeting for item in foo.run_stream_out({"name": str(number)}, count=2)] == [
                f"Hello {number} 0",
                f"Hello {number} 1",
            ]
        return bool(foo.run({"name": str(number)}).greeting == f"Hello {number}")

    with ThreadPoolExecutor(150) as pool:
        assert all(pool.map(call, range(150)))
