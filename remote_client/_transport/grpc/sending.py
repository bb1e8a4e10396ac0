"""The sending half of an HTTP/2 connection, without I/O: requests, flow control, and the bytes to write."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from .events import FIRST_WINDOW, LAST_WINDOW, DataSent, Event, State, Stream
from .frames import (
    CANCEL,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    FRAME,
    GOAWAY,
    HEADERS,
    LARGEST_WINDOW,
    NO_ERROR,
    PING,
    RST_STREAM,
    WINDOW_UPDATE,
    WORD,
    frame,
)

GROWTH_LIMIT = 64 << 20
"""Bytes by which all receive windows of a connection together may outgrow their first size."""
ROOM = 256 << 10
"""The largest number of DATA bytes that are queued until they are fetched."""
LAST_STREAM_ID = 2**30
"""No new stream follows this one: the connection is replaced long before stream ids run out."""
_FAST = 0.125
"""Seconds. A window of which a quarter is used up in less limits the throughput over long distances, and is doubled."""


class Sending:
    """Queues frames to the server, as far as streams and flow control allow.

    Args:
        clock: returns the time in seconds, for windows that grow with a stream's speed.

    Attributes:
        streams: the open streams by id.
        settled: whether the server's settings have arrived; no request may be sent before.
        leaving: whether no new stream may be opened: the server sent GOAWAY, or stream ids run out.
        broken: whether the connection is over.
        max_streams: the number of streams that the server allows at a time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.streams: dict[int, Stream] = {}
        self.settled = self.leaving = self.broken = False
        self.max_streams = LARGEST_WINDOW
        self._clock = clock
        self._events: list[Event] = []
        self._out: list[bytes | memoryview] = []
        self._next_id = 1
        self._peer_frame_size = 16_384
        self._peer_window = DEFAULT_WINDOW
        """The server's first window of a stream."""
        self._send_window = DEFAULT_WINDOW
        self._grown = 0
        """Bytes by which receive windows have outgrown their first size."""
        self._room = ROOM
        self._waiting: dict[int, Stream] = {}
        """Streams with data that waits for a window or for room, in the order of their turns."""
        self._blocked = False
        """Whether none of them can continue before a window opens."""
        self._useless = self._replies = 0

    @property
    def has_slot(self) -> bool:
        """Whether another stream may be opened now."""
        return self.settled and not self.leaving and len(self.streams) < self.max_streams

    @property
    def has_output(self) -> bool:
        """Whether there is something to send."""
        return bool(self._out)

    @property
    def has_waiting(self) -> bool:
        """Whether data waits for room or a window."""
        return bool(self._waiting)

    def data_to_send(self) -> bytes:
        """Return the bytes to send, once."""
        data = b"".join(self._out)
        self._out.clear()
        self._replies = 0
        self._room = ROOM
        return data

    def request(self, block: bytes, context: Any, body: bytes | None) -> Stream:
        """Open a stream with a header block; a body completes the request. Call it only if `has_slot` is true."""
        stream_id = self._next_id
        self._next_id += 2
        if stream_id >= LAST_STREAM_ID:
            self.leaving = True
        stream = self.streams[stream_id] = Stream(stream_id, self._peer_window, context)
        size = len(block)
        if size <= self._peer_frame_size:
            self._out.append(FRAME.pack(size >> 8, size & 0xFF, HEADERS, END_HEADERS, stream_id))
            self._out.append(block)
        else:
            self._send_long_block(stream_id, block)
        if body is not None:
            self.send(stream, body, end=True)
        return stream

    def _send_long_block(self, stream_id: int, block: bytes) -> None:
        step, size = self._peer_frame_size, len(block)
        for start in range(0, size, step):
            flags = END_HEADERS if start + step >= size else 0
            self._out.append(frame(CONTINUATION if start else HEADERS, flags, stream_id, block[start : start + step]))

    def send(self, stream: Stream, data: bytes, *, end: bool = False) -> bool:
        """Send data on a stream, and return whether all of it was queued. If not, a `DataSent` follows.

        Data for a stream that is over is dropped.
        """
        if stream.sent_end or stream.id not in self.streams or not (data or end):
            return True
        size = len(data)
        fits = size <= stream.send_window and size <= self._send_window and size <= self._room
        if fits and size <= self._peer_frame_size and not stream.pending:
            self._out.append(FRAME.pack(size >> 8, size & 0xFF, DATA, end, stream.id))
            self._out.append(data)
            self._spend(stream, size)
            if end:
                stream.sent_end = True
            return True
        if size or not stream.pending:  # a bare END_STREAM goes with the last data that waits
            if stream.pending is None:
                stream.pending = deque()
            stream.pending.append(memoryview(data))
        stream.pending_end = end
        self._waiting[stream.id] = stream
        self._blocked = False
        if len(self._waiting) == 1:  # several take turns in `resume`, which reports them
            self._pump(report=False)
        return stream.id not in self._waiting

    def reset(self, stream: Stream, code: int = CANCEL) -> None:
        """End a stream on both sides, without any further event. Idempotent."""
        if self.streams.pop(stream.id, None) is not None:
            self._out.append(frame(RST_STREAM, 0, stream.id, WORD.pack(code)))
            self._forget(stream)

    def take(self, stream: Stream, size: int) -> bool:
        """Let the server send more on a stream whose reader took so many bytes.

        Return whether that queued a WINDOW_UPDATE; it is sent after a quarter of a window.
        """
        stream.credit += size
        if stream.credit < stream.window >> 2 or stream.state is State.OVER:
            return False
        self._acknowledge(stream)
        return True

    def ping(self) -> None:
        """Send a PING; a `PingAcknowledged` follows."""
        self._out.append(frame(PING, 0, 0, bytes(8)))

    def goaway(self) -> None:
        """Send a GOAWAY: the connection ends."""
        self._out.append(frame(GOAWAY, 0, 0, WORD.pack(0) + WORD.pack(NO_ERROR)))

    def resume(self) -> list[Event]:
        """Queue more of the data that waits for room, as the queued bytes were sent."""
        if self._waiting and not self._blocked and not self.broken:
            self._pump()
        return self._take_events()

    def _spend(self, stream: Stream, size: int) -> None:
        stream.send_window -= size
        self._send_window -= size
        self._room -= size
        self._useless = 0

    def _pump(self, report: bool = True) -> None:
        """Send waiting data, one frame per stream in turn, as far as the windows and the room allow."""
        progress = True
        while progress and self._waiting and self._send_window > 0 and self._room > 0:
            progress = False
            for stream in list(self._waiting.values()):
                if self._send_window <= 0 or self._room <= 0:
                    break
                assert stream.pending
                if stream.send_window < min(len(stream.pending[0]), 1):
                    continue
                progress = True
                del self._waiting[stream.id]
                if not self._send_piece(stream):
                    self._waiting[stream.id] = stream  # behind the others
                elif report:
                    self._events.append(DataSent(stream))
        self._blocked = self._room > 0

    def _send_piece(self, stream: Stream) -> bool:
        """Send one frame of a stream's data, and return whether it was the last."""
        assert stream.pending
        data = stream.pending[0]
        size = min(len(data), self._peer_frame_size, stream.send_window, self._send_window, self._room)
        if size == len(data):
            stream.pending.popleft()
        else:
            stream.pending[0] = data[size:]
        last = not stream.pending
        end = last and stream.pending_end
        self._out.append(FRAME.pack(size >> 8, size & 0xFF, DATA, end, stream.id))
        self._out.append(data[:size])
        self._spend(stream, size)
        if end:
            stream.sent_end = True
        return last

    def _acknowledge(self, stream: Stream) -> None:
        now = self._clock()
        used_up_in = now - stream.window_begun
        stream.window_begun = now
        more = stream.window
        if used_up_in < _FAST and more * 2 <= LAST_WINDOW and self._grown + more <= GROWTH_LIMIT:
            self._grown += more
            stream.window += more
            stream.credit += more
        self._out.append(frame(WINDOW_UPDATE, 0, stream.id, WORD.pack(stream.credit)))
        stream.receive_window += stream.credit
        stream.credit = 0

    def _forget(self, stream: Stream) -> None:
        """Release everything that a stream holds."""
        stream.state = State.OVER
        if stream.pending:
            stream.pending.clear()
            self._waiting.pop(stream.id, None)
        if stream.window != FIRST_WINDOW:
            self._grown -= stream.window - FIRST_WINDOW
            stream.window = FIRST_WINDOW

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events
