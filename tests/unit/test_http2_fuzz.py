"""HTTP/2 under hypothesis: exchanges cut anywhere, bytes of any kind, and a strict peer that nothing may surprise."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest import mock

import hpack
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from remote_client._transport.grpc import events as event_module
from remote_client._transport.grpc import http2 as module
from remote_client._transport.grpc import sending
from remote_client._transport.grpc.events import (
    Broken,
    DataReceived,
    DataSent,
    Event,
    HeadReceived,
    Stream,
    StreamRefused,
    StreamReset,
    TrailersReceived,
)
from remote_client._transport.grpc.frames import CANCEL, GOAWAY, REFUSED_STREAM, WINDOW_UPDATE, frame
from remote_client._transport.grpc.headers import HeadDecoder, MalformedBlockError, encode
from remote_client._transport.grpc.http2 import OUR_FRAME_SIZE, Http2
from tests.support.h2_model import HEAD, REQUEST, Clock, Peer, exchange, footprint, frames, request, settings, started


@contextlib.contextmanager
def small_limits() -> Iterator[None]:
    """Limits that a short exchange reaches."""
    with (
        mock.patch.multiple(module, CONNECTION_WINDOW=70_000, FIRST_WINDOW=SMALL["FIRST_WINDOW"]),
        mock.patch.multiple(sending, **SMALL),
        mock.patch.object(event_module, "FIRST_WINDOW", SMALL["FIRST_WINDOW"]),
    ):
        yield


QUICK: Any = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
SMALL: dict[str, Any] = {"FIRST_WINDOW": 5000, "LAST_WINDOW": 40_000, "GROWTH_LIMIT": 60_000, "ROOM": 20_000}
"""Limits that a short exchange reaches."""

Item = TypeVar("Item")
Fields = list[tuple[bytes, bytes]]
names = st.sampled_from([b"x-one", b"x-two", b"date", b"x-bin", b"via"])
values = st.one_of(st.sampled_from([b"", b"a", b"YQ", b"again"]), st.text("abc ;=", max_size=30).map(str.encode))
fields = st.lists(st.tuples(names, values), max_size=4)
WHICH = st.integers(0, 99)
FAR = st.sampled_from([0, 1, 2, 2, 2])
"""How far what was said arrives at once: not at all, at the peer, and what it says to that at the client."""


# -- valid exchanges --------------------------------------------------------------------------------------------------


class Answers:
    """A server that writes valid frames in any order, with a table of its own."""

    def __init__(self, draw: Callable[[Any], Any], streams: int) -> None:
        self.draw = draw
        self.encoder = hpack.Encoder()
        self.encoder.header_table_size = draw(st.sampled_from([0, 100, 4096]))
        self.states = dict.fromkeys(range(1, 2 * streams, 2), "begin")
        self.room = dict.fromkeys(self.states, 250_000)
        self.frames: list[bytes] = []

    def add(self, made: Frame) -> None:
        self.frames.append(made.serialize())

    def step(self) -> None:
        running = [stream for stream, state in self.states.items() if state != "over"]
        deeds = ["ping", "settings", "unknown", "update"]
        if running:
            deeds += ["head", "data", "data", "data", "end", "reset", "early"]
        deed = self.draw(st.sampled_from(deeds))
        stream = self.draw(st.sampled_from(running)) if running else 0
        getattr(self, f"_{deed}")(stream)

    def _ping(self, stream: int) -> None:
        self.add(PingFrame(0, self.draw(st.binary(min_size=8, max_size=8))))

    def _settings(self, stream: int) -> None:
        self.frames.append(settings(initial_window_size=self.draw(st.integers(0, 100_000)), x77=1))

    def _unknown(self, stream: int) -> None:
        kind, flags = self.draw(st.integers(10, 255)), self.draw(st.integers(0, 255))
        self.frames.append(frame(kind, flags, self.draw(st.integers(0, 2**31 - 1)), self.draw(st.binary(max_size=9))))

    def _update(self, stream: int) -> None:
        self.frames.append(frame(WINDOW_UPDATE, 0, stream, self.draw(st.integers(1, 9000)).to_bytes(4)))

    def _block(self, stream: int, pairs: list[tuple[bytes, bytes]], end: bool) -> None:
        block = self.encoder.encode(pairs, huffman=self.draw(st.booleans()))
        cuts = sorted(self.draw(st.lists(st.integers(0, len(block)), max_size=3)))
        pieces = [block[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(block)], strict=True)]
        for number, piece in enumerate(pieces):
            made: Any = ContinuationFrame(stream, piece) if number else HeadersFrame(stream, piece)
            if not number and end:
                made.flags.add("END_STREAM")
            if not number and self.draw(st.booleans()):
                made.flags.add("PADDED")
                made.pad_length = self.draw(st.integers(0, 20))
            if number == len(pieces) - 1:
                made.flags.add("END_HEADERS")
            self.add(made)

    def _early(self, stream: int) -> None:
        if self.states[stream] == "begin":
            self._block(stream, [(b":status", b"103"), *self.draw(fields)], end=False)

    def _head(self, stream: int) -> None:
        if self.states[stream] == "begin":
            self._block(stream, [*HEAD, *self.draw(fields)], end=False)
            self.states[stream] = "body"

    def _data(self, stream: int) -> None:
        if self.states[stream] != "body":
            return
        size = self.draw(st.one_of(st.integers(0, 40), st.integers(0, 16_000)))
        made = DataFrame(stream, bytes(size))
        if self.draw(st.booleans()):
            made.flags.add("PADDED")
            made.pad_length = self.draw(st.integers(0, 255))
        if self.draw(st.integers(0, 9)) == 0:
            made.flags.add("END_STREAM")
            self.states[stream] = "over"
        self.add(made)

    def _end(self, stream: int) -> None:
        pairs = [(b"grpc-status", b"0"), *self.draw(fields)]
        self._block(stream, pairs if self.states[stream] == "body" else [*HEAD, *pairs], end=True)
        self.states[stream] = "over"

    def _reset(self, stream: int) -> None:
        self.add(RstStreamFrame(stream, self.draw(st.sampled_from([0, 1, 7, 8, 11, 99]))))
        self.states[stream] = "over"


@st.composite
def answers(draw: Any) -> tuple[int, list[bytes]]:
    """How many calls there are, and the frames that answer them."""
    streams = draw(st.integers(1, 4))
    made = Answers(draw, streams)
    for _ in range(draw(st.integers(1, 25))):
        made.step()
    return streams, made.frames


@dataclass
class Seen:
    """What a client made of an exchange."""

    streams: dict[int, list[Any]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def add(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case HeadReceived(stream=stream, head=head, end=end):
                    told: Any = ("head", tuple((each.name, each.value) for each in head.fields), end)
                case TrailersReceived(stream=stream, head=head):
                    told = ("trailers", tuple((each.name, each.value) for each in head.fields))
                case DataReceived(stream=stream, data=data, end=end):
                    before = self.streams.get(stream.id, [])
                    if before and before[-1][0] == "data":  # a large frame may come in parts
                        told = ("data", before.pop()[1] + bytes(data), end)
                    else:
                        told = ("data", bytes(data), end)
                case StreamReset(stream=stream, code=code, detail=detail):
                    told = ("reset", code, detail)
                case StreamRefused(stream=stream):
                    told = ("refused",)
                case DataSent(stream=stream):
                    continue  # where in a turn a window is used is nobody's business
                case _:
                    self.others.append(type(event).__name__)
                    continue
            self.streams.setdefault(stream.id, []).append(told)


def play(streams: int, pieces: list[bytes]) -> tuple[Seen, dict[int, int], Http2]:
    """What a client with so many calls makes of the pieces, and how much it sent on each stream."""
    http2, seen, sent = started(), Seen(), dict[int, int]()
    for number in range(streams):
        request(http2, None if number % 2 else bytes(100_000))
    for piece in [b"", *pieces]:
        events = http2.receive_data(piece)
        seen.add(events)
        for event in events:
            if isinstance(event, DataReceived):
                http2.take(event.stream, len(event.data))
        while out := http2.data_to_send():
            for each in frames(out):
                if isinstance(each, DataFrame):
                    sent[each.stream_id] = sent.get(each.stream_id, 0) + len(each.data)
            seen.add(http2.resume())
    return seen, sent, http2


@given(st.data(), answers())
@profile(max_examples=150, **QUICK)
def test_an_exchange_means_the_same_wherever_it_is_cut(data: st.DataObject, made: tuple[int, list[bytes]]) -> None:
    streams, parts = made
    whole = b"".join(parts)
    expected, _, by_frame = play(streams, parts)
    assert "Broken" not in expected.others
    assert not by_frame.broken
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    pieces = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert play(streams, pieces)[0] == expected
    assert play(streams, [whole])[0] == expected


@given(answers())
@profile(max_examples=15, **QUICK)
def test_an_exchange_means_the_same_byte_by_byte(made: tuple[int, list[bytes]]) -> None:
    streams, parts = made
    whole = b"".join(parts)[:3000]
    expected, _, _ = play(streams, [whole])
    assert play(streams, [bytes((byte,)) for byte in whole])[0] == expected


@given(answers())
@profile(max_examples=60, **QUICK)
def test_valid_answers_fail_no_call(made: tuple[int, list[bytes]]) -> None:
    streams, parts = made
    seen, _, _ = play(streams, parts)
    for told in seen.streams.values():
        assert not [each for each in told if each[0] == "reset" and each[2] is not None]


# -- any bytes --------------------------------------------------------------------------------------------------------


def endure(pieces: list[bytes], calls: int = 3) -> None:
    """Whatever a client is sent, it gives events, ends at most once, and holds little."""
    http2 = started()
    for number in range(calls):
        request(http2, None if number % 2 else bytes(1000))
    http2.data_to_send()
    before, ends, received = footprint(http2), 0, 0
    for piece in pieces:
        events = http2.receive_data(piece)
        received += len(piece)
        assert not ends or not events
        for event in events:
            assert type(event).__module__ == event_module.__name__
            ends += isinstance(event, Broken)
        assert not any(isinstance(event, Broken) for event in events[:-1])
        del events
        assert footprint(http2) - before < min(10 * received + 5000, OUR_FRAME_SIZE + 400_000)
    frames(http2.data_to_send())
    assert http2.broken == bool(ends)
    assert http2.data_to_send() == b""


@given(st.lists(st.binary(max_size=300), max_size=10))
@profile(max_examples=150, **QUICK)
def test_any_bytes_give_events(pieces: list[bytes]) -> None:
    endure(pieces)


any_frames = st.builds(
    frame,
    st.one_of(st.integers(0, 12), st.integers(0, 255)),
    st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 4, 5, 8, 0x2D])),
    st.sampled_from([0, 0, 1, 1, 1, 3, 5, 7, 2, 2**31 - 1, 2**32 - 1]),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([bytes(4), bytes(5), bytes(8), b"\0\0\0\1", b"\x7f\xff\xff\xff", encode(HEAD)]),
        st.lists(st.binary(min_size=6, max_size=6), max_size=3).map(b"".join),
    ),
)


@given(st.lists(any_frames, max_size=20))
@profile(max_examples=400, **QUICK)
def test_any_frames_give_events(pieces: list[bytes]) -> None:
    endure(pieces)


@given(st.data(), answers())
@profile(max_examples=200, **QUICK)
def test_damaged_exchanges_give_events(data: st.DataObject, made: tuple[int, list[bytes]]) -> None:
    streams, parts = made
    whole = bytearray(b"".join(parts))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, max(0, min(len(whole), 2000) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "double"])):
            case "flip" if whole:
                whole[place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del whole[place : place + data.draw(st.integers(1, 20))]
            case "insert":
                whole[place:place] = data.draw(st.binary(min_size=1, max_size=10))
            case "double":
                whole[place:place] = whole[place : place + data.draw(st.integers(1, 300))]
    step = data.draw(st.sampled_from([7, 100, 5000, 1 << 20]))
    endure([bytes(whole[start : start + step]) for start in range(0, len(whole), step)], streams)


@given(st.binary(max_size=200))
@profile(max_examples=200, **QUICK)
def test_any_first_bytes_give_events(data: bytes) -> None:
    http2 = Http2(Clock())
    for event in http2.receive_data(data):
        assert type(event).__module__ == event_module.__name__


# -- heads ------------------------------------------------------------------------------------------------------------

blocks = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.one_of(
            st.sampled_from([b"\x20", b"\x3f\xe1\x1f", b"\x3f\x00", b"\x88", b"\xbe", b"\xbf", b"\x80", b"\xff\x00"]),
            fields.map(encode),
            fields.map(lambda pairs: b"".join(b"\x40" + encode([pair])[1:] for pair in pairs)),
            fields.map(lambda pairs: hpack.Encoder().encode(pairs)),
            st.tuples(st.sampled_from([b"\x0f\x10", b"\x7e", b"\x7f\x00", b"\x7f\x80\x00", b"\x51"]), values).map(
                lambda pair: pair[0] + bytes((len(pair[1]),)) + pair[1]
            ),
            st.just(encode([(b"x", b"v" * 200)])),
        ),
        max_size=6,
    ).map(b"".join),
)


@given(st.lists(blocks, min_size=1, max_size=12), st.booleans())
@profile(max_examples=500, **QUICK)
def test_what_is_remembered_of_heads_is_never_wrong(pieces: list[bytes], stateless: bool) -> None:
    """A decoder that remembers and one that does not, side by side, each block twice."""
    ours, plain = HeadDecoder(10_000), hpack.Decoder(10_000)
    if stateless:
        pieces = [b"\x20", *pieces]
    for block in [each for piece in pieces for each in (piece, piece)]:
        try:
            head = ours.decode(block)
        except MalformedBlockError:
            head = None
        try:
            expected = [(bytes(name), bytes(value)) for name, value in plain.decode(block, raw=True)]
        except Exception:
            assert head is None
            return
        if head is None:
            return  # of more size updates than make sense
        assert [(each.name, each.value) for each in head.fields] == expected


# -- a strict peer ----------------------------------------------------------------------------------------------------


@dataclass
class Call:
    """A call as both sides should see it."""

    stream: Stream
    sent: bytearray
    ended: bool
    cancelled: bool = False
    answered: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    untaken: int = 0
    waits: bool = False
    """Whether it was told to wait until its data is sent."""
    over: bool = False
    end: str = ""
    """How the peer ended it: by trailers or a reset."""


def pick(several: list[Item], which: int) -> Item:
    return several[which % len(several)]


class Conversation(RuleBasedStateMachine):
    """A client and h2's server, with bytes on the way in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = contextlib.ExitStack()
        self.patch.enter_context(small_limits())
        self.clock = Clock()
        self.http2 = Http2(self.clock)
        self.there, self.back = bytearray(), bytearray()
        self.calls: dict[int, Call] = {}
        self.number = 0

    @initialize(window=st.sampled_from([0, 1, 100, 65_535]), streams=st.sampled_from([1, 3, 100]))
    def begin(self, window: int, streams: int) -> None:
        self.peer = Peer(initial_window_size=window, max_concurrent_streams=streams)
        self.arrive_back(1 << 20)

    def teardown(self) -> None:
        try:
            if hasattr(self, "peer"):
                self.finish()
        finally:
            self.patch.close()

    def carry(self, far: int) -> None:
        """Let what was said arrive, most of the time; small pieces of it are for the rules of the network."""
        if far > 0:
            self.write()
            self.arrive_there(1 << 20)
        if far > 1:
            self.arrive_back(1 << 20)

    # what the client does

    def open_calls(self) -> list[Call]:
        return [each for each in self.calls.values() if not each.over]

    def uploads(self) -> list[Call]:
        return [each for each in self.open_calls() if not each.ended]

    def unread(self) -> list[Call]:
        return [each for each in self.calls.values() if each.untaken]

    @precondition(lambda self: self.http2.has_slot)
    @rule(size=st.one_of(st.none(), st.integers(0, 300), st.integers(0, 30_000)), long=st.integers(0, 9), far=FAR)
    def call(self, size: int | None, long: int, far: int) -> None:
        self.number += 1
        body = None if size is None else bytes((self.number % 256,)) * size
        block = REQUEST + (encode([(b"long", b"v" * 20_000)]) if not long else b"")
        stream = request(self.http2, body, block=block)
        self.calls[stream.id] = Call(stream, bytearray(body or b""), body is not None)
        self.carry(far)

    @precondition(lambda self: self.uploads())
    @rule(which=WHICH, size=st.one_of(st.integers(0, 300), st.integers(0, 30_000)), end=st.booleans(), far=FAR)
    def send(self, which: int, size: int, end: bool, far: int) -> None:
        call = pick(self.uploads(), which)
        body = bytes((len(call.sent) % 256,)) * size
        call.waits = not self.http2.send(call.stream, body, end=end)
        call.sent += body
        call.ended = end
        self.carry(far)

    @precondition(lambda self: self.open_calls())
    @rule(which=WHICH, far=FAR)
    def cancel(self, which: int, far: int) -> None:
        call = pick(self.open_calls(), which)
        self.http2.reset(call.stream, CANCEL)
        call.cancelled = call.over = True
        self.carry(far)

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.unread())
    @rule(which=WHICH, share=st.sampled_from([1, 2, 10]), far=FAR)
    def take(self, which: int, share: int, far: int) -> None:
        call = pick(self.unread(), which)
        size = -(-call.untaken // share)
        call.untaken -= size
        self.http2.take(call.stream, size)
        self.carry(far)

    @precondition(lambda self: self.http2.settled)
    @rule()
    def ping(self) -> None:
        self.http2.ping()

    # what the network does

    @rule()
    def write(self) -> None:
        self.there += self.http2.data_to_send()
        self.on(self.http2.resume())
        if not self.http2.has_output:  # then nothing is left that could go
            for stream in self.http2.streams.values():
                assert not stream.pending or not self.http2._send_window or stream.send_window <= 0

    @rule(size=st.one_of(st.integers(1, 100), st.just(1 << 20)))
    def arrive_there(self, size: int) -> None:
        data, self.there = bytes(self.there[:size]), self.there[size:]
        self.peer.receive(data)  # raises where it must not be sent

    @rule(size=st.one_of(st.integers(1, 100), st.just(1 << 20)))
    def arrive_back(self, size: int) -> None:
        self.back += self.peer.data_to_send()
        data, self.back = bytes(self.back[:size]), self.back[size:]
        self.on(self.http2.receive_data(data))

    def on(self, events: list[Event]) -> None:
        for event in events:
            assert not isinstance(event, Broken), event.detail
            stream = getattr(event, "stream", None)
            if stream is None:
                continue
            call = self.calls[stream.id]
            assert not call.over, f"{type(event).__name__} of a call that is over"
            match event:
                case DataSent():
                    call.waits = False
                case DataReceived(data=data):
                    call.received += data
                    call.untaken += len(data)
                case TrailersReceived() | HeadReceived(end=True):
                    assert call.end == "trailers"
                    call.over = True
                case StreamReset(code=code, detail=detail):
                    assert (detail, call.end) == (None, f"reset {code}")
                    call.over = True
                case StreamRefused():
                    assert call.end == f"reset {REFUSED_STREAM}"
                    call.over = True

    # what the peer does

    def running(self) -> list[int]:
        return [number for number, each in self.peer.requests.items() if each.open]

    @precondition(lambda self: hasattr(self, "peer") and self.running())
    @rule(
        which=WHICH,
        size=st.one_of(st.integers(0, 500), st.integers(0, 16_000)),
        padding=st.integers(0, 500),
        more=fields,
        far=FAR,
    )
    def answer(self, which: int, size: int, padding: int, more: Fields, far: int) -> None:
        stream = pick(self.running(), which)
        if not self.peer.requests[stream].answered:
            self.peer.head(stream, *more)
        pad = padding if padding < 256 else None
        size = min(size, self.peer.room(stream) - (0 if pad is None else pad + 1))
        if size >= 0:
            call = self.calls[stream]
            body = bytes((len(call.answered) % 256,)) * size
            self.peer.data(stream, body, pad)
            call.answered += body
        self.carry(far)

    @precondition(lambda self: hasattr(self, "peer") and self.running())
    @rule(which=WHICH, code=st.sampled_from([None, None, 0, 2, 7, 8]), more=fields, far=FAR)
    def end(self, which: int, code: int | None, more: Fields, far: int) -> None:
        stream = pick(self.running(), which)
        if code is None:
            self.peer.trailers(stream, *more)
            self.calls[stream].end = "trailers"
        else:
            if code == REFUSED_STREAM and self.peer.requests[stream].answered:
                return
            self.peer.reset(stream, code)
            self.calls[stream].end = f"reset {code}"
        self.carry(far)

    @precondition(lambda self: hasattr(self, "peer"))
    @rule(which=WHICH, size=st.one_of(st.integers(1, 50), st.just(1 << 20)), far=FAR)
    def read(self, which: int, size: int, far: int) -> None:
        self.peer.read(pick(sorted(self.peer.unread), which), size)
        self.carry(far)

    @precondition(lambda self: hasattr(self, "peer") and self.peer.settled)
    @rule(
        window=st.sampled_from([0, 1, 1000, 65_535, 100_000]),
        size=st.sampled_from([16_384, 20_000]),
        streams=st.sampled_from([0, 1, 3, 100]),
        table=st.sampled_from([0, 4096, 65_536]),
        far=FAR,
    )
    def change(self, window: int, size: int, streams: int, table: int, far: int) -> None:
        self.peer.change(
            initial_window_size=window, max_frame_size=size, max_concurrent_streams=streams, header_table_size=table
        )
        self.carry(far)

    # what must hold at any time, and in the end

    @invariant()
    def each_byte_of_a_window_is_accounted_for(self) -> None:
        for call in self.open_calls():
            stream = call.stream
            assert stream.receive_window + stream.credit + call.untaken == stream.window

    def finish(self) -> None:
        """Open all windows and carry everything: all that was said arrives, and both sides agree on what is left."""
        self.settle(until=lambda: self.peer.settled)
        self.peer.change(initial_window_size=1 << 20, max_concurrent_streams=100)
        self.settle()
        self.peer.connection.increment_flow_control_window(1 << 20)
        self.settle()
        for number, call in self.calls.items():
            if call.cancelled or call.end:
                continue
            assert not call.waits
            got = self.peer.requests[number]
            assert (bytes(got.body), got.ended) == (bytes(call.sent), call.ended)
            self.peer.trailers(number)
            call.end = "trailers"
        self.settle()
        for call in self.calls.values():
            assert call.over
            if not call.cancelled and call.end == "trailers":
                assert call.received == call.answered
        assert self.http2.streams == {}
        assert not self.http2.has_waiting
        self.call_once_more()

    def settle(self, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(1000):
            if until():
                return
            for call in self.calls.values():
                if call.untaken:
                    self.http2.take(call.stream, call.untaken)
                    call.untaken = 0
            for key in list(self.peer.unread):
                self.peer.read(key, 1 << 20)
            self.write()
            moved = bool(self.there)
            self.arrive_there(1 << 20)
            self.arrive_back(1 << 20)
            if not moved and not self.there and not self.back and not self.http2.has_output:
                return
        raise AssertionError("it does not end")

    def call_once_more(self) -> None:
        """A later call works, its heads decode, and the windows of both sides are the same."""
        stream = request(self.http2, b"once more")
        self.calls[stream.id] = Call(stream, bytearray(b"once more"), True)
        self.settle()
        h2, ours = self.peer.connection, self.http2
        assert h2.local_flow_control_window(stream.id) == min(ours._receive_window, stream.receive_window)
        assert h2.outbound_flow_control_window == ours._receive_window
        assert module.CONNECTION_WINDOW / 2 <= ours._receive_window <= module.CONNECTION_WINDOW
        self.peer.head(stream.id, (b"x-one", b"again"), (b"x-two", b"once more"))
        self.peer.data(stream.id, b"well")
        self.calls[stream.id].answered += b"well"
        self.peer.trailers(stream.id)
        self.calls[stream.id].end = "trailers"
        self.settle()
        assert self.calls[stream.id].received == b"well"


def test_a_strict_peer_accepts_all_and_nothing_stalls() -> None:
    run_state_machine_as_test(Conversation, settings=profile(max_examples=40, stateful_step_count=40, **QUICK))


class Busy:
    """A long conversation of many calls, which hypothesis seldom comes to: what happens is drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.talk = Conversation()
        self.talk.begin(window=self.chance.choice([0, 100, 65_535, 65_535]), streams=self.chance.choice([1, 5, 100]))
        self.moderate = self.chance.choice([300, 3000, 30_000])

    def run(self, steps: int) -> None:
        try:
            for _ in range(steps):
                self.step()
                self.talk.each_byte_of_a_window_is_accounted_for()
            self.talk.finish()
        finally:
            self.talk.patch.close()

    def step(self) -> None:
        talk, chance = self.talk, self.chance
        which, far, size = chance.randrange(100), chance.choice([0, 1, 2, 2]), chance.randint(0, self.moderate)
        more = [(b"x-one", b"%d" % chance.randrange(3))] * chance.randrange(3)
        deeds: list[tuple[int, bool, Callable[[], None]]] = [
            (6, talk.http2.has_slot, lambda: talk.call(chance.choice([None, size]), chance.randrange(20), far)),
            (12, bool(talk.uploads()), lambda: talk.send(which, size, chance.random() < 0.2, far)),
            (2, bool(talk.open_calls()), lambda: talk.cancel(which, far)),
            (15, bool(talk.unread()), lambda: talk.take(which, chance.choice([1, 1, 2]), far)),
            (20, bool(talk.running()), lambda: talk.answer(which, size, chance.randrange(500), more, far)),
            (4, bool(talk.running()), lambda: talk.end(which, chance.choice([None, None, 0, 7, 8]), more, far)),
            (15, True, lambda: talk.read(which, chance.choice([50, 1 << 20]), far)),
            (3, True, lambda: talk.wait(chance.choice([0.001, 0.01, 1.0]))),
            (3, True, talk.write),
            (6, True, lambda: talk.arrive_there(chance.randint(1, 5000))),
            (6, True, lambda: talk.arrive_back(chance.randint(1, 5000))),
            (2, talk.peer.settled, self.change),
            (1, True, talk.ping),
        ]
        possible = [(weight, deed) for weight, may, deed in deeds if may]
        (deed,) = chance.choices([deed for _, deed in possible], [weight for weight, _ in possible])
        deed()

    def change(self) -> None:
        chance = self.chance
        windows, sizes = [0, 1000, 65_535, 100_000], [16_384, 20_000]
        self.talk.change(chance.choice(windows), chance.choice(sizes), chance.choice([1, 5, 100]), 4096, 2)


@pytest.mark.parametrize("seed", range(60))
def test_a_strict_peer_accepts_a_long_conversation(seed: int) -> None:
    Busy(seed).run(600)


@pytest.mark.parametrize("window", [1, 100, 65_535])
def test_windows_of_both_sides_agree_after_each_cancel(window: int) -> None:
    with small_limits():
        http2, peer = Http2(Clock()), Peer(initial_window_size=window)
        exchange(http2, peer)
        for number in range(300):
            stream = request(http2, bytes(500))
            exchange(http2, peer)
            peer.read(0, 1 << 20)
            peer.head(stream.id)
            while size := min(peer.room(stream.id), 1000):
                padding = number % 3 * 100 if size == 1000 else 0
                peer.data(stream.id, bytes(size - padding), padding - 1 if padding else None)
                if number % 2:
                    http2.receive_data(peer.data_to_send())
            http2.reset(stream)
            exchange(http2, peer)
            assert peer.connection.outbound_flow_control_window == http2._receive_window > 70_000 / 2
            assert peer.requests[stream.id].reset == CANCEL


def test_goaway_in_the_middle_refuses_what_is_above() -> None:
    http2, peer = Http2(Clock()), Peer()
    exchange(http2, peer)
    streams = [request(http2, b"x") for _ in range(6)]
    exchange(http2, peer)
    for stream in streams[:3]:
        peer.answer(stream.id, b"y")
    events = http2.receive_data(frame(GOAWAY, 0, 0, (5).to_bytes(4) + bytes(4)))
    assert [event.stream.id for event in events if isinstance(event, StreamRefused)] == [11, 9, 7]
    assert len([event for event in exchange(http2, peer) if isinstance(event, TrailersReceived)]) == 3
