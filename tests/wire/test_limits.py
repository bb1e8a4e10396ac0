"""Limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import DeadlineExceededError, RemoteCallError, ResourceExhaustedError, ResponseTooLargeError
from remote_client.settings import CallOptions
from tests.support.clock import Stopwatch
from tests.support.proc import forget_peak, peak
from tests.support.wire import WireServer, raw_module

from .kinds import endless

MIB = 1 << 20


# -- sizes ------------------------------------------------------------------------------------------------------------


async def test_answers_over_grpcs_own_limit_are_accepted(module: Any) -> None:
    assert len(await module.big(size=5 * MIB)) == 5 * MIB
    assert len(await module.big(size=63 * MIB)) == 63 * MIB
    assert [len(item) async for item in module.count(n=2, size=5 * MIB)] == [5 * MIB + 1] * 2


async def test_an_answer_over_the_limit_is_told(module: Any) -> None:
    with pytest.raises(ResponseTooLargeError, match="larger than max"):
        await module.big(size=65 * MIB)
    with pytest.raises(ResponseTooLargeError):
        async for _ in module.count(n=1, size=65 * MIB):
            pass
    assert await module.echo(b"still well") == b"still well"


async def test_the_limit_can_be_set(wire: WireServer) -> None:
    async with raw_module(wire.info(options={"grpc.max_receive_message_length": 1000})) as module:
        assert len(await module.big(size=900)) == 900
        with pytest.raises(ResponseTooLargeError) as caught:
            await module.big(size=1001)
    assert isinstance(caught.value, ResourceExhaustedError)
    assert "runtime.grpc.options" not in str(caught.value)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("deed", ["big", "count"])
async def test_the_clients_own_limit_names_its_option(wire: WireServer, deed: str, packed: bool) -> None:
    async with raw_module(wire.info(options={"grpc.max_receive_message_length": 100_000})) as module:
        with pytest.raises(ResponseTooLargeError, match=r"client's limit.* grpc\.max_receive_message_length") as caught:
            if deed == "big":
                await module.big(size=200_000, gzip=packed)
            else:
                await _last(module.count(n=1, size=200_000, gzip=packed))
    assert "runtime" not in str(caught.value)


async def test_the_limit_of_requests_and_answers_that_are_both_compressed(start_wire: Any) -> None:
    """gRPC does not always tell whose limit a compressed message exceeds."""
    server = start_wire(options={"grpc.max_receive_message_length": 1_000})
    options = {"grpc.max_receive_message_length": 100_000, "grpc.default_compression_algorithm": 2}
    async with raw_module(server.info(options=options)) as module:
        with pytest.raises(ResourceExhaustedError, match=r"runtime\.grpc\.options") as caught:
            await module.echo(bytes(2_000))
        assert not isinstance(caught.value, ResponseTooLargeError)
        with pytest.raises(ResourceExhaustedError, match=r"option grpc\.max_receive_message_length"):
            await module.big(size=200_000, gzip=True)


async def test_the_servers_limit_is_told_apart(start_wire: Any) -> None:
    server = start_wire(options={"grpc.max_receive_message_length": 1000})
    async with raw_module(server.info()) as module:
        with pytest.raises(ResourceExhaustedError, match=r"runtime\.grpc\.options") as caught:
            await module.echo(bytes(2000))
    assert not isinstance(caught.value, ResponseTooLargeError)


@pytest.mark.parametrize("size", [65 * MIB, 400 * MIB])
async def test_a_bomb_is_bounded_by_what_it_unpacks_to(module: Any, size: int) -> None:
    assert len(await module.big(size=5 * MIB, gzip=True)) == 5 * MIB
    forget_peak()
    before = peak()
    with pytest.raises(ResponseTooLargeError):
        await module.big(size=size, gzip=True)
    assert peak() - before < 140 * MIB


# -- times ------------------------------------------------------------------------------------------------------------


class Took:
    """Fails where the block took less or more time than it should."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def __enter__(self) -> None:
        self._watch = Stopwatch()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            assert self._watch.wall >= self._least
            assert self._watch.seconds <= self._most


