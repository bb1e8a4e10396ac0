"""examples/testing: the tests of a project of its own pass, with recordings that are there and with new ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ..support.runtime import Runtime

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, outside of this one."""
    copied = shutil.copytree(ROOT / "examples" / "testing", tmp_path / "project")
    assert isinstance(copied, Path)
    return copied


def run_tests(project: Path, *arguments: str, more: Mapping[str, str] | None = None) -> dict[str, int]:
    """Run the project's tests in a process of their own; how many passed, were skipped, and so on."""
    # The plugin is found as people's pytest finds it: by the entry point of the installed package.
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:ddtrace", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECORD_")}
    done = subprocess.run(
        command,
        cwd=project,
        env=environment | (more or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    last = done.stdout.splitlines()[-1]
    return {word: int(count) for count, word in re.findall(r"(\d+) (passed|skipped|failed|errors?)", last)}


def test_its_tests_pass(project: Path) -> None:
    assert run_tests(project) == {"passed": 15}


@pytest.mark.slow
def test_its_recordings_can_be_made_anew(project: Path, runtime: Runtime) -> None:
    recordings = project / "tests" / "recordings"
    shutil.rmtree(recordings)
    recordings.mkdir()
    servers = {"RECORD_GRPC": runtime.target, "RECORD_HTTP": runtime.http_target}
    recorded = run_tests(project, "tests/test_with_recordings.py", more=servers)
    assert recorded == {"passed": 4, "skipped": 1}
    assert sorted(file.name for file in recordings.iterdir()) == ["greetings.grpc.jsonl", "greetings.http.jsonl"]
    assert not any("not-in-the-recording" in file.read_text() for file in recordings.iterdir())
    assert run_tests(project, "tests/test_with_recordings.py") == {"passed": 5}
