"""The server's side of HTTP/2 for tests without I/O: frames by `hyperframe`, and a strict server by `h2`.

`Peer` raises for anything that a client may not send: beyond a window or the number of streams, malformed, too early.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hpack import Decoder
from hyperframe.frame import Frame

from remote_client._transport.grpc.events import Event, Stream
from remote_client._transport.grpc.frames import PREFACE, SETTINGS, frame
from remote_client._transport.grpc.headers import encode, encode_request
from remote_client._transport.grpc.http2 import Http2

HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
TRAILERS = [(b"grpc-status", b"0")]
SETTING_NAMES = {
    "header_table_size": 1,
    "enable_push": 2,
    "max_concurrent_streams": 3,
    "initial_window_size": 4,
    "max_frame_size": 5,
    "max_header_list_size": 6,
}
REQUEST = encode_request("http", "h:1", "/s/m") + encode([(b"te", b"trailers"), (b"content-type", b"application/grpc")])
"""The header block of a request."""


class Clock:
    """A time that only tests move on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def settings(**values: int) -> bytes:
    """A SETTINGS frame; unknown settings are given as `x` and their number."""
    payload = b""
    for name, value in values.items():
        number = SETTING_NAMES.get(name) or int(name.removeprefix("x"))
        payload += number.to_bytes(2) + value.to_bytes(4)
    return frame(SETTINGS, 0, 0, payload)


def started(clock: Clock | None = None, **values: int) -> Http2:
    """A client's connection that has the peer's settings, and has sent all it had to say."""
    http2 = Http2(clock or Clock())
    http2.receive_data(settings(**values))
    http2.data_to_send()
    return http2


def frames(data: bytes) -> list[Frame]:
    """The frames that a client sent; its preface is left out."""
    view, found = memoryview(data.removeprefix(PREFACE)), []
    while view:
        made, length = Frame.parse_frame_header(view[:9])
        made.parse_body(view[9 : 9 + length])
        found.append(made)
        view = view[9 + length :]
    return found


def sent(http2: Http2) -> list[Frame]:
    """The frames that a client sends now."""
    return frames(http2.data_to_send())


def described(data: bytes | list[Frame]) -> list[tuple[Any, ...]]:
    """Frames as tuples of their names, streams, flags and what they carry."""
    made = frames(data) if isinstance(data, bytes) else data
    return [(type(each).__name__.removesuffix("Frame"), each.stream_id, *_contents(each)) for each in made]


def _contents(each: Any) -> Iterator[Any]:
    if each.flags:
        yield "+".join(sorted(each.flags))
    for name in ("data", "error_code", "window_increment", "opaque_data"):
        value = getattr(each, name, None)
        if value is not None:
            yield value


def names(events: Iterable[Event]) -> list[str]:
    return [type(each).__name__ for each in events]


_SHARED = type | types.ModuleType | types.FunctionType | types.BuiltinFunctionType


def footprint(thing: object) -> int:
    """Bytes of memory that an object and all it refers to take; classes, modules and functions are left out."""
    seen: set[int] = set()
    left, size = [thing], 0
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(
            each, type | types.ModuleType | types.FunctionType | types.BuiltinFunctionType
        ):
            continue
        seen.add(id(each))
        size += each.__sizeof__()
        left += gc.get_referents(each)
    return size


# -- a strict server --------------------------------------------------------------------------------------------------


@dataclass
class Received:
    """What the peer knows of a request."""

    headers: list[tuple[bytes, bytes]]
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None
    answered: int = 0
    """How far it was answered: 0 for not at all, 1 for its head, 2 for all."""

    @property
    def open(self) -> bool:
        return self.answered < 2 and self.reset is None


