"""`remote-client map` as a program: files and pipes, failed rows, Ctrl-C and going on."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from remote_client._cli.main import main

from ..live.protocols import Protocol, named, nobody, target_of
from ..support.runtime import SAMPLE_MODELS, Runtime, free_port
from ..support.slow import slow_but
from .commands import started


@pytest.fixture
def text(protocol: Protocol) -> str:
    """The argument of `run_text`."""
    return named(protocol, "text")


def lines(*rows: Any) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def answers(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def wait_for_lines(file: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while not file.exists() or len(file.read_bytes().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("task", slow_but({"TextTask"}, ["TextTask", "run_text"]))
def test_a_pipe_goes_through(target: str, text: str, task: str) -> None:
    with started("map", "-t", target, "text", task, "--input", "-", "--output", "-") as process:
        out, err = process.communicate(lines({text: "a"}, {text: "ä\n"}, "c").encode(), timeout=30)
    assert process.returncode == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"index": index, "answer": {"greeting": greeting}} for index, greeting in enumerate(["a", "ä\n", "c"])
    ]
    (summary,) = err.decode().splitlines()
    assert summary.startswith("remote-client: done: rows written: 3, failed: 0, seconds: ")


def test_answers_leave_before_the_input_ends(target: str) -> None:
    with started("map", "text", "run_text", "-t", target) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            process.stdin.write(b'"a"\n')
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"index": number, "answer": {"greeting": "a"}}
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jsonl", ".jsonl"), (".csv", ".parquet"), (".parquet", ".ndjson"), (".parquet", ".parquet")]
)
def test_files(target: str, text: str, suffix: str, kind: str, tmp_path: Path) -> None:
    rows, out = tmp_path / f"rows{suffix}", tmp_path / f"answers{kind}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({text: ["a", 'b,"\n']}), rows)
    else:
        rows.write_text(f'{text}\na\n"b,""\n"\n' if suffix == ".csv" else lines({text: "a"}, {text: 'b,"\n'}))
    assert main(["map", "text", "run_text", "-t", target, "-i", str(rows), "-o", str(out)]) == 0
    found = answers(out) if kind != ".parquet" else pyarrow.parquet.read_table(out).to_pylist()
    assert [(row["index"], row["answer"]["greeting"]) for row in found] == [(0, "a"), (1, 'b,"\n')]


def test_types_that_json_does_not_have(runtime: Runtime, tmp_path: Path) -> None:
    zoo = {"blob": "AP8=", "when": "2026-01-02T03:04:05Z", "names_by_number": {"7": "x"}, "color": "BLUE"}
    zoo |= {"places": [{"label": "p"}], "settings": {"when": "2026"}, "attachment": {"data": "+/8=", "filename": "f"}}
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text(lines({"zoo": zoo}))
    assert main(["-t", runtime.target, "map", "zoo", "ZooTask", "-i", str(rows), "-o", str(out)]) == 0
    (answer,) = (row["answer"] for row in answers(out))
    assert (answer["blob"], answer["when"]) == ("AP8=", "2026-01-02T03:04:05+00:00")
    assert (answer["names_by_number"], answer["color"]) == ({"7": "x"}, "BLUE")
    assert (answer["places"][0]["label"], answer["settings"]) == ("p", {"when": "2026"})
    assert answer["attachment"] == {"data": "+/8=", "filename": "f", "type": ""}


def test_columns_are_chosen(target: str, protocol: Protocol, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "answers.jsonl"
    rows.write_text("id,who,before\n7,Ada,Hi\n8,Bob,\n")
    name = named(protocol, "sample_input")
    asked = ["map", "primitive", "run_sample", "-t", target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--column", f"{name}.name=who", "--column=prefix=before"]) == 0
    greetings = [row["answer"]["greeting"] for row in answers(out)]
    assert greetings in (["Hi: Ada", "Primitive: Bob"], ["Hello Ada", "Hello Bob"])


def test_a_single_column(target: str, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "answers.jsonl"
    rows.write_text("id,line\n7,1\n8,true\n")
    asked = ["map", "text", "run_text", "-t", target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--column", "line"]) == 0
    assert [row["answer"]["greeting"] for row in answers(out)] == ["1", "true"]


def test_a_column_that_the_file_lacks_is_told(target: str, tmp_path: Path, capfd: Any) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,line\n7,1\n")
    assert main(["map", "text", "run_text", "-t", target, "-i", str(rows), "--column", "lines"]) == 1
    told = capfd.readouterr().err
    assert "--column: the row has no column 'lines' for " in told
    assert "; did you mean line?" in told


def test_cells_that_are_not_for_text_are_json(target: str, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "answers.jsonl"
    rows.write_text('list\n"[1, 2.5]"\n')
    asked = ["map", "numbers", "run_numbers", "-t", target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--column", "list"]) == 0
    assert [row["answer"]["total"] for row in answers(out)] == [3.5]


def test_rows_in_batches(target: str, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.parquet"
    rows.write_text(lines(*map(float, range(10))))
    asked = ["map", "numbers", "run_numbers", "-t", target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--batch-size", "4", "--split", "numbers", "--concurrency", "2", "--unordered"]) == 0
    table = pyarrow.parquet.read_table(out)
    assert table.schema.field("answer").type == pyarrow.float64()
    assert sorted(table["answer"].to_pylist()) == [float(number) for number in range(10)]


def test_many_rows_make_row_groups(runtime: Runtime, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.parquet"
    rows.write_text(lines(*(f"text {number}" for number in range(2500))))
    assert main(["map", "text", "run_text", "-t", runtime.target, "-i", str(rows), "-o", str(out)]) == 0
    file = pyarrow.parquet.ParquetFile(out)
    assert file.metadata.num_row_groups > 1
    found = file.read()
    assert found["index"].to_pylist() == list(range(2500))
    assert found["answer"].to_pylist()[-1] == {"greeting": "text 2499"}


def test_a_stream_both_ways(runtime: Runtime, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text(lines(*({"who": f"{number}"} for number in range(300))))
    asked = ["map", "foo", "run_sample_bidi_stream", "-t", runtime.target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--column", "sample_inputs.name=who"]) == 0
    assert [row["answer"]["greeting"] for row in answers(out)] == [f"Hello {number}" for number in range(300)]


@pytest.mark.slow
def test_a_server_that_dies_on_the_way(protocol: Protocol, tmp_path: Path) -> None:
    rows, out, done = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl", tmp_path / "done.jsonl"
    rows.write_text(lines(*([0.02] * 200)))
    with Runtime(models={"slow": SAMPLE_MODELS["slow"]}) as dying:
        target = target_of(dying, protocol)
        asked = ["-t", target, "slow", "run_slow", "-i", str(rows), "-o", str(out), "--checkpoint", str(done)]
        with started("map", *asked, "--concurrency", "2", "--outage", "0.3") as process:
            wait_for_lines(done, 10)
            dying.kill()
            _, err = process.communicate(timeout=30)
        told = err.decode().splitlines()
        assert process.returncode == 1
        assert told[0].startswith("remote-client: stopped: rows written: ")
        assert told[1].startswith("remote-client: the same command goes on from here")
        assert told[2].startswith("remote-client: UnavailableError: UNAVAILABLE")
        dying.restart()
        assert main(["map", *asked]) == 0
    assert [row["index"] for row in answers(out)] == list(range(200))


BAD = b'{"no": 1}\n\n"a"\nnope\n{"%s": 3}\n"\xff"\n'


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_failed_rows_are_returned(target: str, text: str, kind: str, tmp_path: Path, capfd: Any) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / f"answers{kind}"
    rows.write_bytes(BAD % text.encode())
    asked = ["map", "text", "run_text", "-t", target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--on-error", "return"]) == 1
    found = answers(out) if kind == ".jsonl" else pyarrow.parquet.read_table(out).to_pylist()
    assert [row["index"] for row in found] == [0, 1, 2, 3, 4]
    assert [row.get("answer") for row in found] == [None, {"greeting": "a"}, None, None, None]
    errors = [row.get("error") or "" for row in found]
    assert "has no argument 'no'" in errors[0]
    assert [error.partition(":")[0] for error in errors[1:]] == ["", "not JSON", "run_text()", "not JSON"]
    told = capfd.readouterr().err.splitlines()
    assert told[0].startswith("remote-client: done: rows written: 5, failed: 4, ")
    assert told[1].startswith("remote-client: the first that failed is row 0 (line 1): the method has no argument 'no'")
    assert len(told) == 2


def test_failed_rows_are_skipped(target: str, text: str, tmp_path: Path, capfd: Any) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_bytes(BAD % text.encode())
    asked = ["map", "text", "run_text", "-t", target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--on-error=skip"]) == 1
    assert answers(out) == [{"index": 1, "answer": {"greeting": "a"}}]
    assert "rows written: 1, failed: 4, " in capfd.readouterr().err


def test_the_first_failed_row_ends_the_map(target: str, tmp_path: Path, capfd: Any) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text('"a"\n\nnope\n"b"\nnope\n')
    assert main(["map", "text", "run_text", "-t", target, "-i", str(rows), "-o", str(out)]) == 1
    assert answers(out) == [{"index": 0, "answer": {"greeting": "a"}}]
    told = capfd.readouterr().err.splitlines()
    assert told[0].startswith("remote-client: stopped: rows written: 1, failed: 1, ")
    assert told[1].startswith("remote-client: the first that failed is row 1 (line 3): not JSON: ")
    assert told[2] == "remote-client: with --checkpoint FILE the same command could go on from here"


def test_rows_that_the_model_refuses(target: str, tmp_path: Path, capfd: Any) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text(lines("ValueError", "RuntimeError"))
    asked = ["map", "failing", "run_failing", "-t", target, "-i", str(rows), "-o", str(out)]
    assert main([*asked, "--on-error", "return"]) == 1
    assert ["a value of the model's is wrong" in answers(out)[0]["error"], len(answers(out))] == [True, 2]
    assert "the first that failed is row 0 (line 1): INVALID_ARGUMENT" in capfd.readouterr().err


def test_bad_lines_of_csv(target: str, text: str, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "answers.jsonl"
    rows.write_text(f'{text},more\na,\nb\n"c"d,\ne,\n')
    asked = ["map", "text", "run_text", "-t", target, "-i", str(rows), "-o", str(out), "--on-error", "return"]
    assert main([*asked, "--column", text]) == 1
    found = answers(out)
    assert [row.get("error", "").partition(":")[0] for row in found] == ["", "1 cells for 2 columns", "not CSV", ""]
    assert [row["answer"]["greeting"] for row in found if "answer" in row] == ["a", "e"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_without_rows(target: str, suffix: str, tmp_path: Path) -> None:
    rows, out = tmp_path / f"rows{suffix}", tmp_path / "answers.parquet"
    rows.write_text("")
    assert main(["map", "numbers", "run_numbers", "-t", target, "-i", str(rows), "-o", str(out)]) == 0
    table = pyarrow.parquet.read_table(out)
    assert (table.num_rows, table.column_names) == (0, ["index", "answer", "error"])
    assert table.schema.field("answer").type.field("total").type == pyarrow.float64()


def test_an_interrupted_map_goes_on(target: str, tmp_path: Path) -> None:
    rows, out, done = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl", tmp_path / "done.jsonl"
    rows.write_text(lines(*([0.05] * 100)))
    asked = ["-t", target, "slow", "run_slow", "-i", str(rows), "-o", str(out), "--checkpoint", str(done)]
    with started("map", *asked, "--concurrency", "4") as process:
        wait_for_lines(done, 10)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    told = err.decode().splitlines()
    assert told[0].startswith("remote-client: interrupted: rows written: ")
    assert told[1:] == ["remote-client: the same command goes on from here: it does not call finished rows again"]
    first = done.read_bytes().splitlines()
    assert 10 <= len(first) < 100
    assert answers(out) == [
        {"index": index, "answer": {"greeting": "slept 0.05"}} for index in range(len(answers(out)))
    ]
    assert main(["map", *asked]) == 0
    assert answers(out) == [{"index": index, "answer": {"greeting": "slept 0.05"}} for index in range(100)]
    records = [json.loads(line)["row"] for line in done.read_bytes().splitlines()]
    assert sorted(records) == list(range(100))
    assert done.read_bytes().splitlines()[: len(first)] == first


def test_an_interrupted_parquet_file_is_whole(runtime: Runtime, tmp_path: Path) -> None:
    rows, out, done = tmp_path / "rows.jsonl", tmp_path / "answers.parquet", tmp_path / "done.jsonl"
    rows.write_text(lines(*([0.05] * 100)))
    asked = ["-t", runtime.target, "slow", "run_slow", "-i", str(rows), "-o", str(out), "--checkpoint", str(done)]
    with started("map", *asked, "--concurrency", "4") as process:
        wait_for_lines(done, 10)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err.decode()
    table = pyarrow.parquet.read_table(out)
    assert table["index"].to_pylist() == list(range(table.num_rows))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("blocked", ["input", "output"])
def test_an_interrupt_ends_a_map_that_waits_for_a_pipe(target: str, blocked: str) -> None:
    row = json.dumps("x" * 3000).encode() + b"\n"  # short enough to be written whole or not at all
    with started("map", "-t", target, "text", "run_text") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(row)
        process.stdin.flush()
        assert process.stdout.readline()
        if blocked == "output":
            os.set_blocking(process.stdin.fileno(), False)
            sent = time.monotonic()
            while time.monotonic() - sent < 1:  # until nothing is taken for a second
                try:
                    os.write(process.stdin.fileno(), row)
                    sent = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert "interrupted: rows written: " in told
    assert "Traceback" not in told
    assert "Fatal" not in told


def test_a_reader_that_leaves_ends_the_map_quietly(target: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(lines(*(["x" * 2000] * 2000)))
    with started("map", "-t", target, "text", "run_text", "-i", str(rows)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 1
        assert process.stderr.read() == b""


def test_progress_is_a_line_on_a_terminal(runtime: Runtime, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text(lines(*([0.05] * 40)))
    terminal, end = pty.openpty()
    asked = ["-t", runtime.target, "slow", "run_slow", "-i", str(rows), "-o", str(out), "--concurrency", "2"]
    with started("map", *asked, stderr=end, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(end)
        told = b""
        try:
            while piece := os.read(terminal, 4096):
                told += piece
        except OSError:  # Linux says so that the other end is closed
            pass
        assert process.wait(30) == 0
    os.close(terminal)
    assert b" rows, " in told
    assert b"2 in flight" in told
    assert b"rows written: 40, failed: 0" in told


def test_a_server_that_is_away(protocol: Protocol, tmp_path: Path, capfd: Any) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text('"a"\n')
    out.write_text("kept")
    target = nobody(free_port(), protocol)
    assert main(["map", "text", "run_text", "-t", target, "-i", str(rows), "-o", str(out)]) == 1
    assert out.read_text() == "kept"
    assert capfd.readouterr().err.startswith("remote-client: UnavailableError: UNAVAILABLE")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("nothing run_text", 1, "no server lists the model 'nothing'"),
        ("text Nothing", 2, "has no task 'Nothing'; it has BidiStreamingTask"),
        ("text run_nothing", 2, "has no method 'run_nothing'"),
        ("text BundlesTask", 2, "BundlesTask has no method with one answer for each row"),
        ("text run_text_stream_out", 2, "expected a method with one answer per request, not run_text_stream_out"),
        ("text run_text -i rows.txt", 2, "--input rows.txt: name a .jsonl, .csv or .parquet file"),
        ("text run_text -i nowhere.jsonl", 2, "--input nowhere.jsonl: No such file or directory"),
        ("text run_text -i nowhere.parquet", 2, "--input nowhere.parquet: "),
        ("text run_text -o answers.csv", 2, "--output answers.csv: name a .jsonl or .parquet file"),
        ("text run_text -o nowhere/answers.jsonl", 2, "--output nowhere/answers.jsonl: No such file or directory"),
        ("text run_text -o nowhere/answers.parquet", 2, "--output nowhere/answers.parquet: "),
        ("text run_text -o ./rows.jsonl", 2, "--input, --output and --checkpoint name the same file"),
        ("text run_text -o a.jsonl --checkpoint a.jsonl", 2, "--input, --output and --checkpoint name the same file"),
        ("text run_text --batch-size 2", 2, "remote-client: --batch-size and --split: give both"),
        ("numbers run_numbers --batch-size 2 --split nothing", 2, "--split nothing: the answer has no field 'nothing'"),
        ("text run_text --concurrency 0", 2, '--concurrency: expected "auto" or a positive integer'),
        ("text run_text --batch-size 0 --split greeting", 2, "--batch-size: expected a positive integer, not 0"),
        ("text run_text --outage -1", 2, "--outage: "),
        (
            "foo run_sample_bidi_stream --unordered",
            2,
            "--batch-size, --checkpoint and --unordered are for unary methods",
        ),
        ("text run_text --concurrency many", 2, "--concurrency"),
        ("text run_text --column nothing=a", 2, "--column nothing=a: the method has no argument 'nothing'; it has "),
        ("text run_text --column txt=a", 2, "--column txt=a: the method has no argument 'txt'; did you mean text?"),
        ("text run_text --on-error stop", 2, "--on-error"),
        ("text run_text --checkpoint other.jsonl", 2, "remote-client: --checkpoint: other.jsonl has "),
        ("text", 2, "TASK"),
    ],
)
def test_wrong_use(
    runtime: Runtime, arguments: str, code: int, told: str, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('"a"\n')
    Path("other.jsonl").write_text('"a"\n')
    given = arguments if " -i " in arguments or arguments == "text" else f"{arguments} -i rows.jsonl"
    assert main(["map", "-t", runtime.target, *given.split()]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("remote-client: ")
    assert told in err
    assert Path("rows.jsonl").read_text() == '"a"\n'


@pytest.mark.parametrize(
    ("option", "missing"), [("--input=rows.parquet", "pyarrow.parquet"), ("--output=answers.parquet", "narwhals")]
)
def test_parquet_needs_pyarrow(runtime: Runtime, option: str, missing: str, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('"a"\n')
    script = f"import sys; sys.modules[{missing!r}] = None; from remote_client._cli.main import main; sys.exit(main())"
    more = [] if option.startswith("--input") else ["-i", "rows.jsonl"]
    asked = [sys.executable, "-c", script, "map", "-t", runtime.target, "text", "run_text", option, *more]
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith("Parquet needs: pip install pyarrow 'remote-client[frames]'\n")
