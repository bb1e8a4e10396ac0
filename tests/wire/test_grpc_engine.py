"""The gRPC engine of asyncio's own over sockets: large bodies, long ways, servers that leave, refuse, stall or lie."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from remote_client._transport.call import ByteStream, Call
from remote_client._transport.grpc import sending
from remote_client._transport.grpc.frames import CANCEL, ENHANCE_YOUR_CALM, REFUSED_STREAM
from remote_client._transport.grpc.transport import GrpcTransport
from remote_client._transport.grpc_options import GrpcOptions
from remote_client.errors import (
    ClosedError,
    DeadlineExceededError,
    InvalidResponseError,
    RemoteCallError,
    RemoteClientError,
    UnavailableError,
)
from remote_client.settings import ConnectionInfo
from tests.support import http2 as raw
from tests.support.clock import Stopwatch
from tests.support.h2_model import Received
from tests.support.http2 import Http2Server
from tests.support.proc import forget_peak, peak
from tests.support.strict_h2 import Connection, StrictServer, message
from tests.support.wire import ROOT, WireServer

MIB = 1 << 20
CALL = Call("/test.Test/Echo", timeout=20)


def info(port: int | None, host: str = "127.0.0.1", **options: Any) -> ConnectionInfo:
    return ConnectionInfo(hostname=host, port=port, options=options)


@contextlib.asynccontextmanager
async def transport_to(port: int | None, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[GrpcTransport]:
    """The engine alone: no retries, no limit of pending calls."""
    connection = info(port, host, **{f"grpc.{name}": value for name, value in options.items()})
    made = GrpcTransport(connection, GrpcOptions.of(connection))
    try:
        yield made
    finally:
        await made.aclose(ClosedError)


async def read_all(stream: ByteStream) -> list[bytes]:
    found = []
    try:
        while (item := await stream.read()) is not None:
            found.append(item)
    finally:
        await stream.aclose()
    return found


async def until(condition: Callable[[], bool], within: float = 5) -> None:
    watch = Stopwatch()
    while not condition():
        assert watch.seconds < within
        await asyncio.sleep(0.01)


# -- large bodies, many streams, long ways ----------------------------------------------------------------------------


async def test_64_mib_each_way(wire: WireServer) -> None:
    async with transport_to(wire.port) as transport:
        body = bytes(64 * MIB)
        answer = await transport.unary(CALL, body)
        assert answer == body


async def test_unread_streams_hold_no_unary_call_up(wire: WireServer) -> None:
    """What nobody reads fills its own windows; the connection's is free for others."""
    async with transport_to(wire.port) as transport:
        endless = b'{"n": 1000000, "size": 10000}'
        streams = [transport.stream(Call("/test.Test/Count", timeout=30), endless) for _ in range(50)]
        await asyncio.gather(*(stream.read() for stream in streams))
        await asyncio.sleep(0.5)  # until all their windows are full
        for size in (10, 5 * MIB):
            watch = Stopwatch()
            assert len(await transport.unary(CALL, bytes(size))) == size
            assert watch.seconds < 2
        for stream in streams:
            await stream.aclose()


