"""What the runtime answers to bad input, row by row, and where this client refuses first.

The rows that this client would never send are sent as raw bytes through its gRPC transport, or by httpx.
"""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from remote_client import RemoteClient, RemoteModelFinder, RemoteModelInitializer, errors
from remote_client._transport.call import Call
from remote_client._transport.engine import open_connections
from remote_client.settings import ConnectionInfo

from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, connection_of, named, target_of
from .test_zoo import parameters

SERVICE = "/caikit.runtime.SampleLib.SampleLibService/"


class Raw:
    """Calls the runtime with bytes of any kind."""

    def __init__(self, runtime: Runtime) -> None:
        self.connections = open_connections(ConnectionInfo(hostname="localhost", port=runtime.port), "grpc")

    async def __call__(self, method: str, body: bytes, model: str | None = "foo") -> bytes:
        lease = self.connections.lease()
        metadata = (("mm-model-id", model),) if model is not None else ()
        try:
            return await lease.transport.unary(Call(SERVICE + method, metadata, 10), body)
        finally:
            lease.release()


@pytest_asyncio.fixture
async def raw(runtime: Runtime) -> AsyncIterator[Raw]:
    raw = Raw(runtime)
    yield raw
    await raw.connections.aclose()


WORLD = b"\n\x07\n\x05World"  # SampleTaskRequest{sample_input: {name: "World"}}


async def test_raw_bytes_are_right(raw: Raw) -> None:
    assert await raw("SampleTaskPredict", WORLD) == b"\n\x0bHello World"


async def test_unknown_model(raw: Raw) -> None:
    with pytest.raises(errors.NotFoundError):
        await raw("SampleTaskPredict", WORLD, "nowhere")


async def test_unknown_model_of_a_proxy(runtime: Runtime, protocol: Protocol) -> None:
    # A model of the configuration is not looked for first.
    config = {
        "protocol": protocol,
        "connection": connection_of(runtime, protocol),
        "supported_models": {"nowhere": SAMPLE_MODELS["foo"]},
        "discover_models": False,
    }
    finder = RemoteModelFinder(config)
    found = await finder.find_model("nowhere")
    assert found is not None
    module = RemoteModelInitializer().init(found)
    assert module is not None
    async with module:
        with pytest.raises(errors.NotFoundError) as caught:
            await module.run_sample({"name": "x"})
        with pytest.raises(errors.NotFoundError) as in_stream:
            await anext(module.run_sample_stream_out({"name": "x"}))
    await finder.aclose()
    assert type(in_stream.value) is errors.NotFoundError
    error = caught.value
    assert type(error) is errors.NotFoundError
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert "nowhere" in error.details
    assert (error.model, error.target) == ("nowhere", target_of(runtime, protocol).removeprefix("http://"))
    assert error.details in str(error)
    if protocol == "grpc":
        assert error.method == SERVICE[1:] + "SampleTaskPredict"
        assert (error.http_status, error.error_id) == (None, None)
    else:
        assert error.method == "POST /api/v1/task/sample"
        assert error.http_status == in_stream.value.http_status == 404
        assert error.error_id != in_stream.value.error_id
        assert len(error.error_id or "") == 32


async def test_no_model_named(raw: Raw) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        await raw("SampleTaskPredict", WORLD, None)


async def test_an_empty_name_is_no_model(client: RemoteClient) -> None:
    with pytest.raises(errors.ModelNotFoundError):
        await client.model("")


async def test_required_input_missing(raw: Raw, client: RemoteClient, protocol: Protocol) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        await raw("SampleTaskPredict", b"")
    with pytest.raises(errors.InputError, match=f"missing required argument: {named(protocol, 'sample_input')}"):
        (await client.model("foo")).run_sample()
    with pytest.raises(errors.InputError, match="missing required argument: place"):
        (await client.model("pair")).run_pair("x")


async def test_empty_required_list(client: RemoteClient) -> None:
    # The wire cannot tell an empty list from none, or the runtime does not: it is the runtime that refuses.
    model = await client.model("numbers")
    with pytest.raises(errors.InvalidArgumentError, match="missing 1 required positional argument: 'numbers'"):
        await model.run_numbers([])


