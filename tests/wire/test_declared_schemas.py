"""Classes that tell what their servers offer, before servers that do not, or that tell something else."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from pydantic import BaseModel

import remote_client
from remote_client import (
    ConnectionInfo,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    RemoteModuleConfig,
    sync,
)
from remote_client._client.introspection import parse_schema
from remote_client._schema.schema_file import read_schema
from remote_client._stubs.writer import render
from remote_client.declare import module, registry, taskmethod
from remote_client.errors import (
    ConfigurationError,
    ModelNotFoundError,
    SchemaError,
    SchemaUnavailableError,
    UnavailableError,
)
from tests.support.edge import Edge, edge
from tests.support.http_wire import HttpWire, models
from tests.support.stubs import imported
from tests.support.wire import WireServer
from tests.support.wire_schema import descriptor_set, document

SET, DOCUMENT = descriptor_set(), document()
LIST, DESCRIBE, CALL = "GET /info/models", "GET /openapi.json", "POST /api/v1/task/echo"
REFLECTION = "/ServerReflectionInfo"
ALWAYS = 999
Protocol = Literal["grpc", "http"]


class Text(BaseModel):
    text: str


@module(task="EchoTask")
class Echo(remote_client.RemoteModuleBase):
    """Written by hand, and so without a schema."""

    @taskmethod()
    async def run(self, words: str, delay: float | None = None) -> Text:
        raise NotImplementedError


@module(task="EchoTask")
class BlockingEcho(sync.RemoteModuleBase):
    """As `Echo`."""

    @taskmethod()
    def run(self, words: str, delay: float | None = None) -> Text:
        raise NotImplementedError


@pytest_asyncio.fixture
async def front(http_wire: HttpWire) -> AsyncIterator[Edge]:
    async with edge("http", http_wire.port) as front:
        yield front


@pytest_asyncio.fixture
async def grpc_front(wire: WireServer) -> AsyncIterator[Edge]:
    async with edge("grpc", wire.port) as front:
        yield front


async def text_of(data: bytes, protocol: Protocol, schema: str) -> str:
    return render(await parse_schema(read_schema(data, protocol)), "a server", schema=schema)


@pytest_asyncio.fixture
async def sample(tmp_path: Path) -> AsyncIterator[Any]:
    """The file of the gRPC server, with its schema beside it."""
    (tmp_path / "runtime.binpb").write_bytes(SET)
    with imported(await text_of(SET, "grpc", "runtime.binpb"), tmp_path) as stubs:
        yield stubs


# -- a declaration alone, over HTTP -----------------------------------------------------------------------------------

REFUSED = [(DESCRIBE,), (LIST,), (DESCRIBE, LIST)]


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "405", "501"])
@pytest.mark.parametrize("refused", REFUSED, ids=["description", "models", "both"])
async def test_a_declaration_is_enough_where_a_server_refuses_to_tell(
    front: Edge, refused: tuple[str, ...], status: str
) -> None:
    front.faults = {each: [status] * ALWAYS for each in refused}
    async with RemoteClient(front.target) as client:
        for count in (1, 2):
            echo = await client.model("raw", Echo)
            assert (await echo.run("a")).text == "a"
            assert front.seen[CALL] == count
            assert max(front.seen.values()) <= count  # a refusal is not asked again


async def test_a_declaration_is_enough_for_the_blocking_client(front: Edge) -> None:
    front.faults = {DESCRIBE: ["404"], LIST: ["404"]}

    def use() -> str:
        with sync.RemoteClient(front.target) as client:
            return client.model("raw", BlockingEcho).run("a").text

    assert await asyncio.to_thread(use) == "a"


async def test_a_configured_model_is_of_its_class_where_the_server_refuses(front: Edge) -> None:
    front.faults = {DESCRIBE: ["403"] * ALWAYS}
    config = {
        "connection": {"hostname": "127.0.0.1", "port": front.port},
        "protocol": "http",
        "discover_models": False,
        "supported_models": {"raw": "echo-id"},
    }
    registry["echo-id"] = Echo
    try:
        finder = RemoteModelFinder(config)
        found = await finder.find_model("raw")
        assert found is not None
        made = RemoteModelInitializer().init(found)
        assert made is not None
        async with made:
            assert (await made.run("a")).text == "a"
        assert await finder.find_model("another") is None
        await finder.aclose()
    finally:
        del registry["echo-id"]


async def test_a_server_that_tells_is_believed(front: Edge, http_wire: HttpWire) -> None:
    await http_wire.faults({LIST: models("another")})
    async with RemoteClient(front.target) as client:
        with pytest.raises(ModelNotFoundError):
            await client.model("raw", Echo)


@pytest.mark.parametrize("fault", ["503", "reset"])
async def test_a_server_that_is_away_is_no_refusal(front: Edge, fault: str) -> None:
    front.faults = {DESCRIBE: [fault] * ALWAYS, LIST: [fault] * ALWAYS}
    async with RemoteClient(front.target, retries=0) as client:
        with pytest.raises(UnavailableError):
            await client.model("raw", Echo)
    assert front.seen[CALL] == 0


async def test_a_module_by_its_declaration_can_be_pickled(front: Edge) -> None:
    front.faults = {DESCRIBE: ["404"] * ALWAYS, LIST: ["404"] * ALWAYS}
    async with RemoteClient(front.target) as client:
        pickled = pickle.dumps(await client.model("raw", Echo))
    asked = front.seen.copy()
    async with pickle.loads(pickled) as other:
        assert (await other.run("a")).text == "a"
    assert front.seen - asked == {CALL: 1}


# -- a schema of the other protocol -----------------------------------------------------------------------------------


async def test_over_http_any_schema_is_enough(front: Edge, tmp_path: Path) -> None:
    (tmp_path / "runtime.binpb").write_bytes(SET)
    text = (await text_of(DOCUMENT, "http", "runtime.json")).replace("runtime.json", "runtime.binpb")
    with imported(text, tmp_path) as stubs:
        async with RemoteClient(front.target) as client:
            echo: Any = await client.model("raw", stubs.EchoTask)
            assert (await echo.run("a")).text == "a"
    assert front.seen == {CALL: 1}


async def test_over_http_a_missing_file_of_grpc_is_no_loss(front: Edge, tmp_path: Path) -> None:
    text = (await text_of(DOCUMENT, "http", "runtime.json")).replace("runtime.json", "runtime.binpb")
    with imported(text, tmp_path) as stubs:
        async with RemoteClient(front.target) as client:
            echo: Any = await client.model("raw", stubs.EchoTask)
            assert (await echo.run("a")).text == "a"
        connection = ConnectionInfo(hostname="127.0.0.1", port=front.port)
        config = RemoteModuleConfig.load_from_module(stubs.EchoTask, connection, "http", "mm-model-id", "raw")
        made: Any = RemoteModelInitializer().init(config)
        async with made:
            assert (await made.run("a")).text == "a"
    assert front.seen == {CALL: 2}


async def test_over_grpc_a_document_is_no_help(grpc_front: Edge, tmp_path: Path) -> None:
    (tmp_path / "runtime.json").write_bytes(DOCUMENT)
    text = await text_of(SET, "grpc", "runtime.json")
    with imported(text, tmp_path) as stubs:
        async with RemoteClient(grpc_front.target) as client:
            assert (await (await client.model("foo", stubs.SampleTask)).run({"name": "World"})).greeting
            assert grpc_front.requests(REFLECTION)
        grpc_front.faults = {REFLECTION: ["UNIMPLEMENTED"] * ALWAYS}
        async with RemoteClient(grpc_front.target) as client:
            with pytest.raises(SchemaUnavailableError, match=r"runtime\.json, the schema of SampleTask, is for HTTP"):
                await client.model("foo", stubs.SampleTask)
        connection = ConnectionInfo(hostname="127.0.0.1", port=grpc_front.port)
        config = RemoteModuleConfig.load_from_module(stubs.SampleTask, connection, "grpc", "mm-model-id", "foo")
        made: Any = RemoteModelInitializer().init(config)
        async with made:
            with pytest.raises(SchemaUnavailableError, match=r"runtime\.json, the schema of SampleTask, is for HTTP"):
                await made.run({"name": "World"})


# -- what goes before a class's schema, and what does not fit ---------------------------------------------------------


async def test_the_clients_schema_goes_before(grpc_front: Edge, sample: Any, tmp_path: Path) -> None:
    (tmp_path / "runtime.binpb").unlink()
    async with RemoteClient(grpc_front.target, schema=SET) as client:
        found: Any = await client.model("foo", sample.SampleTask)
        assert (await found.run({"name": "World"})).greeting == "Hello World"
    async with RemoteClient(grpc_front.target) as client:
        with pytest.raises(ConfigurationError, match=r"SampleTask: schema: .*runtime\.binpb cannot be read"):
            await client.model("foo", sample.SampleTask)
    assert {each.rpartition("/")[2]: count for each, count in grpc_front.seen.items()} == {"SampleTaskPredict": 1}


def other_set() -> bytes:
    """The schema of another library."""
    files = FileDescriptorSet.FromString(SET)
    (data,) = [each for each in files.file if each.name == "sample_data.proto"]
    (output,) = [each for each in data.message_type if each.name == "SampleOutputType"]
    output.field[0].name = "salutation"
    (service,) = [each for each in files.file if each.name == "testservice.proto"]
    service.message_type[0].field[0].name = "other_input"
    del service.service[0].method[1]
    return files.SerializeToString()


async def test_a_file_of_another_library_is_told_with_all_differences(
    grpc_front: Edge, sample: Any, tmp_path: Path
) -> None:
    (tmp_path / "runtime.binpb").write_bytes(other_set())
    told = [
        f"SampleTask disagrees with {tmp_path / 'runtime.binpb'}: ",
        "run: the schema knows no parameter sample_input; it has other_input",
        "run: the answer has no field greeting; it has salutation",
        "run_stream_out: the schema has no method of SampleTask",
    ]
    async with RemoteClient(grpc_front.target) as client:
        with pytest.raises(SchemaError) as caught:
            await client.model("foo", sample.SampleTask)
        assert all(each in str(caught.value) for each in told)
    connection = ConnectionInfo(hostname="127.0.0.1", port=grpc_front.port)
    config = RemoteModuleConfig.load_from_module(sample.SampleTask, connection, "grpc", "mm-model-id", "foo")
    made: Any = RemoteModelInitializer().init(config)
    async with made:
        with pytest.raises(SchemaError) as caught:
            await made.run({"name": "World"})
        assert all(each in str(caught.value) for each in told)
    assert grpc_front.seen == {}


async def test_a_document_of_another_library_is_told(front: Edge, tmp_path: Path) -> None:
    (tmp_path / "runtime.json").write_bytes(DOCUMENT.replace(b'"text"', b'"words"').replace(b'"count"', b'"often"'))
    with imported(await text_of(DOCUMENT, "http", "runtime.json"), tmp_path) as stubs:
        async with RemoteClient(front.target) as client:
            with pytest.raises(SchemaError, match=r"EchoTask disagrees with .*runtime\.json: .*no field text; .*count"):
                await client.model("raw", stubs.EchoTask)
    assert front.seen == {}


# -- several servers --------------------------------------------------------------------------------------------------


async def test_several_servers_are_asked_which_has_the_model(
    wire: WireServer, start_wire: Callable[..., WireServer], sample: Any
) -> None:
    second = start_wire()
    await wire.faults(models=["another"])
    async with RemoteClient([wire.target, second.target]) as client:
        found: Any = await client.model("foo", sample.SampleTask)
        assert (await found.run({"name": "World"})).greeting == "Hello World"
        assert (await second.stats())["started"]["SampleTaskPredict"] == 1
        with pytest.raises(ModelNotFoundError):
            await client.model("missing", sample.SampleTask)


async def test_of_several_servers_that_refuse_the_first_is_called(wire: WireServer, sample: Any) -> None:
    async with edge("grpc", wire.port) as first, edge("grpc", wire.port) as second:
        for each in (first, second):
            each.faults = {REFLECTION: ["PERMISSION_DENIED"] * ALWAYS}
        async with RemoteClient([first.target, second.target]) as client:
            found: Any = await client.model("foo", sample.SampleTask)
            assert (await found.run({"name": "World"})).greeting == "Hello World"
    assert (first.requests("/SampleTaskPredict"), second.requests("/SampleTaskPredict")) == (1, 0)


async def test_a_server_that_is_down_is_not_called_where_another_refuses(
    wire: WireServer, sample: Any, unused_port: int
) -> None:
    async with edge("grpc", wire.port) as second:
        second.faults = {REFLECTION: ["PERMISSION_DENIED"] * ALWAYS}
        async with RemoteClient([f"127.0.0.1:{unused_port}", second.target], retries=0) as client:
            found: Any = await client.model("foo", sample.SampleTask)
            assert (await found.run({"name": "World"})).greeting == "Hello World"


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port where nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_the_host_may_depend_on_the_model(sample: Any) -> None:
    config = {"connection": {"hostname": "{}.invalid", "port": 1}}
    async with RemoteClient.from_config({"finders": {"f": {"type": "REMOTE", "config": config}}}) as client:
        found: Any = await client.model("foo", sample.SampleTask)
        assert found.config.connection.hostname == "foo.invalid"
