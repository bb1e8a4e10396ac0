"""What stands between clients and a runtime, and answers some requests itself: a relay of gRPC or HTTP/1.1 requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, cast

import grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError

from .http_server import Request, plain, read_body, read_head

PAGE = b"<html><head><title>Bad Gateway</title></head><body><hr>edge</body></html>"
RESETS = {each.name: each for each in ErrorCodes}
Fault = str | None


class Edge(ABC):
    """Relays requests to a port; an async context manager.

    Attributes:
        faults: a method's or route's end -> what becomes of its next requests, one each: a status that a page comes
            with, `end` or `reset` of the connection, `silence`; over gRPC a status by its name, which is told as soon
            as the call begins, or a `RST_STREAM`'s code; None relays.
        delay: seconds before a request is relayed.
        seen: how many requests of each method or route came.
        most: requests that waited for an answer at a time, at most.
    """

    def __init__(self, to: int) -> None:
        self.to = to
        self.faults: dict[str, list[Fault]] = {}
        self.delay = 0.0
        self.seen: Counter[str] = Counter()
        self.most = self.waiting = 0
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await self._listen()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @abstractmethod
    async def _listen(self) -> asyncio.Server: ...

    @abstractmethod
    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None: ...

    def arrived(self, name: str, headers: Iterable[tuple[str, str]]) -> Fault:
        """Count a request that has come; what is to become of it."""
        self.seen[name] += 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        for end, faults in self.faults.items():
            if name.endswith(end) and faults:
                return faults.pop(0)
        return None

    def requests(self, end: str) -> int:
        """How many requests came of the one whose name ends so; of several, such as reflection's versions, the most."""
        return max((count for name, count in self.seen.items() if name.endswith(end)), default=0)


def _end(transport: asyncio.Transport, fault: Fault) -> None:
    if fault == "reset":
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


# -- gRPC -------------------------------------------------------------------------------------------------------------


class GrpcEdge(Edge):
    """Of each client's connection it makes one to the runtime, with the same streams."""

    async def _listen(self) -> asyncio.Server:
        self.sides: set[_Side] = set()
        return await asyncio.get_running_loop().create_server(lambda: _Front(self), "127.0.0.1", 0)

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.close()
        sides = list(self.sides)
        for each in sides:
            each.close()
        await asyncio.gather(*(each.closed.wait() for each in sides))


