"""Tasks and trainings of one name: the description has all of them, each under a name that tells it apart."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client._schema import openapi, reflected
from remote_client._schema.rpc import ServiceDescription
from tests.support.shared_names import document, services


def over_grpc(**tasks: list[str]) -> ServiceDescription:
    file, names = services(tasks)
    return reflected.describe({file.name: file}, names)


def over_http(*routes: str) -> ServiceDescription:
    return openapi.describe(json.dumps(document(*routes)).encode())


def test_one_task_in_two_services_is_there_twice() -> None:
    described = over_grpc(A=["ServerStreamingFooTaskPredict", "FooTaskPredict"], B=["FooTaskPredict"])
    assert list(described.tasks) == ["shared.AService/FooTaskPredict", "shared.BService/FooTaskPredict"]
    assert [each.name for each in described.tasks.values()] == ["FooTask", "FooTask"]
    assert [[method.name for method in each.methods] for each in described.tasks.values()] == [
        ["run_foo", "run_foo_stream_out"],
        ["run_foo"],
    ]


def test_one_task_under_two_prefixes_is_there_twice() -> None:
    described = over_http("/v1/task/foo", "/v1/task/server-streaming-foo", "/v2/task/foo")
    assert list(described.tasks) == ["/v1/task/foo", "/v2/task/foo"]
    assert [[method.path for method in each.methods] for each in described.tasks.values()] == [
        ["POST /v1/task/foo", "POST /v1/task/server-streaming-foo"],
        ["POST /v2/task/foo"],
    ]


def test_two_routes_of_one_task_under_one_prefix_are_there_twice() -> None:
    assert list(over_http("/v1/task/foo", "/v1/task/Foo").tasks) == ["/v1/task/Foo", "/v1/task/foo"]


def test_a_task_of_one_service_has_its_class_as_name() -> None:
    assert list(over_grpc(A=["FooTaskPredict"], B=["BarTaskPredict"]).tasks) == ["BarTask", "FooTask"]
    assert list(over_http("/v1/task/foo", "/v2/task/bar").tasks) == ["BarTask", "FooTask"]


def test_a_service_that_is_listed_twice_is_one() -> None:
    file, names = services({"A": ["FooTaskPredict"]})
    described = reflected.describe({file.name: file}, [*names, *names])
    assert list(described.tasks) == ["FooTask"]
    assert not described.notes


JOB = [f"FooTask{each}" for each in ("StartPredictionJob", "GetPredictionJobStatus", "GetPredictionJobResult")]
JOB.append("FooTaskCancelPredictionJob")


def test_each_service_starts_its_own_jobs() -> None:
    file, names = services({"A": ["FooTaskPredict"], "B": ["FooTaskPredict"], "AJob": JOB, "BJob": JOB})
    described = reflected.describe({file.name: file}, names)
    starts = {key: [each.path for each in task.methods if each.job] for key, task in described.tasks.items()}
    assert starts == {
        "shared.AService/FooTaskPredict": ["/shared.AJobService/FooTaskStartPredictionJob"],
        "shared.BService/FooTaskPredict": ["/shared.BJobService/FooTaskStartPredictionJob"],
    }


@pytest.mark.parametrize(
    "described",
    [
        over_grpc(A=["FooStreamOutTaskPredict", "ServerStreamingFooTaskPredict"]),
        over_http("/v1/task/foo-stream-out", "/v1/task/server-streaming-foo"),
        over_grpc(A=["aBTaskPredict", "ABTaskPredict"]),
        over_grpc(A=["FooTaskPredict"], B=["FooTaskPredict"]),
        over_http("/v1/task/foo", "/v2/task/foo"),
    ],
    ids=["stream-grpc", "stream-http", "capitals", "services", "prefixes"],
)
def test_a_description_tells_the_shared_name(described: ServiceDescription) -> None:
    (note,) = described.notes
    assert note in str(described)
    (name,) = {each.name for task in described.tasks.values() for each in task.methods}
    assert f"{name} (task={', task='.join(map(repr, described.tasks))})" in note


def test_a_description_without_shared_names_has_no_note() -> None:
    assert not over_grpc(A=["FooTaskPredict", "ServerStreamingFooTaskPredict"]).notes
    assert not over_http("/v1/task/foo", "/v1/task/server-streaming-foo").notes


def test_a_note_is_short_however_many_names_are_shared() -> None:
    routes = [f"/v{version}/task/foo{number}" for version in (1, 2) for number in range(500)]
    (note,) = over_http(*routes).notes
    assert len(note) < 5000


MANAGEMENT = {
    "training": ["GetTrainingStatus", "CancelTraining"],
}


def trainings_over_http(*routes: str) -> dict[str, Any]:
    made = document("/v1/task/foo")
    body = {"type": "object", "properties": {"model_name": {"type": "string"}, "parameters": {"type": "object"}}}
    operation = {"requestBody": {"content": {"application/json": {"schema": body}}}}
    made["paths"] |= {route: {"post": operation} for route in routes}
    made["paths"]["/management/trainings"] = {"get": {}, "delete": {}}
    return made


def test_one_training_under_two_prefixes_is_there_twice() -> None:
    made = trainings_over_http("/v1/FooTaskBarTrain", "/v2/FooTaskBarTrain", "/v1/FooTaskBazTrain")
    described = openapi.describe(json.dumps(made).encode())
    assert list(described.trainings) == ["/v1/FooTaskBarTrain", "/v2/FooTaskBarTrain", "FooTaskBazTrain"]
    assert {each.module for each in described.trainings.values()} == {"Bar", "Baz"}
