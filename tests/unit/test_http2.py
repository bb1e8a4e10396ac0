"""HTTP/2 without I/O, rule by rule: what the client sends byte by byte, and what it makes of a peer's frames."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable

import hpack
import pytest

from remote_client._transport.grpc import http2 as module
from remote_client._transport.grpc.events import (
    FIRST_WINDOW,
    LAST_WINDOW,
    Broken,
    DataReceived,
    DataSent,
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
from remote_client._transport.grpc.frames import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    LARGEST_WINDOW,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from remote_client._transport.grpc.headers import encode
from remote_client._transport.grpc.http2 import CONNECTION_WINDOW, OUR_FRAME_SIZE, Http2
from remote_client._transport.grpc.sending import GROWTH_LIMIT, ROOM
from tests.support.clock import Stopwatch
from tests.support.h2_model import (
    HEAD,
    REQUEST,
    TRAILERS,
    Clock,
    connected,
    described,
    exchange,
    footprint,
    frames,
    names,
    request,
    sent,
    settings,
    started,
)

WORD = struct.Struct(">L")
ANSWER_HEAD, ANSWER_TRAILERS = encode(HEAD), encode(TRAILERS)


def head(stream: int = 1, *more: tuple[bytes, bytes], end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | end * END_STREAM, stream, ANSWER_HEAD + encode(more))


def trailers(stream: int = 1) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, ANSWER_TRAILERS)


def data(payload: bytes = b"", stream: int = 1, *, end: bool = False) -> bytes:
    return frame(DATA, end * END_STREAM, stream, payload)


def padded(payload: bytes, padding: int) -> bytes:
    return bytes((padding,)) + payload + bytes(padding)


def rst(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, WORD.pack(code))


def update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, WORD.pack(size))


def goaway(last: int, code: int = NO_ERROR, text: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, WORD.pack(last) + WORD.pack(code) + text)


def calling(count: int = 1, **values: int) -> tuple[Http2, list[Stream]]:
    """A connection with open calls whose requests were sent."""
    http2 = started(**values)
    streams = [request(http2) for _ in range(count)]
    http2.data_to_send()
    return http2, streams


def broken(http2: Http2, received: bytes) -> Broken:
    """The error that a connection ends with; the peer is told the same."""
    events = http2.receive_data(received)
    assert names(events)[-1:] == ["Broken"], names(events)
    (last,) = [each for each in events if isinstance(each, Broken)]
    said = sent(http2)[-1]
    assert (type(said).__name__, said.error_code) == ("GoAwayFrame", last.code)
    assert http2.broken
    assert not http2.has_slot
    assert http2.receive_data(frame(PING, 0, 0, bytes(8))) == []
    assert http2.data_to_send() == b""
    return last


def failed(http2: Http2, received: bytes, *, stream: int = 1) -> StreamReset:
    """The one event of a stream that failed alone; the peer is told the same, and other calls go on."""
    events = http2.receive_data(received)
    assert names(events) == ["StreamReset"], names(events)
    (last,) = events
    assert isinstance(last, StreamReset)
    assert last.detail
    assert last.stream.id == stream
    assert described(http2.data_to_send()) == [("RstStream", stream, last.code)]
    assert http2.has_slot
    other = request(http2)
    http2.data_to_send()
    assert names(http2.receive_data(head(other.id) + trailers(other.id))) == ["HeadReceived", "TrailersReceived"]
    return last


# -- the beginning ----------------------------------------------------------------------------------------------------


def test_a_connection_begins_with_the_preface_settings_and_a_large_window() -> None:
    out = Http2(Clock()).data_to_send()
    assert out.startswith(PREFACE)
    first, second = frames(out)
    assert (first.stream_id, dict(first.settings)) == (
        0,
        {1: 0, 2: 0, 4: 256 << 10, 5: OUR_FRAME_SIZE, 6: 16 << 10},
    )
    assert (second.stream_id, second.window_increment) == (0, CONNECTION_WINDOW - 65_535)


def test_our_header_list_limit_is_told() -> None:
    settings_sent, _ = frames(Http2(Clock(), 5000).data_to_send())
    assert settings_sent.settings[6] == 5000


def test_no_call_may_go_before_the_servers_settings() -> None:
    http2 = Http2(Clock())
    assert not http2.has_slot
    assert names(http2.receive_data(settings(max_concurrent_streams=1))) == ["SettingsReceived"]
    assert http2.has_slot
    request(http2)
    assert not http2.has_slot


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        frame(PING, 0, 0, bytes(8)),
        head(),
        b"\x15\x03\x01\x00\x02\x02\x46\x00\x00",
        frame(SETTINGS, ACK, 0),
    ],
)
def test_a_peer_that_does_not_begin_with_settings_speaks_no_http2(first: bytes) -> None:
    http2 = Http2(Clock())
    assert broken(http2, first).code == PROTOCOL_ERROR
    assert http2.first == first


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_an_alert_of_tls_is_shorter_than_a_frames_head(pieces: int) -> None:
    """And no more comes of it: without a look at it the connection would wait until its time is over."""
    alert = b"\x15\x03\x01\x00\x02\x02\x46"
    http2 = Http2(Clock())
    events = [event for start in range(0, 7, pieces) for event in http2.receive_data(alert[start : start + pieces])]
    assert [type(each) for each in events] == [Broken]
    assert http2.first == alert[:pieces]
    assert not started().first


def test_each_settings_frame_is_acknowledged_once() -> None:
    http2 = started()
    http2.receive_data(settings(x9999=7) + settings() + frame(SETTINGS, ACK, 0))
    assert described(http2.data_to_send()) == [("Settings", 0, "ACK")] * 2


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
        (settings(enable_push=1), PROTOCOL_ERROR),
        (settings(enable_push=2), PROTOCOL_ERROR),
        (settings(initial_window_size=2**31), FLOW_CONTROL_ERROR),
        (settings(max_frame_size=16_383), PROTOCOL_ERROR),
        (settings(max_frame_size=2**24), PROTOCOL_ERROR),
        (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
        (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
        (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS | PRIORITIZED, 1, bytes(4)), FRAME_SIZE_ERROR),
        (frame(PUSH_PROMISE, END_HEADERS, 1, WORD.pack(2) + ANSWER_HEAD), PROTOCOL_ERROR),
        (bytes((*(OUR_FRAME_SIZE + 1).to_bytes(3), DATA, 0, 0, 0, 0, 1)), FRAME_SIZE_ERROR),
        (update(0, 0), PROTOCOL_ERROR),
        (update(0, LARGEST_WINDOW), FLOW_CONTROL_ERROR),
        (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 0, ANSWER_HEAD), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 0, bytes(4)), PROTOCOL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 1, ANSWER_HEAD), PROTOCOL_ERROR),
    ],
)
def test_what_breaks_a_connection(received: bytes, code: int) -> None:
    http2, _ = calling()
    assert broken(http2, received).code == code


def test_what_came_before_the_fault_still_counts() -> None:
    http2, _ = calling()
    events = http2.receive_data(head() + data(b"x") + trailers() + frame(PUSH_PROMISE, 0, 1, bytes(4)) + data(b"late"))
    assert names(events) == ["HeadReceived", "DataReceived", "TrailersReceived", "Broken"]


@pytest.mark.parametrize(
    "received",
    [
        settings(x0=1, x7=2**32 - 1, x65535=0),
        frame(0xA, 0, 0, b"alternative services"),
        frame(0xC, 0xFF, 1, b"origin"),
        frame(0xFF, 0xFF, 2**31 - 1, b"whatever"),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(PRIORITY, 0, 99, bytes(5)),
        frame(PING, 0xFE, 0, bytes(8)),
        frame(SETTINGS, 0xFE, 0),
        frame(WINDOW_UPDATE, 0xFF, 0, WORD.pack(1)),
        frame(WINDOW_UPDATE, 0, 0, WORD.pack(1 | 1 << 31)),
        frame(PING, ACK, 0, b"unasked!"),
    ],
)
def test_unknown_frames_flags_and_settings_are_ignored(received: bytes) -> None:
    http2, _ = calling()
    assert set(names(http2.receive_data(received))) <= {"SettingsReceived", "PingAcknowledged"}
    assert names(http2.receive_data(head() + trailers())) == ["HeadReceived", "TrailersReceived"]
    assert not http2.broken


def test_the_reserved_bit_of_a_stream_id_is_ignored() -> None:
    http2, _ = calling()
    received = bytearray(head() + trailers())
    for position in (5, len(head()) + 5):
        received[position] |= 0x80
    assert names(http2.receive_data(bytes(received))) == ["HeadReceived", "TrailersReceived"]


def test_unknown_flags_of_heads_and_data_are_ignored() -> None:
    http2, _ = calling()
    unknown = 0xFF & ~(END_STREAM | END_HEADERS | PADDED | PRIORITIZED)
    received = frame(HEADERS, END_HEADERS | unknown, 1, ANSWER_HEAD) + frame(DATA, 0xF6, 1, b"x") + trailers()
    assert names(http2.receive_data(received)) == ["HeadReceived", "DataReceived", "TrailersReceived"]


def test_a_ping_is_answered_with_its_own_words() -> None:
    http2 = started()
    http2.receive_data(frame(PING, 0, 0, b"12345678"))
    assert described(http2.data_to_send()) == [("Ping", 0, "ACK", b"12345678")]


def test_our_ping_is_acknowledged() -> None:
    http2, peer = connected()
    http2.ping()
    (event,) = exchange(http2, peer)
    assert isinstance(event, PingAcknowledged)


def test_saying_goodbye() -> None:
    http2, peer = connected()
    http2.goaway()
    exchange(http2, peer)
    assert peer.gone


# -- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_a_head_and_its_data() -> None:
    http2 = started()
    request(http2, b"message")
    first, second = sent(http2)
    assert (type(first).__name__, first.stream_id, first.flags, first.data) == (
        "HeadersFrame",
        1,
        {"END_HEADERS"},
        REQUEST,
    )
    assert (type(second).__name__, second.stream_id, second.flags, second.data) == (
        "DataFrame",
        1,
        {"END_STREAM"},
        b"message",
    )


def test_streams_have_odd_rising_ids() -> None:
    http2 = started()
    assert [request(http2).id for _ in range(4)] == [1, 3, 5, 7]


@pytest.mark.parametrize(
    ("size", "limit", "pieces"),
    [
        (16_384, 16_384, [16_384]),
        (16_385, 16_384, [16_384, 1]),
        (49_152, 16_384, [16_384] * 3),
        (49_153, 16_384, [16_384] * 3 + [1]),
        (40_000, 40_000, [40_000]),
        (40_001, 40_000, [40_000, 1]),
    ],
)
def test_a_long_head_goes_out_in_pieces_that_nothing_interrupts(size: int, limit: int, pieces: list[int]) -> None:
    http2 = started(max_frame_size=limit)
    http2.receive_data(frame(PING, 0, 0, bytes(8)))
    request(http2, b"x", block=bytes(size))
    ping, *block, last = sent(http2)
    assert type(ping).__name__ == "PingFrame"
    assert [type(each).__name__ for each in block] == ["HeadersFrame"] + ["ContinuationFrame"] * (len(pieces) - 1)
    assert [len(each.data) for each in block] == pieces
    assert ["END_HEADERS" in each.flags for each in block] == [False] * (len(pieces) - 1) + [True]
    assert last.data == b"x"


def test_a_strict_server_takes_a_long_head() -> None:
    http2, peer = connected()
    request(http2, b"x", block=REQUEST + encode([(b"long", b"v" * 50_000)]))
    exchange(http2, peer)
    assert peer.requests[1].headers[-1] == (b"long", b"v" * 50_000)


def test_frames_are_no_larger_than_the_peer_allows() -> None:
    http2, peer = connected(initial_window_size=100_000)
    peer.connection.increment_flow_control_window(1_000_000)
    exchange(http2, peer)
    request(http2, bytes(40_000))
    assert [len(each.data) for each in sent(http2)[1:]] == [16_384, 16_384, 7232]
    peer.change(max_frame_size=30_000)
    http2.receive_data(peer.data_to_send())
    http2.data_to_send()
    request(http2, bytes(40_000))
    assert [len(each.data) for each in sent(http2)[1:]] == [30_000, 10_000]


def test_only_as_many_streams_as_the_peer_allows() -> None:
    http2, peer = connected(max_concurrent_streams=2)
    streams = [request(http2), request(http2)]
    assert not http2.has_slot
    exchange(http2, peer)
    peer.answer(1, b"x")
    exchange(http2, peer)
    assert http2.has_slot
    request(http2)
    http2.reset(streams[1])
    request(http2)
    assert not http2.has_slot
    exchange(http2, peer)
    assert peer.requests[3].reset == CANCEL
    assert set(peer.requests) == {1, 3, 5, 7}


def test_a_lower_limit_of_streams_holds_for_new_ones() -> None:
    http2, streams = calling(3)
    http2.receive_data(settings(max_concurrent_streams=2))
    assert not http2.has_slot
    http2.reset(streams[0])
    assert not http2.has_slot
    http2.reset(streams[1])
    assert http2.has_slot
    http2.receive_data(settings(max_concurrent_streams=0))
    assert not http2.has_slot


def test_ids_end_long_before_they_run_out() -> None:
    http2 = started()
    http2._next_id = 2**30 - 1
    assert request(http2).id == 2**30 - 1
    assert http2.has_slot
    last = request(http2)
    assert last.id == 2**30 + 1
    assert http2.leaving
    assert not http2.has_slot
    http2.data_to_send()
    assert names(http2.receive_data(head(last.id) + trailers(last.id))) == ["HeadReceived", "TrailersReceived"]


def test_the_peers_limit_of_a_header_list_is_known() -> None:
    assert started().peer_header_list_limit is None
    assert started(max_header_list_size=16_384).peer_header_list_limit == 16_384


# -- what may be sent -------------------------------------------------------------------------------------------------


def sizes(http2: Http2) -> list[tuple[int, int]]:
    """Streams and sizes of the data that is sent now."""
    return [(each.stream_id, len(each.data)) for each in sent(http2) if type(each).__name__ == "DataFrame"]


def test_nothing_is_sent_beyond_the_streams_window() -> None:
    http2 = started(initial_window_size=10)
    stream = request(http2, None)
    assert not http2.send(stream, bytes(25), end=True)
    assert sizes(http2) == [(1, 10)]
    assert http2.receive_data(update(1, 7)) == []
    assert sizes(http2) == [(1, 7)]
    (event,) = http2.receive_data(update(1, 8))
    assert isinstance(event, DataSent)
    assert event.stream is stream
    assert described(http2.data_to_send()) == [("Data", 1, "END_STREAM", bytes(8))]


@pytest.mark.parametrize(("size", "first"), [(9, [9]), (10, [10]), (11, [10])])
def test_what_just_fits_goes_out_and_what_just_does_not_waits(size: int, first: list[int]) -> None:
    http2 = started(initial_window_size=10)
    stream = request(http2, None)
    assert http2.send(stream, bytes(size)) is (size <= 10)
    assert [sent for _, sent in sizes(http2)] == first
    http2 = started(initial_window_size=1 << 20)
    stream, other = request(http2, None), request(http2, None)
    http2.send(other, bytes(DEFAULT_WINDOW - 10))
    http2.data_to_send()
    assert http2.send(stream, bytes(size)) is (size <= 10)
    assert [sent for _, sent in sizes(http2)] == first


def test_nothing_is_sent_beyond_the_connections_window() -> None:
    http2 = started(initial_window_size=1 << 20)
    first, second = request(http2, None), request(http2, None)
    assert not http2.send(first, bytes(65_000) + bytes(1000), end=True)
    assert not http2.send(second, b"xx", end=True)
    assert sum(size for _, size in sizes(http2)) == DEFAULT_WINDOW
    assert names(http2.receive_data(update(0, 466))) in (["DataSent"], [])
    assert sum(size for _, size in sizes(http2)) == 466
    assert "DataSent" in names(http2.receive_data(update(0, 1)))
    assert sum(size for _, size in sizes(http2)) == 1
    assert not http2.has_waiting


def test_smaller_initial_windows_make_open_ones_negative() -> None:
    http2 = started(initial_window_size=100)
    stream = request(http2, None)
    http2.send(stream, bytes(80))
    http2.data_to_send()
    http2.receive_data(settings(initial_window_size=30))  # 20 - 70 = -50
    assert not http2.send(stream, bytes(10), end=True)
    http2.receive_data(update(1, 50))
    assert sizes(http2) == []
    assert names(http2.receive_data(update(1, 4))) == []
    assert sizes(http2) == [(1, 4)]
    assert names(http2.receive_data(settings(initial_window_size=36))) == ["SettingsReceived", "DataSent"]
    assert sizes(http2) == [(1, 6)]


def test_larger_initial_windows_let_waiting_data_go() -> None:
    http2 = started(initial_window_size=0)
    stream = request(http2, b"0123456789")
    assert sizes(http2) == []
    assert names(http2.receive_data(settings(initial_window_size=10))) == ["SettingsReceived", "DataSent"]
    assert described(http2.data_to_send())[-1] == ("Data", 1, "END_STREAM", b"0123456789")
    assert stream.send_window == 0


def test_the_last_value_of_a_setting_counts() -> None:
    http2 = started(initial_window_size=1000)
    request(http2, None)
    http2.receive_data(frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", 4, size) for size in (0, 5, 2000, 7))))
    stream = request(http2, None)
    http2.send(stream, bytes(100))
    assert sizes(http2) == [(3, 7)]


def test_an_empty_end_needs_no_window() -> None:
    http2 = started(initial_window_size=20)
    stream, other = request(http2, None), request(http2, None)
    http2.send(stream, bytes(20))
    assert http2.send(stream, b"", end=True)
    assert described(http2.data_to_send())[-1] == ("Data", 1, "END_STREAM", b"")
    http2.receive_data(settings(initial_window_size=1 << 20))
    http2.send(other, bytes(DEFAULT_WINDOW - 20))
    late = request(http2, None)
    assert http2.send(late, b"", end=True)
    assert described(http2.data_to_send())[-1] == ("Data", late.id, "END_STREAM", b"")


def test_an_empty_end_waits_for_a_window_below_zero() -> None:
    """A peer on h2 takes it for a violation until then."""
    http2, peer = connected(initial_window_size=20)
    stream = request(http2, None)
    http2.send(stream, bytes(20))
    exchange(http2, peer)
    peer.change(initial_window_size=10)
    exchange(http2, peer)
    assert not http2.send(stream, b"", end=True)
    exchange(http2, peer)
    assert not peer.requests[1].ended
    peer.read(1, 10)
    assert names(exchange(http2, peer)) == ["DataSent"]
    assert peer.requests[1].ended


def test_no_empty_data_goes_out_before_the_end() -> None:
    http2 = started()
    assert http2.send(request(http2, None), b"")
    assert [type(each).__name__ for each in sent(http2)] == ["HeadersFrame"]


def test_the_end_goes_with_the_last_of_the_waiting_data() -> None:
    http2 = started(initial_window_size=10)
    stream = request(http2, None)
    http2.send(stream, bytes(12))
    http2.send(stream, b"", end=True)
    http2.data_to_send()
    assert names(http2.receive_data(update(1, 2))) == ["DataSent"]
    assert described(http2.data_to_send()) == [("Data", 1, "END_STREAM", bytes(2))]


def test_messages_keep_their_order() -> None:
    http2 = started(initial_window_size=3)
    stream = request(http2, None)
    for word in (b"one", b"two", b"", b"three"):
        http2.send(stream, word)
    http2.send(stream, b"four", end=True)
    http2.receive_data(settings(initial_window_size=1000))
    found = b"".join(each.data for each in sent(http2) if type(each).__name__ == "DataFrame")
    assert found == b"onetwothreefour"
    assert stream.sent_end


def test_only_so_much_is_queued_at_a_time() -> None:
    http2 = started(initial_window_size=LARGEST_WINDOW)
    http2.receive_data(update(0, LARGEST_WINDOW - DEFAULT_WINDOW))
    request(http2, bytes(ROOM * 2 + 5))
    assert sum(size for _, size in sizes(http2)) == ROOM
    assert http2.data_to_send() == b""
    assert http2.resume() == []
    assert sum(size for _, size in sizes(http2)) == ROOM
    assert names(http2.resume()) == ["DataSent"]
    assert sum(size for _, size in sizes(http2)) == 5


def test_an_upload_that_completes_beside_another_ones_is_told_so() -> None:
    http2 = started(initial_window_size=LARGEST_WINDOW)
    http2.receive_data(update(0, LARGEST_WINDOW - DEFAULT_WINDOW))
    first, second = request(http2, None), request(http2, None)
    assert not http2.send(first, bytes(ROOM + 10))
    http2.data_to_send()
    waits = not http2.send(second, bytes(40_000))
    told = [event.stream for event in http2.resume() if isinstance(event, DataSent)]
    assert told == [first, *([second] if waits else [])]
    assert http2.resume() == []


def test_an_upload_without_a_window_holds_no_other_up() -> None:
    http2 = started(initial_window_size=0)
    stuck, other = request(http2, bytes(10)), request(http2, None)
    http2.receive_data(update(other.id, 50_000))
    http2.data_to_send()
    assert http2.resume() == []
    http2.send(other, bytes(40_000))  # in several frames: it has to wait for its turn
    http2.resume()
    assert sum(size for stream, size in sizes(http2) if stream == other.id) == 40_000
    assert stuck.pending


def test_no_upload_starves_the_others_of_the_connections_window() -> None:
    http2 = started(initial_window_size=1 << 20)
    streams = [request(http2, None) for _ in range(5)]
    for stream in streams:
        http2.send(stream, bytes(1 << 20))
    got = dict.fromkeys((stream.id for stream in streams), 0)
    for _ in range(50):
        for stream_id, size in sizes(http2):
            got[stream_id] += size
        http2.receive_data(update(0, 16_384))
    assert min(got.values()) > max(got.values()) / 2, got


def test_no_upload_starves_the_others_of_room() -> None:
    http2 = started(initial_window_size=LARGEST_WINDOW)
    http2.receive_data(update(0, LARGEST_WINDOW - DEFAULT_WINDOW))
    streams = [request(http2, None) for _ in range(50)]
    for stream in streams:
        http2.send(stream, bytes(1 << 20))
    http2.data_to_send()  # all of the first one's: there were no others yet
    http2.resume()
    got = dict.fromkeys((stream.id for stream in streams), 0)
    for _ in range(20):
        for stream_id, size in sizes(http2):
            got[stream_id] += size
        http2.resume()
    assert min(got.values()) > max(got.values()) / 2, got


def test_a_window_of_one_byte_passes_one_byte() -> None:
    http2, peer = connected(initial_window_size=1)
    request(http2, b"0123456789")
    for _ in range(20):
        exchange(http2, peer)
        peer.read(0, 1)
        peer.read(1, 1)
    assert bytes(peer.requests[1].body) == b"0123456789"
    assert peer.requests[1].ended


@pytest.mark.parametrize(("size", "code"), [(0, PROTOCOL_ERROR), (LARGEST_WINDOW, FLOW_CONTROL_ERROR)])
def test_a_wrong_window_update_ends_its_stream_alone(size: int, code: int) -> None:
    http2, _ = calling(2)
    assert failed(http2, update(1, size)).code == code


def test_settings_that_make_a_window_overflow_end_the_connection() -> None:
    http2, _ = calling()
    http2.receive_data(update(1, LARGEST_WINDOW - DEFAULT_WINDOW))
    assert broken(http2, settings(initial_window_size=DEFAULT_WINDOW + 1)).code == FLOW_CONTROL_ERROR


def test_window_updates_of_streams_that_are_over_are_ignored() -> None:
    http2, (stream,) = calling()
    http2.reset(stream)
    http2.data_to_send()
    assert http2.receive_data(update(1, LARGEST_WINDOW) + update(1, LARGEST_WINDOW) + update(1, 0)) == []
    assert http2.data_to_send() == b""


def test_nothing_is_sent_on_a_stream_that_was_cancelled() -> None:
    http2 = started(initial_window_size=10)
    stream = request(http2, bytes(1000))
    http2.data_to_send()
    http2.reset(stream)
    http2.reset(stream)
    assert http2.send(stream, b"more", end=True)
    http2.receive_data(update(1, 1000) + settings(initial_window_size=5000))
    assert described(http2.data_to_send()) == [("RstStream", 1, CANCEL), ("Settings", 0, "ACK")]
    assert not http2.has_waiting


# -- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer() -> None:
    http2, (stream,) = calling()
    first, second, last = http2.receive_data(head() + data(b"message") + trailers())
    assert isinstance(first, HeadReceived)
    assert (first.stream, first.head.status, first.end) == (stream, 200, False)
    assert isinstance(second, DataReceived)
    assert (second.stream, second.data, second.end) == (stream, b"message", False)
    assert isinstance(last, TrailersReceived)
    assert [(each.name, each.value) for each in last.head.fields] == TRAILERS
    assert (http2.streams, http2.data_to_send()) == ({}, b"")


def test_an_answer_of_trailers_only() -> None:
    http2, _ = calling()
    (event,) = http2.receive_data(head(1, *TRAILERS, end=True))
    assert isinstance(event, HeadReceived)
    assert event.end
    assert http2.streams == {}


def test_an_answer_that_its_data_ends() -> None:
    http2, _ = calling()
    _, event = http2.receive_data(head() + data(b"x", end=True))
    assert isinstance(event, DataReceived)
    assert (event.data, event.end) == (b"x", True)
    assert http2.streams == {}


def test_informational_heads_are_skipped() -> None:
    http2, _ = calling()
    early = frame(HEADERS, END_HEADERS, 1, encode([(b":status", b"103"), (b"link", b"</x>")]))
    assert http2.receive_data(early * 3) == []
    assert names(http2.receive_data(head() + trailers())) == ["HeadReceived", "TrailersReceived"]


@pytest.mark.parametrize(("status", "end"), [(b"100", True), (b"101", False), (b"103", True)])
def test_informational_heads_that_make_no_sense(status: bytes, end: bool) -> None:
    http2, _ = calling(2)
    received = frame(HEADERS, END_HEADERS | end * END_STREAM, 1, encode([(b":status", status)]))
    assert failed(http2, received).code == PROTOCOL_ERROR


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_head_in_pieces(step: int) -> None:
    http2, _ = calling()
    block = encode([*HEAD, (b"x", b"y" * 3000)])
    pieces = [block[start : start + step] for start in range(0, len(block), step)]
    received = frame(HEADERS, END_STREAM, 1, pieces[0])
    received += b"".join(frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:])
    assert http2.receive_data(received) == []
    (event,) = http2.receive_data(frame(CONTINUATION, END_HEADERS, 1))
    assert isinstance(event, HeadReceived)
    assert event.end
    assert len(event.head.fields) == 3


@pytest.mark.parametrize(
    "between",
    [data(b"x"), frame(PING, 0, 0, bytes(8)), frame(0xFE, 0, 1), frame(CONTINUATION, 0, 3), frame(SETTINGS, 0, 0)],
)
def test_a_head_in_pieces_that_something_interrupts(between: bytes) -> None:
    http2, _ = calling(2)
    assert broken(http2, frame(HEADERS, 0, 1, ANSWER_HEAD) + between).code == PROTOCOL_ERROR


def test_a_head_with_padding_and_priority() -> None:
    http2, _ = calling()
    payload = padded(b"\x80\0\0\0\xff" + ANSWER_HEAD, 200)
    (event,) = http2.receive_data(frame(HEADERS, END_HEADERS | PADDED | PRIORITIZED, 1, payload))
    assert isinstance(event, HeadReceived)
    assert len(event.head.fields) == len(HEAD)


def test_a_padded_head_in_pieces() -> None:
    http2, _ = calling()
    received = frame(HEADERS, PADDED, 1, padded(ANSWER_HEAD[:10], 7))
    received += frame(CONTINUATION, END_HEADERS | PADDED, 1, ANSWER_HEAD[10:])  # CONTINUATION knows no padding
    assert names(http2.receive_data(received)) == ["HeadReceived"]


@pytest.mark.parametrize("kind", [DATA, HEADERS])
@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abcd", b"\xff" + bytes(254)])
def test_more_padding_than_payload(kind: int, payload: bytes) -> None:
    http2, _ = calling()
    http2.receive_data(head())
    assert broken(http2, frame(kind, PADDED | END_HEADERS, 1, payload)).code in (PROTOCOL_ERROR, FRAME_SIZE_ERROR)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"content-type", b"application/grpc")],
        [*HEAD, (b":status", b"200")],
        [*HEAD, (b":path", b"/")],
        [(b":method", b"GET"), *HEAD],
        [(b"content-type", b"application/grpc"), (b":status", b"200")],
        [(b":status", b"20")],
        [(b":status", b"2000")],
        [(b":status", b"abc")],
        [(b":status", b"")],
        [*HEAD, (b"Upper", b"x")],
        [*HEAD, (b"a b", b"x")],
        [*HEAD, (b"", b"x")],
        [*HEAD, (b":", b"x")],
        [*HEAD, (b"a:b", b"x")],
        [*HEAD, (b"caf\xc3\xa9", b"x")],
        [*HEAD, (b"nul\0", b"x")],
        [*HEAD, (b"x", b"a\r\nb")],
        [*HEAD, (b"x", b"a\0")],
        [*HEAD, (b"connection", b"close")],
        [*HEAD, (b"keep-alive", b"1")],
        [*HEAD, (b"proxy-connection", b"close")],
        [*HEAD, (b"transfer-encoding", b"chunked")],
        [*HEAD, (b"upgrade", b"h3")],
        [*HEAD, (b"content-length", b"x")],
        [*HEAD, (b"content-length", b"-1")],
        [*HEAD, (b"content-length", b"+1")],
        [*HEAD, (b"content-length", b"1, 1")],
        [*HEAD, (b"content-length", b"1"), (b"content-length", b"2")],
        [*HEAD, (b"content-length", b"9" * 30)],
    ],
)
def test_a_malformed_head_ends_its_stream_alone(fields: list[tuple[bytes, bytes]]) -> None:
    http2, _ = calling(2)
    failure = failed(http2, frame(HEADERS, END_HEADERS, 1, encode(fields)))
    assert failure.code == PROTOCOL_ERROR
    assert str(failure.detail).startswith("malformed answer: ")
    assert len(str(failure.detail)) < 300


@pytest.mark.parametrize(
    "received",
    [
        frame(HEADERS, END_HEADERS, 1, ANSWER_TRAILERS),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, encode([(b":status", b"200"), *TRAILERS])),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, encode([*TRAILERS, (b"Upper", b"x")])),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, encode([*TRAILERS, (b"connection", b"x")])),
    ],
)
def test_malformed_trailers_end_their_stream_alone(received: bytes) -> None:
    http2, _ = calling(2)
    http2.receive_data(head())
    assert failed(http2, received).code == PROTOCOL_ERROR


@pytest.mark.parametrize("cuts", [1, 7, 20_000, 40_000])
def test_a_large_frame_of_data_is_handed_on_as_it_comes(cuts: int) -> None:
    """Kept until it is whole it would be copied with each part that arrives."""
    body = bytes(range(256)) * 400
    http2, _ = calling()
    received = head() + data(body[:60_000]) + data(body[60_000:], end=True)
    parts, ends = [], []
    for start in range(0, len(received), cuts):
        for event in http2.receive_data(received[start : start + cuts]):
            if isinstance(event, DataReceived):
                parts.append(bytes(event.data))
                ends.append(event.end)
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= max(cuts, 20_000)
    assert ends == [False] * (len(ends) - 1) + [True]
    assert not http2.streams


def test_a_part_of_a_frame_counts_for_the_windows_as_it_comes() -> None:
    http2, (stream,) = calling()
    window = stream.receive_window
    http2.receive_data(head() + data(bytes(100_000))[:50_009])
    assert stream.receive_window == window - 50_000


def test_the_rest_of_a_frame_whose_stream_was_cancelled_is_dropped() -> None:
    http2, (first, second) = calling(2)
    large = data(bytes(100_000), 1)
    http2.receive_data(head(1) + head(3) + large[:50_000])
    http2.reset(first)
    events = http2.receive_data(large[50_000:] + data(b"on", 3))
    assert [(each.stream, bytes(each.data)) for each in events if isinstance(each, DataReceived)] == [(second, b"on")]
    assert not http2.broken


def test_data_before_the_head() -> None:
    http2, _ = calling(2)
    assert failed(http2, data(b"x")).code == PROTOCOL_ERROR


@pytest.mark.parametrize("length", [b"0", b"5", b"05"])
def test_a_body_as_long_as_its_content_length(length: bytes) -> None:
    http2, _ = calling()
    size = int(length)
    events = http2.receive_data(head(1, (b"content-length", length)) + data(bytes(size)) + trailers())
    assert names(events) == ["HeadReceived", "DataReceived", "TrailersReceived"]


@pytest.mark.parametrize(
    "received",
    [
        data(bytes(6)),
        data(bytes(4)) + trailers(),
        data(bytes(4), end=True),
        trailers(),
        data(bytes(3)) + data(bytes(3)),
    ],
)
def test_a_body_of_another_length_than_its_content_length(received: bytes) -> None:
    http2, _ = calling(2)
    assert names(http2.receive_data(head(1, (b"content-length", b"5")))) == ["HeadReceived"]
    *before, last = http2.receive_data(received)
    assert set(names(before)) <= {"DataReceived"}
    assert isinstance(last, StreamReset)
    assert last.code == PROTOCOL_ERROR
    assert http2.streams.keys() == {3}


def test_a_content_length_without_a_body() -> None:
    http2, _ = calling(2)
    assert failed(http2, head(1, (b"content-length", b"5"), end=True)).code == PROTOCOL_ERROR


def test_padding_does_not_count_in_the_content_length() -> None:
    http2, _ = calling()
    received = head(1, (b"content-length", b"5")) + frame(DATA, PADDED | END_STREAM, 1, padded(b"12345", 100))
    assert names(http2.receive_data(received)) == ["HeadReceived", "DataReceived"]


def test_heads_refer_to_earlier_ones_until_the_server_gives_its_table_up() -> None:
    """It does so once it has read our settings; from then on equal heads are equal bytes, and decoded once."""
    http2, encoder, seen = started(), hpack.Encoder(), []
    for number in range(9):
        if number == 4:
            encoder.header_table_size = 0
        stream = request(http2)
        fields = [*HEAD, (b"x-number", b"%d" % (number // 2)), (b"x-same", b"same")]
        block, last = encoder.encode(fields), encoder.encode([*TRAILERS, (b"x-late", b"late")])
        received = frame(HEADERS, END_HEADERS, stream.id, block)
        received += frame(HEADERS, END_HEADERS | END_STREAM, stream.id, last)
        first, end = http2.receive_data(received)
        assert isinstance(first, HeadReceived)
        assert isinstance(end, TrailersReceived)
        assert [(each.name, each.value) for each in first.head.fields] == fields
        assert end.head.fields[-1].name == b"x-late"
        seen.append((block, first.head, end.head))
    assert len(seen[1][0]) < len(seen[0][0])  # by references to its table
    assert seen[6][0] == seen[7][0]
    assert seen[6][1] is seen[7][1]
    assert seen[7][2] is seen[8][2]


def test_a_block_that_does_not_decode_ends_the_connection() -> None:
    http2, _ = calling()
    assert broken(http2, frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff")).code == 9


# -- ends -------------------------------------------------------------------------------------------------------------


def test_early_trailers_end_the_upload() -> None:
    http2, peer = connected()
    stream = request(http2, None)
    http2.send(stream, bytes(70_000))
    exchange(http2, peer)
    assert http2.has_waiting
    peer.head(1)
    peer.trailers(1)
    assert names(exchange(http2, peer)) == ["HeadReceived", "TrailersReceived"]
    assert (http2.has_waiting, http2.streams) == (False, {})
    assert http2.send(stream, b"more", end=True)
    peer.read(0, 1 << 20)
    exchange(http2, peer)
    assert len(peer.requests[1].body) == DEFAULT_WINDOW
    assert peer.requests[1].reset == NO_ERROR


def test_a_reset_without_error_after_the_end_changes_nothing() -> None:
    http2, _ = calling()
    events = http2.receive_data(head() + data(b"x") + trailers() + rst(1, NO_ERROR))
    assert names(events) == ["HeadReceived", "DataReceived", "TrailersReceived"]
    http2 = started()
    request(http2, None)
    events = http2.receive_data(head(1, *TRAILERS, end=True) + rst(1, NO_ERROR))
    assert names(events) == ["HeadReceived"]
    assert http2.streams == {}


@pytest.mark.parametrize("code", [NO_ERROR, PROTOCOL_ERROR, CANCEL, ENHANCE_YOUR_CALM, 0xD, 0xFFFFFFFF])
def test_a_reset_ends_its_stream(code: int) -> None:
    http2, streams = calling(2)
    (event,) = http2.receive_data(rst(1, code))
    assert isinstance(event, StreamReset)
    assert (event.stream, event.code, event.detail) == (streams[0], code, None)
    assert http2.data_to_send() == b""
    assert http2.streams.keys() == {3}


def test_a_refused_stream_was_not_processed() -> None:
    http2, streams = calling(2)
    (event,) = http2.receive_data(rst(1, REFUSED_STREAM))
    assert isinstance(event, StreamRefused)
    assert event.stream is streams[0]


def test_a_stream_that_was_answered_cannot_be_refused() -> None:
    http2, _ = calling()
    event = http2.receive_data(head() + rst(1, REFUSED_STREAM))[-1]
    assert isinstance(event, StreamReset)
    assert event.code == REFUSED_STREAM


@pytest.mark.parametrize("stream", [3, 2, 2**31 - 1])
@pytest.mark.parametrize(
    "make",
    [
        head,
        trailers,
        lambda stream: data(b"x", stream),
        lambda stream: rst(stream, NO_ERROR),
        lambda stream: update(stream, 1),
    ],
)
def test_frames_on_idle_streams_end_the_connection(make: Callable[[int], bytes], stream: int) -> None:
    http2, _ = calling()
    assert broken(http2, make(stream)).code == PROTOCOL_ERROR


@pytest.mark.parametrize("end", ["cancelled", "reset", "answered", "refused", "failed"])
def test_frames_on_streams_that_are_over_are_discarded(end: str) -> None:
    http2, (stream, _) = calling(2)
    match end:
        case "cancelled":
            http2.reset(stream)
        case "reset":
            http2.receive_data(rst(1, 2))
        case "answered":
            http2.receive_data(head() + trailers())
        case "refused":
            http2.receive_data(rst(1, REFUSED_STREAM))
        case "failed":
            http2.receive_data(data(b"x"))
    http2.data_to_send()
    assert http2.receive_data(head() + data(b"late") + trailers() + rst(1, CANCEL) + update(1, 1)) == []
    assert http2.data_to_send() == b""
    assert names(http2.receive_data(head(3) + trailers(3))) == ["HeadReceived", "TrailersReceived"]


def test_heads_of_cancelled_calls_keep_the_table_right() -> None:
    http2, (first, second) = calling(2)
    encoder = hpack.Encoder()
    fields = [*HEAD, (b"x-new", b"enters the table")]
    late, later = encoder.encode(fields), encoder.encode(fields)
    assert len(later) < len(late)
    http2.reset(first)
    assert http2.receive_data(frame(HEADERS, END_HEADERS, first.id, late)) == []
    (event,) = http2.receive_data(frame(HEADERS, END_HEADERS, second.id, later))
    assert isinstance(event, HeadReceived)
    assert [(each.name, each.value) for each in event.head.fields] == fields


def test_data_of_cancelled_calls_is_credited_to_the_connection() -> None:
    http2, (stream, _) = calling(2)
    http2.reset(stream)
    http2.data_to_send()
    payload, credited = bytes(64 << 10), 0
    for _ in range((CONNECTION_WINDOW >> 16) * 3):
        assert http2.receive_data(data(payload)) == []
        credited += sum(each.window_increment for each in sent(http2))
    assert not http2.broken
    assert CONNECTION_WINDOW * 3 - credited < CONNECTION_WINDOW / 2 + 1


# -- GOAWAY -----------------------------------------------------------------------------------------------------------


def test_goaway_refuses_what_it_did_not_process_and_lets_the_rest_finish() -> None:
    http2, streams = calling(4)
    events = http2.receive_data(goaway(3, text=b"max_age"))
    assert names(events) == ["GoawayReceived", "StreamRefused", "StreamRefused"]
    first, *refused = events
    assert isinstance(first, GoawayReceived)
    assert (first.code, first.text) == (NO_ERROR, b"max_age")
    assert [each.stream for each in refused] == streams[:1:-1]
    assert (http2.leaving, http2.has_slot) == (True, False)
    assert names(http2.receive_data(head(3) + data(b"x", 3) + trailers(3)))[-1] == "TrailersReceived"
    assert http2.streams.keys() == {1}


def test_goaway_twice_with_a_falling_id() -> None:
    http2, streams = calling(4)
    assert names(http2.receive_data(goaway(2**31 - 1))) == ["GoawayReceived"]
    assert not http2.has_slot
    _, *refused = http2.receive_data(goaway(5))
    assert [each.stream for each in refused] == streams[3:]
    _, *refused = http2.receive_data(goaway(1))
    assert [each.stream for each in refused] == streams[2:0:-1]
    assert names(http2.receive_data(head() + trailers())) == ["HeadReceived", "TrailersReceived"]


def test_goaway_with_a_rising_id_takes_nothing_back() -> None:
    http2, _ = calling(3)
    http2.receive_data(goaway(1))
    assert names(http2.receive_data(goaway(5))) == ["GoawayReceived"]
    assert http2.streams.keys() == {1}
    assert http2.receive_data(head(5) + trailers(5)) == []


def test_goaway_takes_no_answered_call_back() -> None:
    http2, _ = calling(1)
    http2.receive_data(head())
    _, event = http2.receive_data(goaway(0, ENHANCE_YOUR_CALM))
    assert isinstance(event, StreamReset)
    assert event.code == ENHANCE_YOUR_CALM


def test_uploads_go_on_after_goaway() -> None:
    http2 = started(initial_window_size=10)
    stream = request(http2, bytes(30))
    http2.receive_data(goaway(1))
    http2.data_to_send()
    assert names(http2.receive_data(update(1, 20))) == ["DataSent"]
    assert sizes(http2) == [(1, 20)]
    assert stream.sent_end


# -- our windows ------------------------------------------------------------------------------------------------------


def test_the_connections_window_is_credited_on_receipt() -> None:
    http2, _ = calling(40)
    http2.receive_data(b"".join(head(1 + 2 * number) for number in range(40)))
    total = credited = 0
    for number in range(40):
        for _ in range(3):  # nobody takes any of it
            http2.receive_data(data(bytes(80_000), 1 + 2 * number))
            total += 80_000
        credited += sum(each.window_increment for each in sent(http2))
    assert not http2.broken
    assert 0 <= total - credited <= CONNECTION_WINDOW / 2


def test_the_connections_window_is_credited_to_the_byte() -> None:
    http2, _ = calling(200)
    total, window = 0, CONNECTION_WINDOW
    for number in range(200):
        size = 100_000 + number
        http2.receive_data(head(1 + 2 * number) + data(bytes(size), 1 + 2 * number))
        total += size
        window += sum(each.window_increment for each in sent(http2)) - size
    assert total > CONNECTION_WINDOW
    assert window == http2._receive_window


def test_more_data_than_the_connections_window_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    http2, _ = calling(2)
    http2.receive_data(head() + head(3))
    # The window is credited as data arrives: only a frame above half of it can exceed it.
    monkeypatch.setattr(module, "CONNECTION_WINDOW", 100_000)
    small = started()
    request(small)
    small.receive_data(head() + data(bytes(49_000)))
    assert broken(small, data(bytes(52_000))).code == FLOW_CONTROL_ERROR


def test_more_data_than_the_streams_window_ends_the_stream() -> None:
    http2, _ = calling(2)
    http2.receive_data(head() + data(bytes(OUR_FRAME_SIZE)) + data(bytes(OUR_FRAME_SIZE)))
    assert failed(http2, data(b"x")).code == FLOW_CONTROL_ERROR


def test_padding_counts_in_windows() -> None:
    http2, _ = calling(2)
    received = head() + data(bytes(OUR_FRAME_SIZE)) + data(bytes(OUR_FRAME_SIZE - 50))
    http2.receive_data(received)
    assert failed(http2, frame(DATA, PADDED, 1, padded(b"", 50))).code == FLOW_CONTROL_ERROR


def test_padding_is_given_back_at_once() -> None:
    """Nobody takes padding: a stream of it would use up the stream's window."""
    http2, (stream,) = calling()
    http2.receive_data(head())
    credited = 0
    for _ in range(5000):
        http2.receive_data(frame(DATA, PADDED, 1, padded(b"x", 255)))
        http2.take(stream, 1)
        credited += sum(each.window_increment for each in sent(http2) if each.stream_id)
    assert not http2.broken
    assert stream.id in http2.streams
    assert 5000 * 257 - credited < LAST_WINDOW