async def test_empty_list_that_only_the_module_requires(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("parameters")
    call = model.run_parameters(**{**parameters(protocol), "words": []})
    if protocol == "http":
        assert json.loads((await call).received)["words"] == []
        return
    with pytest.raises(errors.InvalidArgumentError, match="words"):
        await call


async def test_empty_stream(grpc_client: RemoteClient) -> None:
    model = await grpc_client.model("foo")
    with pytest.raises(errors.InternalError, match="INTERNAL: the server gave no details"):
        await model.run_sample_stream_in([])


async def test_wrong_type(raw: Raw, client: RemoteClient, protocol: Protocol) -> None:
    with pytest.raises(errors.InternalError):
        await raw("SampleTaskPredict", b"\xff\xff\xff")
    name = named(protocol, "sample_input")
    with pytest.raises(errors.InputError, match=f"{name}: expected SampleInputType or a mapping, not int"):
        (await client.model("foo")).run_sample(5)


async def test_unknown_field(raw: Raw, client: RemoteClient, protocol: Protocol) -> None:
    assert await raw("SampleTaskPredict", WORLD + b"\xfa\x01\x01x") == b"\n\x0bHello World"  # field 31
    told = {"grpc": "nobody: SampleTaskRequest has no such field", "http": "no parameter 'nobody'"}[protocol]
    with pytest.raises(errors.InputError, match=told):
        (await client.model("foo")).run_sample({"name": "x"}, nobody=1)


async def test_task_of_another_module(client: RemoteClient, protocol: Protocol) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        await (await client.model("slow")).run_streaming("x")
    with pytest.raises(errors.InvalidArgumentError):
        await anext((await client.model("text")).run_sample_stream_out({"name": "x"}))
    # The names of both tasks' inputs are the same, so it is answered, by the wrong task.
    assert (await (await client.model("prefix")).run_text("x")).greeting == "streaming x"
    # A stream that the module does not have: over HTTP the runtime trips over that.
    expected = {"grpc": errors.InvalidArgumentError, "http": errors.InternalError}[protocol]
    with pytest.raises(expected):
        await anext((await client.model("prefix")).run_text_stream_out("x"))


Failure = tuple[type[errors.RemoteCallError], int]
BAD_REQUEST: Failure = (errors.InvalidArgumentError, 400)
BROKEN: Failure = (errors.InternalError, 500)
# HTTP has one status for many a code, and in a stream the runtime knows some of them less: the class, and the status.
OVER_HTTP: dict[str, tuple[Failure, Failure]] = {
    "ValueError": (BAD_REQUEST, BAD_REQUEST),
    "TypeError": (BAD_REQUEST, BAD_REQUEST),
    "RuntimeError": (BROKEN, BROKEN),
    "NOT_FOUND": ((errors.NotFoundError, 404),) * 2,
    "INVALID_ARGUMENT": (BAD_REQUEST, BAD_REQUEST),
    "UNAUTHORIZED": ((errors.UnauthenticatedError, 401),) * 2,
    "FORBIDDEN": ((errors.PermissionDeniedError, 403),) * 2,
    "CONNECTION_ERROR": ((errors.UnimplementedError, 501), BROKEN),
    "RESOURCE_EXHAUSTED": ((errors.ResourceExhaustedError, 429), BROKEN),
    "UNKNOWN": (BROKEN, BROKEN),
    "FATAL": (BROKEN, BROKEN),
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ValueError", errors.InvalidArgumentError),
        ("TypeError", errors.InvalidArgumentError),
        ("RuntimeError", errors.InternalError),
        ("NOT_FOUND", errors.NotFoundError),
        ("INVALID_ARGUMENT", errors.InvalidArgumentError),
        ("UNAUTHORIZED", errors.UnauthenticatedError),
        ("FORBIDDEN", errors.PermissionDeniedError),
        ("CONNECTION_ERROR", errors.UnavailableError),
        ("RESOURCE_EXHAUSTED", errors.ResourceExhaustedError),
        ("UNKNOWN", errors.UnknownError),
        ("FATAL", errors.InternalError),
    ],
)
async def test_the_model_raises(
    client: RemoteClient, protocol: Protocol, kind: str, expected: type[errors.RemoteCallError]
) -> None:
    one, many = OVER_HTTP[kind] if protocol == "http" else [(expected, None)] * 2
    model = await client.model("failing")
    with pytest.raises(one[0]) as caught:
        await model.run_failing(kind)
    assert (type(caught.value), caught.value.http_status) == one
    assert "the model" in caught.value.details
    got: list[Any] = []
    with pytest.raises(many[0]) as caught:
        async for item in model.run_failing_stream_out(kind, after=3):
            got.append(item.greeting)
    assert (type(caught.value), caught.value.http_status) == many
    assert got == ["0", "1", "2"]  # what came before the error arrives


