"""Tasks and trainings of one name: the description has all of them, each under a name that tells it apart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from remote_client import RemoteModuleBase, RemoteModuleConfig, construct_remote_module_class
from remote_client._client.training import choose_training
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription
from remote_client.declare import module, taskmethod
from remote_client.errors import InputError
from remote_client.settings import ConnectionInfo, Protocol
from tests.support.shared_names import document, services


def over_grpc(**tasks: list[str]) -> ServiceDescription:
    file, names = services(tasks)
    return protobuf_services.describe({file.name: file}, names)


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
    described = protobuf_services.describe({file.name: file}, [*names, *names])
    assert list(described.tasks) == ["FooTask"]
    assert not described.notes


JOB = [f"FooTask{each}" for each in ("StartPredictionJob", "GetPredictionJobStatus", "GetPredictionJobResult")]
JOB.append("FooTaskCancelPredictionJob")


def test_each_service_starts_its_own_jobs() -> None:
    file, names = services({"A": ["FooTaskPredict"], "B": ["FooTaskPredict"], "AJob": JOB, "BJob": JOB})
    described = protobuf_services.describe({file.name: file}, names)
    starts = {key: [each.path for each in task.methods if each.job] for key, task in described.tasks.items()}
    assert starts == {
        "shared.AService/FooTaskPredict": ["/shared.AJobService/FooTaskStartPredictionJob"],
        "shared.BService/FooTaskPredict": ["/shared.BJobService/FooTaskStartPredictionJob"],
    }


@pytest.mark.parametrize(
    "describe",
    [
        partial(over_grpc, A=["FooStreamOutTaskPredict", "ServerStreamingFooTaskPredict"]),
        partial(over_http, "/v1/task/foo-stream-out", "/v1/task/server-streaming-foo"),
        partial(over_grpc, A=["aBTaskPredict", "ABTaskPredict"]),
        partial(over_grpc, A=["FooTaskPredict"], B=["FooTaskPredict"]),
        partial(over_http, "/v1/task/foo", "/v2/task/foo"),
    ],
    ids=["stream-grpc", "stream-http", "capitals", "services", "prefixes"],
)
def test_a_description_tells_the_shared_name(describe: Callable[[], ServiceDescription]) -> None:
    described = describe()
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


def config_of(described: ServiceDescription, protocol: Protocol = "grpc") -> RemoteModuleConfig:
    tasks = [(key, list(task.methods)) for key, task in described.tasks.items()]
    trainings = list(described.trainings.values())
    connection = ConnectionInfo(hostname="localhost", port=1)
    return RemoteModuleConfig(connection, protocol, "mm-model-id", tasks, "foo", trainings=trainings)


def test_a_short_name_that_is_another_methods_own_name_is_refused() -> None:
    config = config_of(over_grpc(A=["StreamOutTaskPredict", "ServerStreamingStreamOutTaskPredict"]))
    made: Any = construct_remote_module_class(config)(config)
    with pytest.raises(InputError, match="call run or run_stream_out_stream_out"):
        made.run_stream_out("text")
    assert (made.run.__func__.rpc.rpc_name, made.run_stream_out_stream_out.__func__.rpc.rpc_name) == (
        "StreamOutTaskPredict",
        "ServerStreamingStreamOutTaskPredict",
    )


def test_a_training_that_several_services_have_is_named_by_its_route() -> None:
    made = trainings_over_http("/v1/FooTaskBarTrain", "/v2/FooTaskBarTrain")
    config = config_of(openapi.describe(json.dumps(made).encode()), "http")
    with pytest.raises(InputError, match="2 trainings are of a module 'Bar'; there are /v1/FooTaskBarTrain, /v2/"):
        choose_training(config, (), {"module": "Bar"})
    for route in ("/v1/FooTaskBarTrain", "/v2/FooTaskBarTrain"):
        assert choose_training(config, (), {"module": route})[0].path == f"POST {route}"


@module(name="Routed", task="/v2/task/my-foo")
class Routed(RemoteModuleBase):
    """Of one of several services, by its route."""

    @taskmethod()
    async def run(self, text: str, scale: float = 1.0) -> str:
        raise NotImplementedError

    @taskmethod()
    def run_stream_out(self, text: str) -> AsyncIterator[str]:
        raise NotImplementedError


def test_a_declared_route_is_called_without_asking_the_server() -> None:
    connection = ConnectionInfo(hostname="localhost", port=1)
    config = RemoteModuleConfig.load_from_module(Routed, connection, "http", "mm-model-id", "foo")
    found = {name: rpc.path for name, rpc in config.methods.items()}
    assert (found["run"], found["run_stream_out"]) == (
        "POST /v2/task/my-foo",
        "POST /v2/task/server-streaming-my-foo",
    )
    assert found["run_my_foo"] == found["run"]
    sent = config.methods["run"].codec.encode("foo", ("hello",), {"scale": 2.0})
    assert json.loads(sent) == {"model_id": "foo", "inputs": "hello", "parameters": {"scale": 2.0}}