def reading(http2: Http2, stream: Stream, clock: Clock, seconds: float, total: int) -> list[int]:
    """The windows of a stream whose reader takes all at once, so many seconds after it arrived."""
    seen = [stream.receive_window]
    while total > 0:
        size = min(stream.receive_window, OUR_FRAME_SIZE)
        http2.receive_data(data(bytes(size), stream.id))
        clock.now += seconds
        http2.take(stream, size)
        total -= size
        if stream.receive_window > seen[-1]:
            seen.append(stream.receive_window)
    return seen


def test_a_window_that_limits_the_throughput_doubles() -> None:
    clock = Clock()
    http2 = started(clock)
    stream = request(http2)
    http2.receive_data(head())
    assert reading(http2, stream, clock, 0.01, 64 << 20) == [FIRST_WINDOW << power for power in range(6)]
    assert stream.receive_window <= LAST_WINDOW


def test_a_window_of_a_slow_reader_stays() -> None:
    clock = Clock()
    http2 = started(clock)
    stream = request(http2)
    http2.receive_data(head())
    assert reading(http2, stream, clock, 0.5, 4 << 20) == [FIRST_WINDOW]


def test_the_peer_is_told_of_each_byte_of_a_window() -> None:
    clock = Clock()
    http2 = started(clock)
    stream = request(http2)
    http2.receive_data(head())
    http2.data_to_send()
    reading(http2, stream, clock, 0.01, 16 << 20)
    told = sum(each.window_increment for each in sent(http2) if each.stream_id == stream.id)
    taken = FIRST_WINDOW + told - stream.receive_window
    assert taken >= 16 << 20
    assert taken - (16 << 20) < OUR_FRAME_SIZE


