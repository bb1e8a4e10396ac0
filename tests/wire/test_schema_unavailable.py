"""A server that refuses to describe itself: one error that carries its own, and no more questions than needed."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from h2.errors import ErrorCodes

import remote_client
from remote_client import RemoteModelFinder, RemoteModuleConfig, sync
from remote_client._settings.connection import parse_target
from remote_client.auth import Credentials, OAuthClientCredentials
from remote_client.declare import module, taskmethod
from remote_client.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    RemoteClientError,
    ResourceExhaustedError,
    SchemaError,
    SchemaUnavailableError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
)
from tests.support.edge import Edge, edge
from tests.support.http_wire import HttpWire
from tests.support.reachable import texts
from tests.support.runtime import free_port
from tests.support.wire import WireServer
from tests.support.wire_library import SERVICE
from tests.support.wire_schema import descriptor_set, document

REFLECTION = "/ServerReflectionInfo"
V1, V1ALPHA = (f"/grpc.reflection.{each}.ServerReflection/ServerReflectionInfo" for each in ("v1", "v1alpha"))
DOCUMENT = "GET /openapi.json"
QUESTION = {"grpc": REFLECTION, "http": DOCUMENT}
MODEL = {"grpc": "foo", "http": "raw"}
CLIENTS = ["asyncio", "blocking"]
ALWAYS = 999
Deed = Callable[[Any, str], Awaitable[Any]]
"""What is done with a client, for a protocol."""


@module(name="Sample", task="SampleTask")
class Declared:
    """Written by hand, and so without a schema."""

    @taskmethod()
    async def run(self, sample_input: dict[str, Any]) -> Any:
        raise NotImplementedError

    @taskmethod()
    def run_stream_out(self, sample_input: dict[str, Any]) -> AsyncIterator[Any]:
        raise NotImplementedError


GRPC: dict[str, type[RemoteCallError]] = {
    "UNIMPLEMENTED": UnimplementedError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "UNAUTHENTICATED": UnauthenticatedError,
    "INVALID_ARGUMENT": InvalidArgumentError,
    "NOT_FOUND": NotFoundError,
    "UNKNOWN": UnknownError,
    "INTERNAL": InternalError,
    "RESOURCE_EXHAUSTED": ResourceExhaustedError,
    "401": UnauthenticatedError,
    "403": PermissionDeniedError,
    "404": NotFoundError,
    "418": UnknownError,
    "500": InternalError,
}
HTTP: dict[str, type[RemoteCallError]] = {
    "400": InvalidArgumentError,
    "401": UnauthenticatedError,
    "403": PermissionDeniedError,
    "404": NotFoundError,
    "405": UnimplementedError,
    "418": UnknownError,
    "422": InvalidArgumentError,
    "429": ResourceExhaustedError,
    "500": InternalError,
    "501": UnimplementedError,
}
REFUSALS = [
    *(("grpc", fault, kind) for fault, kind in GRPC.items()),
    *(("http", fault, kind) for fault, kind in HTTP.items()),
]
RESETS = [each.name for each in ErrorCodes if each not in (ErrorCodes.NO_ERROR, ErrorCodes.REFUSED_STREAM)]


@pytest_asyncio.fixture
async def between(server: WireServer | HttpWire) -> AsyncIterator[Edge]:
    """An edge before a server that describes itself."""
    async with edge(server.protocol, server.port) as made:
        yield made


def refuse(between: Edge, protocol: str, fault: str, times: int = ALWAYS) -> None:
    between.faults[QUESTION[protocol]] = [fault] * times


async def do(blocks: str, target: Any, deed: Deed, protocol: str, **options: Any) -> Any:
    """Do something with a client of its own."""
    if blocks == "asyncio":
        async with remote_client.RemoteClient(target, **options) as client:
            return await deed(client, protocol)
    return await asyncio.to_thread(_blocking, target, deed, protocol, options)


def _blocking(target: Any, deed: Deed, protocol: str, options: dict[str, Any]) -> Any:
    with sync.RemoteClient(target, **options) as client:
        return deed(client, protocol)


async def refused(blocks: str, target: Any, deed: Deed, protocol: str, **options: Any) -> SchemaUnavailableError:
    with pytest.raises(SchemaUnavailableError) as caught:
        await do(blocks, target, deed, protocol, **options)
    return caught.value


def declared_config(between: Edge) -> RemoteModuleConfig:
    """A model whose class tells its methods, and not their numbers."""
    return RemoteModuleConfig.load_from_module(
        Declared, parse_target(between.target)[0], "grpc", "mm-model-id", MODEL["grpc"]
    )


def describe(client: Any, protocol: str) -> Any:
    return client.describe()


DEEDS: dict[str, Deed] = {
    "describe": describe,
    "model": lambda client, protocol: client.model(MODEL[protocol]),
    "deploy": lambda client, protocol: client.deploy_model("m", {"config.yml": b""}),
    "job": lambda client, protocol: client.prediction_job("SampleTask", "id").status(),
    "training": lambda client, protocol: client.training("id").status(),
}
GRPC_DEEDS: dict[str, Deed] = {
    "declared model": lambda client, protocol: client.model(MODEL[protocol], Declared),
    "models": lambda client, protocol: client.models(),
    "runtime_info": lambda client, protocol: client.runtime_info(),
}
"""What needs no schema over HTTP, or can do without."""


# -- what is raised ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(("protocol", "fault", "kind"), REFUSALS)
async def test_a_refusal_is_told_with_the_servers_own_error(
    between: Edge, protocol: str, fault: str, kind: type[RemoteCallError], blocks: str
) -> None:
    refuse(between, protocol, fault)
    error = await refused(blocks, between.target, describe, protocol, retries=0)
    assert isinstance(error, SchemaError)
    assert type(error.error) is kind
    assert error.__cause__ is error.error
    assert error.code is error.error.code
    if fault.isdecimal():
        assert error.error.http_status == int(fault)
    assert str(error).startswith(f"{between.target.removeprefix('http://')} does not ")
    for told in (error.error.details, "schema=", "remote-client schema", "remote-client stubs", "caikit", "schemas.md"):
        assert told in str(error)


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(
    ("protocol", "fault", "deed"),
    [
        *(("grpc", "PERMISSION_DENIED", each) for each in [*DEEDS, *GRPC_DEEDS]),
        *(("http", "404", each) for each in DEEDS),
    ],
)
async def test_whatever_needs_a_schema_tells_of_the_refusal(
    between: Edge, protocol: str, fault: str, deed: str, blocks: str
) -> None:
    refuse(between, protocol, fault)
    error = await refused(blocks, between.target, (DEEDS | GRPC_DEEDS)[deed], protocol)
    assert between.requests(QUESTION[protocol]) == 1
    assert isinstance(error.error, PermissionDeniedError if protocol == "grpc" else NotFoundError)


@pytest.mark.parametrize("deed", ["models", "healthy", "runtime_info"])
@pytest.mark.parametrize("protocol", ["http"])
async def test_what_needs_no_schema_over_http_works(between: Edge, protocol: str, deed: str) -> None:
    refuse(between, protocol, "403")
    assert await do("asyncio", between.target, lambda client, _: getattr(client, deed)(), protocol)


@pytest.mark.parametrize("protocol", ["grpc"])
async def test_health_needs_no_reflection(between: Edge, protocol: str) -> None:
    refuse(between, protocol, "PERMISSION_DENIED")
    assert await do("asyncio", between.target, lambda client, _: client.healthy(), protocol) is True


@pytest.mark.parametrize("method", ["run", "run_stream_out"])
@pytest.mark.parametrize("protocol", ["grpc"])
async def test_a_declaration_by_hand_tells_of_the_refusal_at_its_first_call(
    between: Edge, protocol: str, method: str
) -> None:
    refuse(between, protocol, "UNIMPLEMENTED")
    config = declared_config(between)
    async with remote_client.construct_remote_module_class(config)(config) as made:
        for _ in range(2):  # the refusal is not the end of the module
            with pytest.raises(SchemaUnavailableError) as caught:
                called = getattr(made, method)({"name": "x"})
                await (called if method == "run" else anext(called))
            assert isinstance(caught.value.error, UnimplementedError)
        del between.faults[REFLECTION]
        assert await made.run({"name": "x"})


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_configured_models_tell_of_the_refusal(between: Edge, protocol: Any) -> None:
    refuse(between, protocol, "403")
    connection = parse_target(between.target)[0]
    found = RemoteModelFinder(
        {"connection": connection, "protocol": protocol, "supported_models": {"m": "id"}, "discover_models": False}
    )
    with pytest.raises(SchemaUnavailableError):
        await found.find_model("m")
    await found.aclose()
    assert between.requests(QUESTION[protocol]) == 1


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(
    ("protocol", "fault", "kind"),
    [
        ("grpc", "UNAUTHENTICATED", UnauthenticatedError),
        ("grpc", "PERMISSION_DENIED", PermissionDeniedError),
        ("grpc", "401", UnauthenticatedError),
        ("http", "401", UnauthenticatedError),
        ("http", "403", PermissionDeniedError),
    ],
)
async def test_who_expects_a_denial_gets_one(
    between: Edge, protocol: str, fault: str, kind: type[RemoteCallError], blocks: str
) -> None:
    refuse(between, protocol, fault)
    with pytest.raises(kind) as caught:
        await do(blocks, between.target, describe, protocol)
    assert caught.value.status == kind.status
    assert caught.value.target == between.target.removeprefix("http://")
    assert caught.value.http_status == (int(fault) if fault.isdecimal() else None)


@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "NOT_FOUND"), ("grpc", "404"), ("http", "404")])
async def test_a_refused_description_is_no_missing_model(between: Edge, protocol: str, fault: str) -> None:
    refuse(between, protocol, fault)
    error = await refused("asyncio", between.target, DEEDS["model"], protocol)
    assert not isinstance(error, NotFoundError)


LIST = "GET /info/models"


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize("fault", ["400", "401", "403", "404", "405", "418", "500", "501"])
@pytest.mark.parametrize("protocol", ["http"])
async def test_a_model_is_refused_with_the_ways_where_the_list_is_refused_too(
    between: Edge, protocol: str, fault: str, blocks: str
) -> None:
    between.faults = {DOCUMENT: [fault] * ALWAYS, LIST: [fault] * ALWAYS}
    error = await refused(blocks, between.target, DEEDS["model"], protocol, retries=0)
    assert (type(error.error), error.error.http_status) == (HTTP[fault], int(fault))
    assert "schema=" in str(error)
    assert between.seen == {DOCUMENT: 1, LIST: 1}
    with pytest.raises(HTTP[fault]) as caught:
        await do(blocks, between.target, lambda client, _: client.models(), protocol, retries=0)
    assert not isinstance(caught.value, SchemaError)


@pytest.mark.parametrize("fault", ["503", "reset"])
@pytest.mark.parametrize("protocol", ["http"])
async def test_a_list_that_cannot_be_had_for_now_is_no_refusal(between: Edge, protocol: str, fault: str) -> None:
    between.faults = {DOCUMENT: ["403"] * ALWAYS, LIST: [fault] * ALWAYS}
    with pytest.raises(UnavailableError) as caught:
        await do("asyncio", between.target, DEEDS["model"], protocol, retries=0)
    assert not isinstance(caught.value, SchemaError)


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "UNIMPLEMENTED"), ("grpc", "401"), ("http", "404")])
async def test_a_refused_check_of_a_schema_tells_where_to_run_it(
    between: Edge, protocol: str, fault: str, blocks: str
) -> None:
    refuse(between, protocol, fault)
    schema = {"grpc": descriptor_set(), "http": document()}[protocol]
    error = await refused(blocks, between.target, lambda client, _: client.check_schema(), protocol, schema=schema)
    assert "can be reached directly" in str(error)
    assert "schema=" not in str(error)
    assert error.__cause__ is error.error
    assert pickle.loads(pickle.dumps(error)).args == error.args


@pytest.mark.parametrize("command", ["schema", "schema -o FILE", "schema --check FILE", "stubs", "stubs -o WRITTEN"])
@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "PERMISSION_DENIED"), ("http", "403")])
async def test_a_refused_command_tells_where_to_run_it(
    between: Edge, protocol: str, fault: str, command: str, tmp_path: Path
) -> None:
    refuse(between, protocol, fault)
    schema = tmp_path / {"grpc": "a.binpb", "http": "a.json"}[protocol]
    schema.write_bytes({"grpc": descriptor_set(), "http": document()}[protocol])
    told = command.replace("FILE", str(schema)).replace("WRITTEN", str(tmp_path / "written.py")).split()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "remote_client", "-t", between.target, *told), stderr=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, line = await process.communicate()
    assert process.returncode == 1
    assert line.startswith(b"remote-client: ")
    assert b"can be reached directly" in line
    assert b"schema=" not in line


# -- health -----------------------------------------------------------------------------------------------------------

HEALTH = {"grpc": "/Check", "http": "GET /health"}


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(
    ("protocol", "fault", "kind"),
    [
        ("grpc", "UNIMPLEMENTED", UnimplementedError),
        ("grpc", "PERMISSION_DENIED", PermissionDeniedError),
        ("grpc", "405", UnimplementedError),
        ("http", "404", NotFoundError),
        ("http", "405", UnimplementedError),
        ("http", "501", UnimplementedError),
    ],
)
async def test_a_refused_question_for_health_says_nothing_about_health(
    between: Edge, protocol: str, fault: str, kind: type[RemoteCallError], blocks: str
) -> None:
    between.faults[HEALTH[protocol]] = [fault] * ALWAYS
    with pytest.raises(kind):
        await do(blocks, between.target, lambda client, _: client.healthy(), protocol)


# -- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "PERMISSION_DENIED"), ("http", "403")])
async def test_a_refusal_that_is_raised_is_not_logged(
    between: Edge, protocol: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    between.faults = {QUESTION[protocol]: [fault] * ALWAYS, LIST: [fault] * ALWAYS}
    with caplog.at_level("INFO", "remote_client"):
        await refused("asyncio", between.target, DEEDS["model"], protocol)
    assert not caplog.records


@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "PERMISSION_DENIED"), ("http", "403")])
async def test_a_refusal_that_is_overcome_is_one_short_line_of_no_warning(
    server: Any, between: Edge, protocol: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    between.faults = {QUESTION[protocol]: [fault] * ALWAYS, LIST: [fault] * ALWAYS}
    with caplog.at_level("INFO", "remote_client"):
        assert await do("asyncio", [between.target, server.target], lambda client, _: client.models(), protocol)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert len(record.message) < 120
    assert "PERMISSION_DENIED" in record.message


# -- how often is asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(("protocol", "fault", "kind"), REFUSALS)
async def test_a_refusal_is_not_asked_again(
    between: Edge, protocol: str, fault: str, kind: type[RemoteCallError], blocks: str
) -> None:
    refuse(between, protocol, fault)
    error = await refused(blocks, between.target, describe, protocol, retries=2)
    is_load = kind is ResourceExhaustedError  # which may pass
    assert between.requests(QUESTION[protocol]) == (3 if is_load else 1)
    assert len(error.error.previous) == (2 if is_load else 0)


@pytest.mark.parametrize("protocol", ["grpc"])
async def test_the_older_reflection_is_asked_once_where_there_is_no_newer_one(between: Edge, protocol: str) -> None:
    between.faults = {V1: ["UNIMPLEMENTED"], V1ALPHA: ["PERMISSION_DENIED"]}
    error = await refused("asyncio", between.target, describe, protocol)
    assert isinstance(error.error, PermissionDeniedError)
    assert between.seen == {V1: 1, V1ALPHA: 1}


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "UNIMPLEMENTED"), ("http", "403")])
async def test_any_number_of_waiters_ask_once(between: Edge, protocol: str, fault: str, count: int) -> None:
    between.delay = 0.05
    refuse(between, protocol, fault)
    async with remote_client.RemoteClient(between.target) as client:
        deeds = [client.model(MODEL[protocol]) for _ in range(count)]
        errors = await asyncio.gather(*deeds, return_exceptions=True)
    assert all(isinstance(each, SchemaUnavailableError) for each in errors)
    assert between.requests(QUESTION[protocol]) == 1


@pytest.mark.parametrize("protocol", ["grpc"])
async def test_any_number_of_first_calls_ask_once(between: Edge, protocol: str) -> None:
    between.delay = 0.05
    refuse(between, protocol, "PERMISSION_DENIED")
    config = declared_config(between)
    async with remote_client.construct_remote_module_class(config)(config) as made:
        errors = await asyncio.gather(*(made.run({"name": "x"}) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, SchemaUnavailableError) for each in errors)
    assert between.requests(REFLECTION) == 1


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "UNIMPLEMENTED"), ("http", "404")])
async def test_a_server_that_describes_itself_by_now_is_used_at_once(
    between: Edge, protocol: str, fault: str, blocks: str
) -> None:
    times = 1 if protocol == "http" else 2  # of both reflections
    refuse(between, protocol, fault, times)

    def later(client: Any) -> Any:
        with pytest.raises(SchemaUnavailableError):
            client.model(MODEL[protocol])
        return client.model(MODEL[protocol])

    async def now(client: Any, _: str) -> Any:
        with pytest.raises(SchemaUnavailableError):
            await client.model(MODEL[protocol])
        return await client.model(MODEL[protocol])

    deed: Any = now if blocks == "asyncio" else lambda client, _: later(client)
    assert (await do(blocks, between.target, deed, protocol)).config.model_path == MODEL[protocol]


class Token(Credentials):
    """Another one each time that the server refused one."""

    number = 1

    async def __call__(self, fetch: Any) -> dict[str, str]:
        return {"authorization": f"Bearer s3cret-{self.number}"}

    def refused(self, metadata: Any) -> None:
        self.number += 1


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "UNAUTHENTICATED"), ("http", "401")])
async def test_credentials_are_renewed_once(between: Edge, protocol: str, fault: str, blocks: str) -> None:
    refuse(between, protocol, fault)
    error = await refused(blocks, between.target, describe, protocol, metadata=Token())
    assert isinstance(error.error, UnauthenticatedError)
    assert between.requests(QUESTION[protocol]) == 2


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_refusal_repeats_no_secret(wire: WireServer, http_wire: HttpWire, protocol: str, blocks: str) -> None:
    told = {"status": 401, "body": {"details": "nobody knows Bearer s3cret-1", "code": 401, "id": "7"}}
    await (wire.faults(only=[]) if protocol == "grpc" else http_wire.faults({DOCUMENT: told}))
    target = wire.target if protocol == "grpc" else http_wire.target
    metadata = {"authorization": "Bearer s3cret-1"}
    error = await refused(blocks, target, describe, protocol, metadata=metadata)
    assert "nobody knows [redacted]" in str(error)
    assert "nobody knows [redacted]" in error.error.details
    for found in (error, pickle.loads(pickle.dumps(error))):
        assert not [where for where, text in texts(found) if "s3cret" in str(text)]


# -- streams that are reset, connections that are ---------------------------------------------------------------------


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize("code", RESETS)
@pytest.mark.parametrize("protocol", ["grpc"])
async def test_a_reset_stream_is_a_refusal(between: Edge, protocol: str, code: str, blocks: str) -> None:
    refuse(between, protocol, code)
    error = await refused(blocks, between.target, describe, protocol, retries=2)
    assert "RST_STREAM" in str(error.error)
    # A proxy resets so whose server is away, or busy, for a moment.
    passes = isinstance(error.error, (UnavailableError, ResourceExhaustedError))
    assert between.requests(REFLECTION) == (3 if passes else 1)
    assert isinstance(error, UnavailableError) == isinstance(error.error, UnavailableError)


@pytest.mark.parametrize("protocol", ["grpc"])
async def test_a_stream_that_is_always_refused_is_sent_a_bounded_number_of_times(between: Edge, protocol: str) -> None:
    refuse(between, protocol, "REFUSED_STREAM")
    error = await refused("asyncio", between.target, describe, protocol, retries=2)
    assert isinstance(error.error, UnavailableError)
    anew = 11  # of each attempt: the server surely did nothing
    assert 3 <= between.requests(REFLECTION) <= 3 * anew


@pytest.mark.parametrize("fault", ["end", "reset"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_connection_that_always_ends_is_opened_as_often_as_retries_allow(
    between: Edge, protocol: str, fault: str
) -> None:
    refuse(between, protocol, fault)
    with pytest.raises(UnavailableError) as caught:
        await do("asyncio", between.target, describe, protocol, retries=2)
    assert isinstance(caught.value, SchemaError)
    assert not isinstance(caught.value, SchemaUnavailableError)
    assert between.requests(QUESTION[protocol]) == 3


# -- several servers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", CLIENTS)
@pytest.mark.parametrize(("protocol", "fault"), [("grpc", "PERMISSION_DENIED"), ("http", "403")])
@pytest.mark.parametrize("deed", ["describe", "model", "models", "runtime_info"])
async def test_another_server_is_asked_instead_of_one_that_refuses(
    server: Any, between: Edge, protocol: str, fault: str, deed: str, blocks: str
) -> None:
    refuse(between, protocol, fault)
    found = await do(blocks, [between.target, server.target], (DEEDS | GRPC_DEEDS)[deed], protocol)
    assert found
    if deed == "model":
        assert found.config.connection.target == server.target.removeprefix("http://")
    assert between.requests(QUESTION[protocol]) == 1


# -- what is no refusal -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_server_that_is_not_reached_refuses_nothing(protocol: str) -> None:
    target = f"{protocol}://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError) as caught:
        await do("asyncio", target, describe, protocol, retries=0)
    assert not isinstance(caught.value, SchemaError)


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=pytest.mark.own_http("httpx is late"))])
async def test_a_failed_handshake_refuses_nothing(between: Edge, protocol: str) -> None:
    target = between.target.replace("http://", "https://") if protocol == "http" else f"grpcs://{between.target}"
    with pytest.raises(RemoteCallError) as caught:
        await do("asyncio", target, describe, protocol, retries=0, timeout=10)
    assert isinstance(caught.value, (TlsError, UnavailableError))
    assert not isinstance(caught.value, SchemaError)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_silent_server_is_late(between: Edge, protocol: str) -> None:
    refuse(between, protocol, "silence")
    with pytest.raises(DeadlineExceededError) as caught:
        await do("asyncio", between.target, describe, protocol, timeout=0.3)
    assert isinstance(caught.value, SchemaError)
    assert not isinstance(caught.value, SchemaUnavailableError)


@pytest.mark.parametrize("fault", ["502", "503"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_server_that_is_away_is_unavailable_on_both_protocols(between: Edge, protocol: str, fault: str) -> None:
    refuse(between, protocol, fault)
    with pytest.raises(UnavailableError) as caught:
        await do("asyncio", between.target, describe, protocol, retries=1)
    assert isinstance(caught.value, SchemaError)
    assert not isinstance(caught.value, SchemaUnavailableError)
    assert caught.value.http_status == int(fault)
    assert len(caught.value.previous) == 1


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_redirect_is_told_as_it_is(between: Edge, protocol: str) -> None:
    refuse(between, protocol, "302")
    with pytest.raises(RemoteClientError) as caught:
        await do("asyncio", between.target, describe, protocol)
    assert not isinstance(caught.value, SchemaError)


@pytest.mark.parametrize("protocol", ["http"])
async def test_a_page_instead_of_a_document_is_unusable(between: Edge, protocol: str) -> None:
    refuse(between, protocol, "200")
    with pytest.raises(SchemaError, match="text/html") as caught:
        await do("asyncio", between.target, describe, protocol)
    assert not isinstance(caught.value, SchemaUnavailableError)


async def test_what_is_wrong_with_a_document_names_its_server(http_wire: HttpWire) -> None:
    await http_wire.faults({"GET /openapi.json": {"body": "{}"}})
    async with remote_client.RemoteClient(http_wire.target) as client:
        with pytest.raises(SchemaError) as caught:
            await client.describe()
    assert str(caught.value) == f"127.0.0.1:{http_wire.port} (GET /openapi.json): the OpenAPI document has no paths"


async def test_what_is_wrong_with_reflected_files_names_their_server(wire: WireServer) -> None:
    file = FileDescriptorProto(name="odd.proto")
    file.message_type.add(name="no name")
    file.service.add(name=SERVICE.rpartition(".")[2])
    file.package = SERVICE.rpartition(".")[0]
    await wire.faults(services=[SERVICE], files={"odd.proto": file.SerializeToString().hex()})
    async with remote_client.RemoteClient(wire.target) as client:
        with pytest.raises(SchemaError) as caught:
            await client.describe()
    assert str(caught.value) == f"{wire.target}: the file odd.proto is not valid: 'no name' is not a valid name"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_credentials_that_cannot_be_had_are_not_the_servers_refusal(
    between: Edge, http_wire: HttpWire, protocol: str, tmp_path: Any
) -> None:
    (tmp_path / "secret").write_text("s3cret-word")
    await http_wire.faults({"POST /token": {"status": 401, "body": {"error": "invalid_client"}}})
    credentials = OAuthClientCredentials(
        url=f"{http_wire.target}/token", client_id="me", secret_file=tmp_path / "secret"
    )
    with pytest.raises(UnauthenticatedError, match="no token") as caught:
        await do("asyncio", between.target, describe, protocol, metadata=credentials)
    assert not isinstance(caught.value, SchemaError)
    assert not between.requests(QUESTION[protocol])


# -- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "fault"),
    [("grpc", "UNIMPLEMENTED"), ("grpc", "UNAUTHENTICATED"), ("grpc", "403"), ("grpc", "CANCEL"), ("http", "404")],
)
async def test_a_refusal_travels_to_another_process(between: Edge, protocol: str, fault: str) -> None:
    refuse(between, protocol, fault)
    error = await refused("asyncio", between.target, describe, protocol, retries=0)
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert found.__cause__ is found.error
    assert vars(found.error) == vars(error.error)
