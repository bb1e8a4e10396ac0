"""Calls by path: what is sent, how often, to whom, and what comes back."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from remote_client import RemoteClient, sync
from remote_client.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InputError,
    InvalidResponseError,
    NotFoundError,
    OutcomeUnknownError,
    UnavailableError,
    UnsupportedError,
)
from remote_client.hooks import AttemptFailed, CallEnded
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer
from tests.support.wire_library import add_field
from tests.support.wire_runtime import LIBRARY

CHECK = "/grpc.health.v1.Health/Check"
PREDICT = "/caikit.runtime.Test.TestService/SampleTaskPredict"
WORLD = {"sample_input": {"name": "World"}}
Start = Callable[..., Any]


def sample_request(name: str = "World") -> Any:
    return LIBRARY.new("caikit.runtime.Test.SampleTaskRequest", sample_input={"name": name})


# -- gRPC: forms of requests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [b"\x01\x02", bytearray(b"\x01\x02"), memoryview(b"\x01\x02")])
async def test_bytes_for_bytes(wire: WireServer, message: Any) -> None:
    async with RemoteClient(wire.target) as client:
        assert await client.call("/test.Test/Echo", message) == b"\x01\x02"
        assert await client.call("test.Test/Echo") == b""
    assert await wire.started("ServerReflectionInfo") == 0


async def test_a_generated_message_for_a_generated_message(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        answer = await client.call(CHECK, health_pb2.HealthCheckRequest(service=""))
    assert type(answer) is health_pb2.HealthCheckResponse
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert await wire.started("ServerReflectionInfo") == 0


async def test_a_message_of_a_method_that_the_server_describes(wire: WireServer) -> None:
    """The pool of the message's class has the type alone."""
    async with RemoteClient(wire.target) as client:
        answer = await client.call(PREDICT, message_without_service("caikit.runtime.Test.SampleTaskRequest"))
        assert answer.DESCRIPTOR.full_name == "caikit_data_model.test.SampleOutputType"
        assert answer.greeting == "Hello World"
        with pytest.raises(InputError, match=r"expected a message of caikit\.runtime\.Test\.SampleTaskRequest, not of"):
            await client.call(PREDICT, message_without_service("caikit.runtime.Test.Other"))


def message_without_service(name: str) -> Any:
    """A request whose type comes from a pool that defines nothing else."""
    package, _, short = name.rpartition(".")
    file = FileDescriptorProto(name="own.proto", package=package, syntax="proto3")
    inner = file.message_type.add(name="Input")
    add_field(inner, "name", 1, "string")
    add_field(file.message_type.add(name=short), "sample_input", 1, f".{package}.Input")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(name))(sample_input={"name": "World"})


