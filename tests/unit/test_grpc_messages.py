"""gRPC on HTTP/2 without I/O: timeouts, metadata, messages in a body, heads, trailers and statuses."""

from __future__ import annotations

import base64
import gzip
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote_client._transport.grpc.headers import Field, Head
from remote_client._transport.grpc.messages import (
    RESET_CODES,
    AnswerHead,
    MessageError,
    MessageReader,
    Status,
    encode_metadata,
    encode_timeout,
    frame_message,
    read_head,
    read_metadata,
    read_trailers,
)
from remote_client._transport.http_errors import Answer
from remote_client._transport.status_codes import CODES

MIB = 1 << 20
OK = ((":status", "200"), ("content-type", "application/grpc"))


def fields(*pairs: tuple[str, str | bytes]) -> Head:
    return Head([Field(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in pairs])


def prefixed(data: bytes, packed: int = 0) -> bytes:
    return struct.pack(">BL", packed, len(data)) + data


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (1e-9, b"1u"),
        (0, b"1u"),
        (-1, b"1u"),
        (0.001, b"1000u"),
        (0.0000015, b"2u"),
        (1, b"1000000u"),
        (60, b"60000000u"),
        (99.999999, b"99999999u"),
        (100, b"100000m"),
        (3600, b"3600000m"),
        (99_999.9991, b"100000S"),
        (100_000, b"100000S"),
        (10**8, b"1666667M"),
        (6 * 10**9 - 1, b"1666667H"),
        (1e15, b"99999999H"),
    ],
)
def test_timeouts(seconds: float, value: bytes) -> None:
    assert encode_timeout(seconds) == value


@given(st.floats(1e-7, 1e12))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_a_timeout_is_short_and_never_less_than_asked_for(seconds: float) -> None:
    value = encode_timeout(seconds)
    unit = {b"u": 1e-6, b"m": 1e-3, b"S": 1, b"M": 60, b"H": 3600}[value[-1:]]
    assert value[:-1].isdigit()
    assert len(value) <= 9
    told = int(value[:-1]) * unit
    assert told >= min(seconds, 99_999_999 * 3600.0) * (1 - 1e-12)
    assert told <= seconds + unit * 1.000001


@pytest.mark.parametrize("size", range(7))
def test_binary_metadata_goes_out_without_padding(size: int) -> None:
    value = bytes(range(250, 250 + size)) if size < 6 else b"\xff" * 6
    ((name, sent),) = encode_metadata((("trace-bin", value),))
    assert name == b"trace-bin"
    assert b"=" not in sent
    assert base64.b64decode(sent + b"=" * (-len(sent) % 4)) == value
    assert encode_metadata((("a", "b c"),)) == [(b"a", b"b c")]


def test_a_message_has_a_prefix() -> None:
    assert frame_message(b"") == b"\0\0\0\0\0"
    assert frame_message(b"abc") == b"\0\0\0\0\3abc"


def test_a_message_is_compressed_where_that_makes_it_smaller() -> None:
    large = frame_message(bytes(10_000), compress=True)
    assert len(large) < 200
    assert large[0] == 1
    assert int.from_bytes(large[1:5]) == len(large) - 5
    assert gzip.decompress(large[5:]) == bytes(10_000)
    assert frame_message(b"abc", compress=True) == b"\0\0\0\0\3abc"


# -- messages ---------------------------------------------------------------------------------------------------------


def read_all(reader: MessageReader) -> list[bytes]:
    found = []
    while (message := reader.take()) is not None:
        found.append(message)
    return found


MESSAGES = st.lists(st.one_of(st.binary(max_size=8), st.integers(0, 5000).map(bytes)), max_size=8)


@given(st.data(), MESSAGES, st.integers(1, 5))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_messages_come_out_however_the_body_is_cut(data: st.DataObject, messages: list[bytes], often: int) -> None:
    body = b"".join(prefixed(each) for each in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    reader, found = MessageReader(5000), []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(body)], strict=True)):
        reader.feed(memoryview(body)[start:end] if number % 2 else body[start:end])
        if number % often == 0:
            found += read_all(reader)
    found += read_all(reader)
    assert found == messages
    assert {type(each) for each in found} <= {bytes}
    assert not reader.pending
    assert reader.error is None


