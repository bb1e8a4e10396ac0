"""A client of a server with many tasks makes the types of those that it calls."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client import RemoteClient
from remote_client._schema.lazy_methods import LazyTypes
from remote_client._schema.rpc import ServiceDescription
from remote_client.errors import SchemaError, UnimplementedError
from remote_client.testing._caikit_files import info_files
from tests.support.http_wire import HttpWire
from tests.support.task_library import task_document, task_files
from tests.support.wire import WireServer
from tests.support.wire_library import INFO_SERVICE, SERVICE

TASKS = 8


async def serve(wire: WireServer, files: dict[str, FileDescriptorProto] | None = None) -> None:
    files = {**(files or task_files(TASKS)), **info_files()}
    sent = {name: file.SerializeToString().hex() for name, file in files.items()}
    await wire.faults(services=[SERVICE, INFO_SERVICE], files=sent)


def known(client: RemoteClient) -> ServiceDescription:
    (server,) = client._finder.servers
    assert server.description is not None
    return server.description


def made(types: Any) -> set[str]:
    assert isinstance(types, LazyTypes)
    return {name.rpartition(".")[2] for name in types.made if "Info" not in name}


async def test_a_call_makes_the_types_of_its_task(wire: WireServer) -> None:
    await serve(wire)
    async with RemoteClient(wire.target) as client:
        module: Any = await client.model("foo")
        assert "run_number7" in dir(module)
        types = known(client).types
        assert made(types) == set()
        with pytest.raises(UnimplementedError):  # the server has other tasks
            await module.run_number3({"text": "Hi"})
        assert made(types) == {"Number3Input", "Number3Item", "Number3Answer", "Number3TaskRequest"}


async def test_a_call_over_http_makes_the_types_of_its_task(http_wire: HttpWire) -> None:
    listed = {"models": [{"name": "foo"}]}
    await http_wire.faults(
        {"GET /openapi.json": {"body": task_document(TASKS).decode()}, "GET /info/models": {"body": listed}}
    )
    async with RemoteClient(http_wire.target) as client:
        module: Any = await client.model("foo")
        assert made(known(client).types) == set()
        assert module.run_number3.rpc.codec
        assert made(known(client).types) == {
            "Number3Input",
            "Number3Item",
            "Number3Answer",
            "Number3TaskRequestParameters",
        }


async def test_describing_makes_all_types_in_a_thread(wire: WireServer) -> None:
    await serve(wire)
    async with RemoteClient(wire.target) as client:
        module: Any = await client.model("foo")
        described = await client.describe()
        assert not isinstance(described.types, LazyTypes)
        assert len(described.types) > 5 * TASKS
        assert made(known(client).types) == set()
        assert await client.describe() is described
        # One class for both.
        assert module.run_number3.rpc.signature == described.tasks["Number3Task"].methods[0].signature


def broken(name: str) -> dict[str, FileDescriptorProto]:
    """The files of some tasks; a field of one of them has a name that is none."""
    files = task_files(TASKS)
    (item,) = (file for file in files.values() if file.name.endswith("number3item.proto"))
    item.message_type[0].field[0].name = name
    return files


async def test_a_broken_task_does_not_keep_others_from_working(wire: WireServer) -> None:
    await serve(wire, broken("no name"))
    async with RemoteClient(wire.target) as client:
        module: Any = await client.model("foo")
        assert module.run_number2.rpc.codec
        with pytest.raises(SchemaError) as caught:
            await module.run_number3({"text": "Hi"})
        assert str(caught.value).startswith(f"{wire.target}: Number3TaskPredict of Number3Task: the file ")
        with pytest.raises(SchemaError, match="'no name' is not a valid name"):
            await client.describe()


async def test_a_server_that_repeats_metadata_is_described_at_once(wire: WireServer) -> None:
    await serve(wire, broken("no s3cret-token"))
    async with RemoteClient(wire.target, metadata={"authorization": "Bearer s3cret-token"}) as client:
        with pytest.raises(SchemaError, match="is not a valid name") as caught:
            await client.model("foo")
    assert "s3cret" not in str(caught.value)


async def test_a_pickled_model_has_its_signatures(wire: WireServer) -> None:
    await serve(wire)
    async with RemoteClient(wire.target) as client:
        module: Any = await client.model("foo", task="Number3Task")
        data = pickle.dumps(module)
        assert made(known(client).types) == {"Number3Input", "Number3Item", "Number3Answer", *requests_of("Number3")}
    assert len(data) < 20_000
    copy = pickle.loads(data)
    assert str(copy.run_number3.rpc) == str(module.run_number3.rpc)
    await copy.aclose()


def requests_of(task: str) -> set[str]:
    return {f"{task}TaskRequest", f"ServerStreaming{task}TaskRequest"}
