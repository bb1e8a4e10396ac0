"""docs/schemas.md: its examples, in a folder that has the files of the page."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from remote_client._cli.main import main

from ..support import readme
from ..support.runtime import Runtime, dump_services


@pytest.fixture
def folder(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    assert main(["stubs", "-t", runtime.target, "-o", str(tmp_path / "tasks.py")]) == 0
    assert main(["schema", "-t", runtime.target, "-o", str(tmp_path / "runtime.binpb")]) == 0
    os.rename(dump_services("sample_lib", tmp_path / "dumped"), tmp_path / "protos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    del sys.modules["tasks"]


@pytest.mark.usefixtures("folder")
async def test_the_pages_examples(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    async with AsyncExitStack() as opened:
        for _, code in readme.examples(readme.DOCS / "schemas.md"):
            await readme.run(code, runtime, names)
            opened.push_async_callback(names["client"].aclose)
    printed = capfd.readouterr().out
    assert printed.count("greeting='Hello World'\n") == 3
    assert "breaking" not in printed
