"""gRPC's negative HTTP/2 cases by their names, and what else a server may do, against a server that keeps to the rules.

https://github.com/grpc/grpc/blob/master/doc/negative-http2-interop-test-descriptions.md says what the cases are. Every
test fails, besides, where the client sent something that HTTP/2 or gRPC forbids.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client._transport.status_codes import error_class
from remote_client.errors import RemoteCallError, ResourceExhaustedError
from remote_client.settings import CallOptions

from .methods import LARGE_ANSWER, LARGE_REQUEST, interop_module
from .peers import Peer

RESETS = {
    "NO_ERROR": "INTERNAL",
    "PROTOCOL_ERROR": "INTERNAL",
    "INTERNAL_ERROR": "INTERNAL",
    "FLOW_CONTROL_ERROR": "INTERNAL",
    "SETTINGS_TIMEOUT": "INTERNAL",
    "STREAM_CLOSED": "INTERNAL",  # has no line in the table; grpcio's choice
    "FRAME_SIZE_ERROR": "INTERNAL",
    "CANCEL": "CANCELLED",
    "COMPRESSION_ERROR": "INTERNAL",
    "CONNECT_ERROR": "INTERNAL",
    "ENHANCE_YOUR_CALM": "RESOURCE_EXHAUSTED",
    "INADEQUATE_SECURITY": "PERMISSION_DENIED",
}
"""gRPC's table: error code of RST_STREAM -> status."""


# -- gRPC's cases -----------------------------------------------------------------------------------------------------


async def test_goaway(strict: Peer, strict_module: Any) -> None:
    """After GOAWAY the next call goes on a new connection, and nobody has to do a thing."""
    await strict.faults(goaway=1)
    for number in range(5):
        assert await strict_module.echo(b"%d" % number) == b"%d" % number
        await asyncio.sleep(0.05)
    stats = await strict.stats()
    assert (stats["made"], stats["started"]) == (5, {"Echo": 5})


async def test_goaway_at_once(strict: Peer, strict_module: Any) -> None:
    """The next call may be on its way when GOAWAY comes: it was not taken, and is sent anew."""
    await strict.faults(goaway=1)
    for number in range(20):
        assert await strict_module.echo(b"%d" % number) == b"%d" % number
    assert (await strict.stats())["started"] == {"Echo": 20}


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
async def test_goaway_under_load(strict: Peer, strict_module: Any, twice: bool) -> None:
    """Calls above the last id are sent anew outside of `retries`, each once; those below it finish."""
    await strict.faults(goaway=10, goaway_twice=twice)
    deeds = [strict_module.echo(b"%d" % number) for number in range(60)]
    deeds += [_items(strict_module.count(n=3, delay=0.02)) for _ in range(20)]
    answers = await asyncio.gather(*deeds, return_exceptions=True)
    lost = [each for each in answers if isinstance(each, BaseException)]
    assert not lost, f"{len(lost)} of {len(answers)} calls are lost: {lost[0]!r}"
    assert answers == [b"%d" % number for number in range(60)] + [[b"0", b"1", b"2"]] * 20
    stats = await strict.stats()
    assert stats["started"] == {"Echo": 60, "Count": 20}
    assert stats["made"] >= 8


async def _items(stream: Any) -> list[bytes]:
    return [item async for item in stream]


@pytest.mark.parametrize("place", ["after_header", "during_data", "after_data"])
async def test_rst(strict: Peer, strict_module: Any, place: str) -> None:
    """rst_after_header, rst_during_data, rst_after_data: the call fails, the connection goes on."""
    await strict.faults(rst=(place, "NO_ERROR"))
    with pytest.raises(error_class("INTERNAL")):
        await strict_module.big(size=LARGE_ANSWER)
    with pytest.raises(error_class("INTERNAL")):
        await _items(strict_module.count(n=1, size=100))
    await strict.faults(rst=("", ""))
    assert await strict_module.echo(b"on") == b"on"
    assert (await strict.stats())["made"] == 1


@pytest.mark.parametrize("code", RESETS)
async def test_rst_after_header_by_every_code(strict: Peer, strict_module: Any, code: str) -> None:
    await strict.faults(rst=("after_header", code))
    with pytest.raises(error_class(RESETS[code])) as caught:
        await _items(strict_module.count(n=1))
    assert caught.value.code.name == RESETS[code]


async def test_refused_streams_are_sent_anew(strict: Peer, strict_module: Any) -> None:
    """REFUSED_STREAM: the server did not look at the call."""
    await strict.faults(unseen=1)
    assert await strict_module.echo(b"again") == b"again"
    assert (await strict.stats())["started"] == {"Echo": 1}


async def test_ping(strict: Peer, strict_module: Any) -> None:
    """Every PING is answered, wherever it comes."""
    await strict.faults(ping=True)
    assert await strict_module.large(bytes(LARGE_REQUEST)) == bytes(LARGE_ANSWER)
    assert await _items(strict_module.count(n=3)) == [b"0", b"1", b"2"]
    stats = await strict.until(lambda seen: seen["pings_acked"] == seen["pings_sent"])
    assert stats["pings_acked"] == stats["pings_sent"] >= 10


