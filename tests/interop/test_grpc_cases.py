"""gRPC's own interoperability cases, by their names, against every server and through every proxy.

https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md says what they are.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    RemoteCallError,
    UnimplementedError,
    UnknownError,
)
from remote_client.settings import CallOptions

from .methods import ECHO_INITIAL, ECHO_TRAILING, LARGE_ANSWER, LARGE_REQUEST, interop_module, send_raw
from .peers import Peer

SIZES = [31415, 9, 2653, 58979]
"""Bytes of the messages of gRPC's streaming cases."""
REQUESTS = [27182, 8, 1828, 45904]


async def test_empty_unary(module: Any) -> None:
    assert await module.echo(b"") == b""


async def test_large_unary(module: Any) -> None:
    assert await module.large(bytes(LARGE_REQUEST)) == bytes(LARGE_ANSWER)


async def test_client_streaming(module: Any) -> None:
    assert await module.sum([b"%d" % size for size in REQUESTS]) == b"74922"


async def test_server_streaming(module: Any) -> None:
    assert [len(item) async for item in module.count(n=4, size=31415)] == [31416] * 4


async def test_ping_pong(module: Any) -> None:
    """The next request goes out when the answer to the last one has come."""
    turn: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def requests() -> AsyncIterator[bytes]:
        while (item := await turn.get()) is not None:
            yield item

    turn.put_nowait(bytes(REQUESTS[0]))
    seen = []
    async with module.chat(requests()) as answers:
        async for answer in answers:
            seen.append(len(answer))
            turn.put_nowait(bytes(REQUESTS[len(seen)]) if len(seen) < len(REQUESTS) else None)
    assert seen == REQUESTS


async def test_empty_stream(module: Any) -> None:
    assert [item async for item in module.chat([])] == []


async def test_client_compressed_unary(peer: Peer) -> None:
    """Requests are compressed where that is asked for, and only there."""
    body = b"a" * LARGE_REQUEST
    for algorithm, packed in ((2, 1), (0, 0)):
        await peer.faults()
        peer.server.command("reset")
        async with interop_module(peer.info(options={"grpc.default_compression_algorithm": algorithm})) as module:
            assert await module.echo(body) == body
        if peer.name == "strict":
            assert (await peer.stats())["packed"] == packed


async def test_a_client_compresses_nothing_unasked(strict: Peer, strict_module: Any) -> None:
    assert await strict_module.echo(b"a" * LARGE_REQUEST) == b"a" * LARGE_REQUEST
    stats = await strict.stats()
    assert stats["packed"] == 0
    assert dict(stats["heads"][-1]).get("grpc-encoding", "identity") == "identity"


async def test_server_compressed_unary(module: Any) -> None:
    assert await module.big(size=LARGE_ANSWER, gzip=True) == bytes(LARGE_ANSWER)
    assert await module.big(size=LARGE_ANSWER) == bytes(LARGE_ANSWER)


async def test_server_compressed_streaming(module: Any) -> None:
    for size in (0, 31415, 92653):
        expected = [b"%d" % number + bytes(size) for number in range(3)]
        assert [item async for item in module.packed(n=3, size=size)] == expected


async def test_custom_metadata(peer: Peer) -> None:
    metadata: dict[str, str | bytes] = {ECHO_INITIAL: "test_initial_metadata_value", ECHO_TRAILING: b"\xab\xab\xab"}
    async with interop_module(peer.info(), options=CallOptions(metadata=(metadata,))) as module:
        seen = json.loads(await module.meta(b""))
    assert [ECHO_INITIAL, "test_initial_metadata_value"] in seen
    assert [ECHO_TRAILING, base64.b64encode(b"\xab\xab\xab").decode()] in seen


async def test_status_code_and_message(module: Any) -> None:
    with pytest.raises(UnknownError) as caught:
        await module.fail(code="UNKNOWN", details="test status message")
    assert caught.value.details == "test status message"
    with pytest.raises(FailedPreconditionError) as failed:
        async for _ in module.chat([b"fail"]):
            raise AssertionError("there is no answer")
    assert failed.value.details == "as ordered"


async def test_special_status_message(module: Any) -> None:
    """Unicode comes through; white space that would break a log is a blank in this client's messages."""
    with pytest.raises(UnknownError) as caught:
        await module.fail(
            code="UNKNOWN",
            details="\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n100%25 \u00fc",
        )
    words = caught.value.details.split()
    assert words == ["test", "with", "whitespace", "and", "Unicode", "BMP", "☺", "and", "non-BMP", "😈", "100%25", "ü"]


async def test_unimplemented_method(module: Any) -> None:
    with pytest.raises(UnimplementedError):
        await module.unimplemented_method(b"")


async def test_unimplemented_service(module: Any) -> None:
    with pytest.raises(UnimplementedError):
        await module.unimplemented_service(b"")


async def test_cancel_after_begin(peer: Peer, module: Any) -> None:
    begun = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield b"1"
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(module.sum(requests()))
    await begun.wait()
    await peer.until(lambda seen: seen["running"].get("Sum") == 1)
    await peer.faults(lag=2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _nothing_runs(peer, "Sum")


async def test_cancel_after_first_response(peer: Peer, module: Any) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield bytes(27182)
        await asyncio.Event().wait()

    async with module.chat(requests()) as answers:
        assert len(await anext(answers)) == 27182
        await peer.faults(lag=2)
    await _nothing_runs(peer, "Chat")


async def _nothing_runs(peer: Peer, name: str) -> None:
    stats = await peer.until(lambda seen: not seen["running"] and seen["cancelled"].get(name) == 1)
    assert stats["running"] == {}, f"the server still runs {stats['running']}: no cancel reached it"
    assert stats["cancelled"] == {name: 1}


async def test_timeout_on_sleeping_server(peer: Peer) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"hang"
        await asyncio.Event().wait()

    begun = time.monotonic()
    async with interop_module(peer.info(), options=CallOptions(total_timeout=0.3)) as module:
        with pytest.raises(DeadlineExceededError):
            async for _ in module.chat(requests()):
                raise AssertionError("there is no answer")
    assert time.monotonic() - begun < 2
    stats = await peer.until(lambda seen: not seen["running"])
    assert stats["running"] == {}, f"the server still runs {stats['running']}: no cancel reached it"


async def test_a_failed_call_leaves_the_connection_usable(module: Any) -> None:
    for code in ("INTERNAL", "ABORTED"):
        with pytest.raises(RemoteCallError):
            await module.fail(code=code)
        assert await module.echo(b"on") == b"on"


async def test_metadata_that_comes_more_than_once(peer: Peer, module: Any) -> None:
    pairs = (("x-twice", "one"), ("x-twice", "two"), ("x-twice-bin", b"\x00\x01"), ("x-twice-bin", b"\xff"))
    seen = json.loads(await send_raw(module, "/test.Test/Meta", b"", pairs))
    # A proxy may join values that have the same key by commas.
    texts = ",".join(value for key, value in seen if key == "x-twice").replace(" ", "")
    assert texts == "one,two"
    encoded = [value for key, value in seen if key == "x-twice-bin"]
    assert encoded == ["AAE=", "/w=="]