def test_windows_of_a_connection_grow_within_a_limit() -> None:
    clock = Clock()
    http2 = started(clock)
    streams = [request(http2) for _ in range(20)]
    for stream in streams:
        http2.receive_data(head(stream.id))
        reading(http2, stream, clock, 0.001, 16 << 20)
    assert sum(stream.window - FIRST_WINDOW for stream in streams) <= GROWTH_LIMIT
    assert sum(stream.window - FIRST_WINDOW for stream in streams) > GROWTH_LIMIT / 2
    for stream in streams[:-1]:
        http2.reset(stream)
    late = request(http2)
    http2.receive_data(head(late.id))
    assert reading(http2, late, clock, 0.001, 64 << 20)[-1] > FIRST_WINDOW


@pytest.mark.parametrize(
    ("way", "speed", "least"), [(0.05, 110e6, 105e6), (0.05, 1e9, 125e6), (0.1, 110e6, 70e6), (0.2, 1e9, 35e6)]
)
def test_throughput_over_a_long_way(way: float, speed: float, least: float) -> None:
    """A reader that keeps up, and a sender on a link of some speed: bytes a second, once windows have grown."""
    clock = Clock()
    http2 = started(clock)
    stream = request(http2)
    http2.receive_data(head())
    http2.data_to_send()
    size, begun = 16_384, clock.now
    windows = {0: CONNECTION_WINDOW, stream.id: FIRST_WINDOW}
    arriving: deque[float] = deque()  # when frames arrive
    told: deque[tuple[float, int, int]] = deque()  # when the sender learns of larger windows
    free = clock.now  # when the sender may send the next frame
    late = 0
    while clock.now < begun + 40 * way:
        while told and told[0][0] <= clock.now:
            _, key, more = told.popleft()
            windows[key] += more
        while arriving and arriving[0] <= clock.now:
            arriving.popleft()
            http2.receive_data(data(bytes(size), stream.id))
            http2.take(stream, size)
            late += size * (clock.now > begun + 20 * way)
            told.extend((clock.now + way / 2, each.stream_id, each.window_increment) for each in sent(http2))
        while min(windows.values()) >= size and free <= clock.now:
            for key in windows:
                windows[key] -= size
            free = max(free, clock.now) + size / speed
            arriving.append(free + way / 2)
        times = [queue[0] if queue is arriving else queue[0][0] for queue in (arriving, told) if queue]  # type: ignore[index]
        clock.now = min(free, *times) if min(windows.values()) >= size else min(times)
    assert late / (20 * way) >= least
    assert not http2.broken


