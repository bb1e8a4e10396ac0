"""A connection of the strict server: HTTP/2 by the h2 library, which refuses what a client may not send.

What it refuses is a violation, which the server's statistics list. `strict_server` says which faults there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    PingReceived,
    RemoteSettingsChanged,
    RequestReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from .strict_stream import Stream, StrictState

PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
HEADERS, CONTINUATION = 0x1, 0x9
END_HEADERS = 0x4
CONNECTION_WINDOW = 1 << 24
LINGER = 1.0
LAST_ID = 2**31 - 1
MARK = b"goneaway"
"""Of the PING that follows a GOAWAY: whoever answers it has read that."""
_TIMEOUT = re.compile(r"\d{1,8}[HMSmun]")

Headers = list[tuple[str, str]]


def frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each whole frame."""
    start = 0
    while len(data) - start >= 9:
        size = int.from_bytes(data[start : start + 3])
        kind, flags, stream = struct.unpack(">BBI", data[start + 3 : start + 9])
        yield kind, flags, stream, data[start + 9 : start + 9 + size]
        start += 9 + size


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def with_continuations(data: bytes, size: int) -> bytes:
    """The frames of `data`, headers in frames of `size` bytes."""
    made = b""
    for kind, flags, stream, payload in frames(data):
        if kind != HEADERS or len(payload) <= size:
            made += _frame(kind, flags, stream, payload)
            continue
        pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
        made += _frame(HEADERS, flags & ~END_HEADERS, stream, pieces[0])
        for number, piece in enumerate(pieces[1:], 2):
            made += _frame(CONTINUATION, END_HEADERS * (number == len(pieces)), stream, piece)
    return made


