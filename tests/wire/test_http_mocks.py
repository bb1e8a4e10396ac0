"""Mock transports, a router and httpx's own, given by a user: called like connections, and closed once."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from remote_client._client.client import RemoteClient
from remote_client._transport.engine import open_connections
from remote_client.errors import (
    ClosedError,
    ConfigurationError,
    DeadlineExceededError,
    NotFoundError,
    StreamTruncatedError,
    UnavailableError,
)
from tests.support import http_server
from tests.support.http_wire import HttpWire as Wire
from tests.support.http_wire import event, events, http_module, sleep
from tests.support.wire import settled

JSON = {"content-type": "application/json"}


class Scripted(httpx.AsyncByteStream):
    """The body of an answer: what a coroutine gives, and whether it was closed."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        self.closed = True


async def _pieces(*pieces: Any) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        elif isinstance(piece, Exception):
            raise piece
        else:
            await asyncio.sleep(piece)


class Mock(httpx.MockTransport):
    """Answers as a runtime would; `streams` are for the task's second method."""

    def __init__(self, *streams: Scripted) -> None:
        super().__init__(self.answer)
        self.streams = list(streams)
        self.requests: list[httpx.Request] = []
        self.closed = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        known = {"/openapi.json": http_server.openapi(), "/info/models": http_server.models("raw")}
        if request.url.path in known:
            return httpx.Response(200, json=known[request.url.path])
        if request.url.path.endswith("streaming-echo"):
            headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
            return httpx.Response(200, headers=headers, stream=self.streams.pop(0))
        body = json.loads(request.content)
        if body["inputs"] == "sleep":
            await asyncio.sleep(3600)
        return httpx.Response(200, json={"text": body["inputs"]})

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_mock_transport(http_wire: Wire) -> None:
    text = "x" * 300_000  # sent in slices
    mock = Mock(Scripted(_pieces(event('{"text": "1"}'), 0.01, event('{"text": "2"}'))))
    async with RemoteClient(http_wire.target, transport=mock, metadata={"x-api-key": "k"}) as client:
        model = await client.model("raw")
        assert (await model.run_echo("a")).text == "a"
        assert (await model.run_echo(text)).text == text
        assert [item.text async for item in model.run_echo_stream_out("a")] == ["1", "2"]
        assert not mock.closed
    assert mock.closed == 1
    assert (await http_wire.stats())["started"] == {}
    last = mock.requests[-1]
    assert (last.headers["x-api-key"], last.headers["content-type"]) == ("k", "application/json")
    assert [each.method for each in mock.requests] == ["GET", "GET", "POST", "POST", "POST"]
    with pytest.raises(ClosedError):
        await model.run_echo("a")


@pytest.mark.parametrize("age", [0, 0.005])
async def test_a_mock_transport_survives_rotation(http_wire: Wire, age: float) -> None:
    mock = Mock(Scripted(_pieces(*([event('{"text": "1"}'), 0.01] * 5))))
    async with RemoteClient(http_wire.target, transport=mock, max_session_age=age) as client:
        model = await client.model("raw")
        async for _ in model.run_echo_stream_out("a"):
            assert (await model.run_echo("a")).text == "a"
        for _ in range(20):
            await model.run_echo("a")
            await asyncio.sleep(0.001)
        assert model._caller.connections.opened > 3
        assert not mock.closed
    assert mock.closed == 1


async def test_a_mock_transports_streams_are_closed_and_its_calls_cancelled(http_wire: Wire, no_gc: None) -> None:
    streams = [Scripted(_pieces(event('{"text": "1"}'), 3600)) for _ in range(4)]
    mock = Mock(*streams)
    async with RemoteClient(http_wire.target, transport=mock) as client:
        model = await client.model("raw")
        async for _ in model.run_echo_stream_out("a"):
            break
        assert await settled(lambda: int(not streams[0].closed), 0, 1) == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), model.run_echo_stream_out("a") as stream:
                await anext(stream)
                await anext(stream)
        assert await settled(lambda: int(not streams[1].closed), 0, 1) == 0
        with pytest.raises(DeadlineExceededError):
            async for _ in model.with_options(timeout=0.05).run_echo_stream_out("a"):
                pass
        assert await settled(lambda: int(not streams[2].closed), 0, 1) == 0
        with pytest.raises(DeadlineExceededError):
            await model.with_options(timeout=0.05).run_echo("sleep")
        open_stream = model.run_echo_stream_out("a")
        await anext(open_stream)
        call = asyncio.create_task(model.run_echo("sleep"))
        await asyncio.sleep(0.01)
    with pytest.raises(ClosedError):
        await call
    with pytest.raises(ClosedError):
        await anext(open_stream)
    assert streams[3].closed