@pytest.fixture
def far(wire: WireServer) -> Iterator[int]:
    """The server's port at the end of a way of 50 ms there and back."""
    command = [sys.executable, "-m", "tests.support.slow_relay", str(wire.port), "0.025"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as relay:
        assert relay.stdout is not None
        yield int(relay.stdout.readline())
        relay.communicate(timeout=10)


async def test_windows_grow_over_a_long_way(far: int) -> None:
    """With the first window it would be 5 MB a second: 20 seconds."""
    async with transport_to(far) as transport:
        await transport.unary(CALL, b"")
        watch = Stopwatch()
        got = 0
        stream = transport.stream(Call("/test.Test/Count", timeout=30), b'{"n": 1000, "size": 100000}')
        while (item := await stream.read()) is not None:
            got += len(item)
        await stream.aclose()
        took = watch.seconds
    print(f"{got / took / 1e6:.0f} MB/s")
    assert got > 100e6
    assert took < 4


async def test_a_large_answer_over_a_long_way(far: int) -> None:
    async with transport_to(far) as transport:
        await transport.unary(CALL, b"")
        watch = Stopwatch()
        assert len(await transport.unary(Call("/test.Test/Big", timeout=30), b'{"size": 60000000}')) == 60_000_000
        took = watch.seconds
    print(f"{60 / took:.0f} MB/s")
    assert took < 5  # 12 with the first window


# -- servers that leave, refuse, or are not ready yet -----------------------------------------------------------------


@pytest.mark.parametrize("goodbye", ["after the answer", "before the answer", "long before the answer"])
@pytest.mark.parametrize("each", [1, 7, 100])
async def test_goaway_after_each_so_many_requests_loses_no_call(each: int, goodbye: str) -> None:
    answered: Counter[bytes] = Counter()

    def leave(connection: Connection, stream: int, request: Received) -> None:
        if (stream + 1) // 2 > each:
            return  # it said so: nobody processes these
        answered[bytes(request.body)] += 1
        if (stream + 1) // 2 != each:
            connection.echo(stream)
            return
        if goodbye != "after the answer":
            connection.goaway(stream)
        if goodbye == "long before the answer":
            asyncio.get_running_loop().call_later(0.01, connection.echo, stream)
        else:
            connection.echo(stream)
        if goodbye == "after the answer":
            connection.goaway(stream)
        asyncio.get_running_loop().call_later(0.05, connection.transport.close)

    async with StrictServer(leave) as server, transport_to(server.port) as transport:
        bodies = [b"%d" % number for number in range(20 * each)]
        answers = await asyncio.gather(*(transport.unary(CALL, body) for body in bodies))
    assert answers == bodies
    assert set(answered.values()) == {1}
    assert len(server.connections) >= 20


async def test_calls_refused_together_keep_their_order() -> None:
    seen: list[bytes] = []

    def leave(connection: Connection, stream: int, request: Received) -> None:
        if connection.number:
            seen.append(bytes(request.body)[5:])
            connection.echo(stream)
        elif stream == 19:
            connection.goaway(0)

    async with StrictServer(leave) as server, transport_to(server.port) as transport:
        bodies = [b"%d" % number for number in range(10)]
        assert await asyncio.gather(*(transport.unary(CALL, body) for body in bodies)) == bodies
    assert seen == bodies


async def test_goaway_twice_with_a_falling_id_loses_no_call() -> None:
    held: list[tuple[Connection, int]] = []

    def leave(connection: Connection, stream: int, request: Received) -> None:
        if connection.number:
            connection.echo(stream)
            return
        held.append((connection, stream))
        if len(held) == 10:
            connection.goaway(2**31 - 1)
            asyncio.get_running_loop().call_later(0.05, finish, connection)

    def finish(connection: Connection) -> None:
        connection.goaway(5)
        for stream in (1, 3, 5):
            connection.echo(stream)

    async with StrictServer(leave) as server, transport_to(server.port) as transport:
        bodies = [b"%d" % number for number in range(10)]
        assert await asyncio.gather(*(transport.unary(CALL, body) for body in bodies)) == bodies
        await until(lambda: server.lost == 1)
    assert len(server.connections) == 2


async def test_refused_streams_are_sent_anew() -> None:
    refused: set[bytes] = set()

    def refuse(connection: Connection, stream: int, request: Received) -> None:
        if bytes(request.body) in refused:
            connection.echo(stream)
            return
        refused.add(bytes(request.body))
        connection.peer.reset(stream, REFUSED_STREAM)
        connection.flush()

    async with StrictServer(refuse) as server, transport_to(server.port) as transport:
        bodies = [b"%d" % number for number in range(50)]
        assert await asyncio.gather(*(transport.unary(CALL, body) for body in bodies)) == bodies
        assert len(server.requests) == 100


async def test_a_call_that_is_always_refused_fails_as_unsent() -> None:
    def refuse(connection: Connection, stream: int, request: Received) -> None:
        connection.peer.reset(stream, REFUSED_STREAM)
        connection.flush()

    async with StrictServer(refuse) as server, transport_to(server.port) as transport:
        with pytest.raises(UnavailableError) as caught:
            await transport.unary(CALL, b"x")
    assert caught.value.outcome_known
    assert len(server.requests) < 100


async def test_no_call_goes_before_the_servers_settings() -> None:
    """The server is strict: an eleventh call at a time would be a violation."""
    waiting: list[tuple[Connection, int]] = []

    def answer_later(connection: Connection, stream: int, request: Received) -> None:
        asyncio.get_running_loop().call_later(0.01, connection.echo, stream)

    server = StrictServer(answer_later, greeting_delay=0.3, max_concurrent_streams=10)
    async with server, transport_to(server.port) as transport:
        calls = [asyncio.ensure_future(transport.unary(CALL, b"%d" % number)) for number in range(50)]
        await asyncio.sleep(0.15)
        assert server.requests == waiting == []
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(50)]
        assert server.connections[0].most == 10
        assert len(server.connections) == 1


