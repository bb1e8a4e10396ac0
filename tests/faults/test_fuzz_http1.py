"""HTTP/1.1 without I/O, given anything: the events of an exchange are the same wherever its bytes are cut, and any
bytes give events or one typed error, never an exception, and never more memory than the limits allow."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from remote_client._transport.http.http1 import MAX_FRAMING, MAX_HEAD, Cut, End, Event, Head, Http1, Malformed
from tests.unit.test_http1 import WHOLE, WRONG, asked, joined

from .test_fuzz import fuzz

# -- valid exchanges --------------------------------------------------------------------------------------------------

_NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_!~", min_size=1, max_size=8).map(lambda name: f"x-{name}")
_VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)
_HEADERS = st.lists(st.tuples(_NAMES, _VALUES), max_size=4)
_BODY = st.binary(max_size=60)
_INTERIM = st.sampled_from([100, 102, 103, 150])
_STATUS = st.sampled_from([200, 201, 206, 299, 302, 404, 422, 500, 503, 999])


def _lines(first: str, headers: list[tuple[str, str]]) -> bytes:
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


@st.composite
def _chunked(draw: Any, body: bytes) -> bytes:
    """The body in chunks, with extensions and trailers."""
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    framed = b""
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        if start < end:
            extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b"']))
            framed += b"%x%b\r\n%b\r\n" % (end - start, extension, body[start:end])
    trailers = draw(_HEADERS)
    return framed + b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"


@st.composite
def _answer(draw: Any) -> tuple[bytes, int, bytes]:
    """An answer that keeps its connection: its bytes, its status and its body."""
    interim = b"".join(_lines(f"HTTP/1.1 {draw(_INTERIM)} x", draw(_HEADERS)) for _ in range(draw(st.integers(0, 2))))
    status, body, headers = draw(_STATUS), draw(_BODY), draw(_HEADERS)
    if draw(st.booleans()):
        framing, data = ("content-length", str(len(body))), body
    else:
        framing, data = ("Transfer-Encoding", "Chunked"), draw(_chunked(body))
    headers.insert(draw(st.integers(0, len(headers))), framing)
    return interim + _lines(f"HTTP/1.1 {status} {draw(_VALUES)}", headers) + data, status, body


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@fuzz(400)
@given(st.lists(_answer(), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12))
def test_valid_exchanges_wherever_they_are_cut(answers: list[tuple[bytes, int, bytes]], cuts: list[int]) -> None:
    connection = Http1()
    for data, status, body in answers:
        for pieces in (_cut(data, cuts), [data], [data[i : i + 1] for i in range(len(data))]):
            connection.send_request(b"GET / HTTP/1.1\r\n\r\n")
            head, *rest = joined([event for piece in pieces for event in connection.receive_data(piece)])
            assert isinstance(head, Head)
            assert (head.status, head.framed) == (status, True)
            assert rest == ([body] if body else []) + [End.KEEP]


@fuzz(300)
@given(_STATUS, _HEADERS, _BODY, st.lists(st.integers(0, 10_000), max_size=6))
def test_bodies_until_the_end_wherever_they_are_cut(
    status: int, headers: list[tuple[str, str]], body: bytes, cuts: list[int]
) -> None:
    connection = asked()
    data = _lines(f"HTTP/1.1 {status} x", headers) + body
    events = [event for piece in _cut(data, cuts) for event in connection.receive_data(piece)]
    head, *rest = joined(events + connection.receive_eof())
    assert isinstance(head, Head)
    assert not head.framed
    assert rest == ([body] if body else []) + [End.CLOSE]


# -- anything ---------------------------------------------------------------------------------------------------------

_WORDS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 x\r\n\r\n",
    b"HTTP/1.1 204 x\r\n\r\n",
    b"content-length: 3\r\n",
    b"content-length: 99999999999999999999\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip\r\n",
    b"connection: close\r\n",
    b"connection: keep-alive\r\n",
    b"connection: upgrade\r\nupgrade: x\r\n",
    b"x: y\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"abc",
    b"\x00",
    b"\xff",
    *(data for data, *_ in WHOLE.values()),
    *WRONG.values(),
]
_PIECES = st.lists(st.one_of(st.sampled_from(_WORDS), st.binary(max_size=30)), max_size=12)


def _spoiled(data: bytes, place: int, new: bytes) -> bytes:
    place %= len(data)
    return data[:place] + new + data[place + 1 :]


def _check(connection: Http1, events: list[Event], asked_before: bool) -> None:
    """The grammar of events, and that what is held is bounded."""
    kinds = [type(event) for event in events]
    assert kinds.count(Head) <= 1
    ends = [index for index, kind in enumerate(kinds) if kind in (End, Malformed, Cut)]
    assert ends in ([], [len(events) - 1])
    assert asked_before or not events or isinstance(events[0], Malformed)
    assert len(connection._held) <= MAX_HEAD + 1000
    assert sum(map(len, connection._parts)) == 0
    assert connection._quiet <= MAX_FRAMING + 1000
    for event in events:
        assert not isinstance(event, bytes) or event
        assert not isinstance(event, Malformed) or event.detail


@fuzz(2000)
@given(_PIECES, st.booleans(), st.integers(0, 2))
@example([b"HTTP/1.1 200 OK\r\n", b"transfer-encoding: chunked\r\n\r\n", b"0\r\n\r\n", b"\r\n"], False, 0)
@example([b"HTTP/1.1 101 x\r\n", b"content-length: 3\r\n", b"\r\n", b"abc"], True, 0)
def test_any_bytes_give_events_or_one_error(pieces: list[bytes], to_head: bool, unsent: int) -> None:
    connection = Http1()
    for piece in pieces:
        asks = connection.is_idle
        if asks:
            connection.send_request(b"GET / HTTP/1.1\r\n\r\n", unsent, to_head=to_head)
            connection.send_body(b"x" * (unsent // 2))
        events = connection.receive_data(piece)
        _check(connection, events, True)
        if End.CLOSE in events or (events and isinstance(events[-1], Malformed)):
            assert connection.receive_data(piece) == []
    _check(connection, connection.receive_eof(), True)
    assert not connection.is_idle
    assert connection.receive_data(b"HTTP/1.1 200 OK\r\n\r\n") == connection.receive_eof() == []


@fuzz(1000)
@given(
    st.sampled_from([data for data, *_ in WHOLE.values()]),
    st.integers(0, 500),
    st.binary(max_size=2),
    st.integers(0, 500),
)
def test_a_spoiled_answer(data: bytes, place: int, new: bytes, cut: int) -> None:
    spoiled = _spoiled(data, place, new)
    at_once, in_two = asked(), asked()
    whole = at_once.receive_data(spoiled)
    first, second = _cut(spoiled, [cut])
    parts = in_two.receive_data(first)
    parts += in_two.receive_data(second)
    _check(at_once, whole, True)
    # What comes after the end may be found at once or later; before it nothing depends on the cut.
    if whole and type(whole[-1]) is not Malformed and End.CLOSE not in (*whole, *parts):
        assert joined(parts) == joined(whole)


@fuzz(300)
@given(st.binary(min_size=1, max_size=30))
def test_any_bytes_before_a_request(data: bytes) -> None:
    connection = Http1()
    _check(connection, connection.receive_data(data), False)
    assert not connection.is_idle