class Peer:
    """A server on `h2`, with what it received by stream.

    Attributes:
        connection: h2's state machine.
        requests: what was received, by stream id.
        unread: bytes of the connection and of each stream that are not acknowledged yet.
        asked, pings: PINGs of the client, and those of the server's own that it answered.
    """

    def __init__(self, **values: int) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=False)
        self.connection = h2.connection.H2Connection(config)
        if values:
            initial = {h2.settings.SettingCodes(SETTING_NAMES[name]): value for name, value in values.items()}
            self.connection.local_settings = h2.settings.Settings(client=False, initial_values=initial)
            self.connection.max_inbound_frame_size = self.connection.local_settings.max_frame_size
        self.connection.initiate_connection()
        self.requests: dict[int, Received] = {}
        self.unread: dict[int, int] = {0: 0}
        self.pings = self.acknowledged = self.asked = 0
        self.told = 1
        """SETTINGS frames sent."""
        self.gone = False
        self._received = bytearray()

    def receive(self, data: bytes) -> None:
        """Take bytes of the client.

        Raises:
            h2.exceptions.ProtocolError: the client sent what it must not.
        """
        self._received += data
        # Frame by frame: in one piece with the acknowledgement of a larger MAX_FRAME_SIZE, h2 refuses larger frames.
        while len(self._received) >= 9:
            begun = self._received.startswith(PREFACE[:9])
            size = len(PREFACE) if begun else 9 + int.from_bytes(self._received[:3])
            if len(self._received) < size:
                break
            whole, self._received = bytes(self._received[:size]), self._received[size:]
            for event in self.connection.receive_data(whole):
                self._on(event)

    def _on(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self.requests[event.stream_id] = Received(list(event.headers))
            case h2.events.DataReceived():
                self.requests[event.stream_id].body += event.data
                for key in (0, event.stream_id):
                    self.unread[key] = self.unread.get(key, 0) + event.flow_controlled_length
            case h2.events.StreamEnded():
                self.requests[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.requests[event.stream_id].reset = int(event.error_code)
            case h2.events.PingReceived():
                self.asked += 1
            case h2.events.PingAckReceived():
                self.pings += 1
            case h2.events.SettingsAcknowledged():
                self.acknowledged += 1
            case h2.events.ConnectionTerminated():
                self.gone = True

    def data_to_send(self) -> bytes:
        return self.connection.data_to_send()

    @property
    def settled(self) -> bool:
        """Whether all settings are acknowledged; h2 mixes up those of several frames that are not."""
        return self.told == self.acknowledged

    def change(self, **values: int) -> None:
        """Send SETTINGS."""
        self.told += 1
        self.connection.update_settings({SETTING_NAMES[name]: value for name, value in values.items()})

    def read(self, stream_id: int, size: int) -> None:
        """Acknowledge bytes of a stream, or of the connection (0), that were received."""
        size = min(size, self.unread.get(stream_id, 0))
        if not size:
            return
        self.unread[stream_id] -= size
        if not stream_id:
            self.connection.increment_flow_control_window(size)
        elif self.requests[stream_id].open and not self.requests[stream_id].ended:
            self.connection.increment_flow_control_window(size, stream_id)

    def head(self, stream_id: int, *more: tuple[bytes, bytes]) -> None:
        self.requests[stream_id].answered = 1
        self.connection.send_headers(stream_id, [*HEAD, *more])

    def room(self, stream_id: int) -> int:
        """Bytes of the largest frame of data that may be sent on a stream now."""
        window = self.connection.local_flow_control_window(stream_id)
        return max(0, min(window, self.connection.max_outbound_frame_size))

    def data(self, stream_id: int, data: bytes, padding: int | None = None) -> None:
        self.connection.send_data(stream_id, data, pad_length=padding)

    def trailers(self, stream_id: int, *more: tuple[bytes, bytes]) -> None:
        """End the answer; it is trailers-only where it had no head."""
        only = HEAD if not self.requests[stream_id].answered else []
        self.requests[stream_id].answered = 2
        self.connection.send_headers(stream_id, [*only, *TRAILERS, *more], end_stream=True)

    def reset(self, stream_id: int, code: int) -> None:
        self.requests[stream_id].answered = 2
        self.connection.reset_stream(stream_id, code)

    def answer(self, stream_id: int, data: bytes) -> None:
        """Answer in full, with data that fits into the windows."""
        self.head(stream_id)
        self.data(stream_id, data)
        self.trailers(stream_id)


def exchange(http2: Http2, peer: Peer) -> list[Event]:
    """Carry bytes both ways until there is nothing left to say; the client's events."""
    events: list[Event] = []
    while True:
        there = http2.data_to_send()
        if there:
            peer.receive(there)
        back = peer.data_to_send()
        if back:
            events += http2.receive_data(back)
        events += http2.resume()
        if not there and not back:
            return events


def connected(**values: int) -> tuple[Http2, Peer]:
    """A client and a strict server that have exchanged their settings."""
    http2, peer = Http2(Clock()), Peer(**values)
    exchange(http2, peer)
    return http2, peer


def request(http2: Http2, body: bytes | None = b"", context: object = None, block: bytes = REQUEST) -> Stream:
    return http2.request(block, context, body)


def decoded(block: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of one header block."""
    return [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)]