async def test_a_call_that_is_cancelled_before_it_left_is_never_sent() -> None:
    async with StrictServer(greeting_delay=0.3) as server, transport_to(server.port) as transport:
        calls = [asyncio.ensure_future(transport.unary(CALL, b"%d" % number)) for number in range(10)]
        streams = [transport.stream(CALL, b"stream") for _ in range(3)]
        await until(lambda: bool(server.connections))
        for call in calls[::2]:
            call.cancel()
        for stream in streams:
            await stream.aclose()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert done[1::2] == [b"%d" % number for number in range(1, 10, 2)]
        assert sorted(server.bodies) == [b"%d" % number for number in range(1, 10, 2)]


async def test_a_deadline_holds_while_a_call_waits_for_its_turn() -> None:
    async with StrictServer(max_concurrent_streams=0) as server, transport_to(server.port) as transport:
        watch = Stopwatch()
        with pytest.raises(DeadlineExceededError):
            await transport.unary(Call("/a/b", timeout=0.3), b"")
        assert watch.wall >= 0.3
        assert watch.seconds < 1
        assert server.requests == []


async def test_a_call_cancelled_in_the_midst_is_reset_and_frees_its_place() -> None:
    async with (
        StrictServer(lambda *_: None, max_concurrent_streams=1) as server,
        transport_to(server.port) as transport,
    ):
        for number in range(5):
            call = asyncio.ensure_future(transport.unary(CALL, b"%d" % number))
            await until(lambda: len(server.requests) == number + 1)  # noqa: B023
            call.cancel()
            await asyncio.wait([call])
        await until(lambda: server.requests[-1][2].reset == CANCEL)
        assert [request.reset for _, _, request in server.requests] == [CANCEL] * 5


async def test_a_connection_whose_ids_run_out_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LAST_STREAM_ID", 20)
    async with StrictServer() as server, transport_to(server.port) as transport:
        for number in range(50):
            body = b"%d" % number
            assert await transport.unary(Call("/a/b", timeout=2), body) == body
        await until(lambda: server.lost >= 3)
        assert len(server.connections) in (4, 5)


# -- names and addresses ----------------------------------------------------------------------------------------------


