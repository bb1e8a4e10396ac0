"""Following a page: its files are written, its examples run, their output compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..support import readme
from ..support.runtime import Runtime

Shell = Callable[[str], str]
"""Runs the text of a `sh` block, and returns what it prints."""


async def follow(
    page: Path,
    runtime: Runtime,
    capfd: pytest.CaptureFixture[str],
    here: Mapping[str, str] = {},
    *,
    shell: Shell | None = None,
) -> None:
    """Do what the page says, in the working folder.

    Args:
        page: the page. A block with a title is a file; a `text` block right after an example is its output.
        runtime: the runtime at `localhost:8085` and `http://localhost:8080`.
        capfd: what is printed.
        here: other addresses of the page, and where they are in this test.
        shell: what becomes of `sh` blocks; they are skipped without.
    """
    names: dict[str, Any] = {}
    printed: str | None = None  # by the block before, if it ran
    for block in readme.blocks(page):
        text = replaced(block.text, here)
        if block.language == "text" and not block.title and printed is not None:
            found = shown(printed, runtime, here)
            assert found == block.text, f"under {block.heading!r} the page has another output than {found!r}"
        printed = None
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(text)
        elif block.language == "python":
            await readme.run(text, runtime, names)
            printed = capfd.readouterr().out
        elif block.language == "sh" and shell is not None:
            printed = shell(text)


def replaced(text: str, here: Mapping[str, str]) -> str:
    for there, address in here.items():
        text = text.replace(there, address)
    return text


def shown(printed: str, runtime: Runtime, here: Mapping[str, str]) -> str:
    """Return what was printed, with the page's addresses."""
    own = {runtime.http_target: "http://localhost:8080", runtime.target: "localhost:8085"}
    own[f"localhost:{runtime.http_port}"] = "localhost:8080"
    text = replaced(printed, own | {address: there for there, address in here.items()})
    return re.sub(r"_ssl\.c:\d+", "_ssl.c:1006", text)  # the line differs with Python's version