def test_what_is_taken_of_a_stream_that_is_over_is_not_told() -> None:
    http2, (stream,) = calling()
    http2.receive_data(head() + data(bytes(OUR_FRAME_SIZE)))
    http2.reset(stream)
    http2.data_to_send()
    http2.take(stream, OUR_FRAME_SIZE)
    assert http2.data_to_send() == b""


# -- heads that are too large -----------------------------------------------------------------------------------------


def test_a_header_list_over_our_limit_ends_its_stream_alone() -> None:
    http2, _ = calling(2)
    large = [(b"x", b"v" * 8000)] * 2 + [(b"y", b"v" * 200)]
    failure = failed(http2, frame(HEADERS, END_HEADERS, 1, encode([*HEAD, *large])))
    assert failure.code == ENHANCE_YOUR_CALM
    assert "16384" in str(failure.detail)


def test_a_header_list_at_our_limit_is_accepted() -> None:
    http2, _ = calling()
    size = sum(len(name) + len(value) + 32 for name, value in HEAD)
    fitting = encode([*HEAD, (b"x", b"v" * (16_384 - size - 33))])
    assert names(http2.receive_data(frame(HEADERS, END_HEADERS, 1, fitting))) == ["HeadReceived"]
    http2, _ = calling()
    above = encode([*HEAD, (b"x", b"v" * (16_384 - size - 32))])
    assert names(http2.receive_data(frame(HEADERS, END_HEADERS, 1, above))) == ["StreamReset"]


