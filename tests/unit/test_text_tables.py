"""What a terminal shows: aligned, within its width, and without control characters."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from remote_client import JobStatus
from remote_client._text.tables import ROWS, TEXT, columns_of, html_table, text_table

HEADER = ("NAME", "MODULE", "LOADED", "SIZE")


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    rows = [("foo", "SampleModule", True, 5), ("a-long-name", None, False, 1234), ("bar",)]
    assert text_table(rows, HEADER).splitlines() == [
        "NAME         MODULE        LOADED   SIZE",
        "foo          SampleModule  yes         5",
        "a-long-name                no      1,234",
        "bar",
    ]


def test_a_table_needs_neither_header_nor_rows() -> None:
    assert text_table([("a", "b")]) == "a  b"
    assert text_table([], ("A", "B")) == "A  B"
    assert text_table([]) == ""


def test_values_are_texts_for_people() -> None:
    when = datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    row = (JobStatus.RUNNING, when, ["a", 1], 0.5)
    assert text_table([row]) == "RUNNING  2024-01-02 03:04:05+00:00  a, 1  0.5"


def test_the_widest_columns_are_cut_to_the_width() -> None:
    rows = [("foo", "x" * 100, "y" * 20), ("bar", "x", "z")]
    shown = text_table(rows, width=40).splitlines()
    assert shown[0] == f"foo  {'x' * 13}...  {'y' * 14}..."
    assert max(map(len, shown)) == 40
    assert text_table([("x" * 100, "y" * 100)], width=1) == "xxxxx...  yyyyy..."  # something stays to be read


def test_the_first_columns_are_cut_last() -> None:
    row = ("x" * 30, "y" * 20, "z" * 20)
    assert text_table([row], whole=1, width=60) == f"{'x' * 30}  {'y' * 10}...  {'z' * 10}..."
    assert text_table([row], whole=2, width=30) == "xxxxxx...  yyyyyy...  zzzzz..."


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("x" * 100,)]
    assert text_table(rows) == "x" * 100
    monkeypatch.setenv("COLUMNS", "20")
    assert text_table(rows) == f"{'x' * 17}..."


def test_a_terminal_cuts_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pexpect = pytest.importorskip("pexpect")  # the matrix of versions is without it
    monkeypatch.delenv("COLUMNS")
    code = "from remote_client._text.tables import text_table; print(text_table([('x' * 100,)]))"
    assert pexpect.run(f'{sys.executable} -c "{code}"', encoding="utf-8", dimensions=(24, 40)) == f"{'x' * 37}...\r\n"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == f"{'x' * 100}\n"


def test_wide_characters_take_two_columns() -> None:
    assert columns_of("模型") == 4
    assert columns_of("e\u0301") == 1
    assert text_table([("模型", 1), ("abcd", 2)]) == "模型  1\nabcd  2"
    shown = text_table([("模型" * 10, "b")], width=16)
    assert columns_of(shown) <= 16
    assert shown == "模型模型模...  b"


def test_servers_words_neither_break_lines_nor_move_the_cursor() -> None:
    assert text_table([("a\nb\x1b[2J\u202ec", "d")]) == "a b [2J c  d"
    shown = text_table([("x" * 10_000_000, "y")])
    assert len(shown) < TEXT + 100
    assert "(10000000 characters)" in shown


def test_a_notebooks_table_is_escaped_and_cut() -> None:
    shown = html_table([("<b>", 1)] * 200, ("NAME", "SIZE"))
    assert shown.startswith("<table><tr><th ")
    assert "<b>" not in shown
    assert (shown.count("&lt;b&gt;"), shown.count("<tr>")) == (ROWS, ROWS + 2)
