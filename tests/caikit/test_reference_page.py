"""docs/reference/caikit.md: its examples print what the page says."""

from __future__ import annotations

from pathlib import Path

from ..support.readme import DOCS, blocks
from ..support.runtime import Runtime
from .test_page import run

PAGE = DOCS / "reference/caikit.md"


def test_the_examples_print_what_the_page_says(runtime: Runtime, tmp_path: Path) -> None:
    found = [block for block in blocks(PAGE) if block.language in ("python", "text")]
    assert [block.language for block in found] == ["python", "text"] * (len(found) // 2)
    code = "\n".join(block.text for block in found[::2])
    assert run(code, {}, tmp_path, runtime) == "".join(block.text for block in found[1::2]).splitlines()