async def test_the_deadline_of_a_unary_call(wire: WireServer, module: Any) -> None:
    with Took(0.2, 0.6), pytest.raises(DeadlineExceededError) as caught:
        await module.with_options(timeout=0.2).sleep(seconds=3600)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.method, caught.value.target, caught.value.model) == ("test.Test/Sleep", wire.target, "raw")
    assert (await wire.until(lambda seen: bool(seen["cancelled"])))["cancelled"] == {"Sleep": 1}


@pytest.mark.parametrize("items", [0, 2])
async def test_the_time_between_two_items(wire: WireServer, module: Any, items: int) -> None:
    stream = module.with_options(timeout=0.3).count(n=items, hang=True)
    for _ in range(items):
        await anext(stream)
    with Took(0.3, 0.9), pytest.raises(DeadlineExceededError) as caught:
        await anext(stream)
    assert (caught.value.method, caught.value.target, caught.value.model) == ("test.Test/Count", wire.target, "raw")
    assert (await wire.until(lambda seen: bool(seen["cancelled"])))["cancelled"] == {"Count": 1}


async def test_the_total_time(wire: WireServer, module: Any) -> None:
    with Took(0.3, 0.8), pytest.raises(DeadlineExceededError):
        async for _ in module.with_options(total_timeout=0.3).count(n=1000, delay=0.02):
            pass
    with Took(0.3, 0.8), pytest.raises(DeadlineExceededError):
        await module.with_options(total_timeout=0.3).sum(endless())
    with Took(0.3, 0.8), pytest.raises(DeadlineExceededError):
        async for _ in module.with_options(total_timeout=0.3).chat(endless()):
            pass
    assert not (await wire.until(lambda seen: not seen["running"]))["running"]


async def slowly(count: int, delay: float) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(delay)
        yield b"1"


async def test_a_streamed_request_that_moves_is_in_time(module: Any) -> None:
    assert await module.with_options(timeout=0.3).sum(slowly(8, 0.1)) == b"8"
    assert len([item async for item in module.with_options(timeout=0.3).chat(slowly(8, 0.1))]) == 8


@pytest.mark.parametrize("kind", ["sum", "chat"])
async def test_a_streamed_request_that_stops_moving(wire: WireServer, module: Any, kind: str) -> None:
    module = module.with_options(timeout=0.3)
    with Took(0.3, 0.9), pytest.raises(DeadlineExceededError):
        await (module.sum(endless()) if kind == "sum" else _last(module.chat(endless())))
    with Took(0.3, 0.9), pytest.raises(DeadlineExceededError):
        await (module.sum([b"hang"]) if kind == "sum" else _last(module.chat([b"hang"])))
    assert not (await wire.until(lambda seen: not seen["running"]))["running"]


async def _last(stream: Any) -> None:
    async for _ in stream:
        pass


# -- times, over both protocols ---------------------------------------------------------------------------------------

SLEPT = (b"slept", b'"slept"')
"""What `sleep` answers over gRPC and over HTTP."""


async def test_no_deadline(plain: Any) -> None:
    plain = plain.with_options(timeout=None)
    assert await plain.sleep(seconds=0.1) in SLEPT
    assert len([item async for item in plain.count(n=2, delay=0.1)]) == 2


async def test_a_long_stream_outlives_the_time_between_items(plain: Any) -> None:
    assert len([item async for item in plain.with_options(timeout=0.3).count(n=10, delay=0.05)]) == 10


async def test_the_readers_own_slowness_does_not_count(plain: Any) -> None:
    async with plain.with_options(timeout=0.2).count(n=3, delay=0.05) as stream:
        await asyncio.sleep(0.3)
        async for _ in stream:
            await asyncio.sleep(0.3)


