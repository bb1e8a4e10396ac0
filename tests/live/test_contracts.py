"""A schema compared with what a real runtime tells now, by clients of either kind on both protocols."""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client import Difference, RemoteClient
from remote_client._schema.openapi.codec import _TAKES_EXTRA
from remote_client._schema.schema_file import schema_bytes
from remote_client.errors import (
    ConfigurationError,
    SchemaError,
    SchemaUnavailableError,
    UnavailableError,
    UnsupportedError,
)

from ..support.edge import Edge, GrpcEdge, HttpEdge
from ..support.front import GrpcFront, HttpFront
from ..support.gate import Gate
from ..support.runtime import Runtime, free_port
from .clients import call, client_of
from .protocols import Protocol, connection_of, nobody, port_of, target_of

QUESTIONS = {"grpc": "ServerReflectionInfo", "http": "GET /openapi.json"}


async def schema_of(runtime: Runtime, protocol: Protocol) -> bytes:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        return schema_bytes(await client.describe())


@pytest_asyncio.fixture
async def schema(runtime: Runtime, protocol: Protocol) -> bytes:
    return await schema_of(runtime, protocol)


@pytest_asyncio.fixture
async def other_schema(other_runtime: Runtime, protocol: Protocol) -> bytes:
    return await schema_of(other_runtime, protocol)


@pytest_asyncio.fixture
async def edge(runtime: Runtime, protocol: Protocol) -> AsyncIterator[Edge]:
    """Stands before the runtime, and counts what it is asked."""
    async with (GrpcEdge if protocol == "grpc" else HttpEdge)(port_of(runtime, protocol)) as edge:
        yield edge


