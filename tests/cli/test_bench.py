"""`remote-client bench`: its figures, its plot, and as a program."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from remote_client._cli.bench_levels import Level, percentile
from remote_client._cli.bench_plot import svg
from remote_client._cli.main import main
from remote_client.errors import UnavailableError

from ..live.protocols import Protocol, named, nobody
from ..support.gate import Gate
from ..support.runtime import Runtime, free_port
from .commands import PROGRAM, on_stderr, on_terminal, run

Printed = pytest.CaptureFixture[str]
SVG = "{http://www.w3.org/2000/svg}"


def summary(in_flight: int, per_second: float, latency: float | None) -> dict[str, Any]:
    columns = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms"), latency)
    return {"in_flight": in_flight, "calls_per_second": per_second, **columns}


# -- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.5, 1), (1, 1.0, 1), (2, 0.5, 1), (10, 0.9, 9), (100, 0.99, 99), (101, 0.99, 100), (1000, 1.0, 1000)],
)
def test_a_percentile_is_the_nearest_rank(count: int, share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, count + 1)], share) == expected


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


async def test_so_many_calls_are_in_flight() -> None:
    level, now, most = Level(3), 0, 0

    async def call() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    await level.measure(call, 0.1)
    assert (now, most) == (0, 3)
    found = level.summary()
    assert found["in_flight"] == 3
    assert found["calls"] == pytest.approx(found["calls_per_second"] * found["seconds"], rel=0.05)
    assert 10 <= found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"] <= found["max_ms"]


async def test_errors_are_counted_apart() -> None:
    level, calls = Level(1), 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.001)
        if calls % 2:
            raise UnavailableError(f"call {calls}")

    await level.measure(call, 0.05)
    found = level.summary()
    assert found["calls"] + found["errors"]["UnavailableError"] == calls
    assert abs(found["calls"] - calls / 2) <= 1
    assert "call 1" in str(level.error)


async def test_an_error_that_is_no_answer_ends_the_measuring() -> None:
    async def call() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await Level(2).measure(call, 10)


# -- the plot ---------------------------------------------------------------------------------------------------------


def test_the_plot_has_a_bar_and_three_points_for_each_level() -> None:
    root = ElementTree.fromstring(svg("a <title> & more", [summary(1, 100.0, 10.0), summary(8, 400.0, 20.0)]))
    low, high = (float(bar.attrib["height"]) for bar in root.iter(f"{SVG}rect") if "class" in bar.attrib)
    assert high == pytest.approx(4 * low, abs=0.2)
    lines = [line.attrib["points"].split() for line in root.iter(f"{SVG}polyline")]
    assert [len(points) for points in lines] == [2, 2, 2]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a <title> & more", "1", "8", "400", "20"} <= set(texts)


@pytest.mark.parametrize("levels", [[summary(1, 0.0, None)], [summary(1, 5.0, 1.0), summary(2, 0.0, None)]])
def test_levels_without_an_answer_are_drawn(levels: list[dict[str, Any]]) -> None:
    root = ElementTree.fromstring(svg("failed", levels))
    assert len([bar for bar in root.iter(f"{SVG}rect") if "class" in bar.attrib]) == len(levels)
    assert "nan" not in ElementTree.tostring(root, "unicode").lower()


# -- the program ------------------------------------------------------------------------------------------------------


def test_the_output_is_json_and_a_plot(target: str, protocol: Protocol, tmp_path: Path) -> None:
    plot = tmp_path / "out.svg"
    given = ["foo", "SampleTask", f"{named(protocol, 'sample_input')}.name=Ada", "--plot", str(plot)]
    ended = run("-t", target, "bench", *given, "--in-flight", "1,4", "--seconds", "0.3")
    assert (ended.code, ended.err) == (0, "")
    assert [level["in_flight"] for level in ended.json] == [1, 4]
    assert all(level["calls"] > 0 and not level["errors"] and level["seconds"] >= 0.3 for level in ended.json)
    assert "foo run_sample" in [text.text for text in ElementTree.parse(plot).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run_sample_stream_out", "sample_input.name=Ada", "count:=2"],
        ["run_sample_bidi_stream", 'sample_inputs:=[{"name": "Ada"}]'],
    ],
)
def test_streams_are_read_to_their_end(runtime: Runtime, arguments: list[str], capfd: Printed) -> None:
    assert main(["-t", runtime.target, "bench", "foo", *arguments, "--in-flight", "2", "--seconds", "0.2"]) == 0
    (level,) = json.loads(capfd.readouterr().out)
    assert (level["calls"] > 0, level["errors"]) == (True, {})


def test_a_terminal_shows_a_table(runtime: Runtime) -> None:
    given = ["foo", "SampleTask", "sample_input.name=Ada", "--in-flight", "1,4", "--seconds", "0.2"]
    ended = on_terminal("-t", runtime.target, "bench", *given)
    header, *rows = ended.out.splitlines()
    assert " ".join(header.split()) == "IN FLIGHT CALLS ERRORS CALLS/S P50 MS P90 MS P99 MS MAX MS"
    assert [row.split()[0] for row in rows] == ["1", "4"]


def test_ctrl_c_writes_what_was_measured(runtime: Runtime) -> None:
    given = ["slow", "SlowTask", "seconds=0.01", "--in-flight", "1,2", "--seconds", "60"]
    with on_stderr("-t", runtime.target, "bench", *given) as (process, told):
        told.until("1 in flight: 1")  # 1, or 10 and more
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stdout is not None
        (level,) = json.loads(process.stdout.read())
    assert level["calls"] > 0
    assert level["seconds"] < 60


async def test_calls_that_fail_are_counted(runtime: Runtime) -> None:
    given = ["foo", "SampleTask", "sample_input.name=Ada", "--in-flight", "2", "--seconds", "1.5", "--json"]
    async with Gate(runtime.port) as gate:
        command = [*PROGRAM, "-t", f"localhost:{gate.port}", "bench", *given]
        process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
        while b"SampleTaskPredict" not in gate.sent:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        await gate.shut()
        out, err = await process.communicate()
    (level,) = json.loads(out)
    assert process.returncode == 1
    assert level["errors"]["UnavailableError"] > 0
    assert b"2 in flight: the first error is UnavailableError: " in err


def test_a_server_that_is_away(protocol: Protocol, capfd: Printed) -> None:
    assert main(["-t", nobody(free_port(), protocol), "bench", "foo", "SampleTask"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("remote-client: UnavailableError: ")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("foo SampleTask --in-flight 0", 2, "--in-flight 0: expected positive numbers with commas between them"),
        ("foo SampleTask --in-flight 1,,2", 2, "--in-flight 1,,2: expected positive numbers"),
        ("foo SampleTask --seconds 0", 2, "--seconds 0: expected more than 0"),
        ("foo SampleTask --plot nowhere/out.svg", 2, "--plot nowhere/out.svg: there is no such folder"),
        ("foo SampleTask --plot out.png", 2, "--plot out.png: name a .svg file"),
        ("foo SampleTask who=x", 2, "has no argument 'who'"),
        ("foo SampleTask", 2, "InputError: run_sample(): missing required argument: sample_input"),
        ("failing FailingTask kind=ValueError", 1, "InvalidArgumentError: "),
        ("nothing SampleTask", 1, "ModelNotFoundError: "),
    ],
)
def test_wrong_use(runtime: Runtime, arguments: str, code: int, told: str, capfd: Printed) -> None:
    assert main(["-t", runtime.target, "bench", *arguments.split()]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
