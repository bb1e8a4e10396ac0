"""HTTP/2 (RFC 9113) as a gRPC client needs it, without I/O: bytes in, events out, bytes to send.

Frames, streams and windows are here; what the fields and the data mean is left to `messages`. A rule that the peer
breaks ends its stream (`StreamReset`) or the connection (`Broken`), as the RFC says; nothing is ever raised for it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from .events import (
    FIRST_WINDOW,
    LAST_WINDOW,
    Broken,
    DataReceived,
    DataSent,
    Event,
    GoawayReceived,
    HeadReceived,
    PingAcknowledged,
    SettingsReceived,
    State,
    Stream,
    StreamRefused,
    StreamReset,
    TrailersReceived,
)
from .frames import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    WORD,
    frame,
)
from .headers import Head, HeadDecoder, MalformedBlockError

DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
CONNECTION_WINDOW = 16 << 20
"""Bytes the peer may send on a connection before we acknowledge them, which we do as they arrive."""
GROWTH_LIMIT = 64 << 20
"""Bytes by which all windows of a connection together may outgrow their first size."""
_FAST = 0.125
"""Seconds: a window of which a quarter is used up in less limits the throughput over a long way, and is doubled."""
OUR_FRAME_SIZE = 128 << 10
"""Bytes of the largest frame we accept; with 16 KiB, the default, large answers cost eight times as many turns."""
_LARGE = 8 << 10
"""Bytes of data that are handed on as a view of what was received, or in parts as they come, rather than copied."""
ROOM = 256 << 10
"""Bytes of DATA that are queued at most until they are fetched."""
LAST_STREAM_ID = 2**30
"""No new stream after this one: the connection is to be replaced long before ids run out."""
_USELESS_FRAMES, _USELESS_TIME = 10_000, 60.0
"""Frames in a row that carry nothing (PING, SETTINGS, empty DATA, unknown ones), within so many seconds, that only a
hostile peer sends."""
_UNSENT_REPLIES = 1_000
"""Acknowledgements that wait to be sent, while the peer asks and does not read, until it counts as hostile."""
_FIRST = 1024
"""Bytes that are kept of what a peer says that speaks no HTTP/2."""
_NO_HTTP2 = "its first frame is no SETTINGS: it is no HTTP/2 server"
_BLOCK_LIMIT = 4
"""A header list of so many times the announced limit ends the connection, not just its stream."""


class _BrokenError(Exception):
    """Ends the parsing of what the peer sent."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Http2:
    """The client's side of one connection.

    Args:
        clock: the time in seconds, for windows that grow with a stream's speed.
        header_list_limit: bytes of the largest header list accepted, announced to the peer.

    Attributes:
        streams: the open streams by id.
        settled: whether the peer's settings arrived; no call may be sent before.
        leaving: whether no new stream may be opened: the peer said GOAWAY, or ids run out.
        broken: whether the connection is over.
        answered: whether the head of an answer arrived.
        first: how a peer began that speaks no HTTP/2; empty for any other.
        max_streams: how many streams the peer allows at a time.
        peer_header_list_limit: bytes of a request's header list that the peer accepts; None where it did not say.
    """

    def __init__(self, clock: Callable[[], float], header_list_limit: int = 16 << 10) -> None:
        self.streams: dict[int, Stream] = {}
        self.settled = self.leaving = self.broken = self.answered = False
        self.first = b""
        self.max_streams = LARGEST_WINDOW
        self.peer_header_list_limit: int | None = None
        self._clock = clock
        self._header_list_limit = header_list_limit
        self._decoder = HeadDecoder(header_list_limit * _BLOCK_LIMIT)
        self._events: list[Event] = []
        self._rest = b""
        self._data_left = self._data_flags = self._data_stream = 0
        """What is still to come of a DATA frame whose first part was handed on."""
        self._next_id = 1
        self._peer_frame_size = 16_384
        self._peer_window = DEFAULT_WINDOW
        self._send_window = DEFAULT_WINDOW
        self._receive_window = CONNECTION_WINDOW
        self._credit = 0
        self._grown = 0
        self._room = ROOM
        self._waiting: dict[int, Stream] = {}
        """Streams with data that waits for a window or for room, in the order of their turns."""
        self._blocked = False
        """Whether a window has to open before any of them can go on."""
        self._block: bytearray | None = None
        self._block_stream = self._block_flags = 0
        self._useless = self._replies = 0
        self._useless_since = clock()
        self._last_processed = LARGEST_WINDOW
        self._handlers = (
            self._on_data,
            self._on_headers,
            self._on_priority,
            self._on_rst_stream,
            self._on_settings,
            self._on_push_promise,
            self._on_ping,
            self._on_goaway,
            self._on_window_update,
            self._on_continuation,
        )
        settings = (
            (HEADER_TABLE_SIZE, 0),
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, FIRST_WINDOW),
            (MAX_FRAME_SIZE, OUR_FRAME_SIZE),
            (MAX_HEADER_LIST_SIZE, header_list_limit),
        )
        self._out: list[bytes | memoryview] = [
            PREFACE,
            frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*each) for each in settings)),
            frame(WINDOW_UPDATE, 0, 0, WORD.pack(CONNECTION_WINDOW - DEFAULT_WINDOW)),
        ]

    # -- sending ------------------------------------------------------------------------------------------------------

    @property
    def has_slot(self) -> bool:
        """Whether one more stream may be opened now."""
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
        """Open a stream with a header block; with a body the request is complete. Only where `has_slot` is true."""
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
        """Send data on a stream; returns whether all of it was queued. Where not, a `DataSent` follows.

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
                self._sent_end(stream)
            return True
        if size or not stream.pending:  # an end alone goes with the last of what waits
            if stream.pending is None:
                stream.pending = deque()
            stream.pending.append(memoryview(data))
        stream.pending_end = end
        self._waiting[stream.id] = stream
        self._blocked = False
        if len(self._waiting) == 1:  # the others have their turns in `resume`, which tells of them
            self._pump(report=False)
        return stream.id not in self._waiting

    def reset(self, stream: Stream, code: int = CANCEL) -> None:
        """End a stream on both sides. Nothing is heard of it any more. Idempotent."""
        if self.streams.pop(stream.id, None) is not None:
            self._out.append(frame(RST_STREAM, 0, stream.id, WORD.pack(code)))
            self._forget(stream)

    def take(self, stream: Stream, size: int) -> bool:
        """Acknowledge bytes of a stream's data: its reader took them, and the peer may send as many more.

        Returns whether the peer is told now, with something to send: it is told after a quarter of a window.
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
        """Tell the peer that the connection ends."""
        self._out.append(frame(GOAWAY, 0, 0, WORD.pack(0) + WORD.pack(NO_ERROR)))

    def resume(self) -> list[Event]:
        """Queue more of the data that waits for room, since what was queued has been sent."""
        if self._waiting and not self._blocked and not self.broken:
            self._pump()
        return self._take_events()

    def _spend(self, stream: Stream, size: int) -> None:
        stream.send_window -= size
        self._send_window -= size
        self._room -= size
        self._useless = 0

    def _pump(self, report: bool = True) -> None:
        """Send what waits, a frame of each stream in turn, as far as the windows and the room go."""
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
                    self._waiting[stream.id] = stream  # behind the others: it had its turn
                elif report:
                    self._events.append(DataSent(stream))
        self._blocked = self._room > 0

    def _send_piece(self, stream: Stream) -> bool:
        """Send one frame of a stream's data; returns whether it was the last."""
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
            self._sent_end(stream)
        return last

    def _sent_end(self, stream: Stream) -> None:
        stream.sent_end = True

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
        """Free what a stream that is over holds."""
        stream.state = State.OVER
        if stream.pending:
            stream.pending.clear()
            self._waiting.pop(stream.id, None)
        if stream.window != FIRST_WINDOW:
            self._grown -= stream.window - FIRST_WINDOW
            stream.window = FIRST_WINDOW

    # -- receiving ----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the peer, in pieces of any size, and return what they mean."""
        if self.broken:
            return []
        buffer = self._rest + data if self._rest else data
        position, size = 0, len(buffer)
        try:
            if self._data_left:
                position = self._receive_rest(buffer)
            while size - position >= 9:
                high, low, kind, flags, stream_id = FRAME.unpack_from(buffer, position)
                length = (high << 8) | low
                if not self.settled and (kind != SETTINGS or flags & ACK or buffer[0]):
                    self.first = buffer[:_FIRST]
                    raise _BrokenError(PROTOCOL_ERROR, _NO_HTTP2)
                if length > OUR_FRAME_SIZE:
                    raise _BrokenError(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
                start = position + 9
                end = start + length
                if end > size and (kind != DATA or size - start < _LARGE or flags & PADDED):
                    break
                if self._block is not None and kind != CONTINUATION:
                    raise _BrokenError(PROTOCOL_ERROR, "a header block is interrupted by another frame")
                if length >= _LARGE and kind == DATA:
                    self._data_left, self._data_flags, self._data_stream = length, flags, stream_id & 0x7FFFFFFF
                    end = start + self._receive_rest(memoryview(buffer)[start:])
                elif kind <= CONTINUATION:
                    self._handlers[kind](flags, stream_id & 0x7FFFFFFF, buffer[start:end])
                else:
                    self._count_useless()
                position = end
        except _BrokenError as error:
            self._break(error.code, error.detail)
        self._rest = buffer[position:] if position < size and not self.broken else b""
        if self._rest and not self.settled and buffer[0]:  # fewer bytes than a frame's head has, as an alert of TLS
            self.first = buffer
            self._break(PROTOCOL_ERROR, _NO_HTTP2)
        if self._waiting and not self._blocked and not self.broken:
            self._pump()
        return self._take_events()

    def _receive_rest(self, buffer: bytes | memoryview) -> int:
        """Take the next part of a DATA frame, with its flags if it is the last; returns its size."""
        part = memoryview(buffer)[: self._data_left]
        self._data_left -= len(part)
        flags = self._data_flags & ~END_STREAM if self._data_left else self._data_flags
        self._on_data(flags, self._data_stream, part if len(part) >= _LARGE else bytes(part))
        return len(part)

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _break(self, code: int, detail: str) -> None:
        self.broken = self.leaving = True
        self._out.append(frame(GOAWAY, 0, 0, WORD.pack(0) + WORD.pack(code) + detail.encode()[:200]))
        self._events.append(Broken(code, detail))

    def _count_useless(self) -> None:
        self._useless += 1
        if self._useless > _USELESS_FRAMES:
            now = self._clock()
            if now - self._useless_since < _USELESS_TIME:
                raise _BrokenError(ENHANCE_YOUR_CALM, f"{_USELESS_FRAMES} frames that carry nothing")
            self._useless, self._useless_since = 0, now

    def _reply(self, reply: bytes) -> None:
        self._count_useless()
        self._replies += 1
        if self._replies > _UNSENT_REPLIES:
            raise _BrokenError(ENHANCE_YOUR_CALM, "it asks for replies, and does not read them")
        self._out.append(reply)

    def _fail(self, stream: Stream, code: int, detail: str) -> None:
        """End a stream whose peer broke a rule."""
        self.reset(stream, code)
        self._events.append(StreamReset(stream, code, detail))

    def _check_not_idle(self, stream_id: int, what: str) -> None:
        """Frames on streams that ended are late, and discarded; on streams that never were they are an error."""
        if not stream_id & 1 or stream_id >= self._next_id:
            raise _BrokenError(PROTOCOL_ERROR, f"{what} on the idle stream {stream_id}")

    def _on_data(self, flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        size = len(payload)
        self._receive_window -= size
        if self._receive_window < 0:
            raise _BrokenError(FLOW_CONTROL_ERROR, "more data than the connection's window")
        # On receipt, dropped streams and padding included: a slow reader must not starve the other streams.
        self._credit += size
        if self._credit >= CONNECTION_WINDOW >> 1:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, WORD.pack(self._credit)))
            self._receive_window += self._credit
            self._credit = 0
        data = _unpadded(bytes(payload)) if flags & PADDED else payload
        if data:
            self._useless = 0
        elif not flags & END_STREAM:
            self._count_useless()
        stream = self.streams.get(stream_id)
        if stream is None or stream.state is State.OVER:
            self._check_not_idle(stream_id, "DATA")
            return
        stream.receive_window -= size
        if stream.receive_window < 0:
            self._fail(stream, FLOW_CONTROL_ERROR, "more data than the stream's window")
        elif stream.state is State.HEAD:
            self._fail(stream, PROTOCOL_ERROR, "data before the head of the answer")
        else:
            self._receive_body(stream, data, size, bool(flags & END_STREAM))

    def _receive_body(self, stream: Stream, data: bytes | memoryview, size: int, end: bool) -> None:
        if stream.length >= 0:
            stream.length -= len(data)
            if stream.length < 0 or (end and stream.length):
                self._fail(stream, PROTOCOL_ERROR, "the body's size is not its content-length")
                return
        if stream.window_begun < 0:
            stream.window_begun = self._clock()
        if size != len(data):
            self.take(stream, size - len(data))
        self._events.append(DataReceived(stream, data, end))
        if end:
            self._receive_end(stream)

    def _receive_end(self, stream: Stream) -> None:
        """The peer is done with a stream: what is still to be sent on it is not wanted any more."""
        stream.state = State.OVER
        if not stream.sent_end:
            self.reset(stream, NO_ERROR)
        else:
            del self.streams[stream.id]
            self._forget(stream)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = _unpadded(payload)
        if flags & PRIORITIZED:
            if len(payload) < 5:
                raise _BrokenError(FRAME_SIZE_ERROR, "HEADERS too short for their priority")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._receive_block(flags, stream_id, payload)
        else:
            self._block, self._block_stream, self._block_flags = bytearray(payload), stream_id, flags

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        if block is None or stream_id != self._block_stream:
            raise _BrokenError(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block += payload
        self._count_useless()
        if len(block) > self._header_list_limit * _BLOCK_LIMIT:
            raise _BrokenError(ENHANCE_YOUR_CALM, "a header block without end")
        if flags & END_HEADERS:
            self._block = None
            self._receive_block(self._block_flags, stream_id, bytes(block))

    def _receive_block(self, flags: int, stream_id: int, block: bytes) -> None:
        try:
            head = self._decoder.decode(block)
        except MalformedBlockError as error:
            raise _BrokenError(COMPRESSION_ERROR, str(error)) from None
        stream = self.streams.get(stream_id)
        if stream is None or stream.state is State.OVER:
            self._check_not_idle(stream_id, "HEADERS")
            self._count_useless()
            return
        if not 100 <= head.status < 200:
            self._useless = 0
        end = bool(flags & END_STREAM)
        if head.size > self._header_list_limit:
            told = f"the header list has {head.size} bytes, more than the limit of {self._header_list_limit}"
            self._fail(stream, ENHANCE_YOUR_CALM, told)
        elif stream.state is State.HEAD:
            self._receive_head(stream, head, end)
        else:
            self._receive_trailers(stream, head, end)

    def _receive_head(self, stream: Stream, head: Head, end: bool) -> None:
        if head.fault is not None:
            self._fail(stream, PROTOCOL_ERROR, f"malformed answer: {head.fault}")
        elif 100 <= head.status < 200:
            self._count_useless()
            if end or head.status == 101:
                self._fail(stream, PROTOCOL_ERROR, f"malformed answer: the status {head.status}")
        else:
            self.answered = True
            stream.state = State.BODY
            stream.length = head.content_length
            if end and stream.length > 0:
                self._fail(stream, PROTOCOL_ERROR, "the body's size is not its content-length")
                return
            self._events.append(HeadReceived(stream, head, end))
            if end:
                self._receive_end(stream)

    def _receive_trailers(self, stream: Stream, head: Head, end: bool) -> None:
        if not end or head.trailers_fault is not None:
            told = head.trailers_fault or "trailers that do not end the stream"
            self._fail(stream, PROTOCOL_ERROR, f"malformed answer: {told}")
        elif stream.length > 0:
            self._fail(stream, PROTOCOL_ERROR, "the body's size is not its content-length")
        else:
            self._events.append(TrailersReceived(stream, head))
            self._receive_end(stream)

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 5:
            raise _BrokenError(FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")
        if not stream_id:
            raise _BrokenError(PROTOCOL_ERROR, "PRIORITY for the connection")
        self._count_useless()

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _BrokenError(FRAME_SIZE_ERROR, f"RST_STREAM of {len(payload)} bytes")
        self._check_not_idle(stream_id, "RST_STREAM")
        self._count_useless()
        stream = self.streams.pop(stream_id, None)
        if stream is None:
            return  # it was over: RST_STREAM(NO_ERROR) after END_STREAM asks for no more of the request
        (code,) = WORD.unpack(payload)
        unprocessed = code == REFUSED_STREAM and stream.state is State.HEAD
        self._forget(stream)
        self._events.append(StreamRefused(stream) if unprocessed else StreamReset(stream, code))

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _BrokenError(PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise _BrokenError(FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS that is not empty")
            self._count_useless()
            return
        if len(payload) % 6:
            raise _BrokenError(FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
        # The last value of each counts: thousands of windows in one frame would change those of all streams each time.
        for name, value in dict(SETTING.iter_unpack(payload)).items():
            self._apply(name, value)
        self._reply(frame(SETTINGS, ACK, 0))
        self.settled = True
        self._events.append(SettingsReceived())

    def _apply(self, name: int, value: int) -> None:
        if name == ENABLE_PUSH and value != 0:
            raise _BrokenError(PROTOCOL_ERROR, f"the setting ENABLE_PUSH {value} of a server")
        if name == MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif name == INITIAL_WINDOW_SIZE:
            self._change_windows(value)
        elif name == MAX_FRAME_SIZE:
            if not 16_384 <= value <= 0xFFFFFF:
                raise _BrokenError(PROTOCOL_ERROR, f"the setting MAX_FRAME_SIZE {value}")
            self._peer_frame_size = value
        elif name == MAX_HEADER_LIST_SIZE:
            self.peer_header_list_limit = value

    def _change_windows(self, value: int) -> None:
        if value > LARGEST_WINDOW:
            raise _BrokenError(FLOW_CONTROL_ERROR, f"the setting INITIAL_WINDOW_SIZE {value}")
        change, self._peer_window = value - self._peer_window, value
        self._blocked = False
        for stream in self.streams.values():
            stream.send_window += change  # also below zero
            if stream.send_window > LARGEST_WINDOW:
                raise _BrokenError(FLOW_CONTROL_ERROR, "a stream's window overflows")

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise _BrokenError(PROTOCOL_ERROR, "PUSH_PROMISE, which was not allowed")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _BrokenError(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise _BrokenError(FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        if flags & ACK:
            self._count_useless()
            self._events.append(PingAcknowledged())
        else:
            self._reply(frame(PING, ACK, 0, payload))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _BrokenError(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise _BrokenError(FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
        self._count_useless()
        last, code = struct.unpack_from(">LL", payload)
        self.leaving = True
        self._last_processed = min(self._last_processed, last & 0x7FFFFFFF)
        self._events.append(GoawayReceived(code, payload[8:200]))
        # The last first: each goes to the head of the line of the calls that wait.
        for each in [stream for number, stream in reversed(self.streams.items()) if number > self._last_processed]:
            del self.streams[each.id]
            unprocessed = each.state is State.HEAD
            self._forget(each)
            self._events.append(StreamRefused(each) if unprocessed else StreamReset(each, code))

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _BrokenError(FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(payload)} bytes")
        more = WORD.unpack(payload)[0] & LARGEST_WINDOW
        if not self._waiting:
            self._count_useless()
        self._blocked = False
        if not stream_id:
            self._send_window += more
            if not more or self._send_window > LARGEST_WINDOW:
                code = FLOW_CONTROL_ERROR if more else PROTOCOL_ERROR
                raise _BrokenError(code, f"WINDOW_UPDATE of {more} for the connection")
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, "WINDOW_UPDATE")
            return
        stream.send_window += more
        if not more or stream.send_window > LARGEST_WINDOW:
            self._fail(stream, FLOW_CONTROL_ERROR if more else PROTOCOL_ERROR, f"WINDOW_UPDATE of {more}")


def _unpadded(payload: bytes) -> bytes:
    """Return a payload without its padding."""
    if not payload or payload[0] >= len(payload):
        raise _BrokenError(PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]