async def test_unknown_method(raw: Raw) -> None:
    with pytest.raises(errors.UnimplementedError):
        await raw("NoTaskPredict", WORLD)


async def test_request_over_the_runtimes_limit(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("file")
    document = {"data": bytes(5 * 1024 * 1024)}
    if protocol == "http":  # which has no limit
        assert (await model.run_file(document)).size == len(document["data"])
        return
    with pytest.raises(errors.ResourceExhaustedError, match="this is the runtime's limit") as caught:
        await model.run_file(document)
    assert type(caught.value) is errors.ResourceExhaustedError


async def test_answer_over_grpcs_default_limit(client: RemoteClient) -> None:
    # gRPC itself refuses answers over 4 MiB; two halves of that go in, and come back as one message.
    zoo = await client.model("zoo")
    text = "x" * (3 * 1024 * 1024)
    assert (await zoo.run_zoo({"text": text})).text == text


async def test_answer_over_our_own_limit(runtime: Runtime, protocol: Protocol) -> None:
    small = ConnectionInfo(**connection_of(runtime, protocol), options={"grpc.max_receive_message_length": 300_000})
    async with RemoteClient(small, protocol=protocol) as client:
        model, text = await client.model("bundle"), await client.model("text")
        await model.run_bundle("x", size=299_000)
        with pytest.raises(errors.ResponseTooLargeError):
            await model.run_bundle("x", size=301_000)
        got: list[str] = []
        with pytest.raises(errors.ResponseTooLargeError):
            async for item in text.run_text_stream_out("x", pieces=["a", "b" * 301_000, "c"]):
                got.append(item.greeting)
        assert got == ["a"]


async def test_overloaded() -> None:
    with Runtime(max_concurrent=1, http_config={"limit_concurrency": 2}) as busy:
        async with RemoteClient(busy.target) as client:
            slow = (await client.model("slow")).with_options(timeout=10, retries=0)
            async with slow.run_slow_stream_out(seconds=0.5, count=3) as stream:
                await anext(stream)
                with pytest.raises(errors.ResourceExhaustedError):
                    await slow.run_slow(seconds=0.0)
                assert [item.greeting async for item in stream] == ["slept 1", "slept 2"]
        async with RemoteClient(busy.http_target) as client:
            slow = (await client.model("slow")).with_options(timeout=10, retries=0)
            async with slow.run_slow_stream_out(0.2, count=2) as stream:
                await anext(stream)
                with pytest.raises(errors.UnavailableError, match="Service Unavailable") as caught:
                    await slow.run_slow(0.1)
                assert caught.value.http_status == 503  # uvicorn's own answer, not caikit's 429
                assert [item.greeting async for item in stream] == ["slept 1"]


# -- what HTTP answers to what this client never sends ----------------------------------------------------------------

HELLO: dict[str, Any] = {"model_id": "foo", "inputs": {"name": "World"}}
# The rows of the protocol's table, each answered alike by a task's route and by that of its stream: what is sent, the
# status, and some of the server's words.
ROWS: list[tuple[str, dict[str, Any], int, str]] = [
    ("unknown model", {**HELLO, "model_id": "nowhere"}, 404, "Model nowhere not found"),
    ("no model named", {"inputs": HELLO["inputs"]}, 400, "Please provide model_id"),
    ("empty model name", {**HELLO, "model_id": ""}, 400, "Missing required model ID"),
    ("required input missing", {"model_id": "foo"}, 400, "missing 1 required positional argument: 'sample_input'"),
    ("wrong type", {**HELLO, "inputs": 5}, 422, "Input should be an object"),
    ("wrong type inside", {**HELLO, "inputs": {"name": 5}}, 422, "Input should be a valid string"),
    ("null for a value", {**HELLO, "inputs": None}, 422, "Input should be an object"),
    ("unknown field", {**HELLO, "nobody": 1}, 422, "Extra inputs are not permitted"),
    ("unknown parameter", {**HELLO, "parameters": {"nobody": 1}}, 422, "Extra inputs are not permitted"),
    ("unknown input field", {**HELLO, "inputs": {"nobody": 1}}, 422, "Extra inputs are not permitted"),
    ("task of another module", {**HELLO, "model_id": "text"}, 400, "got an unexpected keyword argument 'sample_input'"),
]


@pytest_asyncio.fixture
async def http(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=runtime.http_target, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("route", ["sample", "server-streaming-sample"])
@pytest.mark.parametrize(("row", "body", "status", "told"), ROWS, ids=[row[0] for row in ROWS])
async def test_rows_over_http(
    http: httpx.AsyncClient, route: str, row: str, body: dict[str, Any], status: int, told: str
) -> None:
    response = await http.post(f"/api/v1/task/{route}", json=body)
    answer = response.text
    if "streaming" in route and status != 422:  # which is found before the stream begins
        assert response.status_code == 200
        event, _, answer = answer.strip().partition("\r\ndata: ")
        assert event == "event: error"
    else:
        assert response.status_code == status
    problem = json.loads(answer)
    assert problem["code"] == status
    assert told in problem["details"]
    assert ("additional_info" in problem) == (status == 422)


JSON = {"content-type": "application/json"}
OTHER_ROWS: list[tuple[str, str, bytes, dict[str, str], int, str]] = [
    ("empty required list", "numbers", b'{"model_id": "numbers", "inputs": []}', JSON, 400, "'numbers'"),
    ("empty required text", "text", b'{"model_id": "text", "inputs": ""}', JSON, 400, "'text'"),
    ("zero", "slow", b'{"model_id": "slow", "inputs": 0.0}', JSON, 400, "'seconds'"),
    ("no parameters", "streaming", b'{"model_id": "prefix", "inputs": "x", "parameters": {}}', JSON, 422, "Extra"),
    ("task of another module", "streaming", b'{"model_id": "slow", "inputs": "x"}', JSON, 400, "'text'"),
    ("unknown method", "nothing", b"{}", JSON, 404, '{"detail":"Not Found"}'),
    ("a charset", "sample", b"{}", {"content-type": "application/json; charset=utf-8"}, 415, "Unsupported media type"),
    ("no JSON", "sample", b'{"model_id"', JSON, 422, "Invalid JSON"),
    ("no UTF-8", "text", b'{"model_id": "text", "inputs": "\xff"}', JSON, 500, "Internal Server Error"),
    ("half a surrogate", "text", b'{"model_id": "text", "inputs": "\\ud800"}', JSON, 422, "Invalid JSON"),
    ("NaN", "numbers", b'{"model_id": "numbers", "inputs": [NaN, -Infinity]}', JSON, 200, "[NaN, -Infinity]"),
]


@pytest.mark.parametrize(
    ("row", "route", "body", "headers", "status", "told"), OTHER_ROWS, ids=[row[0] for row in OTHER_ROWS]
)
async def test_other_rows_over_http(
    http: httpx.AsyncClient, row: str, route: str, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    response = await http.post(f"/api/v1/task/{route}", content=body, headers=headers)
    assert response.status_code == status
    assert told in response.text


async def test_deployed_and_undeployed_twice_over_http(http: httpx.AsyncClient) -> None:
    config = base64.b64encode(f"module_id: {SAMPLE_MODELS['foo']}\n".encode()).decode()
    model = {"model_id": "deployed", "model_files": [{"filename": "config.yml", "data": config}]}
    assert [(await http.post("/management/models", json=model)).status_code for _ in range(2)] == [200, 409]
    gone = [await http.delete("/management/models", params={"model_id": "deployed"}) for _ in range(2)]
    assert [each.status_code for each in gone] == [200, 404]


async def test_job_result_before_it_is_completed_over_http(http: httpx.AsyncClient) -> None:
    job = (await http.post("/api/v1/task/slow/job", json={"model_id": "slow", "inputs": 1.0})).json()
    result = await http.get("/api/v1/task/slow/job/results", params=job)
    assert (result.status_code, "is still in progress" in result.text) == (404, True)
    assert (await http.request("DELETE", "/api/v1/task/slow/job", params=job)).json()["state"] == "CANCELED"


async def test_what_a_validation_of_the_servers_tells(http_client: RemoteClient) -> None:
    # Where the document allows more than the runtime does, it is the runtime that refuses.
    zoo = await http_client.model("zoo")
    with pytest.raises(errors.InvalidArgumentError, match=r"inputs\.settings\.a\.int: Input should be") as caught:
        await zoo.run_zoo({"settings": {"a": [1]}})
    assert caught.value.http_status == 422
    assert caught.value.additional_info[0]["loc"] == ["inputs", "settings", "a", "int"]
