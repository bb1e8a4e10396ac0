"""The gRPC engine at awkward moments: refusals, ends of connections, odd answers, cancellation, errors of users."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client._calls.caller import Caller
from remote_client._calls.stream import RemoteStream
from remote_client._transport.call import Call
from remote_client._transport.engine import open_connections
from remote_client._transport.grpc import exchange
from remote_client._transport.grpc.frames import REFUSED_STREAM
from remote_client._transport.net.addresses import resolve
from remote_client._transport.net.connect import connect
from remote_client._transport.net.connection import Connection as BaseConnection
from remote_client._transport.net.proxy import Route
from remote_client.errors import ClosedError, DeadlineExceededError, ResourceExhaustedError, UnavailableError
from remote_client.settings import CallOptions, ConnectionInfo, ConnectionTlsInfo, RetryPolicy
from tests.support import http2 as raw
from tests.support.clock import Stopwatch
from tests.support.h2_model import HEAD, Received
from tests.support.http2 import Http2Server
from tests.support.runtime import free_port
from tests.support.strict_h2 import Connection, StrictServer, message
from tests.wire.test_grpc_engine import CALL, read_all, transport_to, until

KIB, MIB = 1 << 10, 1 << 20


def parts(body: bytes | bytearray) -> list[bytes]:
    """The messages of a request's body."""
    found = []
    while body:
        size = int.from_bytes(body[1:5])
        found.append(bytes(body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def script(data: bytes) -> list[str]:
    """The step that sends bytes."""
    return ["send64", base64.b64encode(data).decode()]


class Items(AsyncIterator[bytes]):
    """A streamed input that a test feeds; None ends it, once."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __anext__(self) -> bytes:
        item = await self.queue.get()
        if item is None:
            raise StopAsyncIteration
        return item

    def put(self, *items: bytes | None) -> None:
        for item in items:
            self.queue.put_nowait(item)


# -- refusals ---------------------------------------------------------------------------------------------------------


async def test_a_refused_upload_that_goes_on_meanwhile_loses_no_message() -> None:
    items = Items()
    async with StrictServer() as server, transport_to(server.port) as transport:
        answers = asyncio.ensure_future(read_all(transport.stream(CALL, items)))
        items.put(b"first")
        await until(lambda: bool(server.requests) and parts(server.requests[0][2].body) == [b"first"])
        connection, stream, _ = server.requests[0]
        connection.peer.change(max_concurrent_streams=0)
        connection.peer.reset(stream, REFUSED_STREAM)
        connection.flush()
        await asyncio.sleep(0.05)
        items.put(bytes(100 * KIB), b"last", None)
        await asyncio.sleep(0.05)
        connection.peer.change(max_concurrent_streams=10)
        connection.flush()
        await asyncio.wait_for(answers, 5)
        assert parts(server.requests[1][2].body) == [b"first", bytes(100 * KIB), b"last"]


@pytest.mark.parametrize("size", [10, 50 * KIB])
async def test_a_refused_upload_that_was_over_is_not_asked_for_more(size: int) -> None:
    items = Items()
    async with StrictServer(lambda *_: None) as server, transport_to(server.port) as transport:
        answers = asyncio.ensure_future(read_all(transport.stream(CALL, items)))
        items.put(b"first", bytes(size), None, b"after the end", None)
        await until(lambda: bool(server.requests) and server.requests[0][2].ended)
        server.handler = lambda connection, stream, _: connection.echo(stream)
        connection, stream, _ = server.requests[0]
        connection.peer.reset(stream, REFUSED_STREAM)
        connection.flush()
        await asyncio.wait_for(answers, 5)
        assert parts(server.requests[1][2].body) == [b"first", bytes(size)]
        assert items.queue.qsize() == 2


async def test_an_upload_that_waits_for_the_socket_goes_on_beside_another() -> None:
    def widen(connection: Connection) -> None:
        connection.peer.connection.increment_flow_control_window(1 << 30)
        connection.flush()

    first, second = Items(), Items()
    async with (
        StrictServer(initial_window_size=1 << 30) as server,
        transport_to(server.port) as transport,
    ):
        await transport.unary(CALL, b"")
        (connection,) = server.connections
        widen(connection)
        await transport.unary(CALL, b"")
        server.handler = lambda connection, stream, _: connection.peer.answer(stream, message(b"well"))
        calls = [asyncio.ensure_future(read_all(transport.stream(CALL, each))) for each in (first, second)]
        second.put(b"x")
        await until(lambda: len(server.requests) == 4)
        connection.transport.pause_reading()
        first.put(*[bytes(200 * KIB)] * 100, None)
        await asyncio.sleep(0.3)
        second.put(bytes(20 * KIB), None)
        await asyncio.sleep(0.1)
        connection.transport.resume_reading()
        await asyncio.wait_for(asyncio.gather(*calls), 10)


# -- ends of connections ----------------------------------------------------------------------------------------------


async def test_a_call_that_comes_as_the_server_hangs_up_is_sent_on_another_connection() -> None:
    """It finds a connection whose end was read and not told yet: nothing may be sent there."""

    def hang_up(connection: Connection, stream: int, request: Received) -> None:
        connection.echo(stream)
        connection.transport.close()

    call = Call("/a/b", timeout=5, idempotent=False)
    async with StrictServer(hang_up) as server, transport_to(server.port) as transport:
        for number in range(20):
            assert await transport.unary(call, b"%d" % number) == b"%d" % number
        assert server.bodies == [b"%d" % number for number in range(20)]


async def test_a_server_that_leaves_at_once_is_not_dialled_without_a_pause() -> None:
    greeting = [script(raw.frame(raw.SETTINGS, stream=0) + raw.frame(raw.GOAWAY, bytes(8), stream=0))]
    connections = 0

    class Leaving(Http2Server):
        def _accept(self, *each: Any) -> None:
            nonlocal connections
            connections += 1
            super()._accept(*each)

    async with Leaving(greeting=greeting) as server, transport_to(server.port) as transport:
        watch = Stopwatch()
        with pytest.raises(UnavailableError) as caught:
            await transport.unary(Call("/a/b", timeout=2), b"")
        assert watch.seconds < 1
        assert caught.value.outcome_known
        assert connections < 10


async def test_a_name_that_no_certificate_can_have_is_told(tmp_path: Any) -> None:
    from remote_client._transport.grpc.transport import GrpcTransport
    from remote_client._transport.grpc_options import GrpcOptions
    from remote_client.errors import ClosedError, RemoteCallError
    from remote_client.settings import ConnectionInfo, ConnectionTlsInfo

    async with Http2Server() as server:
        connection = ConnectionInfo(
            hostname="127.0.0.1",
            port=server.port,
            tls=ConnectionTlsInfo(enabled=True),
            options={"grpc.ssl_target_name_override": "a..b"},
        )
        transport = GrpcTransport(connection, GrpcOptions.of(connection))
        watch = Stopwatch()
        with pytest.raises(RemoteCallError):
            await transport.unary(Call("/a/b", timeout=3), b"")
        assert watch.seconds < 1
        await transport.aclose(ClosedError)


async def test_connecting_that_is_given_up_as_the_handshake_ends_is_over_at_once(tmp_path: Path) -> None:
    """The server reads nothing more, and so does not answer TLS's goodbye."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    accepted: list[asyncio.Transport] = []

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            accepted.append(transport)
            transport.pause_reading()

    made: list[asyncio.BaseTransport] = []

    class Seen(BaseConnection):
        """A connection that tells when it is made, and when it is lost."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            assert self.transport is not None
            made.remove(self.transport)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Deaf, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    tls = ConnectionTlsInfo(enabled=True, ca_file=str(tmp_path / "ca.pem"))
    route = Route.to(ConnectionInfo(hostname="127.0.0.1", port=port, tls=tls), "grpc")
    addresses = await resolve("127.0.0.1", port)
    connecting = asyncio.ensure_future(connect(lambda: Seen(loop), addresses, route))
    while not made:
        await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait([connecting])
    assert connecting.cancelled()
    await until(lambda: not made, within=1)
    server.close()
    for each in accepted:
        each.abort()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("host", ["127.0.0.1", "unix:/no/such/socket"])
async def test_with_eager_tasks_a_refused_connection_is_told(host: str, unused_tcp_port: int) -> None:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    async with transport_to(None if "/" in host else unused_tcp_port, host) as transport:
        for _ in range(3):
            with pytest.raises(UnavailableError, match="failed to connect"):
                await transport.unary(Call("/a/b", timeout=2), b"")


async def test_a_resolver_that_raises_anything_is_asked_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def resolve(*_: Any, **more: Any) -> None:
        nonlocal asked
        asked += 1
        raise ValueError("no such thing")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with transport_to(80, "models.test") as transport:
        with pytest.raises(UnavailableError, match="no such thing"):
            await transport.unary(Call("/a/b", timeout=2), b"")
    assert asked < 5


async def test_an_answer_that_nobody_can_handle_leaves_no_call_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with our own code: asyncio tells it, and closes the connection."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    held: list[tuple[Connection, int]] = []

    def answer_together(connection: Connection, stream: int, request: Received) -> None:
        held.append((connection, stream))
        if len(held) == 3:
            for connection, stream in held:
                connection.peer.answer(stream, b"")

    monkeypatch.setattr(exchange, "read_trailers", fail)
    async with StrictServer(answer_together) as server, transport_to(server.port) as transport:
        calls = [transport.unary(Call("/a/b", timeout=2), b"") for _ in range(3)]
        for failure in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(failure, UnavailableError)
    assert [type(each) for each in told] == [ZeroDivisionError]


# -- answers that are no good -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["1" + "0" * 400, "1" + "0" * 5000, "-1", "x", "9" * 20])
async def test_a_pushback_of_any_size_is_read(told: str, caplog: pytest.LogCaptureFixture) -> None:
    steps = [script(raw.head() + raw.trailers("14", ("grpc-retry-pushback-ms", told)))]
    async with Http2Server(steps) as server, transport_to(server.port) as transport:
        watch = Stopwatch()
        with pytest.raises(UnavailableError):
            await transport.unary(Call("/a/b", timeout=2), b"")
        assert watch.seconds < 1
    assert not caplog.records


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.001, 0.999, 1e9, 1e18, 1e300])
async def test_a_timeout_of_any_length_counts(seconds: float) -> None:
    async with StrictServer() as server, transport_to(server.port) as transport:
        await transport.unary(CALL, b"")
        with contextlib.suppress(DeadlineExceededError):
            assert await transport.unary(Call("/a/b", timeout=seconds), b"x") == b"x"
        with contextlib.suppress(DeadlineExceededError):
            stream = transport.stream(Call("/a/b", timeout=seconds, total_timeout=seconds), b"x")
            assert await asyncio.wait_for(read_all(stream), 5) == [b"x"]


# -- streams that are closed or fail before they began ---------------------------------------------------------------


class Codec:
    def decode(self, data: bytes, output: str) -> bytes:
        return data


class Method:
    """What a `RemoteStream` knows of its method."""

    name, task, path, codec, input_streaming = "Echo", "", "/test.Test/Echo", Codec(), False


@contextlib.asynccontextmanager
async def caller_to(port: int, max_pending: int = 256, **options: Any) -> AsyncIterator[Caller]:
    connections = open_connections(ConnectionInfo(hostname="127.0.0.1", port=port, max_pending=max_pending), "grpc")
    try:
        yield Caller(connections, model_key="model", model=None, options=CallOptions(**options))
    finally:
        await connections.aclose()


@pytest.mark.parametrize("enter", [False, True])
@pytest.mark.parametrize("waits_for", ["its metadata", "its method"])
async def test_a_stream_that_is_closed_before_it_could_begin_sends_nothing(waits_for: str, enter: bool) -> None:
    gate = asyncio.Event()

    async def metadata() -> dict[str, str]:
        await gate.wait()
        return {}

    async def prepare() -> Any:
        await gate.wait()
        return Method(), b"x"

    async def read() -> list[bytes]:
        if enter:
            await stream.__aenter__()
        return [item async for item in stream]

    slow = waits_for == "its metadata"
    async with (
        StrictServer() as server,
        caller_to(server.port, metadata=(metadata,) if slow else ()) as caller,
    ):
        stream: RemoteStream[bytes] = RemoteStream(caller, Method(), b"x" if slow else prepare)  # type: ignore[arg-type]
        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0.02)
        await stream.aclose()
        gate.set()
        with contextlib.nullcontext() if enter else pytest.raises(ClosedError):
            assert await asyncio.wait_for(reading, 5) == []
        assert server.requests == []
        assert (caller.connections.pending.count, caller.connections.health.in_flight) == (0, 0)


async def test_a_stream_that_waits_for_its_next_attempt_holds_no_place() -> None:
    def refuse_streams(connection: Connection, stream: int, request: Received) -> None:
        if b"stream" in request.body:
            request.answered = 2
            status = [(b"grpc-status", b"14"), (b"grpc-retry-pushback-ms", b"3000")]
            connection.peer.connection.send_headers(stream, [*HEAD, *status], end_stream=True)
        else:
            connection.peer.answer(stream, bytes(request.body))

    async with (
        StrictServer(refuse_streams) as server,
        caller_to(server.port, max_pending=1, timeout=10, retry=RetryPolicy(retries=3)) as caller,
    ):
        stream: RemoteStream[bytes] = RemoteStream(caller, Method(), b"stream")  # type: ignore[arg-type]
        reading = asyncio.ensure_future(anext(stream))
        await until(lambda: bool(server.requests))
        assert await asyncio.wait_for(caller.send("/test.Test/Echo", b"x"), 1) == b"x"
        reading.cancel()
        await asyncio.wait([reading])
        assert (caller.connections.pending.count, caller.connections.health.in_flight) == (0, 0)


async def test_hooks_are_told_of_a_stream_that_could_not_begin() -> None:
    told: list[Any] = []
    async with caller_to(1, hooks=(told.append,)) as caller:
        await caller.connections.aclose()
        with pytest.raises(ClosedError):
            async with RemoteStream(caller, Method(), b"x"):  # type: ignore[arg-type]
                pass
    assert [type(each.error) for each in told[1:]] == [ClosedError]


# -- what users do ----------------------------------------------------------------------------------------------------


async def test_an_input_may_close_its_own_stream() -> None:
    async with StrictServer() as server, transport_to(server.port) as transport:

        async def items() -> AsyncIterator[bytes]:
            yield b"one"
            await stream.aclose()
            yield b"two"

        stream = transport.stream(CALL, items())
        assert await asyncio.wait_for(stream.read(), 5) is None
        await asyncio.wait_for(stream.aclose(), 5)
        await until(lambda: server.requests[0][2].reset is not None)


async def test_a_streamed_message_above_the_limit_is_not_sent() -> None:
    async def items() -> AsyncIterator[bytes]:
        yield b"small"
        yield bytes(2000)

    async with StrictServer() as server, transport_to(server.port, max_send_message_length=1000) as transport:
        with pytest.raises(ResourceExhaustedError, match=r"2000 vs\. 1000"):
            await asyncio.wait_for(read_all(transport.stream(CALL, items())), 5)
        assert all(len(request.body) < 100 for _, _, request in server.requests)


@pytest.mark.parametrize(
    ("hosts", "told"),
    [(["127.0.0.1"], "127.0.0.1:{0}"), (["127.0.0.1", "::1"], "127.0.0.1:{0}, [::1]:{0}")],
)
async def test_addresses_that_all_refuse_are_told_in_a_word(hosts: list[str], told: str) -> None:
    port = free_port()
    addresses = [address for host in hosts for address in await resolve(host, port)]
    with pytest.raises(ConnectionRefusedError) as caught:
        await connect(
            lambda: BaseConnection(asyncio.get_running_loop()),
            addresses,
            Route.to(ConnectionInfo(hostname=hosts[0], port=port), "grpc"),
        )
    assert str(caught.value).endswith(f"] Connection refused ({told.format(port)})")