class _Side(asyncio.Protocol):
    """One of a pair of connections; each passes on what it gets."""

    def __init__(self, edge: GrpcEdge, *, client: bool) -> None:
        self.edge = edge
        self.http2 = H2Connection(H2Configuration(client_side=client, header_encoding=None))
        self.http2.initiate_connection()
        self.transport: asyncio.Transport | None = None
        self.other: _Side
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.edge.sides.add(self)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.edge.sides.discard(self)
        self.closed.set()
        self.other.close()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def flush(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(self.http2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            with contextlib.suppress(ProtocolError):  # the stream is over at the other side
                self.happened(event)
        self.flush()
        self.other.flush()

    def happened(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self.http2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            data = event.data or b""
            for at in range(0, len(data), self.other.http2.max_outbound_frame_size):
                piece = data[at : at + self.other.http2.max_outbound_frame_size]
                self.other.http2.send_data(event.stream_id or 0, piece)
        elif isinstance(event, StreamEnded):
            self.other.http2.end_stream(event.stream_id or 0)
        elif isinstance(event, StreamReset):
            self.other.http2.reset_stream(event.stream_id or 0, event.error_code or 0)


class _Front(_Side):
    """The client's side."""

    def __init__(self, edge: GrpcEdge) -> None:
        super().__init__(edge, client=False)
        self.other = _Back(edge, self)
        self._kept: dict[int, str] = {}
        """Streams that are not relayed, and what becomes of them once the request is here."""
        self._early: dict[int, list[Event]] = {}
        """What came of streams that are relayed later."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(loop.create_connection(lambda: self.other, "127.0.0.1", self.edge.to))

    def happened(self, event: Event) -> None:
        stream = int(getattr(event, "stream_id", None) or 0)
        if isinstance(event, RequestReceived):
            headers = {key.decode(): value.decode("latin-1") for key, value in event.headers}
            fault = self.edge.arrived(headers[":path"], headers.items())
            if fault is not None and fault in grpc.StatusCode.__members__:
                self._refuse(stream, grpc.StatusCode[fault])
            elif fault is None:
                self._early[stream] = [event]
                asyncio.get_running_loop().call_later(self.edge.delay, self._relay, stream)
            else:
                self._kept[stream] = fault
        elif stream in self._early:
            self._early[stream].append(event)
        elif stream in self._kept:
            if isinstance(event, DataReceived):
                self.http2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            elif isinstance(event, StreamEnded):
                self._fail(stream, self._kept[stream])
        else:
            super().happened(event)

    def _relay(self, stream: int) -> None:
        request, *more = self._early.pop(stream)
        assert isinstance(request, RequestReceived)
        with contextlib.suppress(ProtocolError):
            self.other.http2.send_headers(stream, request.headers)
            for each in more:
                super().happened(each)
        self.flush()
        self.other.flush()

    def _refuse(self, stream: int, status: grpc.StatusCode) -> None:
        self.edge.waiting -= 1
        told = [("grpc-status", str(status.value[0])), ("grpc-message", "the edge lets no such call through")]
        head = [(":status", "200"), ("content-type", "application/grpc"), *told]
        self.http2.send_headers(stream, head, end_stream=True)
        self._kept[stream] = "silence"  # whatever more comes of the request

    def _fail(self, stream: int, fault: str) -> None:
        assert self.transport is not None
        if fault == "silence":
            return
        self.edge.waiting -= 1
        if fault.isdecimal():
            head = [(":status", fault), ("content-type", "text/html"), ("content-length", str(len(PAGE)))]
            self.http2.send_headers(stream, head)
            self.http2.send_data(stream, PAGE, end_stream=True)
        elif fault in RESETS:
            self.http2.reset_stream(stream, RESETS[fault])
        else:
            _end(self.transport, fault)


class _Back(_Side):
    """The runtime's side."""

    def __init__(self, edge: GrpcEdge, front: _Front) -> None:
        super().__init__(edge, client=True)
        self.other = front
        self._answered: set[int] = set()
        self._ended: set[int] = set()

    def happened(self, event: Event) -> None:
        stream = int(getattr(event, "stream_id", None) or 0)
        if isinstance(event, ResponseReceived | TrailersReceived):
            if stream not in self._answered:
                self._answered.add(stream)
                self.edge.waiting -= 1
            if event.stream_ended is not None:
                self._ended.add(stream)
            self.other.http2.send_headers(stream, event.headers, end_stream=event.stream_ended is not None)
        elif stream not in self._ended:  # else the end was told: h2 answers a second one with a reset
            super().happened(event)


# -- HTTP -------------------------------------------------------------------------------------------------------------


class HttpEdge(Edge):
    """Keeps connections with clients, and makes one to the runtime for each request."""

    async def _listen(self) -> asyncio.Server:
        self._tasks: set[asyncio.Task[None]] = set()
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.close()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def target(self) -> str:
        return f"http://{super().target}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while (request := await read_head(reader)) is not None:
                    request.body = await read_body(reader, request)
                    fault = self.came(request)
                    await (self._relay(request, writer) if fault is None else self._fail(writer, fault))
                    if writer.transport.is_closing():
                        return
            finally:
                writer.transport.abort()

    def came(self, request: Request) -> Fault:
        """Count a request that has come; what is to become of it."""
        return self.arrived(request.key, request.headers)

    def route(self, target: str) -> str:
        """The target that the runtime is asked for."""
        return target

    async def _relay(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.delay)
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        try:
            lines = [f"{request.method} {self.route(request.target)} HTTP/1.1", f"content-length: {len(request.body)}"]
            left_out = ("connection", "content-length", "transfer-encoding")
            lines += [f"{name}: {value}" for name, value in request.headers if name.lower() not in left_out]
            back.write("\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1") + request.body)
            data = await there.read(1 << 16)
            self.waiting -= 1
            while data:
                writer.write(data)
                data = await there.read(1 << 16)
            await writer.drain()
        finally:
            back.transport.abort()
        writer.close()

    async def _fail(self, writer: asyncio.StreamWriter, fault: str) -> None:
        if fault == "silence":
            await asyncio.Event().wait()
        self.waiting -= 1
        if fault.isdecimal():
            writer.write(plain(PAGE, int(fault), {"content-type": "text/html"}))
        else:
            _end(cast(asyncio.Transport, writer.transport), fault)


def edge(protocol: str, to: int) -> Edge:
    """An edge before a server of that protocol."""
    kinds: dict[str, Any] = {"grpc": GrpcEdge, "http": HttpEdge}
    made: Edge = kinds[protocol](to)
    return made
