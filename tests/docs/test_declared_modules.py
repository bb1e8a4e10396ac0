"""docs/declared-modules.md: its examples, with the classes that its command writes of the runtime."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support import readme
from ..support.readme import DOCS
from ..support.runtime import Runtime
from .following import follow

PAGE = DOCS / "declared-modules.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("tasks", None)


async def test_the_examples(runtime: Runtime, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def shell(line: str) -> str:
        _, *arguments = shlex.split(line.replace("localhost:8085", runtime.target))
        command = [sys.executable, "-m", "remote_client", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    await follow(PAGE, runtime, capfd, {"port=8080": f"port={runtime.http_port}"}, shell=shell)
    (shown,) = [block.text for block in readme.blocks(PAGE) if block.language == "py"]
    assert shown in (folder / "tasks.py").read_text()