class Names:
    """A resolver of one name; it replaces the loop's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
        self.ports = ports
        self.asked: list[float] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self.resolve)

    async def resolve(self, host: str, port: int, **more: Any) -> list[Any]:
        self.asked.append(time.monotonic())
        if not self.ports:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in self.ports]


async def test_a_name_that_moves_is_found_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async with StrictServer() as old, StrictServer() as new:
        names = Names(monkeypatch, old.port)
        async with transport_to(80, "models.test") as transport:
            assert await transport.unary(CALL, b"1") == b"1"
            await transport.unary(CALL, b"2")
            assert len(names.asked) == 1
            old.stop()
            names.ports = (new.port,)
            watch = Stopwatch()
            while not new.requests:
                with contextlib.suppress(UnavailableError):
                    await transport.unary(CALL, b"3")
                await asyncio.sleep(0.01)
            assert watch.seconds < 1.5


async def test_names_are_resolved_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    names = Names(monkeypatch, unused_tcp_port)
    async with transport_to(80, "models.test") as transport:
        end = time.monotonic() + 3.2
        while time.monotonic() < end:
            with pytest.raises(UnavailableError) as caught:
                await transport.unary(CALL, b"")
            assert caught.value.outcome_known
            await asyncio.sleep(0.01)
    gaps = [after - before for before, after in zip(names.asked, names.asked[1:], strict=False)]
    assert 2 <= len(names.asked) <= 4
    assert min(gaps) >= 0.95


async def test_a_name_that_resolves_to_nothing_is_not_asked_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch)
    async with transport_to(80, "models.test") as transport:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with pytest.raises(UnavailableError, match=r"resolving models\.test:80"):
                await transport.unary(CALL, b"")
            await asyncio.sleep(0.001)
    assert len(names.asked) <= 6


async def test_calls_take_turns_over_the_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with StrictServer() as one, StrictServer() as two:
        Names(monkeypatch, one.port, two.port)
        async with transport_to(80, "models.test") as transport:
            await asyncio.sleep(0)
            for number in range(40):
                await transport.unary(CALL, b"%d" % number)
        assert len(one.connections) == len(two.connections) == 1
        assert abs(len(one.requests) - len(two.requests)) < 8


async def test_an_address_that_is_gone_gets_no_more_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with StrictServer() as one, StrictServer() as two:
        names = Names(monkeypatch, one.port, two.port)
        async with transport_to(80, "models.test", dns_min_time_between_resolutions_ms=50) as transport:
            for number in range(10):
                await transport.unary(CALL, b"%d" % number)
            names.ports = (two.port,)
            two.connections[0].goaway(2**31 - 1)  # makes it resolve anew
            await asyncio.sleep(0.2)
            for number in range(10):
                await transport.unary(CALL, b"%d" % number)
            await until(lambda: one.lost == 1)
            before = len(one.requests)
            for number in range(10):
                await transport.unary(CALL, b"%d" % number)
            assert len(one.requests) == before


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["deaf", "mute"])
async def test_connecting_is_bounded_and_counts_as_unsent(request: pytest.FixtureRequest, kind: str) -> None:
    """A black hole, and a port whose server never says a word."""
    async with transport_to(request.getfixturevalue(kind)) as transport:
        watch = Stopwatch()
        with pytest.raises(UnavailableError) as caught:
            await transport.unary(Call("/a/b", timeout=20), b"")
        assert watch.wall > 4
        assert watch.seconds < 6
    assert caught.value.outcome_known


@pytest.mark.parametrize("kind", ["deaf", "mute"])
async def test_connecting_is_bounded_by_the_calls_deadline(request: pytest.FixtureRequest, kind: str) -> None:
    async with transport_to(request.getfixturevalue(kind)) as transport:
        watch = Stopwatch()
        with pytest.raises(DeadlineExceededError):
            await transport.unary(Call("/a/b", timeout=0.5), b"")
        assert watch.seconds < 1


async def test_closing_waits_for_no_connection(deaf: int) -> None:
    async with transport_to(deaf) as transport:
        call = asyncio.ensure_future(transport.unary(CALL, b""))
        await asyncio.sleep(0.05)
        watch = Stopwatch()
    assert watch.seconds < 0.5
    with pytest.raises(ClosedError):
        await call


@pytest.mark.parametrize("host", ["::1", "::1%lo"])
async def test_ipv6_with_and_without_a_zone(host: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with StrictServer().at("::1") as server, transport_to(server.port, host) as transport:
        assert await transport.unary(CALL, b"x") == b"x"
    expected = f"[{host}]:{server.port}".encode()
    assert dict(server.requests[0][2].headers)[b":authority"] in (expected, expected.replace(b"%lo", b""))


# -- keepalive --------------------------------------------------------------------------------------------------------


async def test_a_server_that_stops_answering_is_found() -> None:
    async with StrictServer(lambda *_: None) as server:
        async with transport_to(server.port, keepalive_time_ms=300, keepalive_timeout_ms=300) as transport:
            call = asyncio.ensure_future(transport.unary(CALL, b""))
            await until(lambda: bool(server.requests))
            server.connections[0].transport.pause_reading()
            watch = Stopwatch()
            with pytest.raises(UnavailableError, match="keepalive"):
                await call
            assert watch.seconds < 2


async def test_too_many_pings_doubles_the_interval() -> None:
    """Each connection's first PING is one too many for this server."""

    def complain(connection: Connection) -> None:
        connection.goaway(2**31 - 1, ENHANCE_YOUR_CALM, b"too_many_pings")
        connection.transport.close()

    async with StrictServer(lambda *_: None) as server:
        server.on_ping = complain
        async with transport_to(server.port, keepalive_time_ms=200, keepalive_timeout_ms=5000) as transport:
            for _ in range(3):
                with pytest.raises(UnavailableError, match="too_many_pings"):
                    await transport.unary(CALL, b"")
            intervals = [each.pings[0] - each.begun for each in server.connections if each.pings]
    assert len(intervals) == 3
    for interval, expected in zip(intervals, (0.2, 0.4, 0.8), strict=True):
        assert expected * 0.9 < interval < expected + 0.15


