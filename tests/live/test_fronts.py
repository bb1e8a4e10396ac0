"""What works through a front that lets one kind of call through, and what is told of all the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client import (
    ConnectionInfo,
    RemoteClient,
    RemoteModuleConfig,
    ServiceDescription,
    construct_remote_module_class,
    sync,
)
from remote_client._client.module import RemoteModuleBase
from remote_client._schema.schema_file import schema_bytes
from remote_client.declare import module, taskmethod
from remote_client.errors import (
    InvalidArgumentError,
    InvalidResponseError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RemoteCallError,
    SchemaUnavailableError,
    UnimplementedError,
)

from ..support.front import Front, GrpcFront, HttpFront
from ..support.runtime import Runtime
from .deeds import DEEDS, PEOPLE, Deed

REFUSALS: dict[str, type[RemoteCallError]] = {
    "UNIMPLEMENTED": UnimplementedError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "INVALID_ARGUMENT": InvalidArgumentError,
    "CANCEL": OutcomeUnknownError,  # of what is sent once
}
UNARY = [each for each in DEEDS["grpc"] if each.is_unary]
STREAMS = [each for each in DEEDS["grpc"] if not each.is_unary]


@module(task="SampleTask")
class Sample(RemoteModuleBase):
    """Written by hand, without a schema."""

    @taskmethod()
    async def run(self, sample_input: dict[str, Any]) -> Any:
        raise NotImplementedError


@pytest.fixture(scope="module")
def description(runtime: Runtime) -> ServiceDescription:
    with sync.RemoteClient(runtime.target) as client:
        return client.describe()


@pytest_asyncio.fixture
async def front(runtime: Runtime) -> AsyncIterator[Front]:
    async with GrpcFront(runtime.port) as front:
        yield front


@pytest_asyncio.fixture
async def client(front: Front, description: ServiceDescription) -> AsyncIterator[RemoteClient]:
    async with RemoteClient(front.target, schema=description, retries=0) as client:
        yield client


@pytest.mark.parametrize("deed", UNARY, ids=lambda each: each.method)
async def test_unary_calls_of_all_tasks_are_let_through(
    runtime: Runtime, front: Front, client: RemoteClient, deed: Deed
) -> None:
    async with RemoteClient(runtime.target) as direct:
        assert await deed.outcome(client) == await deed.outcome(direct)
    assert (front.passed.total(), front.refused) == (1, {})


@pytest.mark.parametrize("deed", STREAMS, ids=lambda each: each.method)
async def test_streams_are_refused_with_the_fronts_word(front: Front, client: RemoteClient, deed: Deed) -> None:
    outcome = await deed.outcome(client)
    assert outcome[0] is UnimplementedError
    check = "`client.check_schema(model.config.schema)` compares it with the server"
    told = f"the method is that of the schema: {check}; or a gateway may not let the method through"
    assert outcome[1] == f"the edge lets no such call through; {told}"
    assert (front.passed, front.refused.total()) == ({}, 1)


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_jobs_and_trainings_are_refused(front: Front, client: RemoteClient, refusal: str) -> None:
    front.refusal = refusal
    model = await client.model("foo")
    with pytest.raises(REFUSALS[refusal]):
        await model.start_sample_job(PEOPLE[0])
    with pytest.raises(REFUSALS[refusal]):
        await model.train(PEOPLE, ["x"], module="SampleModule")
    assert front.refused == {"SampleTaskStartPredictionJob": 1, "SampleTaskSampleModuleTrain": 1}


async def test_health_is_not_known(front: Front, client: RemoteClient) -> None:
    with pytest.raises(UnimplementedError):
        await client.healthy()


async def test_an_answer_of_another_schema_asks_nothing(front: Front, description: ServiceDescription) -> None:
    """A file that is older than the runtime: its answers do not fit, and the file stays what is known."""
    files = FileDescriptorSet.FromString(schema_bytes(description))
    for file in files.file:
        for message in file.message_type:
            if message.name == "SampleOutputType":
                message.field[0].number = 17
    async with RemoteClient(front.target, schema=files.SerializeToString()) as client:
        for _ in range(2):
            with pytest.raises(InvalidResponseError):
                await (await client.model("foo")).run_sample(PEOPLE[0])
    assert (front.passed, front.refused) == ({"SampleTaskPredict": 2}, {})


async def test_a_file_of_other_numbers_is_what_a_missing_argument_is_due_to(
    front: Front, description: ServiceDescription, tmp_path: Path
) -> None:
    """The runtime does not find an argument that was given, and the model's method complains."""
    files = FileDescriptorSet.FromString(schema_bytes(description))
    for file in files.file:
        for message in file.message_type:
            if message.name == "SampleTaskRequest":
                message.field[0].number = 17
    schema = tmp_path / "old.binpb"
    schema.write_bytes(files.SerializeToString())
    async with RemoteClient(front.target, schema=schema) as client:
        with pytest.raises(
            InvalidArgumentError, match=f"missing 1 required .*; the method is that of {schema}: `remote"
        ):
            await (await client.model("foo")).run_sample(PEOPLE[0])


async def test_new_connections_ask_nothing(front: Front, description: ServiceDescription) -> None:
    async with RemoteClient(front.target, schema=description, max_session_age=0) as client:
        model = await client.model("foo")
        for _ in range(3):
            assert (await model.run_sample(PEOPLE[0])).greeting == "Hello Ada"
    assert (front.passed, front.refused) == ({"SampleTaskPredict": 3}, {})


async def test_a_class_without_a_schema_tells_what_is_missing(front: Front) -> None:
    connection = ConnectionInfo(hostname="127.0.0.1", port=front.port)
    config = RemoteModuleConfig.load_from_module(Sample, connection, "grpc", "mm-model-id", "foo")
    async with construct_remote_module_class(config)(config) as made:
        model: Any = made
        with pytest.raises(SchemaUnavailableError, match="remote-client stubs") as caught:
            await model.run(PEOPLE[0])
    assert isinstance(caught.value.error, UnimplementedError)
    assert front.refused == {"ServerReflectionInfo": 2}  # one for each version


async def test_a_class_without_a_schema_is_enough_over_http(runtime: Runtime) -> None:
    route = "POST /api/v1/task/sample"
    async with HttpFront(runtime.http_port, [route], "403") as front:
        connection = ConnectionInfo(hostname="127.0.0.1", port=front.port)
        config = RemoteModuleConfig.load_from_module(Sample, connection, "http", "mm-model-id", "foo")
        async with construct_remote_module_class(config)(config) as made:
            model: Any = made
            assert (await model.run(PEOPLE[0]))["greeting"] == "Hello Ada"
        assert (front.passed, front.refused) == ({route: 1}, {})
        async with RemoteClient(front.target) as client:  # which asks, to check the class, and can do without an answer
            assert (await (await client.model("foo", Sample)).run(PEOPLE[0]))["greeting"] == "Hello Ada"
