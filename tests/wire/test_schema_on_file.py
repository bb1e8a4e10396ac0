"""With a schema nothing is asked before a call, by any kind of client, on both protocols."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client import RemoteClient, sync
from remote_client._client.finder import RemoteModelFinder
from remote_client._client.initializer import RemoteModelInitializer
from remote_client.errors import (
    ClosedError,
    InputError,
    RemoteCallError,
    SchemaError,
    UnavailableError,
    UnsupportedError,
)
from tests.support.edge import edge
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer
from tests.support.wire_schema import descriptor_set, document

Server = WireServer | HttpWire
SCHEMAS = {"grpc": descriptor_set(), "http": document()}
CALLED = {"grpc": "SampleTaskPredict", "http": "POST /api/v1/task/echo"}


def call(module: Any) -> Any:
    return module.run_echo("World") if hasattr(module, "run_echo") else module.run_sample({"name": "World"})


def config_of(*servers: Server, **more: Any) -> dict[str, Any]:
    *others, last = [each.info() for each in servers]
    protocol = servers[0].protocol
    return {"connection": last, "remote_connections": others, "protocol": protocol, "schema": SCHEMAS[protocol]} | more


async def asked(server: Server) -> dict[str, int]:
    counts = (await server.stats())["started"]
    return {name: count for name, count in counts.items() if name not in ("Get", "GET /identity")}


async def test_a_client_calls_and_asks_nothing(server: Server) -> None:
    async with RemoteClient(server.target, schema=SCHEMAS[server.protocol]) as client:
        assert (await client.describe()).tasks
        await call(await client.model("foo"))
        await asyncio.gather(*(client.model(f"model-{number}") for number in range(100)))
    assert await asked(server) == {CALLED[server.protocol]: 1}


async def test_a_blocking_client_calls_and_asks_nothing(server: Server) -> None:
    def use() -> None:
        with sync.RemoteClient(server.target, schema=SCHEMAS[server.protocol]) as client:
            assert client.describe().tasks
            call(client.model("foo"))

    await asyncio.to_thread(use)
    assert await asked(server) == {CALLED[server.protocol]: 1}


async def test_a_finder_and_an_initializer_call_and_ask_nothing(server: Server) -> None:
    finder = RemoteModelFinder(config_of(server))
    found = await finder.find_model("foo")
    assert found is not None
    module = RemoteModelInitializer().init(found)
    assert module is not None
    async with module:
        await call(module)
    await finder.aclose()
    assert await asked(server) == {CALLED[server.protocol]: 1}


async def test_pickled_handles_call_and_ask_nothing(server: Server) -> None:
    async with RemoteClient(server.target, schema=SCHEMAS[server.protocol]) as client:
        pickled = pickle.dumps((client, await client.model("foo")))
    other, module = pickle.loads(pickled)
    await call(module)
    await call(await other.model("foo"))
    await other.aclose()
    await module.aclose()
    assert await asked(server) == {CALLED[server.protocol]: 2}


async def test_models_still_asks(server: Server) -> None:
    async with RemoteClient(server.target, schema=SCHEMAS[server.protocol]) as client:
        assert await client.models()
    assert list(await asked(server)) == [{"grpc": "GetModelsInfo", "http": "GET /info/models"}[server.protocol]]


async def test_a_schema_without_the_runtimes_own_services(wire: WireServer) -> None:
    files = FileDescriptorSet.FromString(SCHEMAS["grpc"]).file
    some = FileDescriptorSet(file=[each for each in files if each.name != "infoservice.proto"]).SerializeToString()
    async with RemoteClient(wire.target, schema=some) as client:
        await call(await client.model("foo"))
        with pytest.raises(UnsupportedError, match="schema has no GetModelsInfo"):
            await client.models()
        with pytest.raises(UnsupportedError, match="schema has no DeployModel"):
            await client.deploy_model("new", {"config.yml": b""})
    assert await asked(wire) == {CALLED["grpc"]: 1}


async def test_a_task_of_the_schema_is_chosen(server: Server) -> None:
    task = {"grpc": "SampleTask", "http": "EchoTask"}[server.protocol]
    async with RemoteClient(server.target, schema=SCHEMAS[server.protocol]) as client:
        module = await client.model("foo", task=task)
        await module.run({"grpc": {"name": "World"}, "http": "World"}[server.protocol])
        with pytest.raises(InputError, match=f"did you mean {task}"):
            await client.model("foo", task=task[:-1])


async def test_without_discovery_only_configured_models_are_known(server: Server) -> None:
    finder = RemoteModelFinder(config_of(server, discover_models=False, supported_models={"foo": "an-id"}))
    assert await finder.find_model("bar") is None
    found = await finder.find_model("foo")
    assert found is not None
    assert found.module_id == "an-id"
    assert await asked(server) == {}
    await finder.aclose()


@pytest.fixture
def dead() -> Iterator[str]:
    """A port where nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


async def test_of_several_servers_the_first_is_called_until_another_lists_the_model(
    wire: WireServer, start_wire: Callable[..., WireServer]
) -> None:
    second = start_wire()
    await second.faults(models=["bar"])
    async with RemoteClient([wire.target, second.target], schema=SCHEMAS["grpc"]) as client:
        await call(await client.model("bar"))
        assert (await asked(wire), await asked(second)) == ({CALLED["grpc"]: 1}, {})
        await client.models()
        await call(await client.model("bar"))
        await call(await client.model("nobody has it"))
    assert (await asked(second))[CALLED["grpc"]] == 1
    assert (await asked(wire))[CALLED["grpc"]] == 2


