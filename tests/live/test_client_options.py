"""`RemoteClient.with_options`, and settings of a client, on a real runtime."""

from __future__ import annotations

import asyncio
import gc
import gzip
import pickle
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from remote_client import RemoteClient
from remote_client.errors import (
    ClosedError,
    ConfigurationError,
    DeadlineExceededError,
    ModelNotFoundError,
    ResponseTooLargeError,
    UnsupportedError,
)

from ..support.clock import Stopwatch
from ..support.gate import Gate
from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, named, target_of, undeploy


def team() -> dict[str, str]:
    """Metadata that can be pickled."""
    return {"x-team": "blue"}


CONFIG = f"module_id: {SAMPLE_MODELS['foo']}\n".encode()
NAME = "the same over and over " * 500


# -- compression ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
async def test_a_runtime_takes_packed_requests(runtime: Runtime, engine: Any) -> None:
    async with (
        Gate(runtime.port) as gate,
        RemoteClient(f"127.0.0.1:{gate.port}", compression="gzip", engine=engine) as client,
    ):
        model = await client.model("foo")
        before = len(gate.sent)
        assert (await model.run_sample({"name": NAME})).greeting == f"Hello {NAME}"
        streamed = [item.greeting async for item in model.run_sample_stream_out({"name": NAME}, count=2)]
        assert streamed == [f"Hello {NAME} 0", f"Hello {NAME} 1"]
        answer = await model.run_sample_stream_in(sample_inputs=[{"name": NAME}, {"name": "b"}], greeting="Hi ")
        assert answer.greeting == f"Hi {NAME},b"
        both = [item.greeting async for item in model.run_sample_bidi_stream([{"name": NAME}, {"name": "b"}])]
        assert both == [f"Hello {NAME}", "Hello b"]
        assert len(gate.sent) - before < len(NAME)  # four requests with the name


async def test_a_runtime_takes_no_packed_requests_over_http(runtime: Runtime) -> None:
    """The reason why `compression` is refused over HTTP."""
    body = b'{"model_id": "foo", "inputs": {"name": "World"}}'
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(base_url=runtime.http_target, trust_env=False) as http:
        plain = await http.post("/api/v1/task/sample", content=body, headers=headers)
        headers["content-encoding"] = "gzip"
        packed = await http.post("/api/v1/task/sample", content=gzip.compress(body), headers=headers)
    assert (plain.status_code, packed.status_code) == (200, 500)


# -- with_options -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def behind(gate: Gate, protocol: Protocol) -> AsyncIterator[RemoteClient]:
    """A client behind the gate."""
    scheme = "http" if protocol == "http" else "grpc"
    async with RemoteClient(f"{scheme}://127.0.0.1:{gate.port}", retries=0) as client:
        yield client


async def greet(client: Any, name: str = "World") -> str:
    model = await client.model("foo")
    greeting: str = (await model.run_sample({"name": name})).greeting
    return greeting


async def test_a_copy_shares_the_connection_and_what_is_known(gate: Gate, behind: RemoteClient) -> None:
    assert await greet(behind) == "Hello World"
    sent, opened = len(gate.sent), repr(behind)
    quick = behind.with_options(timeout=30)
    assert await greet(quick) == "Hello World"
    assert repr(quick) == repr(behind) == opened  # with the number of connections
    assert len(gate.sent) - sent < 2000  # no description was asked for, and no list of models
    assert (await quick.model("foo"))._caller.options.timeout == 30
    assert (await behind.model("foo"))._caller.options.timeout == 60


async def test_a_client_knows_what_its_copies_asked(gate: Gate, behind: RemoteClient) -> None:
    """Copies may be made in passing, for one call each."""
    await behind.with_options(timeout=30).model("foo")
    gate.hold()
    assert (await behind.with_options(retries=1).model("foo")) is not None
    assert (await behind.model("foo")) is not None


