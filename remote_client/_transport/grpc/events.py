"""The streams of an HTTP/2 connection, and the events that `Http2.receive_data` returns."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Any

from .headers import Head

FIRST_WINDOW, LAST_WINDOW = 256 << 10, 8 << 20
"""The receive window of a stream in bytes: at first, and at most for a reader that keeps up."""


class State(Enum):
    """What the server may send next on a stream."""

    HEAD = auto()
    """The response headers, or a 1xx before them."""
    BODY = auto()
    """Data, or the trailers."""
    OVER = auto()
    """Nothing: it has sent END_STREAM, or one side has reset the stream."""


class Stream:
    """The stream of one call, which is in `context`."""

    __slots__ = (
        "context",
        "credit",
        "id",
        "length",
        "pending",
        "pending_end",
        "receive_window",
        "send_window",
        "sent_end",
        "state",
        "window",
        "window_begun",
    )

    def __init__(self, stream_id: int, send_window: int, context: Any) -> None:
        self.id = stream_id
        self.context = context
        self.state = State.HEAD
        self.send_window = send_window
        self.sent_end = False
        self.pending: deque[memoryview] | None = None
        """Data that waits for flow control."""
        self.pending_end = False
        self.window = self.receive_window = FIRST_WINDOW
        self.window_begun = -1.0
        """The time at which the current window was first used; below 0 before."""
        self.credit = 0
        """Bytes that were read, and for which no WINDOW_UPDATE has been sent."""
        self.length = -1
        """The rest of the body in bytes by its content-length; -1 without one."""


class HeadReceived:
    """The response headers; `end` if nothing follows (trailers only)."""

    __slots__ = ("end", "head", "stream")

    def __init__(self, stream: Stream, head: Head, end: bool) -> None:
        self.stream, self.head, self.end = stream, head, end


class DataReceived:
    """A part of the body, a large one as a view; its reader passes `len(data)` to `Http2.take`."""

    __slots__ = ("data", "end", "stream")

    def __init__(self, stream: Stream, data: bytes | memoryview, end: bool) -> None:
        self.stream, self.data, self.end = stream, data, end


class TrailersReceived:
    """The trailers, which end the stream."""

    __slots__ = ("head", "stream")

    def __init__(self, stream: Stream, head: Head) -> None:
        self.stream, self.head = stream, head


class StreamReset:
    """The early end of a stream: the server reset it (`detail` is None), or broke a rule."""

    __slots__ = ("code", "detail", "stream")

    def __init__(self, stream: Stream, code: int, detail: str | None = None) -> None:
        self.stream, self.code, self.detail = stream, code, detail


class StreamRefused:
    """A stream that the server did not process: the call may be sent again, to any server."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class DataSent:
    """All waiting data of a stream has been queued."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class SettingsReceived:
    """The server's settings: calls may be sent now."""

    __slots__ = ()


class PingAcknowledged:
    """The server's answer to a PING."""

    __slots__ = ()


class GoawayReceived:
    """The server takes no new streams on this connection; a `StreamRefused` follows for every unprocessed one."""

    __slots__ = ("code", "text")

    def __init__(self, code: int, text: bytes) -> None:
        self.code, self.text = code, text


class Broken:
    """The server broke a rule. The connection ends once `data_to_send` is sent; always the last event."""

    __slots__ = ("code", "detail")

    def __init__(self, code: int, detail: str) -> None:
        self.code, self.detail = code, detail


Event = (
    HeadReceived
    | DataReceived
    | TrailersReceived
    | StreamReset
    | StreamRefused
    | DataSent
    | SettingsReceived
    | PingAcknowledged
    | GoawayReceived
    | Broken
)
