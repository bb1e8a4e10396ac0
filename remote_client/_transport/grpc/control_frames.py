"""Control frames from an HTTP/2 server, without I/O: settings, windows, PINGs, resets and GOAWAY."""

from __future__ import annotations

import struct
from collections.abc import Callable

from .events import GoawayReceived, PingAcknowledged, SettingsReceived, State, Stream, StreamRefused, StreamReset
from .frames import (
    ACK,
    ENABLE_PUSH,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PING,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTING,
    SETTINGS,
    WORD,
    frame,
)
from .sending import Sending

_USELESS_FRAMES, _USELESS_TIME = 10_000, 60.0
"""Frames in a row without content (PING, SETTINGS, empty DATA, unknown ones) and the seconds within which only a
hostile server sends that many."""
_UNSENT_REPLIES = 1_000
"""Acknowledgements that wait to be sent, because the server does not read, before it counts as hostile."""


class BrokenError(Exception):
    """The server broke a rule that ends the connection."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Control(Sending):
    """Takes the frames that steer the connection.

    Attributes:
        peer_header_list_limit: the largest header list in bytes that the server accepts; None if it did not say.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.peer_header_list_limit: int | None = None
        self._useless_since = clock()
        self._last_processed = LARGEST_WINDOW

    def _count_useless(self) -> None:
        self._useless += 1
        if self._useless > _USELESS_FRAMES:
            now = self._clock()
            if now - self._useless_since < _USELESS_TIME:
                raise BrokenError(ENHANCE_YOUR_CALM, f"{_USELESS_FRAMES} frames that carry nothing")
            self._useless, self._useless_since = 0, now

    def _reply(self, reply: bytes) -> None:
        self._count_useless()
        self._replies += 1
        if self._replies > _UNSENT_REPLIES:
            raise BrokenError(ENHANCE_YOUR_CALM, "it asks for replies, and does not read them")
        self._out.append(reply)

    def _fail(self, stream: Stream, code: int, detail: str) -> None:
        """End a stream on which the server broke a rule."""
        self.reset(stream, code)
        self._events.append(StreamReset(stream, code, detail))

    def _check_not_idle(self, stream_id: int, what: str) -> None:
        """Break the connection if the stream was never opened: a frame on one that has ended is late, and allowed."""
        if not stream_id & 1 or stream_id >= self._next_id:
            raise BrokenError(PROTOCOL_ERROR, f"{what} on the idle stream {stream_id}")

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 5:
            raise BrokenError(FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")
        if not stream_id:
            raise BrokenError(PROTOCOL_ERROR, "PRIORITY for the connection")
        self._count_useless()

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise BrokenError(FRAME_SIZE_ERROR, f"RST_STREAM of {len(payload)} bytes")
        self._check_not_idle(stream_id, "RST_STREAM")
        self._count_useless()
        stream = self.streams.pop(stream_id, None)
        if stream is None:
            return  # RST_STREAM(NO_ERROR) after END_STREAM: the server wants no more of the request
        (code,) = WORD.unpack(payload)
        unprocessed = code == REFUSED_STREAM and stream.state is State.HEAD
        self._forget(stream)
        self._events.append(StreamRefused(stream) if unprocessed else StreamReset(stream, code))

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenError(PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise BrokenError(FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS that is not empty")
            self._count_useless()
            return
        if len(payload) % 6:
            raise BrokenError(FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
        # Only the last value of a setting is applied: applying thousands of windows to all streams would take long.
        for name, value in dict(SETTING.iter_unpack(payload)).items():
            self._apply(name, value)
        self._reply(frame(SETTINGS, ACK, 0))
        self.settled = True
        self._events.append(SettingsReceived())

    def _apply(self, name: int, value: int) -> None:
        if name == ENABLE_PUSH and value != 0:
            raise BrokenError(PROTOCOL_ERROR, f"the setting ENABLE_PUSH {value} of a server")
        if name == MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif name == INITIAL_WINDOW_SIZE:
            self._change_windows(value)
        elif name == MAX_FRAME_SIZE:
            if not 16_384 <= value <= 0xFFFFFF:
                raise BrokenError(PROTOCOL_ERROR, f"the setting MAX_FRAME_SIZE {value}")
            self._peer_frame_size = value
        elif name == MAX_HEADER_LIST_SIZE:
            self.peer_header_list_limit = value

    def _change_windows(self, value: int) -> None:
        if value > LARGEST_WINDOW:
            raise BrokenError(FLOW_CONTROL_ERROR, f"the setting INITIAL_WINDOW_SIZE {value}")
        change, self._peer_window = value - self._peer_window, value
        self._blocked = False
        for stream in self.streams.values():
            stream.send_window += change  # may fall below zero
            if stream.send_window > LARGEST_WINDOW:
                raise BrokenError(FLOW_CONTROL_ERROR, "a stream's window overflows")

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise BrokenError(PROTOCOL_ERROR, "PUSH_PROMISE, which was not allowed")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenError(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise BrokenError(FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        if flags & ACK:
            self._count_useless()
            self._events.append(PingAcknowledged())
        else:
            self._reply(frame(PING, ACK, 0, payload))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenError(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise BrokenError(FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
        self._count_useless()
        last, code = struct.unpack_from(">LL", payload)
        self.leaving = True
        self._last_processed = min(self._last_processed, last & 0x7FFFFFFF)
        self._events.append(GoawayReceived(code, payload[8:200]))
        # In reverse order: every refused call goes to the front of the queue.
        for stream in [stream for number, stream in reversed(self.streams.items()) if number > self._last_processed]:
            del self.streams[stream.id]
            unprocessed = stream.state is State.HEAD
            self._forget(stream)
            self._events.append(StreamRefused(stream) if unprocessed else StreamReset(stream, code))

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise BrokenError(FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(payload)} bytes")
        more = WORD.unpack(payload)[0] & LARGEST_WINDOW
        if not self._waiting:
            self._count_useless()
        self._blocked = False
        if not stream_id:
            self._send_window += more
            if not more or self._send_window > LARGEST_WINDOW:
                code = FLOW_CONTROL_ERROR if more else PROTOCOL_ERROR
                raise BrokenError(code, f"WINDOW_UPDATE of {more} for the connection")
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, "WINDOW_UPDATE")
            return
        stream.send_window += more
        if not more or stream.send_window > LARGEST_WINDOW:
            self._fail(stream, FLOW_CONTROL_ERROR if more else PROTOCOL_ERROR, f"WINDOW_UPDATE of {more}")