async def test_an_idle_connection_is_closed_and_opened_again() -> None:
    async with StrictServer() as server, transport_to(server.port, client_idle_timeout_ms=200) as transport:
        await transport.unary(CALL, b"1")
        await until(lambda: server.lost == 1, within=2)
        assert await transport.unary(CALL, b"2") == b"2"
        assert len(server.connections) == 2


# -- event loops ------------------------------------------------------------------------------------------------------


async def some_of_each(port: int) -> None:
    """Calls of all kinds, a cancel and a deadline."""

    async def items() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number
            await asyncio.sleep(0)

    async with transport_to(port) as transport:
        assert await asyncio.gather(*(transport.unary(CALL, b"%d" % n) for n in range(100))) == [
            b"%d" % n for n in range(100)
        ]
        assert len(await read_all(transport.stream(Call("/test.Test/Count"), b'{"n": 2000, "size": 10}'))) == 2000
        assert await transport.unary(Call("/test.Test/Sum"), items()) == b"10"
        assert await read_all(transport.stream(Call("/test.Test/Chat"), items())) == [b"0", b"1", b"2", b"3", b"4"]
        assert len(await transport.unary(CALL, bytes(3 * MIB))) == 3 * MIB
        with pytest.raises(DeadlineExceededError):
            await transport.unary(Call("/test.Test/Sleep", timeout=0.1), b'{"seconds": 60}')
        call = asyncio.ensure_future(transport.unary(Call("/test.Test/Sleep"), b'{"seconds": 60}'))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_on_uvloop(wire: WireServer) -> None:
    uvloop = pytest.importorskip("uvloop")

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(some_of_each(wire.port))

    await asyncio.to_thread(run)


