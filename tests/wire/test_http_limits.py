"""Limits of size and time over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._transport.http import pool as http_pool
from remote_client.errors import (
    ClosedError,
    DeadlineExceededError,
    RemoteCallError,
    ResourceExhaustedError,
    ResponseTooLargeError,
)
from remote_client.settings import ConnectionTlsInfo
from tests.support.clock import longest_stall
from tests.support.http_wire import (
    LAST_CHUNK,
    Step,
    chunk,
    chunked,
    drip,
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
from tests.support.wire import open_files, settled

from .kinds import HANG
from .test_limits import Took

MIB = 1 << 20
CHUNKED = {"transfer-encoding": "chunked"}


# -- sizes ------------------------------------------------------------------------------------------------------------


async def test_large_answers_are_accepted(http: Any) -> None:
    assert len(await http.big(size=63 * MIB)) == 63 * MIB + 2
    sizes = [len(item) async for item in http.count(n=2, size=5 * MIB)]
    assert sizes == [5 * MIB + len('{"number": 0, "text": ""}')] * 2
    stream = http.script_stream(steps=[*chunked("data: ", end=False), repeat(chunk(b"x" * 10_000), 6000), END_EVENT])
    assert [len(item) async for item in stream] == [60_000_000]


END_EVENT = send(chunk(b"\n\n") + LAST_CHUNK)


async def test_the_limit_is_64_mib(http: Any) -> None:
    with pytest.raises(ResponseTooLargeError, match=f"larger than {64 * MIB} bytes"):
        await http.script(steps=[send(head(headers={"content-length": 64 * MIB + 1})), HANG])
    with pytest.raises(ResponseTooLargeError, match=f"larger than {64 * MIB} bytes"):
        await http.script(steps=[send(head(headers=CHUNKED)), repeat(chunk(b"x" * 65536), 1025), HANG])


MANY = repeat(chunk(b"x" * 65536), 257)
"""More than 16 MiB in chunks."""
LARGE: dict[str, list[Step]] = {
    "announced": [send(head(headers={"content-length": 17 * MIB})), repeat(b"x" * 65536, 272), HANG],
    "chunks": [send(head(headers=CHUNKED)), MANY, HANG],
    "until the end": [send(head()), repeat(b"x" * 65536, 257), HANG],
    "one line": [*chunked("data: ", end=False), MANY, HANG],
    "many lines": [send(event_head()), repeat(chunk(b"data:ab\n" * 8192), 257), HANG],
    "no data": [*chunked("nothing: ", end=False), MANY, HANG],
}


@pytest.mark.parametrize("steps", LARGE.values(), ids=LARGE)
async def test_an_answer_over_the_limit_takes_no_more_than_the_limit(http_wire: Wire, steps: list[Step]) -> None:
    options = {"grpc.max_receive_message_length": 16 * MIB}
    async with http_module(http_wire.info(options=options)) as module:
        await module.echo(b"x")
        forget_peak()
        before = peak()
        with pytest.raises(ResponseTooLargeError, match=f"larger than {16 * MIB} bytes") as caught:
            if b"event-stream" in base64.b64decode(steps[0][1]):
                await anext(module.script_stream(steps=steps))
            else:
                await module.script(steps=steps)
        assert isinstance(caught.value, ResourceExhaustedError)
        assert (caught.value.model, caught.value.target) == ("raw", f"{http_wire.host}:{http_wire.port}")
        assert peak() - before < 32 * MIB
        assert (await http_wire.until(lambda seen: not seen["running"]))["running"] == {}
        assert await module.echo(b"still well") == b"still well"


LIMIT = 1000
SMALL = {"grpc.max_receive_message_length": LIMIT}


@pytest.mark.parametrize("framing", [{}, {"content-length": None}, CHUNKED])
async def test_the_limit_can_be_set(http_wire: Wire, framing: dict[str, Any]) -> None:
    def steps(size: int) -> list[Step]:
        body = b"x" * size
        data = chunk(body) + LAST_CHUNK if framing is CHUNKED else body
        return [send(head(headers={"content-length": size, **framing} if framing is not CHUNKED else framing) + data)]

    async with http_module(http_wire.info(options=SMALL)) as module:
        assert len(await module.script(steps=steps(LIMIT))) == LIMIT
        with pytest.raises(ResponseTooLargeError, match=r"client's limit.* grpc\.max_receive_message_length"):
            await module.script(steps=steps(LIMIT + 1))


@pytest.mark.parametrize("size", [LIMIT + 1, 2000, 15_000, 20_000, 100_000])
@pytest.mark.parametrize("before", [0, 1])
async def test_the_limit_of_an_event_can_be_set(http_wire: Wire, size: int, before: int) -> None:
    """However large the pieces are in which it comes."""
    async with http_module(http_wire.info(options=SMALL)) as module:
        stream = module.script_stream(steps=chunked(event("1") * before + event("x" * size) + event("2")))
        for _ in range(before):
            assert await anext(stream) == b"1"
        with pytest.raises(ResponseTooLargeError, match=r"client's limit.* grpc\.max_receive_message_length"):
            await anext(stream)


@pytest.mark.parametrize(
    "piece",
    [event("x" * 900), b": ping\r\n\r\n", b": ping\r\n", b"id: 1\r\nevent: message\r\ndata: x\r\n\r\n"],
    ids=["events", "pings", "comments", "small events"],
)
async def test_a_stream_may_be_longer_than_the_limit_of_an_event(http_wire: Wire, piece: bytes) -> None:
    async with http_module(http_wire.info(options=SMALL)) as module:
        for steps in (chunked(piece * 3000, b"\r\n", event("2")), chunked(*[piece] * 300, b"\r\n", event("2"))):
            *_, last = [item async for item in module.script_stream(steps=steps)]
            assert last == b"2"


async def test_the_limit_can_be_taken_away(http_wire: Wire) -> None:
    """-1 is gRPC's word for none."""
    async with http_module(http_wire.info(options={"grpc.max_receive_message_length": -1})) as module:
        assert len(await module.big(size=65 * MIB)) == 65 * MIB + 2
        assert len(await anext(module.count(n=1, size=2 * MIB))) > 2 * MIB


