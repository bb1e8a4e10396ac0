"""HTTP/1.1 without I/O: what is an answer, where it ends, and when its connection is of use again."""

from __future__ import annotations

import gc
import time
import tracemalloc
import weakref

import pytest

from remote_client._transport.http.http1 import (
    MAX_FRAMING,
    MAX_HEAD,
    Cut,
    End,
    Event,
    Head,
    Http1,
    Malformed,
    encode_head,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
PLAIN = OK + b"content-length: 3\r\n\r\nabc"


def asked(size: int = 0, *, to_head: bool = False) -> Http1:
    """A connection that waits for an answer."""
    connection = Http1()
    connection.send_request(b"GET / HTTP/1.1\r\n\r\n", size, to_head=to_head)
    return connection


def answer(*pieces: bytes, eof: bool = False, to_head: bool = False) -> list[Event]:
    """What the pieces mean, as the answer to one request."""
    connection = asked(to_head=to_head)
    events = [event for piece in pieces for event in connection.receive_data(piece)]
    return events + connection.receive_eof() if eof else events


def joined(events: list[Event]) -> list[Event]:
    """The events, with the parts of a body put together."""
    whole: list[Event] = []
    for event in events:
        if isinstance(event, bytes) and whole and isinstance(whole[-1], bytes):
            whole[-1] += event
        else:
            whole.append(event)
    return whole


def malformed(events: list[Event]) -> str:
    """Why there was no answer."""
    assert isinstance(events[-1], Malformed), events
    assert not any(isinstance(event, End) for event in events)
    return events[-1].detail


# -- whole answers ----------------------------------------------------------------------------------------------------

WHOLE: dict[str, tuple[bytes, int, bytes, End]] = {
    "length": (PLAIN, 200, b"abc", End.KEEP),
    "no length": (OK + b"content-length: 0\r\n\r\n", 200, b"", End.KEEP),
    "chunks": (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200, b"abcde", End.KEEP),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nx: y\r\nz: \r\n\r\n", 200, b"abc", End.KEEP),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", End.KEEP),
    "not modified": (b"HTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\n", 304, b"", End.KEEP),
    "an error": (b"HTTP/1.1 500 x\r\ncontent-length: 1\r\n\r\n!", 500, b"!", End.KEEP),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, b"", End.KEEP),
    "close": (OK + b"connection: close\r\ncontent-length: 3\r\n\r\nabc", 200, b"abc", End.CLOSE),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc", 200, b"abc", End.CLOSE),
    "1.0, kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", 200, b"a", End.KEEP),
    "an upgrade is offered": (
        OK + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 1\r\n\r\na",
        200,
        b"a",
        End.KEEP,
    ),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nlink: y\r\n\r\n" + PLAIN,
        200,
        b"abc",
        End.KEEP,
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_wherever_it_is_cut(name: str) -> None:
    data, status, body, end = WHOLE[name]
    expected = joined(answer(data))
    assert isinstance(expected[0], Head)
    assert (expected[0].status, expected[0].framed) == (status, True)
    assert expected[1:] == ([body] if body else []) + [end]
    for cut in range(1, len(data)):
        assert joined(answer(data[:cut], data[cut:])) == expected, data[:cut]
    assert joined(answer(*(data[i : i + 1] for i in range(len(data))))) == expected


def test_headers_are_named_in_lower_case_and_joined() -> None:
    (head, _) = answer(OK + b"X-A: 1\r\nx-a:2 \r\ncontent-LENGTH: 0\r\nx-b:\r\n\r\n")
    assert isinstance(head, Head)
    assert {name: value.strip() for name, value in head.headers.items()} == {
        b"x-a": b"1, 2",
        b"content-length": b"0",
        b"x-b": b"",
    }


def test_requests_and_answers_take_turns() -> None:
    connection = Http1()
    for _ in range(3):
        assert connection.is_idle
        assert connection.send_request(b"head", 5) == b"head"
        assert connection.send_body(b"12345") == b"12345"
        with pytest.raises(RuntimeError):
            connection.send_request(b"head")
        assert connection.receive_data(PLAIN)[1:] == [b"abc", End.KEEP]


@pytest.mark.parametrize("head", [OK + b"content-length: 3\r\n\r\n", CHUNKED, OK + b"content-length: 0\r\n\r\n"])
def test_an_answer_to_head_has_no_body(head: bytes) -> None:
    connection = asked(to_head=True)
    assert connection.receive_data(head)[1:] == [End.KEEP]
    connection.send_request(b"GET / HTTP/1.1\r\n\r\n")
    assert connection.receive_data(PLAIN)[1:] == [b"abc", End.KEEP]


# -- where it ends ----------------------------------------------------------------------------------------------------