class Connection(asyncio.Protocol):
    """One client's connection."""

    transport: asyncio.Transport

    def __init__(self, state: StrictState, identity: str) -> None:
        self.state = state
        self.identity = identity
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.writable = asyncio.Event()
        self.writable.set()
        self._streams: dict[int, Stream] = {}
        self._requests = 0
        self._last: int | None = None
        """The last stream that is served, once that is decided."""
        self._done = False
        """Whether this end has said its last."""
        self._told = False
        """Whether it is told to the client."""
        self._went = False
        """Whether the client knows that the server goes away."""
        self._early: bytearray | None = bytearray()
        """What came before this end said anything."""
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            RequestReceived: self._request,
            DataReceived: self._data,
            StreamEnded: self._ended,
            StreamReset: self._reset,
            TrailersReceived: self._trailers,
            WindowUpdated: self._room,
            RemoteSettingsChanged: self._room,
            SettingsAcknowledged: self._acknowledged,
            PingReceived: self._ping,
            PingAckReceived: self._pong,
            ConnectionTerminated: self._terminated,
        }

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.state.made += 1
        self.state.live.add(self)
        asyncio.get_running_loop().call_later(self.state.faults.get("late", 0), self._greet)

    def _greet(self) -> None:
        self.h2.initiate_connection()
        if settings := self.state.faults.get("settings"):
            self.change(settings)
        self.h2.increment_flow_control_window(self.state.faults.get("connection_window", CONNECTION_WINDOW))
        self.flush()
        early, self._early = self._early or b"", None
        if any(kind == HEADERS for kind, *_ in frames(bytes(early[PREFACE:]))):
            self.violation("a request before the server's SETTINGS")
        self.data_received(bytes(early))

    def change(self, settings: dict[str, int]) -> None:
        """Tell the client of other settings."""
        self.h2.update_settings({SettingCodes[name]: value for name, value in settings.items()})
        # h2 looks at the limit before it reads the acknowledgement that comes in the same piece.
        self.h2.max_inbound_frame_size = max(self.h2.max_inbound_frame_size, settings.get("MAX_FRAME_SIZE", 0))
        self.state.settings_sent += 1

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            return
        if not data:
            return
        try:
            events = self.h2.receive_data(data)
        except ProtocolError as error:
            self.violation(f"{type(error).__name__}: {error}")
            self.flush()
            self.transport.close()
            return
        for event in events:
            if handler := self._handlers.get(type(event)):
                handler(event)
        self.flush()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.live.discard(self)
        self.writable.set()
        for stream in list(self._streams.values()):
            stream.cancel()

    # -- for its streams ----------------------------------------------------------------------------------------------

    def violation(self, told: str) -> None:
        self.state.violations.append(told)

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and (size := self.state.faults.get("continuation")):
            data = with_continuations(data, size)
        if data and not self._done and not self.transport.is_closing():
            self.transport.write(data)

    def ping(self) -> None:
        """Where pings are wanted."""
        if self.state.faults.get("ping"):
            self.h2.ping(struct.pack(">Q", self.state.pings_sent))
            self.state.pings_sent += 1

    def done(self, stream: Stream) -> None:
        self._streams.pop(stream.id, None)
        self.flush()
        self._close_if_done()

    def _close_if_done(self) -> None:
        """Send no more, and read on: closed at once, with requests unread, a socket is reset, and answers are lost."""
        if self._told and not self._streams and not self._done and not self.transport.is_closing():
            self._done = True
            self.transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER, self.transport.close)

    # -- events -------------------------------------------------------------------------------------------------------

    def _request(self, event: RequestReceived) -> None:
        assert event.stream_id is not None
        headers: Headers = [(str(name), str(value)) for name, value in event.headers or ()]
        if self._went:
            self.violation("a request after GOAWAY")
        if self._last is not None and event.stream_id > self._last:
            return
        self.check_head(headers)
        self._requests += 1
        self.state.heads.append(headers)
        if self.state.refuses_unseen():
            self.h2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self._streams[event.stream_id] = Stream(self, event.stream_id, headers)
        self.ping()
        if self._requests == self.state.faults.get("goaway"):
            self._go_away(event.stream_id)

    def check_head(self, headers: Headers) -> None:
        """What gRPC demands of a request's head, besides what HTTP/2 does and h2 looks at."""
        found = dict(headers)
        wanted = {":method": "POST", ":scheme": "http", "te": "trailers"}
        for name, value in wanted.items():
            if found.get(name) != value:
                self.violation(f"{name} is {found.get(name)!r}")
        if not found.get("content-type", "").startswith("application/grpc"):
            self.violation(f"content-type is {found.get('content-type')!r}")
        for name in (":authority", ":path", "user-agent"):
            if not found.get(name):
                self.violation(f"no {name}")
        timeout = found.get("grpc-timeout")
        if timeout is not None and not _TIMEOUT.fullmatch(timeout):
            self.violation(f"grpc-timeout is {timeout!r}")
        repeated = [
            name for name in found if name.startswith((":", "grpc-")) and [n for n, _ in headers].count(name) > 1
        ]
        if repeated:
            self.violation(f"more than once: {repeated}")

    def _go_away(self, last: int) -> None:
        """Serve no stream after this one; with `goaway_twice` say at first that all are."""
        self._last = last
        if self.state.faults.get("goaway_twice"):
            self._say_goaway(LAST_ID)
            asyncio.get_running_loop().call_later(0.05, self._say_goaway, last, MARK)
        else:
            self._say_goaway(last, MARK)

    def _say_goaway(self, last: int, mark: bytes = b"") -> None:
        if self._done or self.transport.is_closing():
            return
        # Not by h2: it then takes no more frames of the streams that go on.
        self.flush()
        self.transport.write(GoAwayFrame(0, last_stream_id=last, error_code=0).serialize())
        if mark:
            self._told = True
            self.h2.ping(mark)
            self.flush()
            self._close_if_done()

    def _data(self, event: DataReceived) -> None:
        assert event.stream_id is not None
        stream = self._streams.get(event.stream_id)
        length = event.flow_controlled_length or 0
        if stream is None:
            self.acknowledge(length, event.stream_id)
            return
        if (settings := self.state.faults.get("later_settings")) and not stream.received:
            self.change(settings)
        stream.feed(event.data or b"", length)

    def acknowledge(self, length: int, stream: int) -> None:
        """Give room back at once: h2's own way keeps some for later, for ever where a window is below zero."""
        if not length:
            return
        self.h2.increment_flow_control_window(length)
        with contextlib.suppress(ProtocolError, KeyError):  # it is over
            self.h2.increment_flow_control_window(length, stream)

    def _ended(self, event: StreamEnded) -> None:
        if stream := self._streams.get(event.stream_id or 0):
            stream.feed_end()

    def _reset(self, event: StreamReset) -> None:
        self.state.resets[ErrorCodes(event.error_code or 0).name] += 1
        if stream := self._streams.get(event.stream_id or 0):
            stream.cancel()

    def _trailers(self, event: TrailersReceived) -> None:
        self.violation("trailers of a request")

    def _room(self, event: Event) -> None:
        for stream in self._streams.values():
            stream.room.set()

    def _acknowledged(self, event: SettingsAcknowledged) -> None:
        self.state.settings_acked += 1

    def _ping(self, event: PingReceived) -> None:
        self.state.pings_received += 1

    def _pong(self, event: PingAckReceived) -> None:
        if event.ping_data == MARK:
            self._went = True
        else:
            self.state.pings_acked += 1

    def _terminated(self, event: ConnectionTerminated) -> None:
        self.state.goaways[ErrorCodes(event.error_code or 0).name] += 1