@given(MESSAGES)
@settings(derandomize=True, max_examples=50, deadline=None)
def test_messages_come_out_byte_by_byte(messages: list[bytes]) -> None:
    reader, found = MessageReader(None), []
    for byte in b"".join(prefixed(each) for each in messages):
        reader.feed(bytes((byte,)))
        found += read_all(reader)
    assert found == messages


def test_a_message_is_ready_when_it_is_whole() -> None:
    reader = MessageReader(None)
    reader.feed(b"\0\0\0\0\3ab")
    assert (reader.ready, reader.pending, reader.more_than_one, reader.take()) == (False, True, False, None)
    reader.feed(b"c")
    assert (reader.ready, reader.more_than_one) == (True, False)
    reader.feed(b"\0")
    assert (reader.ready, reader.more_than_one) == (True, True)
    assert reader.take() == b"abc"
    assert (reader.ready, reader.pending, reader.take()) == (False, True, None)


def test_an_empty_message_is_one() -> None:
    reader = MessageReader(0)
    reader.feed(bytes(10))
    assert read_all(reader) == [b"", b""]


@pytest.mark.parametrize("step", [2, 3, 100, 1000, 5000])
def test_a_message_in_many_parts_takes_little_more_than_its_bytes(step: int) -> None:
    """A frame may carry two bytes, and as an object of their own they would take 50."""
    size = MIB // step * step
    part = (bytes(range(1, 251)) * (step // 250 + 1))[:step]
    reader = MessageReader(None)
    reader.feed(struct.pack(">BL", 0, size))
    tracemalloc.start()
    for _ in range(size // step):
        reader.feed(bytes(bytearray(part)))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1.2 * size
    assert reader.take() == part * (size // step)


def test_a_message_over_the_limit_is_told_by_its_prefix() -> None:
    reader = MessageReader(1000)
    reader.feed(prefixed(bytes(1000)))
    assert reader.take() == bytes(1000)
    reader.feed(struct.pack(">BL", 0, 1001))
    assert reader.error is not None
    assert reader.error.too_large
    assert str(reader.error) == "received message larger than max (1001 vs. 1000)"
    reader.feed(bytes(2000))
    assert (reader.take(), reader.ready) == (None, False)


def test_good_messages_before_a_bad_one_can_be_read() -> None:
    reader = MessageReader(10)
    reader.feed(prefixed(b"good") + struct.pack(">BL", 0, 11))
    assert (reader.take(), reader.take()) == (b"good", None)
    assert reader.error is not None


@pytest.mark.parametrize("flag", [2, 3, 0x3C, 0xFF])
def test_a_body_that_is_not_made_of_messages(flag: int) -> None:
    reader = MessageReader(None)
    reader.feed(bytes((flag, 0, 0, 0, 0)))
    assert isinstance(reader.error, MessageError)
    assert not reader.error.too_large
    assert reader.take() is None


@pytest.mark.parametrize("encoding", ["identity", "deflate", "br", "x" * 1000])
def test_a_message_that_is_compressed_otherwise(encoding: str) -> None:
    reader = MessageReader(None, encoding)
    reader.feed(prefixed(b"plain") + prefixed(gzip.compress(b"x"), 1))
    assert (reader.take(), reader.take()) == (b"plain", None)
    assert len(str(reader.error)) < 200


def test_compressed_messages_among_plain_ones() -> None:
    reader = MessageReader(1000, "gzip")
    reader.feed(prefixed(gzip.compress(b"one"), 1) + prefixed(b"two") + prefixed(gzip.compress(b""), 1))
    assert read_all(reader) == [b"one", b"two", b""]


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no gzip at all",
        gzip.compress(b"x" * 1000)[:-1],
        gzip.compress(b"x" * 1000)[:-8] + bytes(8),
        zlib.compress(b"deflate"),
        gzip.compress(b"x") + b"left over",
    ],
    ids=["empty", "no gzip", "cut short", "wrong checksum", "deflate", "left over"],
)
def test_compressed_messages_that_are_broken(packed: bytes) -> None:
    reader = MessageReader(10_000, "gzip")
    reader.feed(prefixed(packed, 1) + prefixed(b"next"))
    assert reader.take() is None
    assert reader.error is not None
    assert "cannot be decompressed" in str(reader.error)
    assert reader.take() is None


def test_the_limit_holds_for_what_comes_out() -> None:
    fits, exceeds = MessageReader(1000, "gzip"), MessageReader(1000, "gzip")
    fits.feed(prefixed(gzip.compress(bytes(1000)), 1))
    assert fits.take() == bytes(1000)
    exceeds.feed(prefixed(gzip.compress(bytes(1001)), 1))
    assert exceeds.take() is None
    assert exceeds.error is not None
    assert exceeds.error.too_large


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(300)) + packer.flush()
    reader = MessageReader(4 * MIB, "gzip")
    tracemalloc.start()
    reader.feed(prefixed(bomb, 1))
    assert reader.take() is None
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 12 * MIB
    assert reader.error is not None
    assert reader.error.too_large


# -- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["application/grpc", "application/grpc+proto", "application/grpc+json", "application/grpc;charset=utf-8"]
)
def test_answers_of_grpc(kind: str) -> None:
    answer = read_head(fields((":status", "200"), ("content-type", kind)), end=False)
    assert answer == AnswerHead("identity", None, is_grpc=True)


