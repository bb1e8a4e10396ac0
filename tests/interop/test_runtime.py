"""A real caikit runtime, by itself and behind the proxies that people put in front of it, over both protocols."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from remote_client._client.client import RemoteClient
from remote_client._transport.status_codes import error_class
from remote_client.errors import DeadlineExceededError, RemoteCallError
from tests.support.runtime import Runtime

from .proxies import PROXIES, Proxy

BEHIND = ("nothing", "envoy", "nginx", "haproxy")
STATUSES = {
    "ValueError": "INVALID_ARGUMENT",
    "RuntimeError": "INTERNAL",
    "RESOURCE_EXHAUSTED": "RESOURCE_EXHAUSTED",
    "NOT_FOUND": "NOT_FOUND",
}


class Server:
    """A server of the runtime's, as a proxy wants to know it."""

    def __init__(self, port: int) -> None:
        self.port = port


def _serves(runtime: Runtime, proxy: Proxy) -> bool:
    """Whether the proxy leads to this very runtime, over both protocols."""
    with grpc.insecure_channel(f"127.0.0.1:{proxy.ports['grpc']}") as channel:
        ask: Any = channel.unary_unary
        models: bytes = ask("/caikit.runtime.info.InfoService/GetModelsInfo")(b"", timeout=5)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.ports["http"], timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/info/models")
        listed = connection.getresponse().read()
    return all(runtime.marker.encode() in each for each in (models, listed))


@pytest.fixture(scope="module", params=BEHIND)
def targets(request: pytest.FixtureRequest, runtime: Runtime) -> Iterator[dict[str, str]]:
    """Protocol -> target, through each proxy in turn."""
    if request.param == "nothing":
        yield {"grpc": runtime.target, "http": runtime.http_target}
        return
    servers: Any = Server(runtime.port), Server(runtime.http_port)
    with PROXIES[request.param](*servers, answers=lambda proxy: _serves(runtime, proxy)) as proxy:
        yield {"grpc": f"127.0.0.1:{proxy.ports['grpc']}", "http": f"http://127.0.0.1:{proxy.ports['http']}"}


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def client(targets: dict[str, str], protocol: str) -> AsyncIterator[RemoteClient]:
    async with RemoteClient(targets[protocol], retries=0, timeout=20) as made:
        yield made


async def call_in_every_kind(client: RemoteClient, protocol: str) -> None:
    """Make each kind of call of the runtime's sample module, and check its answer."""
    assert await client.healthy()
    model = await client.model("foo")
    assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
    stream = model.run_sample_stream_out({"name": "World"}, count=3)
    assert [item.greeting async for item in stream] == ["Hello World 0", "Hello World 1", "Hello World 2"]
    if protocol == "grpc":
        names = [{"name": "Ada"}, {"name": "Alan"}]
        answer = await model.run_sample_stream_in(sample_inputs=names, greeting="Hi ")
        assert answer.greeting == "Hi Ada,Alan"
        answers = [item.greeting async for item in model.run_sample_bidi_stream(sample_inputs=names)]
        assert answers == ["Hello Ada", "Hello Alan"]


async def test_every_kind_of_call(client: RemoteClient, protocol: str) -> None:
    await call_in_every_kind(client, protocol)


async def test_every_status_of_a_model(client: RemoteClient) -> None:
    model = await client.model("failing")
    for kind, status in STATUSES.items():
        with pytest.raises(error_class(status)):
            await model.run_failing(kind)


async def test_a_status_after_items(client: RemoteClient) -> None:
    model = await client.model("failing")
    seen = []
    with pytest.raises(RemoteCallError) as caught:
        async for item in model.run_failing_stream_out("ValueError", after=2):
            seen.append(item)
    assert len(seen) == 2
    assert caught.value.code.name == "INVALID_ARGUMENT"


async def test_a_big_message_each_way(client: RemoteClient) -> None:
    """The runtime's own limit for requests is 4 MiB over gRPC."""
    model = await client.model("foo")
    name = "x" * 3_500_000
    assert (await model.run_sample({"name": name})).greeting == f"Hello {name}"


async def test_a_file_each_way(client: RemoteClient, protocol: str) -> None:
    model = await client.model("file")
    data = bytes(range(256)) * 4000
    report = await model.run_file({"data": data, "filename": "a.bin", "type": "x/y"})
    assert "a.bin" in str(report)
    answer = await (await client.model("bundle")).run_bundle("a.zip", size=300_000)
    assert len(answer.data) == (300_000 if protocol == "http" else len(answer.data))


async def test_many_calls_at_once(client: RemoteClient) -> None:
    model = await client.model("foo")
    answers = await asyncio.gather(*(model.run_sample({"name": f"{number}"}) for number in range(200)))
    assert [each.greeting for each in answers] == [f"Hello {number}" for number in range(200)]


async def test_a_deadline(client: RemoteClient) -> None:
    model = await client.model("slow")
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await model.with_options(timeout=0.5).run_slow(2.0)
    assert time.monotonic() - begun < 1.5


async def test_a_stream_that_is_left(client: RemoteClient) -> None:
    slow = await client.model("slow")
    async with slow.run_slow_stream_out(0.05, count=20) as stream:
        await anext(stream)
    assert (await (await client.model("foo")).run_sample({"name": "on"})).greeting == "Hello on"


async def test_rotation_loses_no_call(targets: dict[str, str], protocol: str, runtime: Runtime) -> None:
    # HAProxy closes a connection without an answer where the runtime closes an idle one that it was about to use.
    retries = int(protocol == "http" and targets[protocol] != runtime.http_target)
    async with RemoteClient(targets[protocol], retries=retries, timeout=20, max_session_age=0.1) as client:
        model = await client.model("foo")
        end = time.monotonic() + 1

        async def load() -> None:
            while time.monotonic() < end:
                assert (await model.run_sample({"name": "x"})).greeting == "Hello x"
                assert len([item async for item in model.run_sample_stream_out({"name": "x"}, count=3)]) == 3

        await asyncio.gather(*(load() for _ in range(4)))
