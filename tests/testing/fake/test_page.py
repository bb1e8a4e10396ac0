"""docs/testing.md: its examples of the fake runtime, as they stand there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ...support import readme

PAGE = readme.DOCS / "testing.md"
EXAMPLES = [code for heading, code in readme.examples(PAGE) if heading == "A fake runtime"]


async def test_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    no_runtime: Any = SimpleNamespace(target="", http_target="", port=0)  # the examples start their own
    for code in EXAMPLES[:2]:
        await readme.run(code, no_runtime, names)
    first, items, call, fault, refused = capsys.readouterr().out.splitlines()
    assert first == "Hello World"
    assert items.count("Hello World") == 3
    assert call == "run_stream_out {'sample_input': {'name': 'World'}}"
    assert fault == "Hello World 3"
    assert refused == "nobody to greet"


def test_the_tests_of_the_page(tmp_path: Path) -> None:
    declared = EXAMPLES[0].partition("async with FakeRuntime")[0]
    (tmp_path / "test_page.py").write_text(declared + EXAMPLES[2])
    settings = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    (tmp_path / "pytest.ini").write_text(settings)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:ddtrace"]
    ran = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