def test_the_encoding_is_read() -> None:
    assert read_head(fields(*OK, ("grpc-encoding", "gzip")), end=False).encoding == "gzip"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(502, "text/html"), (503, ""), (200, "text/html"), (200, "application/grpc-web"), (404, "application/grpc")],
)
@pytest.mark.parametrize("end", [False, True])
def test_answers_without_grpc_keep_their_http_status(status: int, kind: str, end: bool) -> None:
    pairs = [(":status", str(status)), ("retry-after", "7"), *([("content-type", kind)] if kind else [])]
    answer = read_head(fields(*pairs), end)
    assert answer.status is not None
    assert answer.status.http_answer == Answer(status, kind=kind, retry_after="7")
    assert str(status) in answer.status.message


def test_a_status_of_grpc_counts_whatever_http_says() -> None:
    answer = read_head(fields((":status", "503"), ("grpc-status", "7")), end=True)
    assert answer.status is not None
    assert (answer.status.code, answer.status.http_answer) == ("PERMISSION_DENIED", None)


def test_trailers_only() -> None:
    answer = read_head(fields(*OK, ("grpc-status", "5"), ("grpc-message", "no%20model"), ("x", "y")), end=True)
    assert answer.status == Status("NOT_FOUND", "no model", metadata=(("x", "y"),))


def test_a_status_alone_is_bare() -> None:
    for pairs, end, bare in (
        ((), True, True),
        ((("grpc-message", "shed"),), True, True),
        ((("x", "y"),), True, False),
        ((), False, False),
    ):
        answer = read_head(fields(*OK, ("grpc-status", "1"), *pairs), end)
        assert answer.status is not None
        assert answer.status.bare is bare
    assert not read_trailers(fields(("grpc-status", "1"))).bare


def test_an_end_without_a_status() -> None:
    answer = read_head(fields(*OK), end=True)
    assert answer.status is not None
    assert (answer.status.code, answer.status.http_answer) == ("UNKNOWN", None)
    assert read_trailers(fields(("x", "y"))).code == "UNKNOWN"


def test_one_head_read_in_different_places_means_different_things() -> None:
    """Heads that are equal are one object: what was made of it once must not be taken for something else."""
    head = fields(*OK, ("grpc-status", "1"))
    for _ in range(2):
        for end in (False, True):
            answer = read_head(head, end)
            assert answer.status is not None
            assert answer.status.bare is end
        assert not read_trailers(head).bare