async def test_in_debug_mode(wire: WireServer, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.get_running_loop().set_debug(True)
    await some_of_each(wire.port)
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_with_eager_tasks(wire: WireServer) -> None:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    await some_of_each(wire.port)


# -- hostile servers --------------------------------------------------------------------------------------------------

HANG = ["sleep", 3600]


def send(data: bytes) -> list[Any]:
    return ["send", data.decode("latin-1")]


def repeat(data: bytes, times: int) -> list[Any]:
    return ["repeat", data.decode("latin-1"), times]


BOMB = zlib.compress(bytes(200 * MIB), 9, 31)
PING = raw.frame(raw.PING, bytes(8), stream=0)
HOSTILE: dict[str, list[list[Any]]] = {
    "PING flood": [repeat(PING, 1_000_000), HANG],
    "SETTINGS flood": [repeat(raw.frame(raw.SETTINGS, stream=0), 1_000_000), HANG],
    "large SETTINGS": [repeat(raw.frame(raw.SETTINGS, b"\0\4\0\1\0\0" * 300, stream=0), 100_000), HANG],
    "rapid reset": [repeat(raw.frame(raw.RST_STREAM, b"\0\0\0\2"), 1_000_000), HANG],
    "CONTINUATION without end": [
        send(raw.frame(raw.HEADERS, raw.block(*raw.HEAD))),
        repeat(raw.frame(raw.CONTINUATION, raw.block(("x", "y"))), 1_000_000),
        HANG,
    ],
    "empty CONTINUATION without end": [
        send(raw.frame(raw.HEADERS, raw.block(*raw.HEAD))),
        repeat(raw.frame(raw.CONTINUATION), 1_000_000),
        HANG,
    ],
    "informational heads without end": [repeat(raw.headers((":status", "100")), 1_000_000), HANG],
    "names of no length": [
        send(raw.frame(raw.HEADERS, raw.block(*raw.HEAD) + b"\0\0\0" * 5000, raw.END_HEADERS)),
        HANG,
    ],
    "empty DATA without end": [send(raw.head()), repeat(raw.frame(raw.DATA), 1_000_000), HANG],
    "padding without end": [
        send(raw.head()),
        repeat(raw.frame(raw.DATA, b"\xff" + bytes(255), raw.PADDED), 1_000_000),
        HANG,
    ],
    "DATA of no stream": [repeat(raw.frame(raw.DATA, b"x" * 100, stream=0), 1000), HANG],
    "DATA on an unknown stream": [send(raw.frame(raw.DATA, b"x", stream=77)), HANG],
    "window overflow": [send(raw.frame(raw.WINDOW_UPDATE, b"\x7f\xff\xff\xff", stream=0) * 2), HANG],
    "window overflow of a stream": [send(raw.frame(raw.WINDOW_UPDATE, b"\x7f\xff\xff\xff") * 2), HANG],
    "more than the window": [
        send(raw.head() + raw.frame(raw.DATA, b"\0\3\xff\xff\xff")),
        repeat(raw.frame(raw.DATA, bytes(16_000)), 100_000),
        HANG,
    ],
    "trailers without data": [send(raw.head() + raw.trailers()), HANG],
    "trailers alone": [send(raw.headers(*raw.HEAD, ("grpc-status", "0"), end=True)), HANG],
    "gzip bomb": [
        send(raw.head(("grpc-encoding", "gzip")) + raw.frame(raw.DATA, struct.pack(">BI", 1, len(BOMB)))),
        *[send(raw.frame(raw.DATA, BOMB[start : start + 16_000])) for start in range(0, len(BOMB), 16_000)],
        send(raw.trailers()),
        HANG,
    ],
    "size updates": [send(raw.frame(raw.HEADERS, b"\x20" * 16_000, raw.END_HEADERS) * 4), HANG],
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_servers_cost_one_call_and_little_else(name: str) -> None:
    async with Http2Server(HOSTILE[name]) as server:
        async with transport_to(server.port) as transport:
            forget_peak()
            before, watch = peak(), Stopwatch()
            with pytest.raises(RemoteCallError) as caught:
                await transport.unary(Call("/a/b", timeout=15), b"x")
            assert watch.seconds < 5
            assert peak() - before < 150 * MIB  # twice the largest message, and some
            assert len(str(caught.value)) < 500
            await server.behave()
            await asyncio.sleep(0.3)  # the pause after a connection that failed
            assert await transport.unary(CALL, b"x") == b"well"


async def test_a_message_in_frames_of_two_bytes_takes_its_size() -> None:
    size = 2 * MIB
    steps = [
        send(raw.head() + raw.frame(raw.DATA, struct.pack(">BI", 0, size))),
        repeat(raw.frame(raw.DATA, b"xy"), size // 2),
        send(raw.trailers()),
        HANG,
    ]
    async with Http2Server(steps) as server, transport_to(server.port) as transport:
        forget_peak()
        before = peak()
        answer = await transport.unary(Call("/a/b", timeout=40), b"")
        assert answer == b"xy" * (size // 2)
        assert peak() - before < 30 * MIB


class Deaf(asyncio.Protocol):
    """A server that takes an upload of any size, reads little of it, and asks for replies meanwhile."""

    def __init__(self, asks: bytes) -> None:
        self.asks = asks
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        wide = raw.frame(raw.SETTINGS, b"\0\4\x7f\xff\xff\xff", stream=0)
        transport.write(wide + raw.frame(raw.WINDOW_UPDATE, b"\x7f\xff\0\0", stream=0))

    def data_received(self, data: bytes) -> None:
        if len(data) > 10_000:  # the upload is on its way
            self.transport.pause_reading()
            self.loop.call_later(0.5, self.ask, 20)

    def ask(self, times: int) -> None:
        if times and not self.transport.is_closing():
            self.transport.write(self.asks * 200)
            self.loop.call_later(0.02, self.ask, times - 1)


@pytest.mark.parametrize("asks", [PING, raw.frame(raw.SETTINGS, stream=0)], ids=["PING", "SETTINGS"])
async def test_a_server_that_stops_reading_while_it_asks(asks: bytes) -> None:
    """What it is owed does not pile up: the connection ends, and the call does not wait for its deadline."""
    made: list[Deaf] = []

    def accept() -> Deaf:
        made.append(Deaf(asks))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    try:
        async with transport_to(server.sockets[0].getsockname()[1]) as transport:
            watch = Stopwatch()
            with pytest.raises(UnavailableError):
                await transport.unary(Call("/a/b", timeout=15), bytes(50 * MIB))
            assert watch.seconds < 5
    finally:
        server.close()
        for each in made:
            each.transport.abort()


async def test_a_window_that_never_opens_holds_the_deadline_and_nothing_else() -> None:
    async with StrictServer(initial_window_size=0) as server, transport_to(server.port) as transport:
        watch = Stopwatch()
        calls = [transport.unary(Call("/a/b", timeout=0.5), bytes(100)) for _ in range(20)]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in done} == {DeadlineExceededError}
        assert watch.seconds < 1.5
        await until(lambda: all(request.reset == CANCEL for _, _, request in server.requests))


async def test_a_window_of_one_byte() -> None:
    async with StrictServer(initial_window_size=1) as server, transport_to(server.port) as transport:
        assert await transport.unary(CALL, b"x" * 2000) == b"x" * 2000
        assert len(server.requests) == 1


async def test_an_answer_of_two_messages_to_a_unary_call() -> None:
    def twice(connection: Connection, stream: int, request: Received) -> None:
        connection.peer.answer(stream, message(b"1") + message(b"2"))

    async with StrictServer(twice) as server, transport_to(server.port) as transport:
        with pytest.raises(InvalidResponseError):
            await transport.unary(CALL, b"")


async def test_metadata_over_the_servers_limit_is_not_sent() -> None:
    async with StrictServer(max_header_list_size=1000) as server, transport_to(server.port) as transport:
        with pytest.raises(RemoteClientError) as caught:
            await transport.unary(Call("/a/b", (("x", "y" * 1000),)), b"")
        assert getattr(caught.value, "outcome_known", False)
        for size in range(480, 700, 3):  # around the limit, whatever else there is in a head
            with contextlib.suppress(RemoteCallError):
                await transport.unary(Call("/a/b", (("x", "y" * size),), timeout=5), b"")
        sizes = [
            sum(len(name) + len(value) + 32 for name, value in request.headers) for _, _, request in server.requests
        ]
        assert max(sizes) <= 1000
        assert max(sizes) > 900


async def test_calls_that_ended_while_they_waited_keep_nothing() -> None:
    """One call with a long deadline waits for a stream; those that came after it, and went, are no more."""
    async with StrictServer(max_concurrent_streams=0) as server, transport_to(server.port) as transport:
        first = asyncio.ensure_future(transport.unary(CALL, b"x"))
        await until(lambda: bool(server.connections))
        forget_peak()
        before = peak()
        for number in range(150):
            call = asyncio.ensure_future(transport.unary(CALL, bytes((number,)) * MIB))
            await asyncio.sleep(0.001)
            call.cancel()
            await asyncio.wait([call])
        assert peak() - before < 50 * MIB
        first.cancel()
        await asyncio.wait([first])


@pytest.mark.parametrize("end", ["GOAWAY", "close", "reset"])
async def test_a_server_that_leaves_at_once_is_not_stormed(end: str) -> None:
    """Connections that were made and never carried a call count as failed ones: there is a pause between them."""

    def leave(transport: asyncio.Transport) -> None:
        transport.write(raw.frame(raw.SETTINGS, stream=0))
        if end == "GOAWAY":
            transport.write(raw.frame(raw.GOAWAY, bytes(8), stream=0))
        elif end == "close":
            transport.close()
        else:
            transport.abort()

    class Leaving(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            made.append(transport)
            leave(transport)

    made: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(Leaving, "127.0.0.1", 0)
    try:
        async with transport_to(server.sockets[0].getsockname()[1]) as transport:
            end_at = time.monotonic() + 2
            while time.monotonic() < end_at:
                with pytest.raises(RemoteCallError):
                    await transport.unary(Call("/a/b", timeout=0.5), b"")
                await asyncio.sleep(0.01)
        assert len(made) < 40
    finally:
        server.close()
        for each in made:
            each.abort()