async def test_a_message_of_another_type(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        with pytest.raises(InputError, match=r"expected a message of grpc\.health\.v1\.HealthCheckRequest"):
            await client.call(CHECK, health_pb2.HealthCheckResponse())
    assert await wire.started("Check") == 0


async def test_a_message_whose_service_its_own_pool_has(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        answer = await client.call(PREDICT, sample_request(), model="foo")
    assert answer.greeting == "Hello World"
    assert isinstance(answer, type(LIBRARY.new("caikit_data_model.test.SampleOutputType")))


async def test_dicts_for_dicts(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        assert await client.call(PREDICT, WORLD) == {"greeting": "Hello World", "tree": None}
        with pytest.raises(InputError, match=r"SampleTaskPredict\(\): sample_input\.nam: .* no such field"):
            await client.call(PREDICT, {"sample_input": {"nam": "World"}})
        with pytest.raises(InputError, match=r"does not describe /test\.Test/Echo: give the request as bytes"):
            await client.call("/test.Test/Echo", {})
    assert await wire.started("SampleTaskPredict", "Echo") == 1


async def test_a_client_with_a_schema_asks_nothing(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        schema = await client.describe()
    asked = await wire.started("ServerReflectionInfo")
    async with RemoteClient(wire.target, schema=schema) as client:
        assert (await client.call(PREDICT, WORLD))["greeting"] == "Hello World"
    assert await wire.started("ServerReflectionInfo") == asked


@pytest.mark.parametrize("message", [{}, b"", None])
async def test_streams_are_refused(wire: WireServer, message: Any) -> None:
    path = PREDICT.replace("Sample", "ServerStreamingSample", 1)
    async with RemoteClient(wire.target) as client:
        await client.model("foo")  # reads the description
        with pytest.raises(UnsupportedError, match="has streams, which only the methods of a model can carry"):
            await client.call(path, sample_request() if message is None else message)
    assert await wire.started("ServerStreamingSampleTaskPredict") == 0


async def test_a_stream_that_nobody_knows_is_one(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        with pytest.raises((InvalidResponseError, OutcomeUnknownError)):
            await client.call("/test.Test/Count", b'{"n": 3}', timeout=2)  # grpc.aio waits for ever


async def test_an_answer_of_another_type(wire: WireServer) -> None:
    await wire.faults(predict_raw="ff")
    async with RemoteClient(wire.target) as client:
        for message in (WORLD, sample_request()):
            with pytest.raises(InvalidResponseError) as caught:
                await client.call(PREDICT, message, model="foo")
            error = caught.value
            assert (error.method, error.target, error.model) == (PREDICT[1:], f"127.0.0.1:{wire.port}", "foo")


@pytest.mark.parametrize("path", ["", "/", "Echo", "/test.Test", "/a b/c", "/a/b/c", "/a/\nb", b"/a/b", None])
async def test_paths_that_are_none(wire: WireServer, path: Any) -> None:
    async with RemoteClient(wire.target) as client:
        with pytest.raises(InputError, match=r"path: expected '/package\.Service/Method', not"):
            await client.call(path)


@pytest.mark.parametrize("message", [None, "text", 1, [b""]])
async def test_messages_that_are_none(wire: WireServer, message: Any) -> None:
    async with RemoteClient(wire.target) as client:
        with pytest.raises(InputError, match="message: expected bytes, a protobuf message or a dict, not"):
            await client.call("/test.Test/Echo", message)


async def test_a_large_answer(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        assert await client.call("/test.Test/Big", b'{"size": 1000000}') == bytes(1_000_000)


# -- HTTP: requests and answers ---------------------------------------------------------------------------------------


async def sent(server: HttpWire) -> dict[str, Any]:
    last: dict[str, Any] = (await server.stats())["last"]
    return last | {"headers": {name.lower(): value for name, value in last["headers"]}}


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE", "GET"])
async def test_every_verb_has_a_body_if_one_is_given(http_wire: HttpWire, verb: str) -> None:
    await http_wire.faults({f"{verb} /any": {"body": {"is": "done"}}})
    async with RemoteClient(http_wire.target) as client:
        for _ in range(2):  # the second one on the same connection
            assert await client.request(verb, "/any", json={"a": [1, None]}, params={"q": "ä b"}) == {"is": "done"}
    seen = await sent(http_wire)
    assert (seen["method"], seen["path"]) == (verb, "/any?q=%C3%A4+b")
    assert json.loads(seen["body"]) == {"a": [1, None]}
    assert seen["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("verb", "length"), [("POST", "0"), ("PUT", "0"), ("PATCH", "0"), ("DELETE", None), ("GET", None)]
)
async def test_without_a_body(http_wire: HttpWire, verb: str, length: str | None) -> None:
    await http_wire.faults({f"{verb} /any": {"body": ""}})
    async with RemoteClient(http_wire.target) as client:
        assert await client.request(verb.lower(), "/any") is None
    seen = await sent(http_wire)
    assert "content-type" not in seen["headers"]
    assert seen["headers"].get("content-length") == length


async def test_bodies_of_one_path_do_not_mix(http_wire: HttpWire) -> None:
    async with RemoteClient(http_wire.target) as client:
        assert await client.request("POST", "/echo") is None
        assert await client.request("POST", "/echo", json=[1]) == [1]
        assert (await sent(http_wire))["headers"]["content-type"] == "application/json"
        assert await client.request("POST", "/echo") is None
        assert "content-type" not in (await sent(http_wire))["headers"]


@pytest.mark.own_http("a transport has its own connections")
async def test_head_keeps_the_connection(http_wire: HttpWire) -> None:
    await http_wire.faults(
        {"HEAD /any": {"steps": [["send", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"], ["keep"]]}}
    )
    async with RemoteClient(http_wire.target) as client:
        assert await client.request("HEAD", "/any") is None
        assert await client.request("HEAD", "/any") is None
        assert await client.request("GET", "/health") == b"OK"
    assert (await http_wire.stats())["connections"] == 1


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": 1, "b": 2.5}, "?a=1&b=2.5"),
        ({"flag": True, "other": False}, "?flag=true&other=false"),
        ({"id": ["x", "y"]}, "?id=x&id=y"),
        ({"left": None, "kept": ""}, "?kept="),
        ({}, ""),
        (None, ""),
    ],
)
async def test_params(http_wire: HttpWire, params: Any, query: str) -> None:
    await http_wire.faults({"GET /any": {"body": "1"}})
    async with RemoteClient(http_wire.target) as client:
        assert await client.request("GET", "/any", params=params) == 1
        assert (await sent(http_wire))["path"] == f"/any{query}"
        assert await client.request("GET", "/any?own=1", params=params) == 1
        assert (await sent(http_wire))["path"] == f"/any?own=1{query.replace('?', '&')}"


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("[1, 18446744073709551615]", "application/json", [1, 2**64 - 1]),
        ("null", "application/json", None),
        ("", "application/json", None),
        ("{broken", "application/json", b"{broken"),
        ("12", "text/plain", b"12"),
        ("12", "application/problem+json", 12),
    ],
)
async def test_answers(http_wire: HttpWire, body: str, kind: str, expected: Any) -> None:
    await http_wire.faults({"GET /any": {"body": body, "headers": {"content-type": kind}}})
    async with RemoteClient(http_wire.target) as client:
        answer = await client.request("GET", "/any")
    assert answer == expected
    assert type(answer) is type(expected)


async def test_numbers_that_are_none(http_wire: HttpWire) -> None:
    async with RemoteClient(http_wire.target) as client:
        answer = await client.request("POST", "/echo", json={"a": math.nan, "b": -math.inf})
    assert math.isnan(answer["a"])
    assert answer["b"] == -math.inf


async def test_a_file(http_wire: HttpWire) -> None:
    headers = {"content-type": "application/zip", "content-disposition": 'attachment; filename="a.zip"'}
    await http_wire.faults({"GET /file": {"body": "PK", "headers": headers}})
    async with RemoteClient(http_wire.target) as client:
        answer = await client.request("GET", "/file")
    assert (answer, type(answer)) == (b"PK", bytes)


async def test_a_page(http_wire: HttpWire) -> None:
    await http_wire.faults({"GET /docs": {"body": "<html>", "headers": {"content-type": "text/html"}}})
    async with RemoteClient(http_wire.target) as client:
        for idempotent in (True, False):
            assert await client.request("GET", "/docs", idempotent=idempotent) == b"<html>"


async def test_headers_are_added(http_wire: HttpWire) -> None:
    async with RemoteClient(http_wire.target, metadata={"x-one": "1", "x-two": "1"}) as client:
        await client.request("POST", "/echo", json=1, headers={"X-Two": "2"})
    headers = (await sent(http_wire))["headers"]
    assert (headers["x-one"], headers["x-two"]) == ("1", "2")


async def test_a_query_is_not_shown(http_wire: HttpWire) -> None:
    await http_wire.faults({"POST /any": {"status": 404}, "GET /any": {"status": 404}})
    events: list[Any] = []
    async with RemoteClient(http_wire.target, hooks=[events.append]) as client:
        for verb in ("GET", "POST"):
            for idempotent in (True, False):
                with pytest.raises((NotFoundError, OutcomeUnknownError)) as caught:
                    await client.request(verb, "/any", params={"key": "s3cret"}, idempotent=idempotent)
                error: Any = caught.value
                assert error.method == f"{verb} /any"
                assert "s3cret" not in f"{error!r} {error} {error.__cause__!r} {events}"


@pytest.mark.parametrize("method", ["", "TRACE", "CONNECT", "GET /x", "G\r\nET", None, b"GET"])
async def test_methods_that_are_none(http_wire: HttpWire, method: Any) -> None:
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(InputError, match="method: expected one of GET, HEAD"):
            await client.request(method, "/any")


@pytest.mark.parametrize("path", ["", "any", "/a b", "/a\r\nb", "/a#b", "http://other/", None, b"/a"])
async def test_routes_that_are_none(http_wire: HttpWire, path: Any) -> None:
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(InputError, match="path: expected '/path' without blanks and fragment, not"):
            await client.request("GET", path)


@pytest.mark.parametrize("value", [object(), {"a": {1.5: 2}}, "\ud800"])
async def test_json_that_is_none(http_wire: HttpWire, value: Any) -> None:
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(InputError, match="json: "):
            await client.request("POST", "/echo", json=value)
        with pytest.raises(InputError, match="params: expected a mapping"):
            await client.request("POST", "/echo", params="a=1")  # type: ignore[arg-type]


async def test_a_base_path(http_wire: HttpWire) -> None:
    await http_wire.faults({"GET /base/any": {"body": "1"}})
    async with RemoteClient(f"{http_wire.target}/base") as client:
        assert await client.request("GET", "/any") == 1


# -- both: attempts, options, servers ---------------------------------------------------------------------------------


async def fails_once(server: Any) -> None:
    if server.protocol == "grpc":
        await server.faults(refuse={"Echo": ["UNAVAILABLE"]})
    else:
        await server.faults({"POST /echo": [{"status": 503}], "GET /any": [{"status": 503}, {"body": "1"}]})


async def raw(client: Any, protocol: str, **options: Any) -> Any:
    if protocol == "grpc":
        return await client.call("/test.Test/Echo", b"1", **options)
    return await client.request("POST", "/echo", json=1, **options)


def method_of(protocol: str) -> str:
    return "test.Test/Echo" if protocol == "grpc" else "POST /echo"


async def test_a_call_is_sent_once(server: Any, protocol: str) -> None:
    await fails_once(server)
    events: list[Any] = []
    async with RemoteClient(server.target, hooks=[events.append]) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await raw(client, protocol)
    assert isinstance(caught.value.__cause__, UnavailableError)
    assert await server.started("Echo", "POST /echo") == 1
    assert [type(each) for each in events if isinstance(each, (AttemptFailed, CallEnded))] == [AttemptFailed, CallEnded]


async def test_an_idempotent_call_is_sent_again(server: Any, protocol: str) -> None:
    await fails_once(server)
    events: list[Any] = []
    async with RemoteClient(server.target, hooks=[events.append]) as client:
        assert await raw(client, protocol, idempotent=True) == (b"1" if protocol == "grpc" else 1)
    assert await server.started("Echo", "POST /echo") == 2
    ended = [each for each in events if isinstance(each, CallEnded)]
    assert [(each.method, each.attempts) for each in ended] == [(method_of(protocol), 2)]


async def test_get_is_sent_again_unless_it_must_not(http_wire: HttpWire) -> None:
    await fails_once(http_wire)
    async with RemoteClient(http_wire.target) as client:
        assert await client.request("GET", "/any") == 1
        await fails_once(http_wire)
        with pytest.raises(OutcomeUnknownError):
            await client.request("GET", "/any", idempotent=False)


async def test_an_answer_is_an_answer(wire: WireServer) -> None:
    """What the server says itself is known, also of what is sent once."""
    async with RemoteClient(wire.target) as client:
        with pytest.raises(FailedPreconditionError, match="no"):
            await client.call("/test.Test/Fail", b'{"code": "FAILED_PRECONDITION", "details": "no"}', idempotent=True)


async def test_a_timeout(server: Any, protocol: str) -> None:
    async with RemoteClient(server.target) as client:
        body = {"seconds": 20}
        if protocol == "grpc":
            slow = client.call("/test.Test/Sleep", json.dumps(body).encode(), timeout=0.2, idempotent=True)
        else:
            slow = client.request("POST", "/sleep", json=body, timeout=0.2, idempotent=True)
        with pytest.raises(DeadlineExceededError, match="DEADLINE_EXCEEDED"):
            await slow


async def test_metadata_and_the_model_are_sent(wire: WireServer) -> None:
    await wire.faults(only=["Bearer x"])
    async with RemoteClient(wire.target) as client:
        assert await client.call("/test.Test/Echo", b"1", metadata={"authorization": "Bearer x"}, model="foo") == b"1"
        for wrong in ("fo\no", "", 5):
            with pytest.raises(InputError, match="model: "):
                await client.call("/test.Test/Echo", b"1", model=wrong)  # type: ignore[arg-type]
    assert (await wire.stats())["metadata"][-1]["mm-model-id"] == "foo"


async def test_the_server_is_the_first_or_the_target(server: Any, protocol: str, start: Start) -> None:
    second = await asyncio.to_thread(start)
    names = ("Echo", "POST /echo")
    async with RemoteClient([server.target, second.target]) as client:
        await raw(client, protocol)
        assert (await server.started(*names), await second.started(*names)) == (1, 0)
        for target in (second.target, f"127.0.0.1:{second.port}"):
            await raw(client, protocol, target=target)
        assert (await server.started(*names), await second.started(*names)) == (1, 2)
        with pytest.raises(InputError, match="target: other:1 is none of the client's servers: 127"):
            await raw(client, protocol, target="other:1")
        with pytest.raises(InputError, match="target: expected one of the client's targets as text, not int"):
            await raw(client, protocol, target=5)


async def test_a_host_name_that_depends_on_the_model(wire: WireServer) -> None:
    config = {"connection": {"hostname": "{}", "port": wire.port, "retries": 0}}
    config = {"model_management": {"finders": {"remote": {"type": "REMOTE", "config": config}}}}
    async with RemoteClient.from_config(config) as client:
        with pytest.raises(UnsupportedError, match="depends on the model's name"):
            await client.call("/test.Test/Echo", b"1")
        with pytest.raises(UnavailableError, match="at nowhere:"):
            await client.call("/test.Test/Echo", b"1", model="nowhere", idempotent=True)
        assert await client.call("/test.Test/Echo", b"1", model="localhost") == b"1"


async def test_the_other_protocol(wire: WireServer, http_wire: HttpWire) -> None:
    async with RemoteClient(wire.target) as client:
        with pytest.raises(UnsupportedError, match="connect to the runtime's HTTP port, or use call"):
            await client.request("GET", "/health")
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(UnsupportedError, match="connect to the runtime's gRPC port, or use request"):
            await client.call(CHECK)


async def test_blocking(server: Any, protocol: str) -> None:
    def work() -> Any:
        with sync.RemoteClient(server.target) as client:
            if protocol == "grpc":
                return client.call("/test.Test/Echo", b"1", metadata=lambda: {"x-one": "1"}, timeout=5, idempotent=True)
            return client.request("POST", "/echo", json=1, headers=lambda: {"x-one": "1"}, timeout=5)

    assert await asyncio.to_thread(work) == (b"1" if protocol == "grpc" else 1)
    assert (await server.stats())["metadata"][-1]["x-one"] == "1"


async def test_many_paths_take_no_memory(http_wire: HttpWire) -> None:
    """The records of calls are kept by their paths, but not of these."""
    async with RemoteClient(http_wire.target) as client:
        for number in range(5):
            await client.request("GET", "/health", params={"n": number})
        assert not client._finder.known[0].caller._calls