@pytest.mark.parametrize("size", [5 * MIB, 2000 * MIB])
@pytest.mark.parametrize("kind", ["script", "script_stream"])
async def test_a_bomb_is_refused_unopened(http: Any, size: int, kind: str) -> None:
    forget_peak()
    before = peak()
    with pytest.raises(RemoteCallError, match="compressed"):
        call = getattr(http, kind)(steps=[packed(size)])
        await (call if kind == "script" else anext(call))
    assert peak() - before < 32 * MIB


# -- times ------------------------------------------------------------------------------------------------------------

SLOW: dict[str, list[Step]] = {
    "no head": [HANG],
    "a dripping head": [drip(head(headers={f"x-{index}": "y" for index in range(100)}), 0.05)],
    "a dripping body": [send(head(headers={"content-length": 500})), drip("x" * 500, 0.05)],
    "dripping chunks": [send(head(headers=CHUNKED)), drip(chunk(b"x") * 100, 0.05)],
    "a dripping size of a chunk": [send(head(headers=CHUNKED)), drip("0" * 100, 0.05)],
    "a dripping error": [send(head(500, {"content-length": 500})), drip("x" * 500, 0.05)],
    "100 Continue": [drip((head(100) * 100)[:400], 0.02), HANG],
}


@pytest.mark.parametrize("steps", SLOW.values(), ids=SLOW)
async def test_the_deadline_of_a_unary_call(http_wire: Wire, http: Any, steps: list[Step]) -> None:
    with Took(0.1, 0.5), pytest.raises(DeadlineExceededError, match=r"0\.1 seconds") as caught:
        await http.with_options(timeout=0.1).script(steps=steps)
    assert isinstance(caught.value, TimeoutError)
    target = f"{http_wire.host}:{http_wire.port}"
    assert (caught.value.method, caught.value.target, caught.value.model) == ("POST /script", target, "raw")
    assert (await http_wire.until(lambda seen: bool(seen["cancelled"])))["cancelled"] == {"POST /script": 1}
    assert await http.echo(b"still well") == b"still well"


NO_EVENTS = {name: steps for name, steps in SLOW.items() if "body" not in name and "chunk" not in name}
QUIET: dict[str, list[Step]] = {
    "silence": [HANG],
    "pings": [send(chunk(b": ping\r\n\r\n")), sleep(0.05)] * 30,
    "other kinds": [send(chunk(event("x", "ping"))), sleep(0.05)] * 30,
    "empty events": [send(chunk(b"event: message\r\n\r\n")), sleep(0.05)] * 30,
    "a line without end": [send(chunk(b"data: x")), *[send(chunk(b"x")), sleep(0.05)] * 30],
    "an event without end": [send(chunk(b"data: x\n")), sleep(0.05)] * 30,
    "dripping framing": [drip(chunk(event("x" * 100)), 0.05)],
}


