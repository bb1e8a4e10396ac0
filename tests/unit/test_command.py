"""The command as a program: however it is started, it says what it did by its exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from remote_client import __version__
from tests.support.runtime import free_port

STARTS = ["remote_client", "remote_client.cli"]


def command(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("module", STARTS)
def test_the_module_is_the_command(module: str) -> None:
    ended = command(module, "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("module", STARTS)
def test_wrong_use_exits_with_two(module: str) -> None:
    ended = command(module)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: remote-client ")


@pytest.mark.parametrize("module", STARTS)
def test_a_server_that_is_away_exits_with_one(module: str) -> None:
    ended = command(module, "stubs", f"http://127.0.0.1:{free_port()}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("remote-client: ")
