"""What the runtime answers to bad input, row by row, and where this client refuses first.

The rows that this client would never send are sent as raw bytes through its transport.
"""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from remote_client import RemoteClient, RemoteModelFinder, RemoteModelInitializer, errors
from remote_client._transport.base import Call
from remote_client._transport.manager import open_connections
from remote_client.settings import ConnectionInfo

from ..support.runtime import SAMPLE_MODELS, Runtime
from .test_zoo import PARAMETERS

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


async def test_unknown_model(raw: Raw, runtime: Runtime) -> None:
    with pytest.raises(errors.NotFoundError):
        await raw("SampleTaskPredict", WORLD, "nowhere")
    # The same through a proxy: a model of the configuration is not looked for first.
    config = {
        "connection": {"hostname": "localhost", "port": runtime.port},
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
    await finder.aclose()
    error = caught.value
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert "nowhere" in error.details
    assert (error.model, error.target) == ("nowhere", f"localhost:{runtime.port}")
    assert error.method == SERVICE[1:] + "SampleTaskPredict"
    assert error.details in str(error)


async def test_no_model_named(raw: Raw, client: RemoteClient) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        await raw("SampleTaskPredict", WORLD, None)
    with pytest.raises(errors.ModelNotFoundError):
        await client.model("")


async def test_required_input_missing(raw: Raw, client: RemoteClient) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        await raw("SampleTaskPredict", b"")
    with pytest.raises(errors.InputError, match="missing required argument: sample_input"):
        (await client.model("foo")).run_sample()


async def test_empty_required_list(client: RemoteClient) -> None:
    # The wire cannot tell an empty list from none, so it is the runtime that refuses.
    model = await client.model("parameters")
    with pytest.raises(errors.InvalidArgumentError, match="words"):
        await model.run_parameters(**{**PARAMETERS, "words": []})


async def test_empty_stream(client: RemoteClient) -> None:
    model = await client.model("foo")
    with pytest.raises(errors.InternalError, match="INTERNAL: the server gave no details"):
        await model.run_sample_stream_in([])


async def test_wrong_type(raw: Raw, client: RemoteClient) -> None:
    with pytest.raises(errors.InternalError):
        await raw("SampleTaskPredict", b"\xff\xff\xff")
    with pytest.raises(errors.InputError, match="sample_input: expected SampleInputType or a mapping, not int"):
        (await client.model("foo")).run_sample(5)


async def test_unknown_field(raw: Raw, client: RemoteClient) -> None:
    assert await raw("SampleTaskPredict", WORLD + b"\xfa\x01\x01x") == b"\n\x0bHello World"  # field 31
    with pytest.raises(errors.InputError, match="nobody: SampleTaskRequest has no such field"):
        (await client.model("foo")).run_sample({"name": "x"}, nobody=1)


async def test_task_of_another_module(client: RemoteClient) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        await (await client.model("slow")).run_streaming(text="x")


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
        ("UNKNOWN", errors.UnknownError),
        ("FATAL", errors.InternalError),
    ],
)
async def test_the_model_raises(client: RemoteClient, kind: str, expected: type[errors.RemoteCallError]) -> None:
    model = await client.model("failing")
    with pytest.raises(expected) as caught:
        await model.run_failing(kind=kind)
    assert type(caught.value) is expected
    assert "the model" in caught.value.details
    got: list[Any] = []
    with pytest.raises(expected):
        async for item in model.run_failing_stream_out(kind=kind, after=3):
            got.append(item.greeting)
    assert got == ["0", "1", "2"]  # what came before the error arrives


async def test_unknown_method(raw: Raw) -> None:
    with pytest.raises(errors.UnimplementedError):
        await raw("NoTaskPredict", WORLD)


async def test_request_over_the_runtimes_limit(client: RemoteClient) -> None:
    with pytest.raises(errors.ResourceExhaustedError, match="this is the runtime's limit") as caught:
        await (await client.model("file")).run_file(document={"data": bytes(5 * 1024 * 1024)})
    assert type(caught.value) is errors.ResourceExhaustedError


async def test_answer_over_grpcs_default_limit(client: RemoteClient) -> None:
    # gRPC itself refuses answers over 4 MiB; two halves of that go in, and come back as one message.
    zoo = await client.model("zoo")
    text = "x" * (3 * 1024 * 1024)
    assert (await zoo.run_zoo({"text": text})).text == text


async def test_overloaded() -> None:
    with Runtime(max_concurrent=1) as busy:
        async with RemoteClient(busy.target) as client:
            slow = (await client.model("slow")).with_options(timeout=10)
            async with slow.run_slow_stream_out(seconds=0.5, count=3) as stream:
                await anext(stream)
                with pytest.raises(errors.ResourceExhaustedError):
                    await slow.run_slow(seconds=0.0)
                assert [item.greeting async for item in stream] == ["slept 1", "slept 2"]