@pytest.mark.parametrize("before", ["", "12"], ids=["at first", "later"])
@pytest.mark.parametrize("steps", QUIET.values(), ids=QUIET)
async def test_the_time_between_two_events(http_wire: Wire, http: Any, steps: list[Step], before: str) -> None:
    stream = http.with_options(timeout=0.1).script_stream(steps=[*events(*before, end=False), *steps])
    for _ in before:
        await anext(stream)
    await _is_late(http_wire, stream)


@pytest.mark.parametrize("steps", NO_EVENTS.values(), ids=NO_EVENTS)
async def test_the_time_until_the_first_event(http_wire: Wire, http: Any, steps: list[Step]) -> None:
    await _is_late(http_wire, http.with_options(timeout=0.1).script_stream(steps=steps))


async def _is_late(wire: Wire, stream: Any) -> None:
    with Took(0.1, 0.5), pytest.raises(DeadlineExceededError, match=r"0\.1 seconds") as caught:
        await anext(stream)
    target = f"{wire.host}:{wire.port}"
    assert (caught.value.method, caught.value.target, caught.value.model) == ("POST /script", target, "raw")
    assert (await wire.until(lambda seen: bool(seen["cancelled"])))["cancelled"] == {"POST /script": 1}
    with pytest.raises(ClosedError, match="DeadlineExceededError"):
        await anext(stream)


@pytest.mark.parametrize("kind", ["echo", "count"])
async def test_a_request_that_is_not_taken(start_http: Callable[..., Wire], kind: str) -> None:
    """The server accepts the connection, and reads nothing of a large body. No such connection stays."""
    server = start_http(faults={f"POST /{kind}": {"unread": True, "delay": 3600}})
    files = open_files()
    async with http_module(server.info(timeout=0.1)) as module:
        call = getattr(module, kind)(bytes(20 * MIB))
        with Took(0.1, 0.5), pytest.raises(DeadlineExceededError):
            await (call if kind == "echo" else anext(call))
    left = await settled(open_files, files, 1)
    server.__exit__()  # whatever there is ends now, and is not found by another test
    await settled(open_files, files - 2)
    assert left <= files


@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_that_is_not_made(http_wire: Wire, deaf: int, mute: int, tls: bool) -> None:
    info = http_wire.info(port=mute if tls else deaf, timeout=0.1, tls=ConnectionTlsInfo(enabled=tls))
    async with http_module(info) as module:
        for call in (module.echo(b"x"), anext(module.silent())):
            with Took(0.1, 0.5), pytest.raises(DeadlineExceededError):
                await call


@pytest.mark.own_http("httpx's own limit is another")
async def test_a_slot_that_is_not_free(http_wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "MAX_CONNECTIONS", 1)
    async with http_module(http_wire.info(timeout=0.1)) as module, module.silent():
        await http_wire.until_running(1)
        for call in (module.echo(b"x"), anext(module.silent())):
            with Took(0.1, 0.5), pytest.raises(DeadlineExceededError):
                await call


@pytest.mark.parametrize("timeout", [60, None])
@pytest.mark.parametrize(
    "steps",
    [[*events(end=False), *[send(chunk(event("1"))), sleep(0.02)] * 100], [HANG], [*events("1", end=False), HANG]],
    ids=["events", "no head", "silence"],
)
async def test_the_total_time(http_wire: Wire, http: Any, steps: list[Step], timeout: float | None) -> None:
    with Took(0.1, 0.5), pytest.raises(DeadlineExceededError, match=r"0\.1 seconds"):
        async for _ in http.with_options(timeout=timeout, total_timeout=0.1).script_stream(steps=steps):
            pass
    assert (await http_wire.until(lambda seen: not seen["running"]))["running"] == {}


async def test_large_bodies_do_not_hold_up_the_loop(http: Any) -> None:
    """Of a body of 20 MB and its answer nothing takes a tenth of a second at once."""
    body = json.dumps("x" * 20_000_000).encode()
    call = asyncio.ensure_future(http.echo(body))
    assert await longest_stall(call) < 0.1
    assert call.result() == body