async def test_max_streams(strict: Peer) -> None:
    """Calls above the server's limit wait their turn."""
    await strict.faults(settings={"MAX_CONCURRENT_STREAMS": 1})
    async with interop_module(strict.info()) as module:
        assert await module.large(bytes(LARGE_REQUEST)) == bytes(LARGE_ANSWER)
        answers = await asyncio.gather(*(module.large(bytes(LARGE_REQUEST)) for _ in range(10)))
        assert answers == [bytes(LARGE_ANSWER)] * 10
        answers = await asyncio.gather(*(module.echo(b"%d" % number) for number in range(50)))
        assert answers == [b"%d" % number for number in range(50)]


async def test_data_frame_padding(strict: Peer, strict_module: Any) -> None:
    """Padding counts in windows: it is many times what they hold."""
    await strict.faults(data=50, pad=255)
    assert await strict_module.large(bytes(LARGE_REQUEST)) == bytes(LARGE_ANSWER)
    assert await _items(strict_module.count(n=100, size=500)) == [b"%d" % n + bytes(500) for n in range(100)]


async def test_no_df_padding_sanity_test(strict: Peer, strict_module: Any) -> None:
    await strict.faults(data=50)
    assert await strict_module.large(bytes(LARGE_REQUEST)) == bytes(LARGE_ANSWER)


# -- settings and windows ---------------------------------------------------------------------------------------------


async def test_calls_wait_for_the_servers_settings(strict: Peer) -> None:
    """Sent early, calls would not know the server's limit, and those above it would die."""
    await strict.faults(late=0.3, settings={"MAX_CONCURRENT_STREAMS": 10})
    async with interop_module(strict.info()) as module:
        answers = await asyncio.gather(*(module.echo(b"%d" % number) for number in range(50)))
    assert answers == [b"%d" % number for number in range(50)]


async def test_every_change_of_settings_is_acknowledged(strict: Peer) -> None:
    await strict.faults(settings={"HEADER_TABLE_SIZE": 0}, later_settings={"MAX_CONCURRENT_STREAMS": 7})
    async with interop_module(strict.info()) as module:
        for _ in range(3):
            assert await module.echo(b"x") == b"x"
        # The first, which every connection begins with, is not among those that are counted as sent.
        stats = await strict.until(lambda seen: seen["settings_acked"] == seen["settings_sent"] + 1)
    assert stats["settings_acked"] == stats["settings_sent"] + 1 == 5


@pytest.mark.parametrize("window", [1, 10, 1000])
async def test_small_windows(strict: Peer, window: int) -> None:
    await strict.faults(settings={"INITIAL_WINDOW_SIZE": window})
    body = bytes(min(window * 300, 50_000))
    async with interop_module(strict.info()) as module:
        assert await module.echo(body) == body
        assert await module.sum([b"1", b"2", b"39"]) == b"42"
        answers = await asyncio.gather(*(module.echo(b"%d" % number) for number in range(20)))
        assert answers == [b"%d" % number for number in range(20)]


async def test_no_window_at_first(strict: Peer) -> None:
    """A window of nothing: the request waits until the settings change."""
    await strict.faults(settings={"INITIAL_WINDOW_SIZE": 0})
    async with interop_module(strict.info()) as module:
        call = asyncio.ensure_future(module.echo(b"waits"))
        assert (await strict.until(lambda seen: bool(seen["heads"])))["heads"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(call), 0.2)
        await strict.faults(change={"INITIAL_WINDOW_SIZE": 100})
        assert await call == b"waits"


async def test_an_upload_waits_for_the_connections_window(strict: Peer, strict_module: Any) -> None:
    """A handler that reads nothing holds up its own stream, and those beside it only by the connection's window."""

    async def flood() -> AsyncIterator[bytes]:
        yield b"hang"
        while True:
            yield bytes(10_000)

    task = asyncio.ensure_future(strict_module.sum(flood()))
    await strict.until(lambda seen: seen["running"].get("Sum") == 1)
    await asyncio.sleep(0.2)
    async with asyncio.timeout(10):
        assert await strict_module.echo(bytes(500_000)) == bytes(500_000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await strict.until(lambda seen: not seen["running"]))["resets"] == {"CANCEL": 1}


@pytest.mark.parametrize("window", [0, 1000, 200_000])
async def test_a_changed_window_counts_for_open_streams(strict: Peer, strict_module: Any, window: int) -> None:
    """Also where more was sent than it allows: then the window is below zero."""
    await strict.faults(later_settings={"INITIAL_WINDOW_SIZE": window})
    body = bytes(200_000)
    if window:
        assert await strict_module.echo(body) == body
        assert await strict_module.echo(body) == body
        return
    call = asyncio.ensure_future(strict_module.echo(body))
    assert (await strict.until(lambda seen: seen["settings_acked"] == 2))["settings_acked"] == 2
    await strict.faults(later_settings={})
    await strict.faults(change={"INITIAL_WINDOW_SIZE": 65_535})
    assert await call == body


