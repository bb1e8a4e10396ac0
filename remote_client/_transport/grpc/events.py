"""What happens on an HTTP/2 connection: its streams, and the events that `Http2.receive_data` returns."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Any

from .headers import Head

FIRST_WINDOW, LAST_WINDOW = 256 << 10, 8 << 20
"""Bytes the peer may send on a stream before its reader took them: at first, and for a reader that keeps up."""


class State(Enum):
    """What the peer may send next on a stream."""

    HEAD = auto()
    """The answer's head, or a 1xx before it."""
    BODY = auto()
    """Data, or the trailers."""
    OVER = auto()
    """Nothing: it sent END_STREAM, or either side reset the stream."""


class Stream:
    """One call's stream. Its owner keeps what belongs to it in `context`."""

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
        """Data that waits for a window or for room."""
        self.pending_end = False
        self.window = self.receive_window = FIRST_WINDOW
        self.window_begun = -1.0
        """When the current window began to be used; below 0 before."""
        self.credit = 0
        """Bytes that were taken and are not yet acknowledged."""
        self.length = -1
        """Bytes of the body that its content-length still announces; -1 without one."""


class HeadReceived:
    """The head of an answer arrived; `end` where nothing follows (trailers only)."""

    __slots__ = ("end", "head", "stream")

    def __init__(self, stream: Stream, head: Head, end: bool) -> None:
        self.stream, self.head, self.end = stream, head, end


class DataReceived:
    """A part of the body arrived, a large one as a view; the reader acknowledges `len(data)` with `Http2.take`."""

    __slots__ = ("data", "end", "stream")

    def __init__(self, stream: Stream, data: bytes | memoryview, end: bool) -> None:
        self.stream, self.data, self.end = stream, data, end


class TrailersReceived:
    """The trailers arrived: the stream is over."""

    __slots__ = ("head", "stream")

    def __init__(self, stream: Stream, head: Head) -> None:
        self.stream, self.head = stream, head


class StreamReset:
    """A stream ended early: the peer reset it (`detail` is None), or broke a rule."""

    __slots__ = ("code", "detail", "stream")

    def __init__(self, stream: Stream, code: int, detail: str | None = None) -> None:
        self.stream, self.code, self.detail = stream, code, detail


class StreamRefused:
    """The peer says that it did not process a stream: the call may be sent again, anywhere."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class DataSent:
    """All data of a stream that waited for a window has been queued."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class SettingsReceived:
    """The peer's settings arrived: calls may be sent."""

    __slots__ = ()


class PingAcknowledged:
    """The peer answered a PING of ours."""

    __slots__ = ()


class GoawayReceived:
    """The peer takes no new streams on this connection; those it did not process come as `StreamRefused`."""

    __slots__ = ("code", "text")

    def __init__(self, code: int, text: bytes) -> None:
        self.code, self.text = code, text


class Broken:
    """The peer broke a rule, and the connection is over once `data_to_send` is sent. Always the last event."""

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