def test_a_body_that_only_the_end_of_the_connection_ends() -> None:
    """It is told as one without framing: the reader of a stream cannot know whether it was cut."""
    head, *rest = answer(OK + b"content-type: text/event-stream\r\n\r\nab", b"c", eof=True)
    assert isinstance(head, Head)
    assert not head.framed
    assert rest == [b"ab", b"c", End.CLOSE]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTT",
        OK,
        OK + b"content-length: 4\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"3\r\nab",
        CHUNKED + b"1\r\na\r\n0\r\n",
    ],
)
def test_an_answer_that_is_cut(data: bytes) -> None:
    assert answer(data, eof=True)[-1] == Cut()


def test_the_end_of_an_idle_connection_means_nothing() -> None:
    connection = Http1()
    assert connection.receive_eof() == []
    assert not connection.is_idle


# -- when the connection is of use again -------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [b"X", b"\r\n", b"\n", b"\r", PLAIN, b"\r\n" + PLAIN, b"HTTP"])
@pytest.mark.parametrize("name", ["length", "no length", "chunks", "trailers", "no content", "interim answers"])
def test_bytes_after_an_answer_belong_to_nobody(name: str, rest: bytes) -> None:
    """Neither at once nor later, and the answer before them is whole."""
    data, _, body, _ = WHOLE[name]
    expected = [body] if body else []
    assert joined(answer(data + rest))[1:] == [*expected, End.CLOSE]
    *events, last = answer(data, rest)
    assert joined(events)[1:] == [*expected, End.KEEP]
    assert isinstance(last, Malformed)


def test_bytes_before_a_request() -> None:
    connection = Http1()
    assert isinstance(connection.receive_data(b"S")[0], Malformed)
    assert not connection.is_idle
    assert connection.receive_data(b"SH") == []


@pytest.mark.parametrize("start", [b"\0\0\x18\4\0\0\0\0\0" + bytes(24), b"\x15\x03\x01\x00\x02\x02\x46", b"\x15"])
def test_how_it_begins_is_kept_of_what_is_no_answer(start: bytes) -> None:
    """Before a request and after it: a server of HTTP/2 says its settings without being asked."""
    for connection in (Http1(), asked()):
        assert [each.start for each in connection.receive_data(start) if isinstance(each, Malformed)] == [start]
    later = asked().receive_data(OK + b"content-length: x\r\n\r\n")[-1]
    assert isinstance(later, Malformed)
    assert later.start == b""


def test_an_answer_to_half_a_request() -> None:
    connection = asked(5)
    connection.send_body(b"1234")
    assert connection.receive_data(PLAIN)[1:] == [b"abc", End.CLOSE]


def test_a_body_has_the_length_that_was_announced() -> None:
    with pytest.raises(RuntimeError):
        asked(3).send_body(b"1234")


@pytest.mark.parametrize("more", [b"", b"upgrade: websocket\r\nconnection: upgrade\r\n", b"content-length: 3\r\n"])
def test_a_change_of_protocol_is_the_end(more: bytes) -> None:
    head, end = answer(b"HTTP/1.1 101 Switching Protocols\r\n" + more + b"\r\nabc")
    assert isinstance(head, Head)
    assert (head.status, end) == (101, End.CLOSE)


# -- what is no answer ------------------------------------------------------------------------------------------------

WRONG: dict[str, bytes] = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "an empty line first": b"\r\n" + PLAIN,
    "HTTP/2": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    "an interim answer with a body": b"HTTP/1.1 150 x\r\ncontent-length: 3\r\n\r\nabc",
    "an interim answer with chunks": b"HTTP/1.1 199 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc",
    "one length twice": OK + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "lengths in one line": OK + b"content-length: 3, 3\r\n\r\nabc",
    "a length and chunks": OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "a signed length": OK + b"content-length: +3\r\n\r\nabc",
    "an empty length": OK + b"content-length: \r\n\r\nabc",
    "a huge length": OK + b"content-length: " + b"9" * 40 + b"\r\n\r\nabc",
    "gzip in chunks": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, but not at last": OK + b"transfer-encoding: chunked, identity\r\n\r\nabc",
    "chunked twice": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before a colon": OK + b"content-length : 3\r\n\r\nabc",
    "a folded line": OK + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "a NUL": OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n",
    "a header without a name": OK + b": x\r\n\r\n",
    "lines that end with LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "one line that ends with LF": OK + b"x: y\ncontent-length: 0\r\n\r\n",
    "a size of letters": CHUNKED + b"zz\r\na\r\n0\r\n\r\n",
    "a signed size": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
    "a size with 0x": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a size with a space": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "a huge size": CHUNKED + b"f" * 17 + b"\r\na",
    "chunks that end with LF": CHUNKED + b"1\na\n0\n\n",
    "a chunk that is too long": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a trailer without a colon": CHUNKED + b"0\r\nx\r\n\r\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_wherever_it_is_cut(name: str) -> None:
    data = WRONG[name]
    malformed(answer(data))
    for cut in range(1, len(data)):
        malformed(answer(data[:cut], data[cut:]))
    malformed(answer(*(data[i : i + 1] for i in range(len(data)))))


