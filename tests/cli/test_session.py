"""The sessions in docs/command-line.md are what the commands write."""

from __future__ import annotations

import pytest

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
