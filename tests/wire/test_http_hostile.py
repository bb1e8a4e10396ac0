"""HTTP answers that are wrong, broken or malicious: a typed error each, soon, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client.errors import (
    ClosedError,
    DeadlineExceededError,
    InvalidResponseError,
    RemoteCallError,
    StreamTruncatedError,
    UnavailableError,
)
from tests.support.clock import Stopwatch
from tests.support.http_server import plain
from tests.support.http_wire import (
    CLOSE,
    KEEP,
    LAST_CHUNK,
    RESET,
    Step,
    answer,
    chunk,
    event,
    event_head,
    events,
    head,
    http_module,
    packed,
    repeat,
    send,
    sleep,
)
from tests.support.http_wire import HttpWire as Wire
from tests.support.proc import forget_peak, peak

from .kinds import HANG

MIB = 1 << 20
UNARY, STREAM = "POST /api/v1/task/echo", "POST /api/v1/task/server-streaming-echo"
CHUNKED = {"transfer-encoding": "chunked"}


async def answers(wire: Wire, *steps: Step, events: list[Step] | None = None) -> Any:
    """What `model.run_echo` and its stream see: these answers."""
    await wire.faults({UNARY: {"steps": [*steps]}, STREAM: {"steps": events or [*steps]}})


# -- what is inside ---------------------------------------------------------------------------------------------------

DEEP = 200_000
NOT_EVEN_JSON: dict[str, bytes] = {
    "empty": b"",
    "space": b" \r\n",
    "cut": b'{"text": "a',
    "two": b'{"text": "a"}{"text": "b"}',
    "deep": b"[" * DEEP + b"]" * DEEP,
    "deep and cut": b'{"a":' * DEEP,
    "deep text": b'{"text": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "bad UTF-8": b'{"text": "\xff"}',
    "UTF-16": '{"text": "a"}'.encode("utf-16"),
    "half of a pair": rb'{"text": "\ud800"}',
    "HTML": b"<!DOCTYPE html><html><body>Welcome to nginx!</body></html>",
    "Python": b"{'text': None}",
    "control characters": b'{"text": "\x00\x1b[31m"}',
}
NO_ECHO_OUTPUT: dict[str, bytes] = {
    "NaN": b'{"text": NaN}',
    "Infinity": b'{"text": -Infinity}',
    "number": b'{"text": 1}',
    "huge number": b'{"text": 1' + b"0" * 4000 + b"}",
    "list": b'{"text": ["a"]}',
    "true": b'{"text": true}',
    "no object": b"[]",
    "null": b"null",
    "text": b'"text"',
    "object": b'{"text": {}}',
}
CONTENT = NOT_EVEN_JSON | NO_ECHO_OUTPUT


@pytest.mark.parametrize("name", CONTENT)
async def test_an_answer_of_another_type(http_wire: Wire, name: str) -> None:
    async with RemoteClient(http_wire.target) as client:
        model = await client.model("raw")
        plain = model.with_options(output="dict")
        data = [send(event_head() + chunk(b"data: " + CONTENT[name].replace(b"\r\n", b"") + b"\n\n"))]
        await answers(http_wire, *answer(CONTENT[name]), events=[*data, HANG])
        kinds = [model, plain] if name in NOT_EVEN_JSON else [model]
        for each in kinds:
            for call, method in (
                (each.run_echo, UNARY),
                (lambda text, each=each: anext(each.run_echo_stream_out(text)), STREAM),
            ):
                with pytest.raises(InvalidResponseError) as caught:
                    await call("a")
                assert (caught.value.method, caught.value.model) == (method, "raw")
                assert str(caught.value).isprintable()
                assert len(str(caught.value)) < 5000
        if name not in NOT_EVEN_JSON:
            await plain.run_echo("a")  # asks for no type
        stats = await http_wire.until(lambda seen: seen["cancelled"].get(STREAM) == len(kinds))
        assert stats["cancelled"] == {STREAM: len(kinds)}


@pytest.mark.parametrize(
    "kind", ["application/json", "text/html", "", "text/event-streams", "application/text/event-stream"]
)
async def test_a_stream_that_is_no_stream_of_events(http_wire: Wire, http: Any, kind: str) -> None:
    for steps in (
        answer('{"text": "a"}', headers={"content-type": kind or None}),
        [send(event_head({"content-type": kind or None})), HANG],
    ):
        with pytest.raises(InvalidResponseError, match="not a stream of events"):
            await anext(http.script_stream(steps=steps))
    await http_wire.until(lambda seen: not seen["running"])


@pytest.mark.parametrize("kind", ["text/event-stream", "TEXT/Event-Stream ; charset=UTF-8"])
async def test_the_type_of_a_stream_may_be_spelled_as_it_likes(http: Any, kind: str) -> None:
    assert [each async for each in http.script_stream(steps=events("1", headers={"content-type": kind}))] == [b"1"]


async def test_a_stream_instead_of_one_answer(http_wire: Wire) -> None:
    async with RemoteClient(http_wire.target) as client:
        model = await client.model("raw")
        await answers(http_wire, *events('{"text": "a"}'))
        with pytest.raises(InvalidResponseError):
            await model.run_echo("a")


# -- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 304, 308])
async def test_a_redirect_is_not_followed(http_wire: Wire, start_http: Callable[..., Wire], status: int) -> None:
    other = start_http()
    for route in (UNARY, STREAM, "GET /openapi.json", "GET /info/models", "GET /info/version", "GET /health"):
        headers = {"location": other.target + route.partition(" ")[2]}
        body = "" if status == 304 else "moved"
        await http_wire.faults({route: {"status": status, "headers": headers, "body": body}})
        async with RemoteClient(http_wire.target, metadata={"x-api-key": "secret"}) as client:
            with pytest.raises(RemoteCallError, match="redirect") as caught:
                if route in (UNARY, STREAM):
                    model = await client.model("raw")
                    await (model.run_echo("a") if route == UNARY else anext(model.run_echo_stream_out("a")))
                elif route == "GET /health":
                    await client.healthy()
                else:
                    await (client.runtime_info() if "version" in route else client.models())
            assert caught.value.http_status == status
            assert "secret" not in str(caught.value)
        await http_wire.faults({route: None})
    assert (await other.stats())["connections"] == 0


async def test_other_headers_lead_nowhere_either(http: Any, start_http: Callable[..., Wire]) -> None:
    other = start_http()
    service = f'http/1.1="{other.host}:{other.port}"; ma=60'
    told = {"refresh": f"0; url={other.target}/echo", "content-location": other.target, "alt-svc": service}
    for _ in range(3):
        assert await http.script(steps=answer("x", headers=told)) == b"x"
    assert (await other.stats())["connections"] == 0


# -- compression ------------------------------------------------------------------------------------------------------

PACKED = gzip.compress(b'{"text": "a"}')


@pytest.mark.parametrize(
    "coding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "nonsense"]
)
async def test_what_nobody_asked_to_compress_is_refused(http_wire: Wire, coding: str) -> None:
    async with RemoteClient(http_wire.target) as client:
        model = await client.model("raw")
        body = zlib.compress(b'{"text": "a"}') if coding == "deflate" else PACKED
        typed = {"content-encoding": coding, "content-type": "text/event-stream"}
        await answers(
            http_wire, *answer(body, headers={"content-encoding": coding}), events=answer(body, headers=typed)
        )
        for call in (model.run_echo("a"), anext(model.run_echo_stream_out("a"))):
            with pytest.raises(InvalidResponseError, match="compressed"):
                await call


async def test_compressed_without_a_word(http_wire: Wire) -> None:
    async with RemoteClient(http_wire.target) as client:
        model = await client.model("raw")
        for headers in ({}, {"content-encoding": None}, {"content-encoding": ""}):
            await answers(http_wire, *answer(PACKED, headers=headers))
            with pytest.raises(InvalidResponseError):
                await model.run_echo("a")


# -- truncation -------------------------------------------------------------------------------------------------------

PART = '{"text": "'
CUT_UNARY: dict[str, list[Step]] = {
    "length, end": [*answer(PART, headers={"content-length": 100}), CLOSE],
    "length, reset": [*answer(PART, headers={"content-length": 100}), sleep(0.02), RESET],
    "chunks, end": [send(head(headers=CHUNKED) + chunk(PART.encode())), CLOSE],
    "chunks, reset": [send(head(headers=CHUNKED) + chunk(PART.encode())), sleep(0.02), RESET],
    "inside a chunk": [send(head(headers=CHUNKED) + b"64\r\n" + PART.encode()), CLOSE],
    "after the head": [send(head(headers={"content-length": 100})), CLOSE],
    "inside the head": [send(b"HTTP/1.1 200 OK\r\ncontent-le"), CLOSE],
    "inside the first line": [send(b"HTTP/1.1 2"), CLOSE],
    "no word": [CLOSE],
    "no word, reset": [RESET],
}


@pytest.mark.parametrize("steps", CUT_UNARY.values(), ids=CUT_UNARY)
async def test_an_answer_that_is_cut(http_wire: Wire, http: Any, steps: list[Step]) -> None:
    with pytest.raises(UnavailableError) as caught:
        await http.script(steps=steps)
    assert type(caught.value) is UnavailableError
    assert await http.echo(b"still well") == b"still well"


TWO = event("1") + event("2")
CUT_STREAM: dict[str, list[Step]] = {
    "between, end": [send(event_head() + chunk(TWO)), sleep(0.05), CLOSE],
    "between, reset": [send(event_head() + chunk(TWO)), sleep(0.05), RESET],
    "inside a line": [send(event_head() + chunk(TWO + b"data: thr")), sleep(0.05), CLOSE],
    "inside an event": [send(event_head() + chunk(TWO + b"data: 3\r\n")), sleep(0.05), RESET],
    "inside a line, clean": [send(event_head() + chunk(TWO + b"data: thr") + LAST_CHUNK)],
    "inside an event, clean": [send(event_head() + chunk(TWO + b"data: 3\r\n") + LAST_CHUNK)],
    "inside a name, clean": [send(event_head() + chunk(TWO + b"event: message") + LAST_CHUNK)],
    "inside a chunk": [send(event_head() + chunk(TWO) + b"20\r\ndata: 3\r\n"), sleep(0.05), CLOSE],
    "inside the framing": [send(event_head() + chunk(TWO) + b"2"), sleep(0.05), CLOSE],
    "inside the last chunk": [send(event_head() + chunk(TWO) + b"0\r\n"), sleep(0.05), CLOSE],
    "no framing": [send(event_head({"transfer-encoding": None}) + TWO), sleep(0.05), CLOSE],
    "too short": [send(event_head({"transfer-encoding": None, "content-length": 200}) + TWO), sleep(0.05), CLOSE],
}


@pytest.mark.parametrize("steps", CUT_STREAM.values(), ids=CUT_STREAM)
async def test_a_stream_that_is_cut(http: Any, steps: list[Step]) -> None:
    stream = http.script_stream(steps=steps)
    assert [await anext(stream), await anext(stream)] == [b"1", b"2"]
    with pytest.raises(StreamTruncatedError) as caught:
        await anext(stream)
    assert isinstance(caught.value, UnavailableError)
    assert caught.value.model == "raw"
    with pytest.raises(ClosedError, match="StreamTruncatedError"):
        await anext(stream)
    assert await http.echo(b"still well") == b"still well"


@pytest.mark.parametrize("end", [CLOSE, RESET, HANG], ids=["end", "reset", "whole"])
async def test_events_that_came_before_the_cut_are_not_lost(http: Any, end: Step) -> None:
    """However late the reader comes to read them."""
    last = [send(LAST_CHUNK)] if end is HANG else []
    stream = http.script_stream(
        steps=[
            *events("1", end=False),
            sleep(0.05),
            send(chunk(event("2")) + chunk(event("3"))),
            *last,
            sleep(0.05),
            end,
        ]
    )
    assert await anext(stream) == b"1"
    await asyncio.sleep(0.2)
    assert [await anext(stream), await anext(stream)] == [b"2", b"3"]
    if end is HANG:
        assert await anext(stream, None) is None
    else:
        with pytest.raises(StreamTruncatedError):
            await anext(stream)


async def test_an_error_that_came_before_the_cut_is_not_lost(http: Any) -> None:
    told = chunk(event('{"details": "told", "code": 404}', "error"))
    stream = http.script_stream(steps=[*events("1", end=False), sleep(0.05), send(told), RESET])
    assert await anext(stream) == b"1"
    await asyncio.sleep(0.15)
    with pytest.raises(RemoteCallError, match="told"):
        await anext(stream)


# -- no HTTP ----------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
GARBAGE: dict[str, bytes] = {
    "zeros": bytes(1000) + b"\r\n\r\n",
    "noise": bytes(range(256)) * 10,
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "smtp": b"220 mail ESMTP\r\n",
    "html": b"<html>\r\n<body>\r\n\r\n",
    "http 2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00",
    "a version": b"HTTP/9.9 200 OK\r\ncontent-length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
    "a status of letters": b"HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n",
    "a long status": b"HTTP/1.1 20000000000 OK\r\ncontent-length: 0\r\n\r\n",
    "a negative length": OK + b"content-length: -1\r\n\r\n",
    "a length of letters": OK + b"content-length: ten\r\n\r\n",
    "a huge length": OK + b"content-length: " + b"9" * 100 + b"\r\n\r\n",
    "two lengths": OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a length and chunks": OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "no colon": OK + b"nonsense\r\ncontent-length: 1\r\n\r\na",
    "a zero in a header": OK + b"x: a\x00b\r\ncontent-length: 1\r\n\r\na",
    "a bad size of a chunk": OK + b"transfer-encoding: chunked\r\n\r\nzz\r\na\r\n0\r\n\r\n",
    "a negative size of a chunk": OK + b"transfer-encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
    "a huge size of a chunk": OK + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\na",
    "no end of a chunk": OK + b"transfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
}


def _lenient(name: str) -> Any:
    lenient = name in ("a version", "a length and chunks")
    return pytest.param(name, marks=pytest.mark.own_http("httpx is lenient here") if lenient else ())


@pytest.mark.parametrize("kind", ["script", "script_stream"])
@pytest.mark.parametrize("name", [_lenient(name) for name in GARBAGE])
async def test_garbage_instead_of_http(http: Any, name: str, kind: str) -> None:
    watch = Stopwatch()
    call = getattr(http, kind)(steps=[send(GARBAGE[name]), sleep(0.02), CLOSE])
    with pytest.raises((InvalidResponseError, UnavailableError)) as caught:
        await (call if kind == "script" else anext(call))
    assert not isinstance(caught.value, DeadlineExceededError)
    assert str(caught.value).isprintable()
    assert watch.seconds < 1
    assert await http.echo(b"still well") == b"still well"


# -- bombs ------------------------------------------------------------------------------------------------------------

NAMED = OK + b"content-length: 0\r\n"
BOMBS: dict[str, list[Step]] = {
    "a long header": [send(NAMED + b"x: "), repeat("y" * 1000, 20_000), HANG],
    "a long name of a header": [send(NAMED), repeat("y" * 1000, 20_000), HANG],
    "many headers": [send(NAMED), repeat("x-header: y\r\n", 1_000_000), HANG],
    "a long reason": [send(b"HTTP/1.1 200 "), repeat("y" * 1000, 20_000), HANG],
    "empty lines": [repeat("\r\n", 5_000_000), HANG],
    "100 Continue": [repeat(head(100), 300_000), HANG],
    "100 Continue with headers": [repeat(head(100, {"x": "y" * 1000}), 20_000), HANG],
    "a long size of a chunk": [send(head(headers=CHUNKED)), repeat("0" * 1000, 20_000), HANG],
    "a long extension of a chunk": [send(head(headers=CHUNKED) + b"1;"), repeat("x" * 1000, 20_000), HANG],
    "many trailers": [send(head(headers=CHUNKED) + b"0\r\n"), repeat("x-header: y\r\n", 1_000_000), HANG],
    "many empty chunks": [send(event_head()), repeat(chunk(b"\n"), 1_000_000), HANG],
    "an error": [send(head(500, {"content-type": "text/html"})), repeat("y" * 1000, 50_000), HANG],
    "an error in chunks": [send(head(500, CHUNKED)), repeat(chunk(b"y" * 1000), 50_000), HANG],
    "an announced error": [send(head(500, {"content-length": 50_000_000})), repeat("y" * 1000, 50_000), HANG],
    "a packed error": [
        send(head(500, {"content-encoding": "gzip", "content-length": 10**9})),
        packed(500 * MIB, headers=False),
        HANG,
    ],
    "a redirect": [send(head(302, {"location": "/"})), repeat("y" * 1000, 50_000), HANG],
}


STREAMED = [name for name in BOMBS if "header" not in name and "100" not in name]
EACH = [*((name, "script") for name in BOMBS), *((name, "script_stream") for name in STREAMED)]


@pytest.mark.parametrize(("name", "kind"), EACH)
async def test_a_bomb_takes_little_memory_and_time(http_wire: Wire, name: str, kind: str) -> None:
    options = {"grpc.max_receive_message_length": 4 * MIB}
    async with http_module(http_wire.info(timeout=0.2, options=options)) as module:
        await module.echo(b"x")
        forget_peak()
        before, watch = peak(), Stopwatch()
        call = getattr(module, kind)(steps=BOMBS[name])
        with pytest.raises(RemoteCallError) as caught:
            await (call if kind == "script" else anext(call))
        assert watch.seconds < 1
        assert peak() - before < 8 * MIB
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 5000
        stats = await http_wire.until(lambda seen: not seen["running"])
        assert stats["running"] == {}, "the connection must not be kept"
        assert await module.echo(b"still well") == b"still well"


@pytest.mark.own_http("httpx tells of no status")
async def test_a_protocol_nobody_asked_for(http: Any) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nabc"
    for call in (http.script(steps=[send(switch), HANG]), anext(http.script_stream(steps=[send(switch), HANG]))):
        with pytest.raises(RemoteCallError) as caught:
            await call
        assert caught.value.http_status == 101
    assert await http.echo(b"still well") == b"still well"


FORGED = OK + b"content-length: 6\r\n\r\nforged"


@pytest.mark.own_http("httpx takes it for the next answer")
@pytest.mark.parametrize(
    "steps",
    [
        [send(plain(b"first") + FORGED), KEEP],
        *([*answer("first"), sleep(0.02), send(rest), KEEP] for rest in (FORGED, FORGED[:-3], FORGED[:20], b"X")),
    ],
    ids=["at once", "later", "cut", "cut in the head", "a byte"],
)
async def test_an_answer_before_it_was_asked_for(http_wire: Wire, http: Any, steps: list[Step]) -> None:
    """Two answers to one request: the second must never be taken for another request's."""
    for _ in range(3):
        assert await http.script(steps=steps) == b"first"
        await http_wire.until(lambda seen: not seen["running"])
        await asyncio.sleep(0.05)
        assert await http.echo(b"mine") == b"mine"


