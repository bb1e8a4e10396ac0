"""The numbers of a map's progress, and the line that shows them: in a terminal, in a pipe, with rich or tqdm."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import Any

import pytest

from remote_client._bulk.progress import Progress, Reporter
from remote_client.errors import ConfigurationError, InputError

from ..support.wire import ROOT


@dataclass
class Counts:
    answered: int = 0
    failed: int = 0
    in_flight: int = 0


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("remote_client._bulk.progress.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# -- the numbers ------------------------------------------------------------------------------------------------------


def reported(clock: Clock, steps: list[tuple[float, int]], total: int | None = None) -> list[Progress]:
    """Return the reports of a map that answers so many rows in so many seconds, step by step."""
    found: list[Progress] = []
    counts, reporter = Counts(), Reporter(found.append, total)
    reporter.begin(counts)
    for seconds, rows in steps:
        clock.now += seconds
        counts.answered += rows
        reporter.tell()
    reporter.end()
    return found


def test_a_function_gets_the_numbers_at_most_every_fifth_of_a_second_and_at_the_end(clock: Clock) -> None:
    found = reported(clock, [(0.0101, 1)] * 105, total=200)
    assert [each.done for each in found] == [20, 40, 60, 80, 100, 105]
    assert [round(each.seconds, 2) for each in found] == [0.2, 0.4, 0.61, 0.81, 1.01, 1.06]
    assert [round(each.rate) for each in found] == [99] * 6
    assert found[-2].seconds_left == pytest.approx(1.01)
    assert found[-1].total == 200


def test_the_end_is_told_once(clock: Clock) -> None:
    found: list[Progress] = []
    reporter = Reporter(found.append, None)
    reporter.begin(Counts(3, 1, 2))
    for _ in range(2):
        reporter.end()
        clock.now += 1
        reporter.tell()
    assert found == [Progress(done=4, failed=1, in_flight=2, seconds=0.0, total=None, rate=0.0)]


def test_a_map_that_never_began_tells_nothing() -> None:
    found: list[Progress] = []
    Reporter(found.append, 5).end()
    assert found == []


def test_rows_that_a_checkpoint_had_do_not_count_for_the_rate_for_long(clock: Clock) -> None:
    found = reported(clock, [(1.0, 80_000), *[(1.0, 100)] * 20], total=100_000)
    assert found[0].rate == 80_000
    assert found[-2].rate == 100
    assert found[-2].seconds_left == pytest.approx((100_000 - 82_000) / 100)
    assert found[-1].rate == pytest.approx(82_000 / 21)  # over all at the end


def test_nothing_is_left_to_tell_while_no_row_is_finished(clock: Clock) -> None:
    found = reported(clock, [(1.0, 100), *[(1.0, 0)] * 20], total=1000)
    assert found[-2].rate == 0
    assert found[-2].seconds_left is None
    assert str(found[-2]) == "100 of 1,000 rows, 0/s, 0 in flight"


def test_a_slow_reader_of_answers(clock: Clock) -> None:
    found = reported(clock, [(60.0, 120)] * 3)
    assert [each.rate for each in found] == [2.0, 2.0, 2.0, 2.0]


def test_more_rows_than_the_total(clock: Clock) -> None:
    assert reported(clock, [(1.0, 10)], total=5)[0].seconds_left == 0


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(0, 0, 4, 0.0, None, 0.0), "0 rows, 0/s, 4 in flight"),
        (Progress(0, 0, 0, 0.0, 0, 0.0), "0 of 0 rows, 0/s, 0 in flight"),
        (Progress(1234, 0, 64, 1.0, None, 1234.4), "1,234 rows, 1,234/s, 64 in flight"),
        (Progress(1000, 2, 64, 2.0, 5000, 500.0), "1,000 of 5,000 rows, 500/s, 64 in flight, 2 failed, 0:08 left"),
        (Progress(1, 0, 1, 2.0, 7202, 0.5), "1 of 7,202 rows, 0/s, 1 in flight, 4:00:02 left"),
    ],
)
def test_the_line(progress: Progress, text: str) -> None:
    assert str(progress) == text


# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [-1, 1.5, "5", True])
def test_a_wrong_total(total: Any) -> None:
    with pytest.raises(InputError, match="total: expected a number of rows, not "):
        Reporter(print, total)


@pytest.mark.parametrize("progress", [None, "yes", 1])
def test_a_wrong_progress(progress: Any) -> None:
    with pytest.raises(InputError, match="progress: expected True or a function of one argument, not "):
        Reporter(progress, None)


def test_neither_rich_nor_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rich", "rich.console", "rich.live", "tqdm"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError) as caught:
        Reporter(True, None)
    assert str(caught.value) == "progress=True needs rich or tqdm: pip install 'remote-client[progress]'"


# -- the line on standard error ---------------------------------------------------------------------------------------

SHOWS = """
import sys, time
from types import SimpleNamespace
without, how = sys.argv[1:]
for name in without.split():
    sys.modules[name] = None
