"""The benchmarks run, whatever their figures are, and their server speaks HTTP/2 as a strict client wants it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import library
from benchmarks.backend import HOST, Backend, build
from tests.support.slow import slow_but

ROOT = Path(__file__).parent.parent.parent
CASES = [
    "ceiling",
    "sync unary tiny",
    "grpc unary rich, in flight: 32",
    "grpc unary 100 KB",
    "gateway of streams: 50",
    "tls unary tiny, in flight: 32",
    "http events",
    "memory: client, TLS",
    "start: first answer",
    "start: schema",
    "hooks over http, in flight: 1",
    "caikit_module",
    "growth of servers, a call: 10",
    "uvloop: sync unary tiny, threads: 32",
]


QUICK = ["ceiling", "sync unary tiny", "grpc unary rich, in flight: 32", "grpc unary 100 KB", "gateway of streams: 50"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("only", slow_but(QUICK, CASES))
async def test_a_quick_run_tells_every_variant(only: str, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", only, "--json", str(written)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    whole = json.loads(written.read_text())
    figures, left_out = whole["figures"], whole["left out"]
    assert figures or left_out
    assert all(each["case"].startswith(only) and each["value"] > 0 for each in figures)
    assert all(each["cpu"] > 0 for each in figures if each["measure"] == "us")
    assert all(each in told.decode() for each in [*(figure["variant"] for figure in figures), *left_out])


@pytest.mark.slow
async def test_the_parts_of_a_call_add_up() -> None:
    command = [sys.executable, "-m", "benchmarks.bookkeeping", "--rounds", "2", "--task", "Rich"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    cells = [line.strip("| ").split(" | ") for line in told.decode().splitlines()]
    costs = {name: float(cost) for name, cost, *_ in cells[2:] if cost.strip()}
    layers = [costs[name] for name in ("the method", "the request", "the call", "the answer")]
    assert sum(layers) == pytest.approx(costs["all of it"], abs=0.03)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    program = build(str(tmp_path_factory.mktemp("server")))
    if not program.in_c:
        pytest.skip("there is no C compiler")
    with Backend(program, None) as running:
        yield running


class Strict:
    """A client on the h2 library, which raises where the peer breaks a rule."""

    def __init__(
        self, port: int, settings: dict[int, int] | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self._h2 = pytest.importorskip("h2.connection")
        self._events = pytest.importorskip("h2.events")
        self.socket = socket.create_connection((HOST, port), timeout=10)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.connection = self._h2.H2Connection(pytest.importorskip("h2.config").H2Configuration(client_side=True))
        self.connection.initiate_connection()
        if settings:
            self.connection.update_settings(settings)
        self.seen: list[Any] = []

    def __enter__(self) -> Strict:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def call(self, path: str, message: bytes, credit: bool = True) -> Answer:
        """Make a call; `credit` gives windows back as data arrives."""
        stream = self.start(path)
        body = b"\0" + struct.pack(">I", len(message)) + message
        while body:
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            part, body = body[:room], body[room:]
            if part:
                self.connection.send_data(stream, part, end_stream=not body)
                self.flush()
            else:
                self.receive(credit)
        return self.answer(stream, credit)

    def start(self, path: str) -> int:
        stream: int = self.connection.get_next_available_stream_id()
        fixed = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), ("te", "trailers")]
        self.connection.send_headers(stream, [(":path", path), *fixed, ("content-type", "application/grpc")])
        return stream

    def answer(self, stream: int, credit: bool = True) -> Answer:
        while not self.of(self._events.StreamEnded, stream):
            self.receive(credit)
        (head,) = self.of(self._events.ResponseReceived, stream)
        (trailers,) = self.of(self._events.TrailersReceived, stream)
        data = b"".join(each.data for each in self.of(self._events.DataReceived, stream))
        return Answer(dict(head.headers), data, dict(trailers.headers))

    def receive(self, credit: bool = True) -> list[Any]:
        self.flush()
        data = self.socket.recv(1 << 16)
        assert data, "the server hung up"
        events: list[Any] = self.connection.receive_data(data)
        for event in events:
            if credit and isinstance(event, self._events.DataReceived) and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.seen += events
        self.flush()
        return events

    def flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())

    def of(self, kind: type, stream: int | None = None) -> list[Any]:
        """The events so far of a kind."""
        return [each for each in self.seen if isinstance(each, kind) and (stream is None or each.stream_id == stream)]

    def until(self, kind: str) -> Any:
        """Receive until there is an event of a kind."""
        while not (found := self.of(getattr(self._events, kind))):
            self.receive()
        return found[0]


class Answer:
    """The parts of an answer."""

    def __init__(self, head: dict[bytes, bytes], data: bytes, trailers: dict[bytes, bytes]) -> None:
        self.head, self.data, self.trailers = head, data, trailers

    @property
    def messages(self) -> list[bytes]:
        """What the data holds, by its length prefixes."""
        found, rest = [], self.data
        while rest:
            (length,) = struct.unpack(">I", rest[1:5])
            found.append(rest[5 : 5 + length])
            rest = rest[5 + length :]
        return found


TINY = library.text_request("Tiny")
OK = {b"grpc-status": b"0", b"grpc-message": b""}
"""The trailers of a server of grpcio."""
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 3, 4, 5


@pytest.mark.parametrize("table_size", [0, 64, 200, 4096, 65536])
def test_the_server_heeds_the_header_table_of_its_client(backend: Backend, table_size: int) -> None:
    with Strict(backend.grpc_port, {HEADER_TABLE_SIZE: table_size}) as client:
        answers = [client.call(library.rpc("Tiny"), TINY) for _ in range(3)]
    for answer in answers:
        assert answer.messages == [library.encoded("Greeting", library.TINY)]
        assert (answer.head[b":status"], answer.head[b"content-type"]) == (b"200", b"application/grpc")
        assert answer.trailers == OK


def test_the_server_heeds_a_table_that_changes(backend: Backend) -> None:
    with Strict(backend.grpc_port) as client:
        for table_size in (4096, 0, 1000, 4096, 0):
            client.connection.update_settings({HEADER_TABLE_SIZE: table_size})
            assert client.call(library.rpc("Tiny"), TINY).trailers == OK
            assert client.call(library.rpc("Tiny"), TINY).trailers == OK


def test_the_server_acknowledges_settings_and_pings(backend: Backend) -> None:
    with Strict(backend.grpc_port) as client:
        client.connection.ping(b"12345678")
        assert client.until("PingAckReceived").ping_data == b"12345678"
        client.until("SettingsAcknowledged")
        assert client.connection.remote_settings[MAX_CONCURRENT_STREAMS] >= 1000


@pytest.mark.parametrize("window", [1, 1000, 65535, 1 << 24])
def test_the_server_sends_nothing_beyond_a_window(backend: Backend, window: int) -> None:
    task = "Tiny" if window == 1 else "Page"
    with Strict(backend.grpc_port, {INITIAL_WINDOW_SIZE: window}) as client:
        (message,) = client.call(library.rpc(task), library.text_request(task)).messages
    assert len(message) >= (library.PAGE if task == "Page" else 1)


def test_the_server_waits_for_a_window(backend: Backend) -> None:
    with Strict(backend.grpc_port, {INITIAL_WINDOW_SIZE: 0}) as client:
        stream = client.start(library.rpc("Tiny"))
        client.connection.send_data(stream, b"\0" + struct.pack(">I", len(TINY)) + TINY, end_stream=True)
        client.connection.ping(b"12345678")
        client.until("PingAckReceived")
        assert not client.of(client._events.DataReceived)
        client.connection.update_settings({INITIAL_WINDOW_SIZE: 100})
        assert client.answer(stream).messages == [library.encoded("Greeting", library.TINY)]


def test_the_server_sends_frames_up_to_the_limit(backend: Backend) -> None:
    with Strict(backend.grpc_port, {MAX_FRAME_SIZE: 1 << 20, INITIAL_WINDOW_SIZE: 1 << 24}) as client:
        client.connection.increment_flow_control_window(1 << 24)
        answer = client.call(library.rpc("Page"), library.text_request("Page"))
        assert len(client.of(client._events.DataReceived)) == 1
    assert len(answer.messages[0]) > library.PAGE


def test_the_server_gives_windows_back(backend: Backend) -> None:
    blob = library.message("BytesOutTaskRequest")(data=bytes(library.BYTES)).SerializeToString()
    with Strict(backend.grpc_port) as client:
        for _ in range(5):  # more than the windows hold that it gives at first
            answer = client.call(library.rpc("BytesOut"), blob)
    assert answer.messages == [library.encoded("Greeting", library.TINY)]


def test_the_server_paces_the_items_of_a_stream(backend: Backend) -> None:
    with Strict(backend.grpc_port) as client:
        started = time.monotonic()
        answer = client.call(library.rpc("Paced", "ServerStreaming"), library.text_request("Paced"))
        took = time.monotonic() - started
    assert len(answer.messages) == library.PACED_ITEMS
    assert took >= (library.PACED_ITEMS - 1) * library.PAUSE / 1e6
    assert len(client.of(client._events.DataReceived)) == library.PACED_ITEMS


def test_a_stream_that_is_reset_ends_without_harm(backend: Backend) -> None:
    with Strict(backend.grpc_port) as client:
        for _ in range(3):
            stream = client.start(library.rpc("Paced", "ServerStreaming"))
            request = library.text_request("Paced")
            client.connection.send_data(stream, b"\0" + struct.pack(">I", len(request)) + request, end_stream=True)
            client.until("DataReceived")
            client.connection.reset_stream(stream)
        assert client.call(library.rpc("Tiny"), TINY).trailers == OK


def test_an_unknown_method_is_unimplemented(backend: Backend) -> None:
    with Strict(backend.grpc_port) as client:
        assert client.call("/no.Such/Method", TINY).trailers == OK | {b"grpc-status": b"12"}


def test_the_server_speaks_http2_over_tls(backend: Backend) -> None:
    if not backend.secure:
        pytest.skip("the server has no TLS")
    context = ssl.create_default_context(cafile=backend.ca)
    context.set_alpn_protocols(["h2"])
    with Strict(int(backend.secure.rpartition(":")[2]), context=context) as client:
        assert len(client.call(library.rpc("Page"), library.text_request("Page")).messages[0]) > library.PAGE
        assert client.call(library.rpc("Tiny"), TINY).trailers == OK
