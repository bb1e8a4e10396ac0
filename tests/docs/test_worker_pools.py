"""docs/worker-pools.md: its programs, with the processes that they start."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ..support.readme import DOCS
from ..support.runtime import Runtime, free_port
from .following import follow

PAGE = DOCS / "worker-pools.md"


def run(line: str) -> str:
    """Run a command of the page, and return what it prints; a server is called once."""
    program, *arguments = shlex.split(line)
    if program == "uvicorn":
        return serve(arguments)
    assert program == "python"
    forks = "ignore:This process:DeprecationWarning"  # from Python 3.12 on, where a process with threads forks
    command = [sys.executable, "-W", "error", "-W", forks, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def environment() -> dict[str, str]:
    """The default engine, as grpcio forks nowhere, and this checkout."""
    kept = {name: value for name, value in os.environ.items() if name != "REMOTE_CLIENT_ENGINE"}
    return {**kept, "PYTHONPATH": str(DOCS.parent)}


def serve(arguments: list[str]) -> str:
    """Run the service until it has answered, and return its answer."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", *arguments, "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment(), start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/greetings/World", timeout=10) as answer:
                    assert answer.read() == b'"Hello World"'
                return ""
            time.sleep(0.1)
        raise AssertionError("the service did not answer")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    "service", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["programs", "and service"]
)
async def test_the_programs(
    service: bool, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The web server takes the longest to start."""
    monkeypatch.chdir(tmp_path)

    def shell(line: str) -> str:
        return run(line) if service or not line.startswith("uvicorn") else ""

    await follow(PAGE, runtime, capfd, {"localhost:8085": runtime.target}, shell=shell)