async def test_the_total_time_counts_while_nobody_reads(plain: Any) -> None:
    async with plain.with_options(total_timeout=0.1).count(n=1, hang=True) as stream:
        await anext(stream)
        await asyncio.sleep(0.2)
        with Took(0, 0.1), pytest.raises(DeadlineExceededError):
            await anext(stream)


@pytest.mark.parametrize(
    ("protocol", "told"), [("grpc", "DEADLINE_EXCEEDED"), ("http", r"not over within 0\.1 seconds")]
)
async def test_the_total_time_ends_a_stream_that_nobody_reads(server: Any, plain: Any, told: str) -> None:
    async with plain.with_options(total_timeout=0.1).silent() as stream:
        await server.until_running(1)
        assert (await server.until(lambda seen: not seen["running"]))["running"] == {}
        with Took(0, 0.1), pytest.raises(DeadlineExceededError, match=told):
            await anext(stream)


async def test_the_connections_timeout_is_the_default(server: Any) -> None:
    async with server.plain(timeout=0.1) as module:
        with Took(0.1, 0.5), pytest.raises(DeadlineExceededError):
            await module.sleep(seconds=3600)
    async with server.plain(timeout=0.1, call_options=CallOptions(timeout=None)) as module:
        assert await module.sleep(seconds=0.2) in SLEPT


@pytest.mark.parametrize(("protocol", "start"), [("grpc", "silent"), ("grpc", "chat"), ("http", "silent")])
async def test_aclose_stops_the_clock(plain: Any, start: str) -> None:
    """A stream that was closed raises nothing later, and its timer keeps nothing alive."""
    plain = plain.with_options(timeout=0.1, total_timeout=0.1)
    stream = await (plain.silent() if start == "silent" else plain.chat(endless())).__aenter__()
    await stream.aclose()
    await asyncio.sleep(0.2)
    assert await anext(stream, None) is None


# -- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("CANCELLED", "CallCancelledError"),
        ("UNKNOWN", "UnknownError"),
        ("INVALID_ARGUMENT", "InvalidArgumentError"),
        ("DEADLINE_EXCEEDED", "DeadlineExceededError"),
        ("NOT_FOUND", "NotFoundError"),
        ("ALREADY_EXISTS", "AlreadyExistsError"),
        ("PERMISSION_DENIED", "PermissionDeniedError"),
        ("RESOURCE_EXHAUSTED", "ResourceExhaustedError"),
        ("FAILED_PRECONDITION", "FailedPreconditionError"),
        ("ABORTED", "AbortedError"),
        ("OUT_OF_RANGE", "OutOfRangeError"),
        ("UNIMPLEMENTED", "UnimplementedError"),
        ("INTERNAL", "InternalError"),
        ("UNAVAILABLE", "UnavailableError"),
        ("DATA_LOSS", "DataLossError"),
        ("UNAUTHENTICATED", "UnauthenticatedError"),
    ],
)
async def test_each_status_has_its_error(wire: WireServer, module: Any, code: str, name: str) -> None:
    with pytest.raises(RemoteCallError) as caught:
        await module.fail(code=code, details="the server's words")
    assert type(caught.value).__name__ == name
    assert caught.value.code.name == code
    assert caught.value.details == "the server's words"
    with pytest.raises(RemoteCallError) as caught:
        async for _ in module.count(n=1, fail=code):
            pass
    assert (type(caught.value).__name__, caught.value.details) == (name, "after the items")
    assert str(caught.value) == f"{code}: after the items (in test.Test/Count at {wire.target} for model 'raw')"


async def test_the_servers_words_are_cleaned(module: Any) -> None:
    with pytest.raises(RemoteCallError) as caught:
        await module.fail(code="INTERNAL", details="a\x1b[31mb\r\nc\x00d\u202ee\x9bf é")
    assert caught.value.details == "a [31mb  c d e f é"
    with pytest.raises(RemoteCallError) as caught:
        await module.fail(code="INTERNAL", details="x" * 6000)
    assert len(caught.value.details) < 4200
    assert len(str(caught.value)) < 4400