async def test_the_host_may_depend_on_the_model(wire: WireServer) -> None:
    # Names below localhost are this machine's.
    connection = {"hostname": "{}.localhost", "port": wire.port}
    finder = RemoteModelFinder({"connection": connection, "schema": SCHEMAS["grpc"]})
    found = await finder.find_model("foo")
    assert found is not None
    assert found.connection.hostname == "foo.localhost"
    with pytest.raises(InputError, match="DNS"):
        await finder.find_model("no label!")
    await finder.aclose()


async def test_a_client_whose_host_depends_on_the_model_describes_itself(wire: WireServer) -> None:
    config = {"connection": {"hostname": "{}.localhost", "port": 1}, "schema": SCHEMAS["grpc"]}
    async with RemoteClient.from_config({"finders": {"f": {"type": "REMOTE", "config": config}}}) as client:
        assert "SampleTask" in (await client.describe()).tasks


async def test_a_dead_server_is_told_by_the_call(dead: str) -> None:
    async with RemoteClient(dead, schema=SCHEMAS["grpc"], retries=0) as client:
        module = await client.model("foo")
        with pytest.raises(UnavailableError):
            await call(module)


async def test_a_closed_client_gives_no_models(server: Server) -> None:
    client = RemoteClient(server.target, schema=SCHEMAS[server.protocol])
    await client.aclose()
    with pytest.raises(ClosedError):
        await client.model("foo")


# -- errors that an older file may cause ------------------------------------------------------------------------------

NO_FIELD = {"status": 422, "body": {"details": "Extra inputs are not permitted", "code": 422, "id": "7"}}
NO_ROUTE = {"status": 404, "body": {"detail": "Not Found"}}
OF_THE_MODEL = {"status": 400, "body": {"details": "the name is odd", "code": 400, "id": "7"}}


def path_of(schema: bytes, protocol: str, folder: Path) -> Path:
    path = folder / {"grpc": "old.binpb", "http": "old.json"}[protocol]
    path.write_bytes(schema)
    return path


@pytest.mark.parametrize("way", ["asyncio", "pickled", "blocking"])
@pytest.mark.parametrize(
    ("fault", "hints"),
    [(NO_FIELD, True), (NO_ROUTE, True), ({"status": 405, "body": ""}, True), (OF_THE_MODEL, False)],
    ids=["extra field", "no route", "no method", "the model's own word"],
)
async def test_over_http_an_error_of_another_interface_names_the_file(
    http_wire: HttpWire, tmp_path: Path, fault: Any, hints: bool, way: str
) -> None:
    await http_wire.faults({CALLED["http"]: fault})
    await check_hint(http_wire, path_of(SCHEMAS["http"], "http", tmp_path), way, hints)


@pytest.mark.parametrize("way", ["asyncio", "pickled", "blocking"])
@pytest.mark.parametrize(("fault", "hints"), [("UNIMPLEMENTED", True), ("INVALID_ARGUMENT", False)])
async def test_over_grpc_an_error_of_another_interface_names_the_file(
    wire: WireServer, tmp_path: Path, fault: str, hints: bool, way: str
) -> None:
    async with edge("grpc", wire.port) as front:
        front.faults["/SampleTaskPredict"] = [fault]
        await check_hint(front, path_of(SCHEMAS["grpc"], "grpc", tmp_path), way, hints)


async def check_hint(server: Any, schema: Path, way: str, hints: bool) -> None:
    """Call a model in vain, and look whether its error names the file."""

    def block() -> None:
        with sync.RemoteClient(server.target, schema=schema) as client:
            call(client.model("foo"))

    with pytest.raises(RemoteCallError) as caught:
        if way == "blocking":
            await asyncio.to_thread(block)
        async with RemoteClient(server.target, schema=schema) as client:
            model = await client.model("foo")
            model = pickle.loads(pickle.dumps(model)) if way == "pickled" else model
            try:
                await call(model)
            finally:
                await model.aclose()
    told = f"; the method is that of {schema}: `remote-client schema --check {schema}` compares it with the server"
    assert (told in str(caught.value)) is hints
    assert ("the method is that of" in str(caught.value)) is hints


@pytest.mark.parametrize("part", ["input_type", "field"])
async def test_a_compared_file_that_lacks_a_type_is_named(wire: WireServer, tmp_path: Path, part: str) -> None:
    files = FileDescriptorSet.FromString(SCHEMAS["grpc"])
    if part == "field":
        field = next(each for file in files.file for message in file.message_type for each in message.field)
        field.type, field.type_name = field.TYPE_MESSAGE, ".no.Where"
    else:
        next(each for file in files.file for each in file.service).method[0].input_type = ".no.Where"
    path = path_of(files.SerializeToString(), "grpc", tmp_path)
    async with RemoteClient(wire.target) as client:
        with pytest.raises(SchemaError, match=r"no\.Where") as caught:
            await client.check_schema(path)
    assert str(caught.value).startswith(f"{path} cannot be compared: ")
    assert "server" not in str(caught.value)