def test_trailers_over_our_limit_end_their_stream_alone() -> None:
    http2, _ = calling(2)
    http2.receive_data(head())
    large = encode([*TRAILERS, (b"x", b"v" * 17_000)])
    assert failed(http2, frame(HEADERS, END_HEADERS | END_STREAM, 1, large)).code == ENHANCE_YOUR_CALM


def test_names_of_no_length_count() -> None:
    http2, _ = calling(2)
    assert failed(http2, frame(HEADERS, END_HEADERS, 1, ANSWER_HEAD + b"\0\0\0" * 1000)).code == ENHANCE_YOUR_CALM
    http2, _ = calling()
    assert broken(http2, frame(HEADERS, END_HEADERS, 1, ANSWER_HEAD + b"\0\0\0" * 30_000)).code


def test_a_block_that_unpacks_to_more_than_memory() -> None:
    """A few kilobytes of references to a large entry of the table are hundreds of megabytes."""
    http2, _ = calling()
    large = b"\x40" + encode([(b"x", b"v" * 4000)])[1:]
    watch, before = Stopwatch(), footprint(http2)
    broken(http2, frame(HEADERS, END_HEADERS, 1, ANSWER_HEAD + large + b"\xbe" * 100_000))
    assert watch.seconds < 1
    assert footprint(http2) - before < 200_000