async def test_questions_of_a_copy_end_in_its_time(gate: Gate, behind: RemoteClient) -> None:
    await behind.models()
    gate.hold()
    watch = Stopwatch()
    quick = behind.with_options(timeout=0.2)
    for question in (quick.models, quick.runtime_info):
        with pytest.raises(DeadlineExceededError):
            await question()
    assert not await quick.healthy()
    assert watch.wall < 5  # a question has a minute by default
    gate.release()
    assert [info.name for info in await behind.models(["foo"])] == ["foo"]


async def test_calls_of_a_copys_models_end_in_its_time(gate: Gate, behind: RemoteClient) -> None:
    await behind.model("foo")  # which takes longer
    model = await behind.with_options(timeout=0.2, total_timeout=0.3).model("foo")
    gate.hold()
    watch = Stopwatch()
    with pytest.raises(DeadlineExceededError):
        await model.run_sample({"name": "World"})
    with pytest.raises(DeadlineExceededError):
        async for _ in model.with_options(timeout=None).run_sample_stream_out({"name": "World"}, count=2):
            pass
    assert watch.wall < 5
    gate.release()


async def test_metadata_of_a_copy_go_with_all_its_calls(gate: Gate, behind: RemoteClient) -> None:
    await greet(behind)
    assert b"x-team" not in gate.sent
    copy = behind.with_options(metadata={"x-team": "blue"}).with_options(metadata={"x-more": "yes"})
    await copy.models()
    assert gate.sent.count(b"x-team") == gate.sent.count(b"x-more") >= 1
    seen = gate.sent.count(b"x-team")
    await greet(copy)
    assert gate.sent.count(b"x-team") == gate.sent.count(b"x-more") > seen
    del gate.sent[:]
    await greet(behind)
    await behind.models()
    assert b"x-team" not in gate.sent


async def test_a_copy_with_other_metadata_asks_for_itself(gate: Gate, behind: RemoteClient) -> None:
    """A server may show another user other models."""
    await greet(behind)
    (server,), (own,) = (each._finder.servers for each in (behind, behind.with_options(metadata={"x-user": "b"})))
    assert server.models
    assert not own.models
    assert own.description is None


async def test_the_form_of_answers(client: RemoteClient, protocol: Protocol) -> None:
    plain = client.with_options(output="dict")
    model = await plain.model("foo")
    assert (await model.run_sample({"name": "World"}))["greeting"] == "Hello World"
    job = await model.start_sample_job(**{named(protocol, "sample_input"): {"name": "World"}})
    await job.wait()
    found = plain.prediction_job("SampleTask", job.id)
    assert (await found.result())["greeting"] == "Hello World"
    assert (await client.prediction_job("SampleTask", job.id).result()).greeting == "Hello World"


