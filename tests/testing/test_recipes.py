"""docs/testing.md: its examples of recordings, and of respx and httpx, as they stand there."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from remote_client._cli.main import main

from ..support import readme
from ..support.runtime import Runtime

PAGE = readme.DOCS / "testing.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def examples(heading: str) -> list[str]:
    """The examples under a heading."""
    return [code for found, code in readme.examples(PAGE) if found == heading]


async def run(heading: str, runtime: Runtime) -> None:
    names: dict[str, Any] = {}
    assert len(examples(heading)) >= 3
    for code in examples(heading):
        await readme.run(code, runtime, names)


async def test_recordings(runtime: Runtime, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await run("Recordings", runtime)
    printed = capsys.readouterr().out
    assert printed.startswith("Hello World\n")
    assert "the nearest differs: sample_input.name was 'World', is 'Mars'" in printed
    assert [file.name for file in folder.iterdir()] == ["greetings.jsonl"]


TEST = """
from remote_client import sync
from remote_client.testing import record, replay

def test_greeting(recorded):
    with sync.RemoteClient(recorded.grpc) as client:
        assert client.model("foo").run_sample({"name": "World"}).greeting == "Hello World"
"""


@pytest.mark.slow
async def test_the_fixture_records_and_replays(runtime: Runtime, folder: Path) -> None:
    (fixture,) = [code for code in examples("Recordings") if "fixture" in code]
    (folder / "test_it.py").write_text(TEST + fixture)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:ddtrace", "test_it.py"]
    for environment in ({"RECORD": runtime.target}, {}):
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()


async def test_respx_and_httpx(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    schema = ["schema", "-t", runtime.http_target, "-o", "openapi.json"]
    assert await asyncio.to_thread(main, schema) == 0
    await run("respx and httpx.MockTransport", runtime)
    assert capsys.readouterr().out.splitlines() == [
        "Hello from respx",
        "Hello from the decorator",
        "['Hello', 'World']",
        "no such model",
    ]