# -- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), list(enumerate(CODES)))
def test_statuses(number: int, code: str) -> None:
    assert read_trailers(fields(("grpc-status", str(number)))) == Status(code)


@pytest.mark.parametrize("told", ["17", "99", "-1", "", "x", "1.0", "9" * 5000, " 0", "0x0", "²"])
def test_unknown_statuses_are_unknown(told: str) -> None:
    status = read_trailers(fields(("grpc-status", told), ("grpc-message", "why")))
    assert status.code == "UNKNOWN"
    assert status.message.endswith("why")
    assert len(status.message) < 100


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ("", ""),
        ("plain words", "plain words"),
        ("%E2%98%BA%21", "☺!"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("%25", "%"),
        ("%e2%98%ba", "☺"),
        ("%FF%FE", "\ufffd\ufffd"),
        ("a+b", "a+b"),
        ("%0A", "\n"),
        (b"raw \xe2\x98\xba", "raw ☺"),
        (b"raw \xff", "raw \ufffd"),
    ],
)
def test_messages_are_percent_decoded(sent: str | bytes, message: str) -> None:
    assert read_trailers(fields(("grpc-status", "3"), ("grpc-message", sent))).message == message


@pytest.mark.parametrize("value", [b"", b"a", b"ab", b"abc", bytes(range(256))])
@pytest.mark.parametrize("padding", [True, False])
def test_binary_values_with_and_without_padding(value: bytes, padding: bool) -> None:
    sent = base64.b64encode(value)
    sent = sent if padding else sent.rstrip(b"=")
    status = read_trailers(fields(("grpc-status", "3"), ("grpc-status-details-bin", sent), ("x-bin", sent)))
    assert status.metadata == (("x-bin", value),)


@pytest.mark.parametrize("sent", [b"a", b"abcde", b"\xff\xff", b"====", b"!", b",", b"YQ,Yg", b"YQ==,Yg=="])
def test_binary_values_that_are_odd(sent: bytes) -> None:
    value = read_trailers(fields(("grpc-status", "3"), ("x-bin", sent))).metadata[0][1]
    assert value == (b"a" if sent.startswith(b"YQ") else value)
    assert isinstance(value, bytes)


def test_pushback_is_told() -> None:
    assert read_trailers(fields(("grpc-status", "14"), ("grpc-retry-pushback-ms", "250"))).pushback == "250"
    assert read_trailers(fields(("grpc-status", "14"))).pushback is None


def test_metadata_is_what_grpc_does_not_use_itself() -> None:
    head = fields(*OK, ("grpc-encoding", "gzip"), ("a", "1"), ("a", "2"), ("b", b"\xe9"), ("c-bin", "YQ"))
    assert read_metadata(head) == (("a", "1"), ("a", "2"), ("b", "é"), ("c-bin", b"a"))


def test_secrets_do_not_show() -> None:
    status = read_trailers(fields(("grpc-status", "0"), ("token", "hidden")))
    assert "hidden" not in repr(status)


def test_reset_codes_are_grpcs_table() -> None:
    """PROTOCOL-HTTP2.md, "Errors": what is not here is INTERNAL."""
    assert RESET_CODES == {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}


@given(st.lists(st.tuples(st.sampled_from([
    b":status", b"content-type", b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"x-bin", b"x",
    b"grpc-encoding", b"retry-after", b"grpc-retry-pushback-ms",
]), st.binary(max_size=20)), max_size=8), st.booleans())  # fmt: skip
@settings(derandomize=True, max_examples=500, deadline=None)
def test_any_fields_can_be_read(pairs: list[tuple[bytes, bytes]], end: bool) -> None:
    head = Head([Field(name, value) for name, value in pairs])
    assert isinstance(read_head(head, end), AnswerHead)
    status = read_trailers(head)
    assert status.code in CODES