async def test_a_runtime_is_as_its_own_schema_says(
    gate: Gate, protocol: Protocol, kind_of_client: str, schema: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "schema"
    file.write_bytes(schema)
    async with client_of(kind_of_client, protocol, gate, schema=file) as client:
        assert await call(client.check_schema) == []
    async with client_of(kind_of_client, protocol, gate) as client:
        for each in (file, str(file), schema, await call(client.describe)):
            assert await call(client.check_schema, each) == []


async def test_a_runtime_of_another_library_breaks_callers(
    gate: Gate, protocol: Protocol, kind_of_client: str, other_schema: bytes
) -> None:
    async with client_of(kind_of_client, protocol, gate, schema=other_schema) as client:
        found = await call(client.check_schema)
    assert all(isinstance(each, Difference) for each in found)
    by_path = {each.path: each for each in found}
    if protocol == "grpc":  # the service has the library's name
        assert by_path["SampleTask"].breaking
        assert "moved to /caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict" in by_path["SampleTask"].text
    else:
        removed = {each.path for each in found if each.breaking}
        assert removed == {"SampleTask.run_sample.inputs.number", "SampleTask.run_sample().doubled"}
        assert not by_path["SampleTask.run_sample.inputs.name"].breaking
    assert (by_path["ZooTask"].breaking, by_path["ZooTask"].text) == (False, "the task was added")


async def test_a_runtime_is_asked_each_time(edge: Edge, protocol: Protocol, kind_of_client: str, schema: bytes) -> None:
    gate: Any = edge  # what a client needs of either is its port
    async with client_of(kind_of_client, protocol, gate, schema=schema) as client:
        await call(client.describe)
        assert edge.requests(QUESTIONS[protocol]) == 0
        for _ in range(2):
            before = edge.requests(QUESTIONS[protocol])
            assert await call(client.check_schema) == []
            assert edge.requests(QUESTIONS[protocol]) > before


async def test_a_runtime_that_refuses_to_tell(
    runtime: Runtime, protocol: Protocol, kind_of_client: str, schema: bytes
) -> None:
    port = port_of(runtime, protocol)
    async with GrpcFront(port) if protocol == "grpc" else HttpFront(port, []) as front:
        gate: Any = front
        async with client_of(kind_of_client, protocol, gate, schema=schema) as client:
            with pytest.raises(SchemaUnavailableError):
                await call(client.check_schema)


async def test_a_runtime_that_is_away(protocol: Protocol, schema: bytes) -> None:
    async with RemoteClient(nobody(free_port(), protocol), schema=schema, retries=0) as client:
        with pytest.raises(UnavailableError):
            await client.check_schema()


async def test_the_first_server_that_can_be_asked_is(runtime: Runtime, protocol: Protocol, schema: bytes) -> None:
    targets = [nobody(free_port(), protocol), target_of(runtime, protocol)]
    async with RemoteClient(targets, schema=schema, retries=0) as client:
        assert await client.check_schema() == []


async def test_without_a_schema_nothing_is_asked(edge: Edge, protocol: Protocol, kind_of_client: str) -> None:
    gate: Any = edge
    async with client_of(kind_of_client, protocol, gate) as client:
        with pytest.raises(ConfigurationError, match=r"give one to check_schema\(\), or to the client"):
            await call(client.check_schema)
    assert edge.requests("") == 0


async def test_a_schema_of_the_other_protocol(runtime: Runtime, protocol: Protocol, schema: bytes) -> None:
    other: Protocol = "http" if protocol == "grpc" else "grpc"
    async with RemoteClient(target_of(runtime, other)) as client:
        with pytest.raises(ConfigurationError, match=f"over {other} it takes"):
            await client.check_schema(schema)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            await client.check_schema("nowhere")


async def test_a_description_that_nobody_told(client: RemoteClient) -> None:
    described = await client.describe()
    with pytest.raises(SchemaError, match="only descriptions that came from a server or a file can be compared"):
        await client.check_schema(replace(described, source=None))


async def test_a_client_of_a_configuration(runtime: Runtime, protocol: Protocol, schema: bytes, tmp_path: Path) -> None:
    file = tmp_path / "schema"
    file.write_bytes(schema)
    plain = {"type": "REMOTE", "config": {"connection": connection_of(runtime, protocol), "protocol": protocol}}
    known = {"type": "REMOTE", "config": {**plain["config"], "schema": str(file)}}  # type: ignore[dict-item]
    async with RemoteClient.from_config({"model_management": {"finders": {"a": plain, "b": known}}}) as client:
        assert await client.check_schema() == []


async def test_a_host_name_that_depends_on_the_model(protocol: Protocol, schema: bytes) -> None:
    target = "{}.localhost:1" if protocol == "grpc" else "http://{}.localhost:1"
    async with RemoteClient(target, schema=schema) as client:
        with pytest.raises(UnsupportedError, match="depends on the model's name"):
            await client.check_schema()


async def test_an_unpickled_client(client: RemoteClient, schema: bytes) -> None:
    async with pickle.loads(pickle.dumps(client)) as other:
        assert await other.check_schema(schema) == []
    assert pickle.loads(pickle.dumps(Difference("a", True, "b"))) == Difference("a", True, "b")


def older(schema: bytes, protocol: Protocol) -> bytes:
    """The schema as it was before `Numbers` had a `total`."""
    if protocol == "grpc":
        files = FileDescriptorSet.FromString(schema)
        (message,) = (each for file in files.file for each in file.message_type if each.name == "Numbers")
        message.field.remove(next(each for each in message.field if each.name == "total"))
        return files.SerializeToString()
    document = json.loads(schema)
    answers = document["paths"]["/api/v1/task/numbers"]["post"]["responses"]["200"]["content"]["application/json"]
    del answers["schema"]["properties"]["total"]
    return json.dumps(document).encode()


async def test_a_caller_of_an_older_file_goes_on(
    gate: Gate, protocol: Protocol, kind_of_client: str, schema: bytes
) -> None:
    if protocol == "http" and not _TAKES_EXTRA:
        pytest.skip("pydantic 2.12 takes fields that a model has not")
    async with client_of(kind_of_client, protocol, gate, schema=older(schema, protocol)) as client:
        assert await call(client.check_schema) == [Difference("NumbersTask.run_numbers().total", False, "added")]
        model = await call(client.model, "numbers")
        answer = await call(model.run_numbers, [1.0, 2.0])
    assert (list(answer.numbers), hasattr(answer, "total")) == ([1.0, 2.0], False)
