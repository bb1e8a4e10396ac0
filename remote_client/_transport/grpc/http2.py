"""HTTP/2 (RFC 9113) as a gRPC client needs it, without I/O: bytes in, events out, bytes to send.

Frames, streams and windows are handled here and in the base classes, the meaning of headers and data in `messages`. If
the server breaks a rule, its stream (`StreamReset`) or the connection (`Broken`) ends, as the RFC says; nothing is
raised.
"""

from __future__ import annotations

from collections.abc import Callable

from .control_frames import BrokenError, Control
from .events import FIRST_WINDOW, Broken, DataReceived, Event, HeadReceived, State, Stream, TrailersReceived
from .frames import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PADDED,
    PREFACE,
    PRIORITIZED,
    PROTOCOL_ERROR,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    WORD,
    frame,
)
from .headers import Head, HeadDecoder, MalformedBlockError

CONNECTION_WINDOW = 16 << 20
"""Bytes the server may send on a connection before they are acknowledged, which happens as they arrive."""
OUR_FRAME_SIZE = 128 << 10
"""Bytes of the largest frame accepted: with 16 KiB, the default, large responses take eight times as many events."""
_LARGE = 8 << 10
"""Bytes of data from which on it is passed on as a view of the received bytes, or in parts as they arrive."""
_FIRST = 1024
"""Bytes that are kept of the beginning if the server does not speak HTTP/2."""
_NO_HTTP2 = "its first frame is no SETTINGS: it is no HTTP/2 server"
_BLOCK_LIMIT = 4
"""A header list of this many times the announced limit ends the connection, not just its stream."""


class Http2(Control):
    """The client's side of one connection. `Sending` queues its frames, `Control` handles the control frames.

    Args:
        clock: returns the time in seconds, for windows that grow with a stream's speed.
        header_list_limit: the largest header list in bytes that is accepted, announced to the server.

    Attributes:
        answered: whether any response headers have arrived.
        first: the first bytes of a server that does not speak HTTP/2; empty for any other.
    """

    def __init__(self, clock: Callable[[], float], header_list_limit: int = 16 << 10) -> None:
        super().__init__(clock)
        self.answered = False
        self.first = b""
        self._header_list_limit = header_list_limit
        self._decoder = HeadDecoder(header_list_limit * _BLOCK_LIMIT)
        self._rest = b""
        self._data_left = self._data_flags = self._data_stream = 0
        """The rest of a DATA frame whose first part was passed on."""
        self._receive_window = CONNECTION_WINDOW
        self._credit = 0
        self._block: bytearray | None = None
        """The header block whose CONTINUATION frames have not all arrived."""
        self._block_stream = self._block_flags = 0
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
        self._out += [
            PREFACE,
            frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*setting) for setting in settings)),
            frame(WINDOW_UPDATE, 0, 0, WORD.pack(CONNECTION_WINDOW - DEFAULT_WINDOW)),
        ]

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the server, in pieces of any size, and return the events they complete."""
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
                    raise BrokenError(PROTOCOL_ERROR, _NO_HTTP2)
                if length > OUR_FRAME_SIZE:
                    raise BrokenError(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
                start = position + 9
                end = start + length
                if end > size and (kind != DATA or size - start < _LARGE or flags & PADDED):
                    break
                if self._block is not None and kind != CONTINUATION:
                    raise BrokenError(PROTOCOL_ERROR, "a header block is interrupted by another frame")
                if length >= _LARGE and kind == DATA:
                    self._data_left, self._data_flags, self._data_stream = length, flags, stream_id & 0x7FFFFFFF
                    end = start + self._receive_rest(memoryview(buffer)[start:])
                elif kind <= CONTINUATION:
                    self._handlers[kind](flags, stream_id & 0x7FFFFFFF, buffer[start:end])
                else:
                    self._count_useless()
                position = end
        except BrokenError as error:
            self._break(error.code, error.detail)
        self._rest = buffer[position:] if position < size and not self.broken else b""
        if self._rest and not self.settled and buffer[0]:  # too few for a frame, such as a TLS alert
            self.first = buffer
            self._break(PROTOCOL_ERROR, _NO_HTTP2)
        if self._waiting and not self._blocked and not self.broken:
            self._pump()
        return self._take_events()

    def _receive_rest(self, buffer: bytes | memoryview) -> int:
        """Take the next part of a DATA frame, with its flags if it is the last, and return its size."""
        part = memoryview(buffer)[: self._data_left]
        self._data_left -= len(part)
        flags = self._data_flags & ~END_STREAM if self._data_left else self._data_flags
        self._on_data(flags, self._data_stream, part if len(part) >= _LARGE else bytes(part))
        return len(part)

    def _break(self, code: int, detail: str) -> None:
        self.broken = self.leaving = True
        self._out.append(frame(GOAWAY, 0, 0, WORD.pack(0) + WORD.pack(code) + detail.encode()[:200]))
        self._events.append(Broken(code, detail))

    def _on_data(self, flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        size = len(payload)
        self._receive_window -= size
        if self._receive_window < 0:
            raise BrokenError(FLOW_CONTROL_ERROR, "more data than the connection's window")
        # Acknowledged on receipt, data of ended streams and padding included: a slow reader must not starve others.
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
        """End a stream: the server has sent its END_STREAM, and wants no more of the request."""
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
                raise BrokenError(FRAME_SIZE_ERROR, "HEADERS too short for their priority")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._receive_block(flags, stream_id, payload)
        else:
            self._block, self._block_stream, self._block_flags = bytearray(payload), stream_id, flags

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        if block is None or stream_id != self._block_stream:
            raise BrokenError(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block += payload
        self._count_useless()
        if len(block) > self._header_list_limit * _BLOCK_LIMIT:
            raise BrokenError(ENHANCE_YOUR_CALM, "a header block without end")
        if flags & END_HEADERS:
            self._block = None
            self._receive_block(self._block_flags, stream_id, bytes(block))

    def _receive_block(self, flags: int, stream_id: int, block: bytes) -> None:
        try:
            head = self._decoder.decode(block)
        except MalformedBlockError as error:
            raise BrokenError(COMPRESSION_ERROR, str(error)) from None
        stream = self.streams.get(stream_id)
        if stream is None or stream.state is State.OVER:
            self._check_not_idle(stream_id, "HEADERS")
            self._count_useless()
            return
        if not 100 <= head.status < 200:
            self._useless = 0
        end = bool(flags & END_STREAM)
        if head.size > self._header_list_limit:
            detail = f"the header list has {head.size} bytes, more than the limit of {self._header_list_limit}"
            self._fail(stream, ENHANCE_YOUR_CALM, detail)
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
            fault = head.trailers_fault or "trailers that do not end the stream"
            self._fail(stream, PROTOCOL_ERROR, f"malformed answer: {fault}")
        elif stream.length > 0:
            self._fail(stream, PROTOCOL_ERROR, "the body's size is not its content-length")
        else:
            self._events.append(TrailersReceived(stream, head))
            self._receive_end(stream)


def _unpadded(payload: bytes) -> bytes:
    """Return a payload without its padding."""
    if not payload or payload[0] >= len(payload):
        raise BrokenError(PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]
