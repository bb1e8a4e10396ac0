"""Answers without framing, as proxies give them that speak HTTP/1.0 or have chunked encoding off: the end of the
connection is the end of the body, and looks like a cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client._transport.http.sse import says_it_is_last
from remote_client.errors import InternalError, InvalidResponseError, StreamTruncatedError, UnavailableError
from remote_client.sync import RemoteClient as BlockingClient
from remote_client.sync._modules import wrapped
from tests.support.http_wire import CLOSE, RESET, HttpWire, Step, event, http_module, send

OLD = b"HTTP/1.0 200 OK\r\n"
OFF = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
"""As nginx answers with `chunked_transfer_encoding off`."""
EVENTS = b"content-type: text/event-stream\r\n\r\n"
JSON = b"content-type: application/json\r\n\r\n"


def stream(head: bytes, *data: str, end: bytes = b"", last: Step = CLOSE) -> list[Step]:
    return [send(head + EVENTS + b"".join(map(event, data)) + end), last]


async def read(calls: Any) -> tuple[list[Any], Exception | None]:
    """The items of a stream, and what it ended with."""
    items = []
    try:
        async for each in calls:
            items.append(each)
    except Exception as error:
        return items, error
    return items, None


@pytest.mark.parametrize("head", [OLD, OFF], ids=["1.0", "1.1"])
async def test_a_stream_gives_its_items_and_says_that_its_end_cannot_be_known(http: Any, head: bytes) -> None:
    items, error = await read(http.script_stream(steps=stream(head, "1", "2")))
    assert items == [b"1", b"2"]
    assert type(error) is StreamTruncatedError
    assert "has no framing: whether it is whole cannot be known" in str(error)
    assert "chunked_transfer_encoding" in str(error)


async def test_a_blocking_stream_does_so_too(http_wire: HttpWire) -> None:
    def call() -> tuple[list[bytes], str]:
        items = []
        with wrapped(http_module(http_wire.info())) as module:
            with pytest.raises(StreamTruncatedError) as caught:
                for each in module.script_stream(steps=stream(OFF, "1", "2")):
                    items.append(each)
        return items, str(caught.value)

    items, told = await asyncio.to_thread(call)
    assert items == [b"1", b"2"]
    assert "no framing" in told


async def test_a_stream_that_is_surely_cut_says_so(http: Any) -> None:
    for steps in (stream(OFF, "1", end=b"data: 2"), stream(OFF, "1", last=RESET)):
        items, error = await read(http.script_stream(steps=steps))
        assert items in ([b"1"], [])  # a reset takes along what was on its way
        assert type(error) is StreamTruncatedError
        assert "no framing" not in str(error)


async def test_an_error_is_the_last_event(http: Any) -> None:
    """The runtime sends nothing after it."""
    told = json.dumps({"details": "it broke", "code": 500, "id": "x"}).encode()
    items, error = await read(http.script_stream(steps=stream(OFF, "1", end=b"event: error\ndata: " + told + b"\n\n")))
    assert items == [b"1"]
    assert type(error) is InternalError
    assert "it broke" in str(error)


LAST = {
    "text": {"generated_text": "a", "details": {"finish_reason": "EOS_TOKEN", "generated_tokens": 3}},
    "classified text": {"generated_text": "a", "finish_reason": "MAX_TOKENS"},
    "a number": {"details": {"finish_reason": 2}},
}
NOT_LAST = {
    "not finished": {"details": {"finish_reason": "NOT_FINISHED"}},
    "its number": {"finish_reason": 0},
    "null": {"details": {"finish_reason": None}, "finish_reason": None},
    "no details": {"generated_text": "finish_reason", "details": None},
    "a list": [{"finish_reason": "EOS_TOKEN"}],
    "another place": {"tokens": {"finish_reason": "EOS_TOKEN"}},
    "text": "finish_reason",
}


@pytest.mark.parametrize("name", LAST)
async def test_a_last_event_that_says_so_is_the_end(http: Any, name: str) -> None:
    """As caikit's text generation ends: with why it stopped."""
    last = json.dumps(LAST[name])
    assert await read(http.script_stream(steps=stream(OLD, "1", last))) == ([b"1", last.encode()], None)
    items, error = await read(http.script_stream(steps=stream(OLD, last, "1")))
    assert len(items) == 2
    assert isinstance(error, StreamTruncatedError)


