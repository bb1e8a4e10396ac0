"""`remote-client call`: arguments in, answers out, streams, pipes, Ctrl-C, errors."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remote_client._cli.main import main
from remote_client.declare import module, taskmethod
from remote_client.testing import FakeRuntime

from ..live.protocols import Protocol, named, target_of
from ..support.runtime import Runtime
from ..support.slow import slow_but
from .commands import PROGRAM, on_terminal, run, started

WATCHED = {"watched": "11110203-0405-0607-0809-0a0b02dd0e0f"}


@pytest.fixture
def who(protocol: Protocol) -> str:
    """The argument of `run_sample`."""
    return named(protocol, "sample_input")


@pytest.fixture
def called(target: str, capfdbinary: Any) -> Any:
    """Call a model in this process, and return the exit code and the output; standard error must be empty."""

    def call(*arguments: str) -> tuple[int, str]:
        code = main(["call", "-t", target, *arguments])
        out, err = capfdbinary.readouterr()
        assert err == b""
        return code, out.decode()

    return call


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", slow_but({"SampleTask"}, ["SampleTask", "run_sample"]))
def test_an_answer_is_a_line_of_json_in_a_pipe(target: str, who: str, task: str) -> None:
    ended = run("call", "-t", target, "foo", task, f"{who}.name=Wörld")
    assert (ended.code, ended.out, ended.err) == (0, '{"greeting":"Hello Wörld"}\n', "")


def test_an_answer_is_indented_on_a_terminal(target: str, who: str) -> None:
    ended = on_terminal("call", "-t", target, "foo", "SampleTask", f"{who}.name=World")
    assert (ended.code, ended.out, ended.err) == (0, '{\n  "greeting": "Hello World"\n}\n', "")


def test_the_options_may_stand_before_the_command(target: str, who: str, capfd: Any) -> None:
    assert main(["-t", target, "--timeout=9", "call", "foo", "SampleTask", f"{who}.name=a", "--json"]) == 0
    assert capfd.readouterr().out == '{"greeting":"Hello a"}\n'


def test_a_stream_is_a_line_an_answer_as_it_comes(target: str, protocol: Protocol) -> None:
    seconds = f"{named(protocol, 'seconds')}=0.3"
    with started("call", "-t", target, "slow", "run_slow_stream_out", seconds, "count=3") as process:
        assert process.stdout is not None
        came = []
        for number in range(3):
            assert json.loads(process.stdout.readline()) == {"greeting": f"slept {number}"}
            came.append(time.monotonic())
        assert process.wait(30) == 0
    assert came[2] - came[0] > 0.3


def test_a_stream_is_a_line_an_answer_on_a_terminal_too(runtime: Runtime) -> None:
    asked = ["-t", runtime.target, "foo", "run_sample_stream_out", "sample_input.name=a", "count=2"]
    assert on_terminal("call", *asked).out == '{"greeting":"Hello a 0"}\n{"greeting":"Hello a 1"}\n'


def test_a_stream_that_fails_keeps_what_came(target: str, who: str, capfd: Any) -> None:
    asked = ["foo", "run_sample_stream_out", f"{who}.name=a", "count=3", "err_after=1"]
    assert main(["call", "-t", target, *asked]) == 1
    out, err = capfd.readouterr()
    assert out == '{"greeting":"Hello a 0"}\n'
    assert err.startswith("remote-client: InvalidArgumentError: INVALID_ARGUMENT: ")
    assert "asked to fail after 1" in err


def test_text_is_joined(target: str, protocol: Protocol) -> None:
    words = [f"{named(protocol, 'text')}=x", 'pieces:=["a b", "ä\\n", "c"]']
    ended = run("call", "-t", target, "text", "run_text_stream_out", *words, "--text")
    assert (ended.code, ended.out, ended.err) == (0, "a bä\nc\n", "")


def test_the_text_of_one_answer(called: Any, protocol: Protocol) -> None:
    assert called("text", "TextTask", f"{named(protocol, 'text')}=a", "--text") == (0, "a\n")
    zoo = named(protocol, "zoo")
    assert called("zoo", "ZooTask", f"{zoo}.place.label=p", "--text", "--field", "place.label") == (0, "p\n")
    color = "=BLUE" if protocol == "grpc" else ":=7"  # over HTTP the runtime takes no names
    assert called("zoo", "ZooTask", f"{zoo}.color{color}", "--text", "--field", "color") == (0, "BLUE\n")
    assert called("zoo", "ZooTask", f"{zoo}.text=t", "--text", "--field", "optional_text") == (0, "\n")


def test_a_field_is_chosen(called: Any, protocol: Protocol) -> None:
    asked = ["zoo", "ZooTask", f'{named(protocol, "zoo")}.place:={{"label":"p","lat":2}}']
    assert called(*asked, "--field", "place.lat") == (0, "2.0\n")
    assert called(*asked, "--field", "place", "--format", "dict")[1].startswith("{'label': 'p', 'lat': 2.0")


def test_python_has_what_json_has_not(called: Any, protocol: Protocol) -> None:
    zoo = named(protocol, "zoo")
    asked = ["zoo", "ZooTask", f"{zoo}.blob=AP8=", f"{zoo}.when=2026-01-02T03:04:05Z", "--format", "dict"]
    code, out = called(*asked)
    assert code == 0
    assert "'blob': b'\\x00\\xff'" in out
    assert "'when': datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=" in out
    assert out.count("\n") == 1
    streamed = called(
        "foo", "run_sample_stream_out", f"{named(protocol, 'sample_input')}.name=a", "count=1", "--format=dict"
    )
    assert streamed == (0, "{'greeting': 'Hello a 0'}\n")


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_goes_out_and_comes_back(called: Any, protocol: Protocol, tmp_path: Path) -> None:
    photo, out = tmp_path / "photo.zip", tmp_path / "answer"
    photo.write_bytes(bytes(range(256)))
    asked = ["file", "FileTask", f"{named(protocol, 'document')}@{photo}"]
    told = json.loads(called(*asked)[1])
    assert (told["size"], told["file"]["filename"], told["file"]["type"]) == (256, "photo.zip", "application/zip")
    assert called(*asked, "--format", "file", "--field", "file", "-o", str(out)) == (0, "")
    assert out.read_bytes() == photo.read_bytes()


def test_a_file_answer_goes_through_a_pipe(target: str, protocol: Protocol) -> None:
    asked = ["call", "-t", target, "bundle", "BundleTask", f"{named(protocol, 'name')}=b", "size=5", "--format=file"]
    ended = subprocess.run([*PROGRAM, *asked], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, bytes(range(5)), b"")


def test_bytes_are_not_for_a_terminal(runtime: Runtime) -> None:
    ended = on_terminal("call", "-t", runtime.target, "bundle", "BundleTask", "name=b", "--format=file")
    assert (ended.code, ended.out) == (2, "")
    assert "name a file with -o" in ended.err


def test_an_answer_goes_to_a_file(called: Any, who: str, tmp_path: Path) -> None:
    out = tmp_path / "answer.json"
    assert called("foo", "SampleTask", f"{who}.name=a", "-o", str(out)) == (0, "")
    assert out.read_text() == '{"greeting":"Hello a"}\n'


def test_a_failed_call_leaves_the_file(target: str, who: str, tmp_path: Path, capfd: Any) -> None:
    out = tmp_path / "answer.json"
    out.write_text("kept")
    assert main(["call", "-t", target, "foo", "SampleTask", f"{who}.name=a", "throw=true", "-o", str(out)]) == 1
    assert out.read_text() == "kept"
    missing = tmp_path / "nowhere" / "answer.json"
    assert main(["call", "-t", target, "foo", "SampleTask", f"{who}.name=a", "-o", str(missing)]) == 1
    assert capfd.readouterr().err.endswith(f"remote-client: {missing} cannot be written: No such file or directory\n")


# -- arguments --------------------------------------------------------------------------------------------------------


def test_words_become_what_the_method_takes(runtime: Runtime, capfd: Any, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"\x00\xff")
    words = ["text=1", "number=3", "ratio=0.5", "flag=true", f"blob@{blob}", "place.label=p", "place.lat=1.5"]
    words += ["when=2026-01-02T03:04:05Z", 'settings:={"a": [1, null]}', 'words:=["x"]', "weights.w=2", "names.7=seven"]
    words += ['places:=[{"label": "q"}]', 'values:=["v"]', "choice=9", "optional_text=a=b@c:=d", "optional_number:=0"]
    assert main(["call", "-t", runtime.target, "parameters", "ParametersTask", *words]) == 0
    got = json.loads(json.loads(capfd.readouterr().out)["received"])
    assert (got["text"], got["number"], got["ratio"], got["flag"]) == ("1", 3, 0.5, True)
    assert (got["blob"], got["place"]["Place"]["label"], got["place"]["Place"]["lat"]) == ({"bytes": "00ff"}, "p", 1.5)
    assert got["when"]["datetime"].startswith("2026-01-02T03:04:05")
    assert (got["words"], got["weights"], got["names"]) == (["x"], {"w": 2}, {"7": "seven"})
    assert (got["choice"], got["optional_text"], got["optional_number"]) == (9, "a=b@c:=d", 0)


def test_arguments_are_in_files(called: Any, protocol: Protocol, who: str, tmp_path: Path) -> None:
    text, data = tmp_path / "a.txt", tmp_path / "a.json"
    text.write_text("ä\n")
    data.write_text('{"name": "Ada"}')
    name = named(protocol, "text")
    for word in (f"{name}@{text}", f"{name}=@{text}"):
        assert called("text", "TextTask", word, "--text") == (0, "ä\n\n")
    for word in (f"{who}@{data}", f"{who}:=@{data}"):
        assert called("foo", "SampleTask", word) == (0, '{"greeting":"Hello Ada"}\n')


def test_json_comes_from_a_file_or_a_pipe(target: str, called: Any, who: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({who: {"name": "Ada"}, "throw": True}))
    assert called("foo", "SampleTask", "--input", str(file), "throw=false") == (0, '{"greeting":"Hello Ada"}\n')
    assert called("foo", "SampleTask", "--input", str(file), "throw=false", f"{who}.name=Bob")[1].count("Bob") == 1
    assert run("call", "-t", target, "text", "TextTask", "-i", "-", input='"a"').json == {"greeting": "a"}


# -- streamed inputs --------------------------------------------------------------------------------------------------

PEOPLE = '{"name": "Ada"}\n\n{"name": "Alan"}\n'


def test_items_come_from_standard_input(runtime: Runtime) -> None:
    ended = run("call", "-t", runtime.target, "foo", "run_sample_stream_in", "greeting=Hi ", input=PEOPLE)
    assert (ended.code, ended.json, ended.err) == (0, {"greeting": "Hi Ada,Alan"}, "")


def test_items_come_from_files_and_words(runtime: Runtime, tmp_path: Path, capfd: Any) -> None:
    file = tmp_path / "people.jsonl"
    file.write_text(PEOPLE)
    asked = ["call", "-t", runtime.target, "foo", "run_sample_stream_in"]
    for given in (["-i", str(file)], [f"sample_inputs@{file}"], ['sample_inputs:=[{"name":"Ada"},{"name":"Alan"}]']):
        assert main([*asked, *given]) == 0
        assert json.loads(capfd.readouterr().out) == {"greeting": "Hello Friends: Ada,Alan"}


def test_items_come_from_a_named_pipe(runtime: Runtime, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with started("call", "-t", runtime.target, "foo", "run_sample_stream_in", f"sample_inputs@{pipe}") as process:
        pipe.write_text(PEOPLE)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, json.loads(out), err) == (0, {"greeting": "Hello Friends: Ada,Alan"}, b"")


def test_two_streams_in_step(runtime: Runtime, tmp_path: Path, capfd: Any) -> None:
    lats = tmp_path / "lats.jsonl"
    lats.write_text("1\n2\n")
    asked = ["call", "-t", runtime.target, "geo", "GeoSpatialTask", "label=x"]
    assert main([*asked, f"lats@{lats}", "lons:=[3,4]"]) == 0
    one = capfd.readouterr().out
    rows = run(*asked, input='{"lats": 1, "lons": 3}\n{"lats": 2, "lons": 4}\n')
    assert rows.out == one
    assert [(place["lat"], place["lon"]) for place in rows.items] == [(1, 3), (2, 4)]


def test_a_conversation(runtime: Runtime) -> None:
    with started("call", "-t", runtime.target, "foo", "run_sample_bidi_stream", "--text") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in ("a", "b"):
            process.stdin.write(json.dumps({"name": name}).encode() + b"\n")
            process.stdin.flush()
            assert os.read(process.stdout.fileno(), 100) == f"Hello {name}".encode()
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_terminal_is_told_what_is_read(runtime: Runtime) -> None:
    terminal, end = pty.openpty()
    asked = ["call", "-t", runtime.target, "foo", "run_sample_stream_in"]
    with started(*asked, stdin=end) as process:
        os.close(end)
        assert process.stdout is not None
        assert process.stderr is not None
        told = process.stderr.readline()
        os.write(terminal, b'{"name": "a"}\n\x04')
        assert process.wait(30) == 0
        assert json.loads(process.stdout.read()) == {"greeting": "Hello Friends: a"}
    os.close(terminal)
    assert told.startswith(b"remote-client: reading items from the terminal")


@pytest.mark.parametrize(
    ("input", "told"),
    [
        ('{"name": "a"}\n{"name": 5}\n', "sample_inputs[1].name: expected str, not int"),
        ('\n{"name"\n', "--input: line 2: not JSON: Expecting ':' delimiter at character 8"),
        ('{"nam": "a"}\n', "nam"),
    ],
)
def test_a_bad_item_ends_the_call(runtime: Runtime, input: str, told: str, tmp_path: Path, capfd: Any) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(input)
    assert main(["call", "-t", runtime.target, "foo", "run_sample_stream_in", "--input", str(rows)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("remote-client: InputError: ")
    assert told in err


def test_a_bad_row_of_two_streams(runtime: Runtime) -> None:
    ended = run("call", "-t", runtime.target, "geo", "GeoSpatialTask", input='{"lats": 1}\n')
    assert (ended.code, ended.out) == (2, "")
    assert "standard input: line 1: expected an object with lats and lons" in ended.err


# -- leaving ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched() -> Iterator[Runtime]:
    """A runtime whose model writes to a file as long as it works."""
    with Runtime("watched_lib", WATCHED) as running:
        yield running


def stops(ticks: Path) -> bool:
    """Wait until the model has stopped to work, at most for five seconds."""
    for _ in range(25):
        before = ticks.stat().st_size
        time.sleep(0.2)
        if ticks.stat().st_size == before:
            return True
    return False


def begun(ticks: Path) -> None:
    deadline = time.monotonic() + 30
    while not ticks.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until_read(pipe: int) -> None:
    """Wait until the other end of a pipe has read what was written."""
    deadline = time.monotonic() + 30
    while int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["run_watch", "run_watch_stream_out"])
def test_ctrl_c_cancels_the_call_on_the_server(
    watched: Runtime, protocol: Protocol, method: str, tmp_path: Path
) -> None:
    ticks = tmp_path / "ticks"
    work = f"{named(protocol, 'work')}:={json.dumps({'path': str(ticks), 'seconds': 30})}"
    with started("call", "-t", target_of(watched, protocol), "watched", method, work) as process:
        begun(ticks)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")
        assert process.returncode == 130
    assert stops(ticks)


def test_ctrl_c_ends_a_command_that_reads_its_arguments(runtime: Runtime) -> None:
    with started("call", "-t", runtime.target, "text", "TextTask", "-i", "-") as process:
        assert process.stdin is not None
        process.stdin.write(b'"')
        process.stdin.flush()
        until_read(process.stdin.fileno())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_ctrl_c_ends_a_call_that_reads_standard_input(runtime: Runtime) -> None:
    with started("call", "-t", runtime.target, "foo", "run_sample_bidi_stream") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"name": "a"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.sampled(2)
@pytest.mark.parametrize("how", ["left", "full"])
def test_a_pipe_that_is_left_or_full(watched: Runtime, protocol: Protocol, how: str, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    work = f"{named(protocol, 'work')}:={json.dumps({'path': str(ticks), 'seconds': 0})}"
    asked = ["-t", target_of(watched, protocol), "watched", "run_watch_stream_out", work, "count=1000000"]
    with started("call", *asked) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        if how == "left":
            process.stdout.close()
        else:
            time.sleep(1)  # until the pipe is full
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == (1 if how == "left" else 130)
        assert process.stderr.read() == b""
    assert stops(ticks)


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.sampled(20)
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("foo", 2, "TASK"),
        ("fo SampleTask", 1, "ModelNotFoundError: NOT_FOUND: no server lists the model 'fo'; did you mean 'foo'?"),
        ("foo SampelTask", 2, "InputError: task: the runtime at"),
        ("foo SampelTask", 2, "has no task 'SampelTask'; did you mean SampleTask?"),
        ("foo run_sampel", 2, "SampleModule has no method 'run_sampel'; did you mean run_sample?"),
        ("foo SampleTask", 2, "InputError: run_sample(): missing required argument: sample_input"),
        (
            "foo SampleTask sampl_input.name=a",
            2,
            "run_sample has no argument 'sampl_input'; did you mean sample_input?",
        ),
        ("foo SampleTask sample_input.nam=a", 2, "there is no field 'nam'; did you mean name?"),
        ("foo SampleTask sample_input.name.x=a", 2, "there is no field 'x'; its kind is text"),
        ("foo SampleTask x=a", 2, "run_sample has no argument 'x'; it has sample_input, throw, prefix"),
        ("foo SampleTask word", 2, "word: expected name=text, name:=json or name@file"),
        ("foo SampleTask sample_input:={", 2, "sample_input:={: not JSON: "),
        ("foo SampleTask sample_input:=5", 2, "InputError: run_sample(): sample_input: expected "),
        (
            "foo SampleTask sample_input.name:=5",
            2,
            "InputError: run_sample(): sample_input.name: expected str, not int",
        ),
        ("foo SampleTask sample_input.name=a throw=maybe", 2, "throw=maybe: expected true or false"),
        ("foo SampleTask name=a", 2, "name=a: run_sample has no argument 'name'; did you mean sample_input.name?"),
        (
            "foo SampleTask sample_input=a",
            2,
            "sample_input=a: sample_input has fields: give sample_input.name=... or sample_input:='{...}'; it has name",
        ),
        ("file FileTask document=a.txt", 2, "document=a.txt: document is a file: give it as document@FILE"),
        ("foo SampleTask --input -", 2, "--input -: expected JSON, but it is empty"),
        ("foo SampleTask sample_input.name@nowhere", 2, "sample_input.name@nowhere: No such file or directory"),
        ("foo SampleTask sample_input.name=a sample_input.name=b", 2, "sample_input.name is given twice"),
        ("foo SampleTask sample_input:={} sample_input.name=b", 2, "sample_input.name is given twice"),
        ("foo SampleTask --input nowhere.json", 2, "--input nowhere.json: No such file or directory"),
        ("foo SampleTask --input bad.json", 2, "--input bad.json: not JSON: "),
        ("foo SampleTask --input odd.json", 2, "--input odd.json: run_sample has no argument 'sample_inpt'; did you"),
        ("foo run_sample_stream_in sample_inputs=x", 2, "sample_inputs is a stream: give its items as"),
        ("foo run_sample_stream_in sample_inputs:=5", 2, "sample_inputs is a stream: expected a list"),
        (
            "foo run_sample_stream_in sample_inputs:=[] -i odd.json",
            2,
            "run_sample_stream_in takes sample_inputs already",
        ),
        ("foo run_sample_stream_in -i nowhere.jsonl", 2, "--input nowhere.jsonl: No such file or directory"),
        ("foo run_sample_stream_in -i .", 2, "--input .: Is a directory"),
        ("foo run_sample_stream_in sample_inputs@nowhere.jsonl", 2, "sample_inputs@nowhere.jsonl: No such file or"),
        ("foo run_sample_stream_in -i odd.json greeting:=5", 2, "InputError: run_sample_stream_in(): greeting: "),
        ("foo SampleTask sample_input.name@latin", 2, "sample_input.name@latin: the file is no text in UTF-8"),
        ("foo SampleTask -i text.json sample_input.name=a", 2, "sample_input has no fields in --input"),
        ("foo SampleTask sample_input.name=a --format xml", 2, "--format"),
        (
            "foo SampleTask sample_input.name=a --format file",
            2,
            "the answer has no field of bytes; its fields are greeting",
        ),
        ("foo SampleTask sample_input.name=a --format json --text", 2, "--text and --format: give one of them"),
        ("foo SampleTask sample_input.name=a --field greting", 2, "--field greting: the answer has no field 'greting'"),
        (
            "zoo ZooTask zoo.text=a --text",
            2,
            "--text: the answer has several such fields: choose one with --field: text",
        ),
        ("zoo ZooTask zoo.text=a --text --field int64", 2, "--text: int64 has no field of text; its kind is integer"),
        ("zoo ZooTask zoo.blob=%", 2, "zoo.blob=%: expected base64"),
        ("zoo ZooTask zoo.when=noon", 2, "zoo.when=noon: expected a time as ISO 8601 writes it"),
        ("foo SampleTask sample_input.name=a throw=true", 1, "InternalError: INTERNAL: barf!"),
        ("failing FailingTask kind=ValueError", 1, "InvalidArgumentError: INVALID_ARGUMENT: a value of the model's"),
        ("slow SlowTask seconds=5 --timeout 0.2", 1, "DeadlineExceededError: DEADLINE_EXCEEDED: "),
    ],
)
def test_errors_are_one_line(
    runtime: Runtime, arguments: str, code: int, told: str, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{")
    Path("odd.json").write_text('{"sample_inpt": 5}')
    Path("text.json").write_text('"a"')
    Path("latin").write_bytes(b"\xff")
    assert main(["call", "-t", runtime.target, *arguments.split()]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("remote-client: ")
    assert told in err


@dataclass
class Said:
    text: str


@module("streams-id", "Streams", "1.0.0", task="TellTask")
class Streams:
    @taskmethod()
    async def run_stream_out(self, text: str) -> AsyncIterator[Said]:
        for word in text.split():
            yield Said(word)

    @taskmethod()
    async def run_bidi_stream(self, texts: AsyncIterator[str]) -> AsyncIterator[Said]:
        async for text in texts:
            yield Said(text)


def test_a_task_of_several_streams_needs_a_name(capfd: Any) -> None:
    with FakeRuntime({"foo": Streams()}) as fake:
        assert main(["call", "-t", fake.grpc, "foo", "TellTask"]) == 2
        told = "TellTask has several methods, name one: run_tell_stream_out, run_tell_bidi_stream"
        assert capfd.readouterr() == ("", f"remote-client: {told}\n")
        assert main(["call", "-t", fake.http, "foo", "TellTask", "inputs=a b"]) == 0
        assert capfd.readouterr().out == '{"text":"a"}\n{"text":"b"}\n'


def test_http_cannot_stream_inputs(runtime: Runtime, capfd: Any) -> None:
    assert main(["call", "-t", runtime.http_target, "foo", "run_sample_stream_in"]) == 2
    assert "HTTP has no streamed inputs; connect to the runtime's gRPC port" in capfd.readouterr().err
    assert main(["call", "-t", runtime.http_target, "bundles", "BundlesTask", "inputs=a", "--text"]) == 0


def test_v_shows_the_whole(runtime: Runtime, capfd: Any) -> None:
    asked = ["call", "-t", runtime.target, "foo", "SampleTask", "sample_input.name=a", "throw=true"]
    assert main([*asked, "-v"]) == 1
    *traceback, line = capfd.readouterr().err.splitlines()
    assert "Traceback (most recent call last):" in traceback
    assert traceback[-1].startswith("remote_client.errors.InternalError: INTERNAL: barf!")
    assert line.startswith("remote-client: InternalError: INTERNAL: barf!")