@pytest.mark.own_http("what is too much breaks the next call")
async def test_an_answer_that_is_too_long(http: Any) -> None:
    for _ in range(3):
        with contextlib.suppress(InvalidResponseError):
            assert await http.script(steps=[*answer("first and more", headers={"content-length": 5}), KEEP]) == b"first"
        assert await http.echo(b"mine") == b"mine"


# -- models -----------------------------------------------------------------------------------------------------------

MODEL: dict[str, Any] = {"name": "raw", "module_id": "m", "loaded": True, "size": 1, "metadata": {}, "model_path": ""}
MODELS: dict[str, Any] = {
    "no JSON": "<html>",
    "empty": "",
    "a list": [MODEL],
    "null": "null",
    "NaN": "NaN",
    "no models": {},
    "models: null": {"models": None},
    "models: text": {"models": "raw"},
    "models: number": {"models": 1},
    "models: object": {"models": {"raw": MODEL}},
    "a model: null": {"models": [None]},
    "a model: text": {"models": ["raw"]},
    "a model: list": {"models": [[]]},
    "no name": {"models": [{"module_id": "m"}]},
    "name: null": {"models": [{**MODEL, "name": None}]},
    "name: number": {"models": [{**MODEL, "name": 1}]},
    "name: list": {"models": [{**MODEL, "name": []}]},
    "name: object": {"models": [{**MODEL, "name": {}}]},
    "loaded: text": {"models": [{**MODEL, "loaded": "maybe"}]},
    "size: text": {"models": [{**MODEL, "size": "large"}]},
    "size: huge": {"models": [{**MODEL, "size": 1e999}]},
    "module_id: list": {"models": [{**MODEL, "module_id": []}]},
    "metadata: text": {"models": [{**MODEL, "metadata": "x"}]},
    "module_metadata: text": {"models": [{**MODEL, "module_metadata": "x"}]},
    "module_metadata: numbers": {"models": [{**MODEL, "module_metadata": {"name": 1}}]},
    "deep": '{"models": ' + "[" * DEEP,
}


