"""The sessions in docs/command-line.md are what the commands write."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support import recording
from ..support.runtime import SAMPLE_MODELS, Runtime
from ..support.session import MODELS, PAGE, masked, recorded, screen


def section(name: str) -> str:
    """Return a section of the page."""
    return PAGE.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_the_calls_of_the_page(runtime: Runtime) -> None:
    page = section("Call")
    assert len(masked(page)) > 10
    assert masked(recorded(page, runtime)) == masked(page)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_page_is_what_the_script_makes() -> None:
    page = PAGE.read_text()
    with Runtime(models={name: SAMPLE_MODELS[name] for name in MODELS}) as runtime:
        assert masked(recorded(page, runtime)) == masked(page)


def without_empty_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_the_calls_of_the_picture(runtime: Runtime) -> None:
    commands = recording.COMMANDS[1:]  # all but `models`: this runtime has more of them
    session = recording.session(commands, recording.written(commands, runtime))
    assert recording.shown(recording.PICTURE.read_text()).endswith("\n".join(without_empty_lines(session)) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_picture_is_what_the_script_makes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn = tmp_path / "terminal.svg"
    monkeypatch.setattr(recording, "PICTURE", drawn)
    recording.main()
    assert drawn.read_text() == (PAGE.parent / "pictures" / "terminal.svg").read_text()


def test_a_picture_has_the_lines_of_its_session() -> None:
    commands, answers = ["echo '<a>  b' \\\nc"], ["<a>  b c\n\nd\n"]
    drawn = recording.picture(commands, answers)
    assert recording.shown(drawn) == "$ echo '<a>  b' \\\n> c\n<a>  b c\nd\n"
    assert recording.session(commands, answers) == "$ echo '<a>  b' \\\n> c\n<a>  b c\n\nd\n"


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        ("", []),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\r\nb", ["a", "b"]),
        ("\x1b[?25l\x1b[32m1\x1b[0m\r\x1b[2K2\n\x1b[?25h\r\x1b[1A\x1b[2K", []),
        ("id\r\nwait\n\r\x1b[1A\x1b[2Kdone\r\n", ["id", "done"]),
    ],
)
def test_what_a_terminal_shows(told: str, lines: list[str]) -> None:
    assert screen(told) == lines