async def test_forms_that_a_model_does_not_have(client: RemoteClient, protocol: Protocol) -> None:
    if protocol == "http":
        with pytest.raises(UnsupportedError, match="HTTP has no protobuf messages"):
            client.with_options(output="proto")
    with pytest.raises(UnsupportedError, match="was not made of one of caikit's own classes"):
        await client.with_options(output="caikit").model("foo")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 0}, "timeout: "),
        ({"timeout": "soon"}, "timeout: "),
        ({"total_timeout": -1}, "total_timeout: "),
        ({"retries": -1}, "retries: "),
        ({"metadata": 7}, "metadata: "),
        ({"output": "xml"}, "output: "),
    ],
)
async def test_wrong_options_are_refused(client: RemoteClient, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        client.with_options(**options)


# -- closing ----------------------------------------------------------------------------------------------------------


async def test_closing_a_copy_leaves_the_connections_open(behind: RemoteClient) -> None:
    async with behind.with_options(timeout=30) as copy:
        model = await copy.model("foo")
    await copy.aclose()
    assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
    assert await greet(copy) == await greet(behind) == "Hello World"


async def test_closing_a_client_closes_its_copies(behind: RemoteClient) -> None:
    copy, other = behind.with_options(timeout=30), behind.with_options(metadata={"x-user": "b"})
    model = await copy.model("foo")
    await other.models()
    await behind.aclose()
    for question in (copy.models, other.models, copy.runtime_info):
        with pytest.raises(ClosedError):
            await question()
    with pytest.raises(ClosedError):
        await model.run_sample({"name": "World"})
    await copy.aclose()


async def test_the_last_copy_of_a_dropped_client_closes_the_connections(gate: Gate, protocol: Protocol) -> None:
    target = f"{'http' if protocol == 'http' else 'grpc'}://127.0.0.1:{gate.port}"
    one = RemoteClient(target).with_options(timeout=30)
    gc.collect()
    other = one.with_options(retries=1)
    assert await greet(one) == "Hello World"
    await one.aclose()
    assert await greet(other) == "Hello World"
    await other.aclose()
    with pytest.raises(ClosedError):
        await greet(other)


async def test_a_copy_travels_with_its_options(client: RemoteClient) -> None:
    copy = client.with_options(timeout=30, retries=4, output="dict").with_options(total_timeout=50)
    async with pickle.loads(pickle.dumps(copy)) as other:
        model = await other.model("foo")
        options = model._caller.options
        assert (options.timeout, options.total_timeout, options.retry.retries) == (30, 50, 4)
        assert (await model.run_sample({"name": "World"}))["greeting"] == "Hello World"


async def test_a_job_of_a_copy_travels_with_its_options(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("foo")
    started = await model.start_sample_job(**{named(protocol, "sample_input"): {"name": "World"}})
    await started.wait()
    copy = client.with_options(timeout=30, output="dict", metadata=team)
    job = pickle.loads(pickle.dumps(copy.prediction_job("SampleTask", started.id)))
    assert (await job.result())["greeting"] == "Hello World"
    (server,) = job._servers.finders.servers
    assert (server.caller.options.timeout, server.caller.options.metadata) == (30, (team,))
    await job._servers.finders.aclose()


async def test_a_job_by_its_id_is_of_no_caikit_class(client: RemoteClient) -> None:
    with pytest.raises(UnsupportedError, match="models of a caikit class"):
        client.with_options(output="caikit").prediction_job("SampleTask", "id")


async def test_a_model_that_a_copy_deployed_is_found(client: RemoteClient) -> None:
    """Although the client just asked for it in vain, and would not ask again so soon."""
    name = f"of-a-copy-{uuid.uuid4().hex}"
    with pytest.raises(ModelNotFoundError):
        await client.model(name)
    copy = client.with_options(metadata=team)
    await copy.deploy_model(name, {"config.yml": CONFIG})
    try:
        model = await client.model(name)
        assert (await model.run_sample({"name": "World"})).greeting.endswith("World")
    finally:
        await undeploy(copy, name)


async def test_the_blocking_client(runtime: Runtime, protocol: Protocol) -> None:
    def work() -> None:
        from remote_client import sync

        with sync.RemoteClient(target_of(runtime, protocol)) as client:
            with client.with_options(timeout=30, output="dict", metadata=lambda: {"x-team": "blue"}) as copy:
                model = copy.model("foo")
            assert model.run_sample({"name": "World"})["greeting"] == "Hello World"
            assert model._twin._caller.options.timeout == 30
            assert client.model("foo").run_sample({"name": "World"}).greeting == "Hello World"
        with pytest.raises(ClosedError):
            copy.models()

    await asyncio.to_thread(work)


# -- limit of answers -------------------------------------------------------------------------------------------------


async def test_the_limit_of_answers(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol), max_response_size=300_000) as client:
        model = await client.model("foo")
        assert await greet(client) == "Hello World"
        with pytest.raises(ResponseTooLargeError, match="raise max_response_size"):
            await model.run_sample({"name": "x" * 300_000})
