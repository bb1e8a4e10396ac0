"""Server-sent events: what is an event, wherever the stream is cut into pieces."""

from __future__ import annotations

import random

import pytest

from remote_client._transport.http.sse import EventReader

NASTY = "data: , \u2028, \u0085, \u000b, \u000c, \x1c, 🦓, event: error"


def read(*chunks: bytes, limit: int = 1 << 20) -> list[tuple[bytes, bytes]]:
    reader = EventReader(limit)
    return [event for chunk in chunks for event in reader.feed(chunk)]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_all_line_ends(end: str) -> None:
    stream = end.join(["event: message", f"data: {NASTY}", "", "data:x", "data: y", "", "event:error", "data:", "", ""])
    assert read(stream.encode()) == [(b"message", NASTY.encode()), (b"message", b"x\ny"), (b"error", b"")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("seed", range(20))
def test_wherever_it_is_cut(end: str, seed: int) -> None:
    chance = random.Random(seed)
    lines = [": ping", "", "id: 5", "retry: 1", "event: message", f"data: {NASTY}", "", f"data:  {NASTY}", "", ""]
    stream = end.join(lines).encode()
    cuts = sorted(chance.sample(range(len(stream)), 12))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = [(b"message", NASTY.encode()), (b"message", f" {NASTY}".encode())]
    assert read(*chunks) == expected
    assert read(*(bytes([byte]) for byte in stream)) == expected


def test_what_is_no_event() -> None:
    assert read(b": comment\n\nevent: message\n\nid: 1\n\n\n\ndata") == []


def test_a_name_counts_for_one_event() -> None:
    assert read(b"event: error\n\ndata: 1\n\nevent: error\ndata: 2\n\ndata: 3\n\n") == [
        (b"message", b"1"),
        (b"error", b"2"),
        (b"message", b"3"),
    ]


def test_pending() -> None:
    reader = EventReader(100)
    for chunk, pending in [
        (b"", False),
        (b"da", True),
        (b"ta: 1", True),
        (b"\r", True),
        (b"\n\r", False),
        (b"\n", False),
    ]:
        reader.feed(chunk)
        assert reader.pending is pending, chunk


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 200, b"data: x\n" * 20, b": " + b"x" * 200])
@pytest.mark.parametrize("piece", [7, 1000])
def test_an_event_without_end(endless: bytes, piece: int) -> None:
    reader = EventReader(100)
    stream = b"data: 1\n\n" + endless
    events = [event for i in range(0, len(stream), piece) for event in reader.feed(stream[i : i + piece])]
    assert events == [(b"message", b"1")]
    assert reader.too_large


def test_the_limit_is_that_of_the_data() -> None:
    for size, too_large in ((100, False), (101, True)):
        reader = EventReader(100)
        for piece in (b"data: ", b"x" * size, b"\n\n"):
            reader.feed(piece)
        assert reader.too_large is too_large


def test_many_events_are_no_large_event() -> None:
    assert len(read(*[b"data: 0123456789\n\n", b": ping\n\n", b": p\n"] * 100, limit=40)) == 100
