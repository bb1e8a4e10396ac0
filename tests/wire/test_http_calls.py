"""HTTP calls: bytes come through as they are, and what is sent is what the runtime takes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from remote_client._client.client import RemoteClient
from remote_client._settings.connection import USER_AGENT
from remote_client.errors import InputError, RemoteCallError
from remote_client.settings import CallOptions
from tests.support.http_wire import (
    LAST_CHUNK,
    Step,
    answer,
    chunk,
    chunked,
    drip,
    event,
    event_head,
    events,
    head,
    http_module,
    send,
)
from tests.support.http_wire import HttpWire as Wire

SLICE = 256 * 1024
EVERY_BYTE = bytes(range(256)) * 5
NASTY = ["{}", "", "\u2028 \u0085 \x0b \x0c \x1c \x00", "🦓 é", ": no comment", "data: x", " two leading"]
"""Data of events; a reader that splits text anywhere but at CR and LF breaks some."""


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, SLICE - 1, SLICE, SLICE + 1, 3_000_000, 5_000_001])
async def test_a_body_comes_back_as_it_went(http_wire: Wire, http: Any, size: int) -> None:
    body = random.Random(size).randbytes(size)
    assert await http.echo(body) == body
    headers = await _headers(http_wire)
    assert headers.get("content-length", ["0"]) == [str(size)]
    assert "transfer-encoding" not in headers


CHUNKS = chunk(EVERY_BYTE[:7]) + chunk(EVERY_BYTE[7:8]) + chunk(EVERY_BYTE[8:]) + LAST_CHUNK


@pytest.mark.parametrize(
    "steps",
    [
        answer(EVERY_BYTE),
        [send(head(headers={"transfer-encoding": "chunked"}) + CHUNKS)],
        [send(head(headers={"transfer-encoding": "chunked"})), drip(CHUNKS[:40], 0.002), send(CHUNKS[40:])],
        [send(head() + EVERY_BYTE)],
        [send(head(100)), *answer(EVERY_BYTE)],
        [send(head(headers={"content-length": len(EVERY_BYTE), "content-encoding": "identity"}) + EVERY_BYTE)],
    ],
    ids=["length", "chunked", "dripped", "until the end", "100 first", "identity"],
)
async def test_every_framing_of_an_answer(http: Any, steps: list[Step]) -> None:
    assert await http.script(steps=steps) == EVERY_BYTE


async def test_an_answer_without_content(http: Any) -> None:
    assert await http.script(steps=[send(head(204))]) == b""


# -- events -----------------------------------------------------------------------------------------------------------


def _one_chunk() -> list[Step]:
    return chunked(b"".join(map(event, NASTY)))


def _bytewise() -> list[Step]:
    return chunked(*(bytes([byte]) for each in NASTY for byte in event(each)))


def _line_ends(end: str) -> list[Step]:
    return chunked(*(f": ping{end}{end}id: 1{end}data: {each}{end}{end}" for each in NASTY))


@pytest.mark.parametrize(
    "steps",
    [events(*NASTY), _one_chunk(), _bytewise(), _line_ends("\n"), _line_ends("\r"), _line_ends("\r\n")],
    ids=["as the runtime", "one chunk", "a byte a chunk", "LF", "CR", "CRLF"],
)
async def test_events_come_as_they_were_sent(http: Any, steps: list[Step]) -> None:
    received = [item async for item in http.script_stream(steps=steps)]
    assert received == [each.encode() for each in NASTY]


async def test_events_with_a_length(http: Any) -> None:
    body = event("1") + event("2")
    framing = {"transfer-encoding": None, "content-length": len(body)}
    stream = http.script_stream(steps=[send(event_head(framing) + body)])
    assert [item async for item in stream] == [b"1", b"2"]


async def test_events_of_other_kinds_are_no_answers(http: Any) -> None:
    steps = chunked("event: ping\r\ndata: {}\r\n\r\n", ": comment\r\n\r\n", "retry: 5\r\n\r\n", event("1"))
    assert [item async for item in http.script_stream(steps=steps)] == [b"1"]


async def test_a_stream_starts_at_async_with(http_wire: Wire, http: Any) -> None:
    stream = http.count(n=2)
    assert (await http_wire.stats())["started"] == {}
    async with stream:
        seen = await http_wire.until(lambda stats: stats["started"] == {"POST /count": 1})
        assert seen["started"] == {"POST /count": 1}
        assert len([item async for item in stream]) == 2


async def test_a_stream_is_read_once(http_wire: Wire, http: Any) -> None:
    stream = http.count(n=3)
    assert len([item async for item in stream]) == 3
    assert [item async for item in stream] == []
    async for _ in (other := http.count(n=3)):
        break
    assert len([item async for item in other]) == 2
    assert [item async for item in other] == []
    await stream.aclose()
    stats = await http_wire.stats()
    assert (stats["started"], stats["cancelled"]) == ({"POST /count": 2}, {})


@pytest.mark.own_http("httpx is told to keep no connections, see tests/support/over_httpx.py")
async def test_a_whole_stream_leaves_its_connection_to_the_next(http_wire: Wire, http: Any) -> None:
    for _ in range(5):
        assert len([item async for item in http.count(n=2)]) == 2
        async with http.count(n=2) as stream:
            assert len([item async for item in stream]) == 2
        await http.echo(b"x")
    assert (await http_wire.stats())["connections"] == 1


async def test_many_at_once(http_wire: Wire, http: Any) -> None:
    async def both(number: int) -> None:
        body = b"%d" % number * 100
        assert await http.echo(body) == body
        assert len([item async for item in http.count(n=number % 5)]) == number % 5

    await asyncio.gather(*(both(number) for number in range(200)))
    assert (await http_wire.stats())["started"] == {"POST /echo": 200, "POST /count": 200}


# -- requests ---------------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Any], Any]] = {
    "unary": lambda module: module.echo(b"{}"),
    "large": lambda module: module.echo(bytes(SLICE + 1)),
    "stream": lambda module: anext(module.count(n=1)),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


async def _headers(wire: Wire) -> dict[str, list[str]]:
    """What the last request had, by lower-case name."""
    found: dict[str, list[str]] = {}
    for name, value in (await wire.stats())["last"]["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


@every_call
async def test_the_headers_of_a_request(http_wire: Wire, http: Any, call: Any) -> None:
    await call(http)
    headers = await _headers(http_wire)
    assert all(len(values) == 1 for values in headers.values()), headers
    assert headers.pop("host") == [f"{http_wire.host}:{http_wire.port}"]
    assert int(headers.pop("content-length")[0]) > 0
    assert UUID(headers.pop("x-request-id")[0]).version == 4
    accept = "text/event-stream" if call is CALLS["stream"] else "application/json"
    assert headers == {
        "accept": [accept],
        "accept-encoding": ["identity"],
        "content-type": ["application/json"],
        "mm-model-id": ["raw"],
        "user-agent": [USER_AGENT],
    }


async def test_a_request_whose_arguments_are_its_query_has_no_body(http_wire: Wire, http: Any) -> None:
    with contextlib.suppress(RemoteCallError):
        await http._caller.send("GET /info/models", b"model_ids=a&model_ids=b")
    headers = await _headers(http_wire)
    assert "accept" in headers
    assert "content-type" not in headers
    assert headers.get("content-length", ["0"]) == ["0"]


@every_call
async def test_metadata_are_headers(http_wire: Wire, call: Any) -> None:
    secret = {"X-Api-Key": "s3cret !~", "authorization": "Bearer x", "trace-bin": b"\x00\xff\r\n"}
    options = CallOptions(metadata=(secret, lambda: {"x-api-key": "newer"}))
    async with http_module(http_wire.info(), options=options) as module:
        await call(module)
        headers = await _headers(http_wire)
        assert headers["x-api-key"] == ["newer"]
        assert headers["authorization"] == ["Bearer x"]
        assert base64.b64decode(headers["trace-bin"][0]) == secret["trace-bin"]
        await call(module.with_options(metadata={"x-api-key": "newest", "accept": "x/y", "user-agent": "mine"}))
        headers = await _headers(http_wire)
        assert headers["x-api-key"] == ["newest"]
        assert headers["user-agent"] == ["mine"]
        assert headers["accept"] == ["x/y"]


FRAMING = ["Host", "content-length", "Transfer-Encoding", "connection", "te", "trailer", "upgrade", "expect"]
FRAMING += ["content-type", "accept-encoding", "content-encoding", "keep-alive", "mm-model-id"]
REFUSED = [
    *({name: "x"} for name in FRAMING),
    *({name: "x"} for name in ("", " ", "a b", "a:", "a\r\nb", "é", "a\x00", ":path", "grpc-timeout")),
    *({"x-key": value} for value in ("a\r\nb: c", "a\nb", "a\rb", "a\x00", "é", "a\x7f", b"bytes", 1)),
    {"x-bin": "text"},
]


@pytest.mark.parametrize("metadata", REFUSED, ids=repr)
async def test_metadata_that_cannot_be_headers(http_wire: Wire, http: Any, metadata: Any) -> None:
    for call in CALLS.values():
        with pytest.raises(InputError) as caught:
            await call(http.with_options(metadata=metadata))
        assert "b: c" not in str(caught.value), "values may be secret"
    assert (await http_wire.stats())["started"] == {}


async def test_cookies_are_never_sent_back(http_wire: Wire, http: Any) -> None:
    cookie = {"set-cookie": "session=1; Path=/", "content-type": "application/json"}
    await http_wire.faults({"POST /echo": {"body": "{}", "headers": cookie}})
    for _ in range(3):
        assert await http.echo(b"{}") == b"{}"
        await anext(http.script_stream(steps=events("1", headers={"set-cookie": "other=2"})), None)
        assert "cookie" not in await _headers(http_wire)


# -- a runtime --------------------------------------------------------------------------------------------------------


async def test_a_client_of_a_runtime(http_wire: Wire) -> None:
    async with RemoteClient(http_wire.target, metadata={"x-api-key": "k"}) as client:
        assert await client.healthy()
        assert [each.name for each in await client.models()] == ["raw"]
        assert (await client.runtime_info()).runtime_version == "1.2.3"
        assert list((await client.describe()).tasks) == ["EchoTask"]
        model = await client.model("raw")
        text = "".join(NASTY)
        assert (await model.run_echo(text)).text == text
        async with model.run_echo_stream_out(text, count=2) as stream:
            assert [item.text async for item in stream] == [text] * 2
        request = (await http_wire.stats())["last"]
        assert request["path"] == "/api/v1/task/server-streaming-echo"
        wanted = {"model_id": "raw", "inputs": text, "parameters": {"count": 2}}
        assert json.loads(request["body"].encode("latin-1")) == wanted
        headers = await _headers(http_wire)
        assert (headers["mm-model-id"], headers["x-api-key"]) == (["raw"], ["k"])