FAILURES = {
    "refused": (httpx.ConnectError("no"), UnavailableError, StreamTruncatedError),
    "reset": (httpx.ReadError("cut"), UnavailableError, StreamTruncatedError),
    "protocol": (httpx.RemoteProtocolError("no HTTP"), UnavailableError, StreamTruncatedError),
    "timeout": (httpx.ReadTimeout("late"), DeadlineExceededError, DeadlineExceededError),
    "system": (OSError(5, "broken"), UnavailableError, StreamTruncatedError),
}


@pytest.mark.parametrize(("error", "kind", "inside"), FAILURES.values(), ids=FAILURES)
async def test_what_a_transport_raises_has_a_type(http_wire: Wire, error: Any, kind: Any, inside: Any) -> None:
    async def fail(request: httpx.Request) -> httpx.Response:
        raise error

    module = http_module(http_wire.info(), open_connections(http_wire.info(), "http", httpx.MockTransport(fail)))
    for call in (module.echo(b"x"), anext(module.count(n=1))):
        with pytest.raises(kind) as caught:
            await call
        assert type(caught.value) is kind
        assert str(error) in str(caught.value)

    body = Scripted(_pieces(event("1"), error))
    headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    engine = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=body))
    module = http_module(http_wire.info(), open_connections(http_wire.info(), "http", engine))
    stream = module.count(n=1)
    assert await anext(stream) == b"1"
    with pytest.raises(inside):
        await anext(stream)
    assert await settled(lambda: int(not body.closed), 0, 1) == 0


async def test_a_respx_router(http_wire: Wire) -> None:
    with respx.mock(base_url=http_wire.target, assert_all_called=False) as router:
        router.get("/openapi.json").respond(json=http_server.openapi())
        router.get("/info/models").respond(json=http_server.models("raw"))
        route = router.post("/api/v1/task/echo").mock(
            side_effect=[httpx.Response(200, json={"text": "mocked"}), httpx.Response(404, json={"details": "gone"})]
        )
        transport = httpx.MockTransport(router.async_handler)
        async with RemoteClient(http_wire.target, transport=transport, max_session_age=0) as client:
            model = await client.model("raw")
            assert (await model.run_echo("a")).text == "mocked"
            with pytest.raises(NotFoundError, match="gone"):
                await model.run_echo("a")
        assert route.call_count == 2
        assert json.loads(route.calls[0].request.content) == {"model_id": "raw", "inputs": "a"}
    assert (await http_wire.stats())["connections"] == 0


async def test_httpxs_own_transport(http_wire: Wire) -> None:
    """Its answers are what the other engine's are, errors included."""
    async with RemoteClient(http_wire.target, transport=httpx.AsyncHTTPTransport()) as client:
        model = await client.model("raw")
        for size in (1, 300_000):
            assert (await model.run_echo("x" * size)).text == "x" * size
        assert len([item async for item in model.run_echo_stream_out("a", count=3)]) == 3
        cut = {"steps": [*events('{"text": "1"}', end=False), sleep(0.05)]}
        await http_wire.faults({"POST /api/v1/task/server-streaming-echo": cut})
        stream = model.run_echo_stream_out("a")
        assert (await anext(stream)).text == "1"
        with pytest.raises(StreamTruncatedError):
            await anext(stream)
    gc.collect()


def test_a_transport_is_for_http() -> None:
    with pytest.raises(ConfigurationError, match="transport"):
        RemoteClient("localhost:1", transport=httpx.MockTransport(lambda _: httpx.Response(200)))