from remote_client._bulk import progress
progress.EVERY_IN_FILE = 0.3
counts = SimpleNamespace(answered=0, failed=0, in_flight=7)
reporter = progress.Reporter(True, 1000)
reporter.begin(counts)
for number in range(4):
    counts.answered += 250
    print("printed", number, flush=True)
    time.sleep(0.25)
if how == "end":
    reporter.end()
if how == "error":
    raise SystemExit(3)
"""
WITHOUT = {"rich": "tqdm", "tqdm": "rich rich.console rich.live"}


@pytest.fixture(params=WITHOUT)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def shown(library: str, how: str, *, terminal: bool, **environment: str) -> tuple[str, str]:
    """Return what the script writes to standard output, a pipe, and to standard error."""
    command = [sys.executable, "-W", "error", "-c", SHOWS, WITHOUT[library], how]
    near, far = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(far, (24, 100))
    variables = {"TERM": "xterm", "COLUMNS": "100", **environment}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=far, env=os.environ | variables, text=True
    )
    os.close(far)
    errors = b""
    try:
        while data := os.read(near, 4096):
            errors += data
    except OSError:  # of a terminal whose other end is closed
        pass
    finally:
        os.close(near)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == (3 if how == "error" else 0), errors.decode()
    return out, errors.decode()


PRINTED = "".join(f"printed {number}\n" for number in range(4))
LAST = r"1,000 of 1,000 rows, [\d,]+/s, 7 in flight, 0:00 left"


@pytest.mark.parametrize("how", ["end", "error"])
def test_in_a_terminal(library: str, how: str) -> None:
    out, errors = shown(library, how, terminal=True)
    assert out == PRINTED  # what goes to a file stays there
    lines = [line.strip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", errors)) if line]
    assert re.fullmatch(LAST, [line for line in lines if line][-1]), errors
    assert any(re.match(r"500 of 1,000 rows", line) for line in lines), errors
    assert errors.count("\x1b[?25l") == errors.count("\x1b[?25h")  # the cursor is there again
    assert errors.endswith(("\n", "\x1b[?25h"))


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}], ids=["plain", "colours"])
def test_in_a_pipe(library: str, environment: dict[str, str]) -> None:
    out, errors = shown(library, "end", terminal=False, **environment)
    assert out == PRINTED
    assert re.fullmatch(rf"([\d,]+ of 1,000 rows, [\d,]+/s, 7 in flight, \d:\d\d left\n){{2,4}}{LAST}\n", errors)


def test_in_a_terminal_that_cannot_move_its_cursor(library: str) -> None:
    _, errors = shown(library, "end", terminal=True, TERM="dumb")
    assert "\x1b" not in errors
    assert re.search(rf"{LAST}\r\n$", errors)


def test_standard_error_that_is_closed_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    read, write = os.pipe()
    os.close(read)
    closed = os.fdopen(write, "w")
    monkeypatch.setattr(sys, "stderr", closed)
    reporter = Reporter(True, 10)
    reporter.begin(Counts())
    reporter.end()
    with pytest.raises(BrokenPipeError):  # the line was there to be written
        closed.close()


def test_no_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys, "stderr", None)
    reporter = Reporter(True, 10)
    reporter.begin(Counts())
    reporter.end()


def test_closing_does_not_wait_for_the_next_change_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    reporter = Reporter(True, 10)
    reporter.begin(Counts())
    begun = time.monotonic()
    reporter.close()
    reporter.close()
    assert time.monotonic() - begun < 0.9
