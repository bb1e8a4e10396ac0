"""Cassettes without servers: their format, what they leave out, and how calls find recorded ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from remote_client.errors import ConfigurationError
from remote_client.testing._cassettes.differences import not_recorded
from remote_client.testing._cassettes.format import Answer, Header, RecordedCall, read_cassette
from remote_client.testing._cassettes.matching import Playing, Shelf
from remote_client.testing._cassettes.messages import JsonMessages, ProtobufMessages
from remote_client.testing._cassettes.secrets import Secrets, in_method, in_request
from remote_client.testing._cassettes.taking import Taking
from remote_client.testing._cassettes.writer import CassetteWriter

KEY = "mm-model-id"
POST = "POST /api/v1/task/sample"
HTTP = Header(protocol="http")
JSON = JsonMessages()


def call(body: Any, *answers: bytes, method: str = POST, model: str = "foo", **more: Any) -> RecordedCall:
    requests = body if isinstance(body, tuple) else (json.dumps(body).encode(),)
    made = [Answer(data) for data in answers]
    return RecordedCall(method=method, metadata=((KEY, model),), requests=requests, answers=tuple(made), **more)


def shelf(*calls: RecordedCall) -> Shelf:
    return Shelf(calls, JSON, KEY)


def ask(of: Shelf, body: Any, method: str = POST, model: str = "foo") -> list[bytes] | None:
    playing = of.playing(method, ((KEY, model),))
    first = playing.receive(body if isinstance(body, bytes) else json.dumps(body).encode())
    second = playing.receive(None)
    return None if first is None or second is None else first.answers + second.answers


# -- the file ---------------------------------------------------------------------------------------------------------


def write(path: Path, *calls: RecordedCall, header: Header = HTTP) -> None:
    writer = CassetteWriter(path)
    for each in calls:
        writer.add(header, each, JSON.shown)
    writer.close()


WHOLE = RecordedCall(
    method="/a.B/C",
    metadata=((KEY, "foo"), ("trace-bin", b"\0\xff"), ("secret-bin", "[redacted]")),
    requests=(b"\x0a\x01x", b""),
    is_input_whole=False,
    status="NOT_FOUND",
    details="no ä ☃",
    headers=(("a", "1"), ("a", "2")),
    answers=(Answer(b"\0", 1), Answer(b"1", 3)),
    trailers=(("b-bin", b"\1"),),
    ended_after=2,
    is_whole=False,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    header = Header(protocol="grpc", model_key="x-model", schema=b"\x0a\0")
    write(path, WHOLE, call({"a": 1}), header=header)
    assert read_cassette(path) == (header, [WHOLE, call({"a": 1})])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["cassette"] == 1
    assert len(lines) == 3
    assert lines[2]["requests"] == [{"shown": {"a": 1}, "data": base64.b64encode(b'{"a": 1}').decode()}]


def test_large_messages_are_compressed(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    large = call((bytes(1_000_000),), b"yes" * 100_000)
    header = Header(protocol="grpc", schema=b"file" * 10_000)
    write(path, large, header=header)
    assert path.stat().st_size < 10_000
    assert read_cassette(path) == (header, [large])


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "calls.jsonl"
    write(path, call(1), call(2))
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_cassette(path)[1] == [call(1)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"{}\n", "no cassette, see its line 1"),
        (b"[]\n", "no cassette, see its line 1"),
        (b"a,b\n1,2\n", "no cassette, see its line 1"),
        (b'{"cassette":2}\n', "has the format 2, and this version reads 1"),
        (b'{"cassette":1,"protocol":"ftp","model_key":"","schema":null}\n', "see its line 1"),
        (b'{"cassette":1,"protocol":"grpc","model_key":"","schema":{"data":"*"}}\n', "see its line 1"),
        (b'{"cassette":1,"protocol":"grpc","model_key":"","schema":{"zlib":"aaaa"}}\n', "see its line 1"),
        (b'{"cassette":1,"protocol":"grpc","model_key":"","schema":null}\n{}\n', "see its line 2"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"cassette: {path} .*{told}"):
        read_cassette(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere cannot be read: No such file"):
        read_cassette(tmp_path / "nowhere")


def test_an_old_file_is_replaced_with_the_first_call(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    write(path, call("old"))
    writer = CassetteWriter(path)
    assert read_cassette(path)[1] == [call("old")]
    writer.add(HTTP, call("new"), JSON.shown)
    assert read_cassette(path)[1] == [call("new")]
    writer.add(HTTP, call("newer"), JSON.shown)
    assert read_cassette(path)[1] == [call("new"), call("newer")]
    writer.close()
    writer.add(HTTP, call("late"), JSON.shown)
    assert len(read_cassette(path)[1]) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["calls.jsonl"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "calls.jsonl")
    write(tmp_path / "link", call("new"))
    assert (tmp_path / "link").is_symlink()
    assert read_cassette(tmp_path / "calls.jsonl")[1] == [call("new")]


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "calls.jsonl"
    writer = CassetteWriter(path)
    writer.add(HTTP, call(1), JSON.shown)

    class Full:
        """Takes ten bytes more."""

        def __init__(self, file: Any) -> None:
            self._file, self._left = file, 10
            self.tell, self.truncate, self.seek, self.close = file.tell, file.truncate, file.seek, file.close

        def write(self, data: memoryview) -> int:
            if not self._left:
                raise OSError(28, "No space left on device")
            taken, self._left = self._left, 0
            return int(self._file.write(data[:taken]))

    file = writer._file
    monkeypatch.setattr(writer, "_file", Full(file))
    with pytest.raises(OSError, match="No space left"):
        writer.add(HTTP, call(2), JSON.shown)
    monkeypatch.setattr(writer, "_file", file)
    writer.add(HTTP, call(3), JSON.shown)
    writer.close()
    assert read_cassette(path)[1] == [call(1), call(3)]


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no file"):
        CassetteWriter(tmp_path)
    with pytest.raises(ConfigurationError, match="is no folder"):
        CassetteWriter(tmp_path / "missing" / "calls.jsonl")


# -- secrets ----------------------------------------------------------------------------------------------------------

SENT = (
    (KEY, "foo"),
    ("Authorization", "Bearer abcd-1234"),
    ("x-api-key", "key-5678"),
    ("cookie", "session=cookie-9"),
    ("x-team", "blue"),
    ("x-odd", "Bearer odd-0000"),
    ("token-bin", b"\1\2\3\4\5"),
    ("accept", "application/json"),
    ("user-agent", "remote-client"),
    ("traceparent", "00-1-2-01"),
)


def test_metadata_is_kept_without_its_values() -> None:
    private = ("authorization", "x-api-key", "cookie", "x-team", "x-odd", "token-bin")
    plain = ((KEY, "foo"), ("accept", "application/json"))
    assert Secrets(SENT, KEY).kept == (*plain, *((name, "[redacted]") for name in private))


def test_credentials_are_not_in_messages_and_lengths_stay() -> None:
    secrets = Secrets(SENT, KEY)
    message = b"token abcd-1234, key-5678, cookie-9, odd-0000, team blue of foo, \1\2\3\4\5!"
    hidden = secrets.in_answer(message)
    assert hidden == secrets.in_request(message)
    assert hidden == b"token *********, ********, ********, ********, team blue of foo, *****!"
    assert secrets.in_text("Bearer abcd-1234 of blue") == "[redacted] of [redacted]"


def test_metadata_of_answers_has_no_secrets() -> None:
    came = (("x-ok", "1"), ("set-cookie", "a=b"), ("x-echo", "key-5678"), ("date", "now"), (KEY, "foo"))
    assert Secrets(SENT, KEY).of_answer(came) == (("x-ok", "1"), ("x-echo", "[redacted]"), (KEY, "foo"))


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        (b"at https://me:pass@host/x", b"at https://me:****@host/x"),
        (b"at https://host:8080/x@y", b"at https://host:8080/x@y"),
        (b'{"accessKey": "abc", "token": "the"}', b'{"accessKey": "***", "token": "the"}'),
        (b'{"IAM_api_key":"a\\"b"}', b'{"IAM_api_key":"****"}'),
        (b'{"secretKey": null}', b'{"secretKey": null}'),
    ],
)
def test_credentials_of_urls_and_buckets_are_hidden(message: bytes, hidden: bytes) -> None:
    assert in_request(message) == hidden


def test_answers_keep_their_fields() -> None:
    answer = b'{"password": "is a word", "url": "https://me:pass@host"}'
    assert Secrets((), KEY).in_answer(answer) == b'{"password": "is a word", "url": "https://me:****@host"}'


def test_a_query_has_an_order_and_no_credentials() -> None:
    assert in_method("GET /a?b=2&api_key=x&a=1") == "GET /a?a=1&api_key=%5Bredacted%5D&b=2"
    assert in_method("/a.B/C") == "/a.B/C"


def test_a_taken_call_has_no_secrets() -> None:
    taking = Taking("POST /a", (("authorization", "Bearer abcd-1234"),), KEY)
    taking.sent(b"abcd-1234")
    taking.sent(None)
    taking.headers = (("content-type", "text/event-stream"),)
    for piece in (b"data: abcd-", b"1234\n\ndata: 2\n", b"\n"):  # as the socket had them
        taking.came(piece)
    taking.status, taking.details = 200, "abcd-1234"
    taken = taking.done(JSON, is_whole=True)
    assert [answer.data for answer in taken.answers] == [b"data: *********\n\n", b"data: 2\n\n"]
    assert (taken.requests, taken.details) == ((b"*********",), "[redacted]")


# -- matching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "asked"),
    [
        ({"a": 1, "b": [1, {"c": None}]}, b'{ "b": [1.0, {"c": null}], "a": 1 }'),
        ({"a": float("nan")}, b'{"a": NaN}'),
        ({"a": "\u00e4"}, '{"a": "ä"}'.encode()),
        ((b"--x1\r\na\r\n--x1--\r\n",), b"--y2\r\na\r\n--y2--\r\n"),
        ((b"plain",), b"plain"),
    ],
)
def test_equal_values_are_found(recorded: Any, asked: bytes) -> None:
    assert ask(shelf(call(recorded, b"yes")), asked) == [b"yes"]


@pytest.mark.parametrize(
    ("recorded", "asked"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": 1}, {"a": 1, "b": None}),
        ((b"--x\r\na",), b"--x\r\nb"),
    ],
)
def test_other_values_are_not_found(recorded: Any, asked: Any) -> None:
    assert ask(shelf(call(recorded, b"no")), asked) is None


def test_method_and_model_are_part_of_a_call() -> None:
    of = shelf(call(1, b"foo"), call(1, b"bar", model="bar"), call(1, b"query", method="GET /a?b=1&c=2"))
    assert ask(of, 1) == [b"foo"]
    assert ask(of, 1, model="bar") == [b"bar"]
    assert ask(of, 1, model="") is None
    assert ask(of, 1, method="GET /a?c=2&b=1") == [b"query"]
    assert ask(of, 1, method="GET /a?c=2") is None


def test_a_request_that_repeats_its_credentials_is_found() -> None:
    metadata = ((KEY, "foo"), ("authorization", "Bearer abcd-1234"))
    taking = Taking(POST, metadata, KEY)
    taking.sent(b'"abcd-1234"')
    taking.sent(None)
    of = shelf(taking.done(JSON, is_whole=True))
    for sent, found in ((metadata, True), (metadata[:1], False)):
        playing = of.playing(POST, sent)
        playing.receive(b'"abcd-1234"')
        assert (playing.receive(None) is not None) is found


def test_equal_calls_are_answered_in_order_and_the_last_again() -> None:
    of = shelf(call(1, b"a"), call(2, b"x"), call(1, b"b"), call(1, b"c"))
    assert [ask(of, 1) for _ in range(5)] == [[b"a"], [b"b"], [b"c"], [b"c"], [b"c"]]


def test_a_partial_stream_is_used_only_without_a_whole_one() -> None:
    partial = call(1, b"a", is_whole=False, is_input_whole=False)
    of = shelf(partial, call(1, b"a", b"b"))
    assert [ask(of, 1) for _ in range(2)] == [[b"a", b"b"]] * 2
    playing = shelf(partial).playing(POST, ((KEY, "foo"),))
    step = playing.receive(b"1")
    assert step is not None
    assert (step.answers, step.ended) == ([b"a"], partial)


def steps(playing: Playing, *messages: bytes | None) -> list[Sequence[bytes] | None]:
    found = [playing.receive(message) for message in messages]
    return [None if step is None else step.answers for step in found]


def test_a_streams_answers_come_when_they_came() -> None:
    answers = (Answer(b"a", 1), Answer(b"b", 1), Answer(b"c", 2), Answer(b"end", 3))
    chat = RecordedCall(method="/a", requests=(b"1", b"2"), answers=answers, ended_after=3)
    playing = shelf(chat).playing("/a", ())
    assert steps(playing, b"1", b"2", None) == [[b"a", b"b"], [b"c"], [b"end"]]


def test_a_streams_other_items_are_not_recorded() -> None:
    chat = RecordedCall(method="/a", requests=(b"1", b"2"), answers=(Answer(b"a", 1),), ended_after=3)
    of = shelf(chat)
    assert steps(of.playing("/a", ()), b"1", b"3") == [[b"a"], None]
    assert steps(of.playing("/a", ()), b"1", None) == [[b"a"], None]
    assert steps(of.playing("/a", ()), b"1", b"2", b"3") == [[b"a"], [], None]


def test_streams_that_begin_alike_are_told_apart_by_what_follows() -> None:
    one = RecordedCall(method="/a", requests=(b"1",), answers=(Answer(b"one", 2),), ended_after=2)
    two = RecordedCall(method="/a", requests=(b"1", b"2"), answers=(Answer(b"two", 3),), ended_after=3)
    of = shelf(one, two)
    assert steps(of.playing("/a", ()), b"1", b"2", None) == [[], [], [b"two"]]
    assert steps(of.playing("/a", ()), b"1", None) == [[], [b"one"]]


def test_a_call_that_its_server_ended_early_ends_early() -> None:
    refused = RecordedCall(method="/a", requests=(b"1",), is_input_whole=False, status="INTERNAL", ended_after=1)
    step = shelf(refused).playing("/a", ()).receive(b"1")
    assert step is not None
    assert step.ended == refused


# -- protobuf ---------------------------------------------------------------------------------------------------------


def schema() -> bytes:
    """A service `p.S` whose method `M` takes a message with a map, a text `secretKey`, and itself."""
    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    message = file.message_type.add(name="R")
    entry = message.nested_type.add(name="MEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=9, label=1)
    message.field.add(name="m", number=1, type=11, label=3, type_name=".p.R.MEntry")
    message.field.add(name="secretKey", number=2, type=9, label=1)
    message.field.add(name="inner", number=3, type=11, label=3, type_name=".p.R")
    file.service.add(name="S").method.add(name="M", input_type=".p.R", output_type=".p.R")
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def entry(key: bytes, value: bytes) -> bytes:
    return b"\x0a\x06\x0a\x01" + key + b"\x12\x01" + value


def test_protobufs_maps_have_no_order() -> None:
    known, unknown = ProtobufMessages(schema()), ProtobufMessages(None)
    one, other = entry(b"a", b"1") + entry(b"b", b"2"), entry(b"b", b"2") + entry(b"a", b"1")
    assert known.value("/p.S/M", one) == known.value("/p.S/M", other)
    assert known.value("/p.S/M", one) != known.value("/p.S/M", entry(b"a", b"2") + entry(b"b", b"2"))
    assert unknown.value("/p.S/M", one) != unknown.value("/p.S/M", other)
    assert known.shown("/p.S/M", one, True) == {"m": {"a": "1", "b": "2"}}
    assert unknown.shown("/p.S/M", one, True) is None
    assert known.value("/p.S/Other", one) == one
    assert known.value("/p.S/M", b"\xff") == b"\xff"


def test_protobufs_credentials_are_hidden_at_any_depth() -> None:
    known = ProtobufMessages(schema())
    assert known.without_credentials("/p.S/M", b"\x1a\x06\x12\x04abcd") == b"\x1a\x06\x12\x04****"
    assert known.without_credentials("/p.S/M", entry(b"a", b"1")) == entry(b"a", b"1")


# -- what is told of others -------------------------------------------------------------------------------------------


def told(of: Shelf, *messages: bytes, method: str = POST, model: str = "foo") -> str:
    playing = of.playing(method, ((KEY, model),))
    for message in messages:
        playing.receive(message)
    playing.receive(None)
    return not_recorded(of, playing)


def test_the_nearest_call_is_told() -> None:
    near = {"inputs": {"name": "World", "tags": ["a", "b"]}, "n": 1}
    of = shelf(call({"inputs": {}, "parameters": {"a": 1, "b": 2}}), call(near))
    found = told(of, b'{"inputs": {"name": "Mars", "tags": ["a", "c"]}, "more": null}')
    assert found.startswith(f"the cassette has no such call: {POST} for 'foo'; the nearest differs: ")
    assert "inputs.name was 'World', is 'Mars'; inputs.tags[1] was 'b', is 'c'; " in found
    assert "n was 1, is missing; more was missing, is None. Record" in found


@pytest.mark.parametrize(
    ("calls", "asked", "found"),
    [
        ([], {}, "it has no call at all"),
        ([call(1)], {"method": POST + "s"}, f"the nearest is {POST}"),
        ([call(1)], {"method": "/a"}, f"it has {POST}"),
        ([call(1), call(1, model="baz")], {"model": "bar"}, "it is recorded for 'baz', 'foo'"),
        ([call(1, method="GET /a?b=1")], {"method": "GET /a?b=2"}, "recorded was GET /a?b=1"),
        ([call((b"\0a",))], {}, "its message has 2 bytes, this call's 1"),
        ([call((b"1", b"2"))], {}, "item 0: the value was 1, is 3; recorded were 2 items, this call has sent 1"),
    ],
)
def test_why_a_call_is_not_found_is_told(calls: list[RecordedCall], asked: dict[str, Any], found: str) -> None:
    assert found in told(shelf(*calls), b"3", **asked)


def test_what_is_told_fits_into_trailers() -> None:
    of = shelf(call({f"key-{number}": "x" * 200 for number in range(200)}))
    assert len(told(of, b"{}")) < 1600