async def test_a_larger_frame_is_used_only_where_it_is_allowed(strict: Peer) -> None:
    body = bytes(500_000)
    for size in (16_384, 100_000, 2**24 - 1):
        await strict.faults(settings={"MAX_FRAME_SIZE": size, "INITIAL_WINDOW_SIZE": 1_000_000})
        async with interop_module(strict.info()) as module:
            assert await module.echo(body) == body


@pytest.mark.parametrize("size", [0, 1, 100, 65_536])
async def test_header_tables_of_any_size(strict: Peer, size: int) -> None:
    await strict.faults(settings={"HEADER_TABLE_SIZE": size})
    async with interop_module(strict.info(), options=CallOptions(metadata=({"x-token": "t" * 50},))) as module:
        for _ in range(5):
            assert dict(json.loads(await module.meta(b"")))["x-token"] == "t" * 50
        await strict.faults(later_settings={"HEADER_TABLE_SIZE": 4096 if size < 4096 else 0})
        for _ in range(5):
            assert dict(json.loads(await module.meta(b"")))["x-token"] == "t" * 50


async def test_a_head_above_the_servers_limit_is_not_sent(strict: Peer) -> None:
    await strict.faults(settings={"MAX_HEADER_LIST_SIZE": 2000})
    async with interop_module(strict.info()) as module:
        assert await module.echo(b"x") == b"x"
        large = module.with_options(metadata={"x-large": "x" * 4000})
        with pytest.raises(ResourceExhaustedError) as caught:
            await large.echo(b"x")
        assert "metadata" in str(caught.value) or "header" in str(caught.value)
        assert await module.echo(b"on") == b"on"
    stats = await strict.stats()
    assert stats["started"] == {"Echo": 2}
    assert stats["made"] == 1


# -- answers ----------------------------------------------------------------------------------------------------------


async def test_interim_answers_are_skipped(strict: Peer, strict_module: Any) -> None:
    await strict.faults(interim=[100, 103])
    assert await strict_module.echo(b"x") == b"x"
    assert await _items(strict_module.count(n=2)) == [b"0", b"1"]


@pytest.mark.parametrize("size", [1, 5, 20])
async def test_heads_in_many_frames(strict: Peer, strict_module: Any, size: int) -> None:
    await strict.faults(continuation=size)
    assert await strict_module.echo(b"x") == b"x"
    with pytest.raises(error_class("ABORTED")) as caught:
        await strict_module.fail(code="ABORTED", details="w" * 300, trailing={"x-more": "y" * 300})
    assert caught.value.details == "w" * 300


async def test_trailers_only(strict_module: Any) -> None:
    for deed in (
        lambda: strict_module.fail(code="ABORTED", details="at once"),
        lambda: _items(strict_module.count(n=0, fail="ABORTED", details="at once")),
        lambda: _items(strict_module.chat([b"fail"])),
    ):
        with pytest.raises(RemoteCallError) as caught:
            await deed()
        assert caught.value.details in ("at once", "as ordered")
    assert await _items(strict_module.count(n=0)) == []


async def test_early_trailers_end_the_upload(strict: Peer, strict_module: Any) -> None:
    """They come with RST_STREAM(NO_ERROR), which changes nothing."""

    async def flood() -> AsyncIterator[bytes]:
        yield b"20"
        yield b"stop"
        while True:
            await asyncio.sleep(0)
            yield b"1"

    for _ in range(5):
        async with asyncio.timeout(5):
            assert await strict_module.sum(flood()) == b"20"
    assert (await strict.until(lambda seen: not seen["running"]))["made"] == 1


async def test_cancelled_calls_keep_windows_and_heads_right(strict: Peer, strict_module: Any) -> None:
    """What still comes for them is thrown away, and the connection works as before."""
    for number in range(30):
        async with strict_module.count(n=100, size=100_000) as stream:
            for _ in range(number % 3):
                await anext(stream)
    call = asyncio.ensure_future(strict_module.big(size=1_000_000))
    await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    for _ in range(3):
        assert len(await strict_module.big(size=1_000_000)) == 1_000_000
    assert (await strict.until(lambda seen: not seen["running"]))["made"] == 1


async def test_a_call_that_is_cancelled_before_it_leaves_is_never_sent(strict: Peer) -> None:
    await strict.faults(late=0.3)
    async with interop_module(strict.info()) as module:
        calls = [asyncio.ensure_future(module.echo(b"%d" % number)) for number in range(10)]
        await asyncio.sleep(0.1)
        for call in calls[:9]:
            call.cancel()
        assert await calls[9] == b"9"
    assert (await strict.stats())["started"] == {"Echo": 1}


async def test_the_head_of_a_request(strict: Peer, strict_module: Any) -> None:
    """The order that gRPC prescribes: pseudo headers, the timeout first of gRPC's own, then metadata."""
    assert await strict_module.echo(b"x") == b"x"
    names = [name for name, _ in (await strict.stats())["heads"][-1]]
    assert sorted(names[:4]) == [":authority", ":method", ":path", ":scheme"]
    assert names.index("te") < names.index("mm-model-id")
    assert names.index("content-type") < names.index("mm-model-id")
    assert len(names) == len(set(names))