def test_nothing_is_read_after_an_error() -> None:
    connection = asked()
    malformed(connection.receive_data(b"garbage\r\n\r\n"))
    assert connection.receive_data(PLAIN) == []
    assert connection.receive_eof() == []
    with pytest.raises(RuntimeError):
        connection.send_request(b"head")


# -- limits -----------------------------------------------------------------------------------------------------------


def long_head(size: int, first: bytes = OK) -> bytes:
    """A head of so many bytes."""
    start = first + b"content-length: 0\r\nx: "
    return start + b"y" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("piece", [1 << 20, 1000, 7])
def test_a_head_has_a_limit(piece: int) -> None:
    for size, fits in ((MAX_HEAD, True), (MAX_HEAD + 1, False)):
        data = long_head(size)
        events = answer(*(data[i : i + piece] for i in range(0, len(data), piece)))
        assert isinstance(events[-1], End if fits else Malformed)


def test_interim_heads_count() -> None:
    """Else a server could send them for ever."""
    assert "larger" in malformed(answer(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 10_000))
    half = long_head(MAX_HEAD // 2, b"HTTP/1.1 103 x\r\n")
    assert answer(half + long_head(MAX_HEAD // 2))[-1] is End.KEEP
    malformed(answer(half + long_head(MAX_HEAD // 2 + 1)))
    connection = asked()
    for _ in range(3):  # each request anew
        assert connection.receive_data(half + PLAIN)[-1] is End.KEEP
        connection.send_request(b"GET / HTTP/1.1\r\n\r\n")


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a header": (OK + b"x: ", b"y"),
    "a name of a header": (OK, b"y"),
    "headers": (OK, b"x: y\r\n"),
    "a reason": (b"HTTP/1.1 200 ", b"y"),
    "a size": (CHUNKED, b"0"),
    "an extension": (CHUNKED + b"1;", b"x"),
    "a trailer": (CHUNKED + b"0\r\nx: ", b"y"),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n"),
}


@pytest.mark.parametrize("piece", [1, 1000, 200_000])
@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end_is_told_soon_and_takes_little(name: str, piece: int) -> None:
    start, more = ENDLESS[name]
    connection = asked()
    connection.receive_data(start)
    more *= piece // len(more) or 1
    received, events = 0, list[Event]()
    tracemalloc.start()
    try:
        begun = time.process_time()
        while not events:
            events = connection.receive_data(more)
            received += len(more)
            assert received <= max(MAX_HEAD, MAX_FRAMING) + len(more), "it goes on and on"
        malformed(events)
        assert time.process_time() - begun < 5, "the time must not grow with the square of what dripped in"
        assert tracemalloc.get_traced_memory()[1] < 4 * (MAX_HEAD + len(more))
    finally:
        tracemalloc.stop()


def test_small_chunks_are_no_framing_without_end() -> None:
    events = answer(CHUNKED, *[b"1\r\n", b"a", b"\r\n"] * 20_000, b"0\r\n\r\n")
    assert joined(events)[1:] == [b"a" * 20_000, End.KEEP]


def test_a_dropped_connection_needs_no_garbage_collector() -> None:
    """llhttp's callbacks lead back to it."""
    gc.disable()
    try:
        for pieces in ([PLAIN], [PLAIN, b"x"], [b"garbage\r\n\r\n"], [OK], []):
            connection = asked()
            for piece in pieces:
                connection.receive_data(piece)
            connection.receive_eof()
            gone = weakref.ref(connection)
            del connection
            assert gone() is None
    finally:
        gc.enable()


# -- requests ---------------------------------------------------------------------------------------------------------


def test_the_head_of_a_request() -> None:
    head = encode_head("POST", "/a?b=c", [("host", "x:1"), ("accept", "*/*")])
    assert head == b"POST /a?b=c HTTP/1.1\r\nhost: x:1\r\naccept: */*\r\n"


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [("/a b", "x", "y"), ("/\r\nx: y", "x", "y"), ("/", "x\r\ny", "z"), ("/", "x", "y\nz"), ("/", "x", "y\0")],
)
def test_a_head_that_would_break_is_refused(target: str, name: str, value: str) -> None:
    with pytest.raises(ValueError, match="head of a request"):
        encode_head("POST", target, [(name, value)])