@pytest.mark.parametrize("piece", [b"", b"x", bytes(16_000)])
def test_a_head_without_end(piece: bytes) -> None:
    http2, _ = calling()
    before = footprint(http2)
    events = http2.receive_data(frame(HEADERS, 0, 1, ANSWER_HEAD))
    for _ in range(200_000):
        events = http2.receive_data(frame(CONTINUATION, 0, 1, piece) * 10)
        if events:
            break
    (last,) = events
    assert isinstance(last, Broken)
    assert last.code == ENHANCE_YOUR_CALM
    assert footprint(http2) - before < 200_000


# -- floods -----------------------------------------------------------------------------------------------------------


def flood(http2: Http2, received: bytes, *, reads: bool = True, frames_at_most: int = 40_000) -> Broken:
    """The end of a connection whose peer repeats itself; what it holds stays small."""
    before = footprint(http2)
    watch = Stopwatch()
    for number in range(frames_at_most // 50):
        events = http2.receive_data(received * 50)
        if reads:
            http2.data_to_send()
        if number == 10:
            assert footprint(http2) - before < 300_000
        if events and isinstance(events[-1], Broken):
            assert watch.seconds < 3
            assert footprint(http2) - before < 300_000
            return events[-1]
    raise AssertionError("nothing came of it")


@pytest.mark.parametrize(
    "received",
    [
        frame(PING, 0, 0, bytes(8)),
        frame(PING, ACK, 0, bytes(8)),
        settings(initial_window_size=70_000),
        frame(SETTINGS, ACK, 0),
        data(b""),
        frame(DATA, PADDED, 1, padded(b"", 255)),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(0x55, 0, 0, b"unknown"),
        update(0, 1),
        update(1, 1),
        goaway(5),
        frame(HEADERS, END_HEADERS, 1, encode([(b":status", b"100")])),
        head(3),
        data(b"", 3),
        rst(3, CANCEL),
    ],
    ids=[
        "PING", "PING ACK", "SETTINGS", "SETTINGS ACK", "empty DATA", "padding", "PRIORITY", "unknown",
        "WINDOW_UPDATE", "WINDOW_UPDATE of a stream", "GOAWAY", "1xx", "heads of a cancelled stream",
        "empty DATA of a cancelled stream", "RST_STREAM of a cancelled stream",
    ],
)  # fmt: skip
def test_a_flood_of_frames_that_carry_nothing(received: bytes) -> None:
    http2, (_, other) = calling(2)
    http2.reset(other)
    if received[3] == DATA and received[8] == 1:
        http2.receive_data(head())
    assert flood(http2, received).code == ENHANCE_YOUR_CALM


@pytest.mark.parametrize("received", [frame(PING, 0, 0, bytes(8)), settings()], ids=["PING", "SETTINGS"])
def test_a_peer_that_asks_for_replies_and_does_not_read_them(received: bytes) -> None:
    http2, _ = calling()
    assert flood(http2, received, reads=False, frames_at_most=2000).code == ENHANCE_YOUR_CALM


def test_slow_pings_are_no_flood() -> None:
    clock = Clock()
    http2 = started(clock)
    for _ in range(50_000):
        clock.now += 0.01
        http2.receive_data(frame(PING, 0, 0, bytes(8)))
        http2.data_to_send()
    assert not http2.broken


def test_many_calls_are_no_flood() -> None:
    http2, peer = connected()
    for _ in range(3):
        http2.ping()
        stream = request(http2, b"x")
        exchange(http2, peer)
        peer.answer(stream.id, b"y")
        exchange(http2, peer)
    http2, _ = calling(0)
    for _ in range(15_000):
        stream = request(http2, b"x")
        http2.receive_data(head(stream.id, *TRAILERS, end=True) + rst(stream.id, NO_ERROR) + update(0, 1))
        http2.data_to_send()
    assert not http2.broken


def test_uploads_that_wait_cost_other_streams_nothing() -> None:
    http2 = started(initial_window_size=0)
    for _ in range(2000):
        request(http2, bytes(100))
    http2.data_to_send()
    watch = Stopwatch()
    for _ in range(1000):
        http2.receive_data(frame(PING, 0, 0, bytes(8)))
        http2.data_to_send()
        http2.resume()
    assert watch.seconds < 0.2
    http2.receive_data(settings(initial_window_size=10))
    assert sum(size for _, size in sizes(http2)) == 20_000


def test_a_settings_frame_of_many_windows_costs_little() -> None:
    http2, _ = calling(1000)
    payload = b"".join(struct.pack(">HL", 4, 1000 + number % 2) for number in range(20_000))
    watch = Stopwatch()
    assert names(http2.receive_data(frame(SETTINGS, 0, 0, payload))) == ["SettingsReceived"]
    assert watch.seconds < 0.5


def test_a_block_of_size_updates_costs_little() -> None:
    http2, _ = calling()
    watch = Stopwatch()
    http2.receive_data(frame(HEADERS, END_HEADERS, 1, b"\x20" * 100_000 + ANSWER_HEAD))
    assert watch.seconds < 0.05


def test_nothing_is_kept_of_calls_that_are_over() -> None:
    http2, peer = connected()
    for number in range(2000):
        if number == 200:
            before = footprint(http2)
        stream = request(http2, b"x" * 100)
        exchange(http2, peer)
        match number % 4:
            case 0:
                peer.answer(stream.id, b"y" * 100)
            case 1:
                http2.reset(stream)
            case 2:
                peer.reset(stream.id, REFUSED_STREAM)
            case 3:
                peer.trailers(stream.id, (b"x-number", b"%d" % number))
        exchange(http2, peer)
        peer.read(0, 1000)
    assert http2.streams == {}
    assert footprint(http2) - before < 60_000  # what it remembers of heads


def test_bytes_one_by_one_are_the_same() -> None:
    received = settings(max_concurrent_streams=7) + frame(0x77, 1, 2, b"unknown")
    http2 = Http2(Clock())
    events = [event for byte in received for event in http2.receive_data(bytes((byte,)))]
    assert [type(each) for each in events] == [SettingsReceived]
    request(http2)
    answer = head() + data(b"message") + trailers()
    events = [event for byte in answer for event in http2.receive_data(bytes((byte,)))]
    assert names(events) == ["HeadReceived", "DataReceived", "TrailersReceived"]


def test_a_state_is_over_after_any_end() -> None:
    for end in (rst(1, 0), rst(1, 7), goaway(0), head() + trailers(), head(1, end=True), data(b"x")):
        http2, (stream,) = calling()
        http2.receive_data(end)
        assert stream.state is State.OVER
        assert http2.streams == {}
