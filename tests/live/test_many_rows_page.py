"""docs/many-rows.md: its examples, in an empty folder. Those of Ray, Dask and Spark run in tests/engines."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from remote_client._cli.main import main

from ..support import readme
from ..support.runtime import Runtime

PAGE = readme.DOCS / "many-rows.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_the_pages_examples(runtime: Runtime, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for heading, code in readme.examples(PAGE):
        if heading != "Ray, Dask and Spark":
            await readme.run(code, runtime, names)
    await names["client"].aclose()
    printed = capfd.readouterr().out
    assert printed.startswith("0 one\n1 two\n2 three\n" * 2 + "0 1.0\n1 2.0\n2 3.0\n")
    assert "row 1, 3: run_text(): text: expected str" in printed
    assert "1 failed\n" in printed
    assert "│ three ┆ three │" in printed
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert answers == [{"row": number, "answer": f"document {number}"} for number in range(1000)]
    assert len((folder / "done.jsonl").read_text().splitlines()) == 1000


async def test_the_pages_command(runtime: Runtime, folder: Path) -> None:
    (folder / "rows.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (command,) = re.findall(r"^remote-client (.*)$", PAGE.read_text(), re.MULTILINE)
    arguments = shlex.split(command.replace("localhost:8085", runtime.target))
    assert await asyncio.to_thread(main, arguments) == 0
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [answer["answer"]["greeting"] for answer in answers] == ["one", "two"]
