"""Calls by path, of a real runtime."""

from __future__ import annotations

from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from remote_client import RemoteClient
from remote_client.errors import (
    InputError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    RemoteCallError,
    UnimplementedError,
    UnsupportedError,
)

from ..support.gate import Gate
from ..support.runtime import Runtime
from .clients import call, client_of

SERVICE = "/caikit.runtime.SampleLib.SampleLibService"
CHECK = "/grpc.health.v1.Health/Check"
WORLD = {"sample_input": {"name": "World"}}


@pytest.fixture(params=["asyncio", "blocking"])
def kind_of_client(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("protocol", ["grpc"])
async def test_grpc(gate: Gate, kind_of_client: str) -> None:
    async with client_of(kind_of_client, "grpc", gate) as client:
        predict = f"{SERVICE}/SampleTaskPredict"
        assert await call(client.call, predict, WORLD, model="foo") == {"greeting": "Hello World"}
        assert await call(client.call, CHECK) == b"\x08\x01"
        answer = await call(client.call, CHECK, health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(InvalidArgumentError, match="Missing required model ID"):
            await call(client.call, predict, WORLD)


@pytest.mark.parametrize("protocol", ["http"])
async def test_http(gate: Gate, kind_of_client: str) -> None:
    async with client_of(kind_of_client, "http", gate) as client:
        body = {"model_id": "foo", "inputs": {"name": "World"}}
        assert await call(client.request, "POST", "/api/v1/task/sample", json=body) == {"greeting": "Hello World"}
        listed = await call(client.request, "GET", "/info/models", params={"model_ids": ["foo", "bar"]})
        assert {model["name"] for model in listed["models"]} == {"foo", "bar"}
        assert await call(client.request, "GET", "/health") == b"OK"
        with pytest.raises(InvalidArgumentError, match=r"inputs\.nam"):
            await call(client.request, "POST", "/api/v1/task/sample", json={**body, "inputs": {"nam": "World"}})
        with pytest.raises(UnimplementedError, match="Method Not Allowed"):
            await call(client.request, "PUT", "/api/v1/task/sample", json=body)
        with pytest.raises(NotFoundError):
            await call(client.request, "DELETE", "/management/models", params={"model_id": "nothing"})


async def test_services_that_no_model_has(grpc_client: RemoteClient) -> None:
    answer = await grpc_client.call("/mmesh.ModelRuntime/runtimeStatus", {})
    assert answer["status"] == "READY"
    info = await grpc_client.call("/caikit.runtime.info.InfoService/GetModelsInfo", {"model_ids": ["foo"]})
    assert [model["name"] for model in info["models"]] == ["foo"]


async def test_the_fields_of_a_training_are_those_of_its_message(grpc_client: RemoteClient) -> None:
    path = "/caikit.runtime.SampleLib.SampleLibTrainingService/SampleTaskSampleModuleTrain"
    with pytest.raises(InputError, match="batch_size"):
        await grpc_client.call(path, {"model_name": "raw", "batch_size": 8})


async def test_what_a_model_raises_is_its_error(runtime: Runtime) -> None:
    """The runtime answered: nothing is unknown about it, though it was sent once."""
    async with RemoteClient(runtime.target) as client:
        with pytest.raises(RemoteCallError) as caught:
            await client.call(f"{SERVICE}/SampleTaskPredict", b"\xff", model="foo")
        assert isinstance(caught.value, InternalError)


async def test_streams_are_for_models(grpc_client: RemoteClient) -> None:
    for prefix in ("ServerStreaming", "ClientStreaming", "BidiStreaming"):
        with pytest.raises(UnsupportedError, match="has streams"):
            await grpc_client.call(f"{SERVICE}/{prefix}SampleTaskPredict", WORLD, model="foo")