@pytest.mark.parametrize("name", NOT_LAST)
def test_other_events_do_not_say_that_they_are_the_last(name: str) -> None:
    assert not says_it_is_last(json.dumps(NOT_LAST[name]).encode())


def test_what_is_no_json_says_nothing() -> None:
    for data in (b"", b'{"finish_reason": "EOS', b"[" * 10_000, b"\xff", b'"finish_reason"'):
        assert not says_it_is_last(data)


# -- one answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [OLD, OFF], ids=["1.0", "1.1"])
async def test_one_answer_ends_with_the_connection(http_wire: HttpWire, head: bytes) -> None:
    for body in (b'{"text": "a"}', b'{"text": NaN}', b""):
        async with http_module(http_wire.info()) as module:
            assert await module.script(steps=[send(head + JSON + body), CLOSE]) == body


@pytest.mark.parametrize("body", [b'{"text": "a', b'{"text": "a"', b"{"])
async def test_json_that_is_cut_was_lost(http_wire: HttpWire, body: bytes) -> None:
    """And is no answer of another type: where the call may be made again, it is."""
    cut, whole = {"steps": [send(OLD + JSON + body), CLOSE]}, {"steps": [send(OLD + JSON + b'{"text": "b"}'), CLOSE]}
    async with RemoteClient(http_wire.target, retries=0) as client:
        model = await client.model("raw")
        await http_wire.faults({"POST /api/v1/task/echo": [cut, cut, whole]})
        with pytest.raises(UnavailableError, match="cut") as caught:
            await model.run_echo("a")
        assert not caught.value.outcome_known
        assert (await model.with_options(retries=1).run_echo("a")).text == "b"


async def test_json_that_is_wrong_is_not_cut(http_wire: HttpWire) -> None:
    async with RemoteClient(http_wire.target, retries=0) as client:
        model = await client.model("raw")
        for body in (b'{"text": 1}', b'{"text" "a"}', b'{"text": "a"} b', b""):
            await http_wire.faults({"POST /api/v1/task/echo": {"steps": [send(OLD + JSON + body), CLOSE]}})
            with pytest.raises(InvalidResponseError):
                await model.run_echo("a")


@asynccontextmanager
async def old_proxy(port: int) -> AsyncIterator[int]:
    """Passes each request on, and its answer as one of HTTP/1.0 without a length."""

    def ask(head: bytes, body: bytes) -> bytes:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            verb, path, _ = head.split(b" ", 2)
            connection.request(verb.decode(), path.decode(), body or None, {"content-type": "application/json"})
            answer = connection.getresponse()
            kind = answer.headers.get("content-type", "application/json")
            return f"HTTP/1.0 {answer.status} \r\ncontent-type: {kind}\r\n\r\n".encode() + answer.read()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        writer.write(await asyncio.to_thread(ask, head, await reader.readexactly(int(length[1]) if length else 0)))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def call_blocking(target: str) -> str:
    with BlockingClient(target) as client:
        text: str = client.model("raw").run_echo("a").text
    return text


async def test_a_client_works_over_http_1_0(http_wire: HttpWire) -> None:
    """Discovery and calls; of a stream all items come."""
    async with old_proxy(http_wire.port) as port:
        async with RemoteClient(f"http://127.0.0.1:{port}") as client:
            assert [each.name for each in await client.models()] == ["raw"]
            model = await client.model("raw")
            assert (await model.run_echo("a")).text == "a"
            items, error = await read(model.run_echo_stream_out("ab"))
            assert [each.text for each in items] == [each.text async for each in direct(http_wire, "ab")]
            assert isinstance(error, StreamTruncatedError)
        assert await asyncio.to_thread(call_blocking, f"http://127.0.0.1:{port}") == "a"


async def direct(server: HttpWire, text: str) -> AsyncIterator[Any]:
    async with RemoteClient(server.target) as client:
        async for each in (await client.model("raw")).run_echo_stream_out(text):
            yield each