@pytest.mark.parametrize("body", MODELS.values(), ids=MODELS)
async def test_models_of_wrong_shapes(http_wire: Wire, body: Any) -> None:
    await http_wire.faults({"GET /info/models": {"body": body}})
    async with RemoteClient(http_wire.target) as client:
        for call in (client.models(), client.model("raw")):
            with pytest.raises(InvalidResponseError) as caught:
                await call
            assert len(str(caught.value)) < 5000
            assert str(caught.value).isprintable()


async def test_many_models_and_odd_names(http_wire: Wire) -> None:
    names = [*(f"model {index}" for index in range(5000)), "", "é\r\nx: y", "a" * 10_000, "../..", "__class__"]
    await http_wire.faults(
        {"GET /info/models": {"body": {"models": [{**MODEL, "name": name, "new": 1} for name in names]}}}
    )
    async with RemoteClient(http_wire.target) as client:
        assert [each.name for each in await client.models()] == names
        assert (await (await client.model("model 7")).run_echo("a")).text == "a"


@pytest.mark.parametrize(
    "body", ["", "[]", "{", {"python_packages": 1}, {"runtime_version": []}, {"python_packages": {"a": 1}}]
)
async def test_versions_of_wrong_shapes(http_wire: Wire, body: Any) -> None:
    await http_wire.faults({"GET /info/version": {"body": body}})
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(InvalidResponseError):
            await client.runtime_info()


@pytest.mark.parametrize(
    ("fault", "well"),
    [
        ({"body": "OK"}, True),
        ({"body": '"OK"'}, False),
        ({"body": ""}, False),
        ({"status": 503, "body": "later"}, False),
        ({"steps": [RESET]}, False),
    ],
)
async def test_health(http_wire: Wire, fault: Any, well: bool) -> None:
    await http_wire.faults({"GET /health": fault})
    async with RemoteClient(http_wire.target) as client:
        assert await client.healthy() is well
