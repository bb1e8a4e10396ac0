"""The rows that all engines score, and the end of a worker in the middle of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pyarrow

ROOT = Path(__file__).parent.parent.parent
ROWS = 20_000
"""Rows of the model that answers at once."""
FEW = 2_000
"""Rows of the same model where a call for each is waited for."""
SLOW = 2_000
"""Rows of the model that sleeps."""
FAILING = 7
"""The slow row that fails."""
_SECONDS = 0.05


def texts(count: int = ROWS) -> pyarrow.Table:
    """Rows for the model that answers with its text."""
    return pyarrow.table({"id": range(count), "text": [f"text {number}" for number in range(count)]})


def waits(count: int = SLOW) -> pyarrow.Table:
    """Rows for the model that sleeps and says how long: other ones every time. Below zero it fails."""
    seconds = [_SECONDS + number * 1e-6 for number in range(count)]
    seconds[FAILING] = -1.0
    return pyarrow.table({"id": range(count), "seconds": seconds})


def check_texts(rows: list[dict[str, Any]], count: int = ROWS) -> None:
    """Every row is there once, with its own answer."""
    rows = sorted(rows, key=_id)
    assert [row["id"] for row in rows] == list(range(count))
    assert [row for row in rows if row["label"] != row["text"] or row["error"] is not None] == []


def check_waits(rows: list[dict[str, Any]], count: int = SLOW) -> None:
    """Every row is there once, with its own answer; the one that fails has its error."""
    rows = sorted(rows, key=_id)
    assert [row["id"] for row in rows] == list(range(count))
    failed = rows.pop(FAILING)
    assert failed["answer"] is None
    assert "sleep length must be non-negative" in failed["error"]
    assert {row["error"] for row in rows} == {None}
    assert [row["answer"] for row in rows] == [f"slept {row['seconds']}" for row in rows]


def _id(row: dict[str, Any]) -> int:
    number: int = row["id"]
    return number


def callers(port: int) -> dict[psutil.Process, int]:
    """The processes below this one that are connected with a port, and how many connections they have."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            connections = [each for each in process.net_connections("tcp") if each.raddr and each.raddr.port == port]
            if connections:
                found[process] = len(connections)
    return found


class Killed:
    """A worker that was killed.

    Attributes:
        name: its command or title.
        at: when, on the monotonic clock.
    """

    def __init__(self, process: psutil.Process) -> None:
        self.name = " ".join(process.cmdline())
        process.send_signal(signal.SIGKILL)
        self.at = time.monotonic()


@contextlib.contextmanager
def killing(port: int, after: float = 1.0) -> Iterator[Future[Killed]]:
    """Kill a worker with SIGKILL that has been calling a port for some seconds, while the body runs."""

    def kill() -> Killed:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if found := callers(port):
                time.sleep(after)
                return Killed(next(iter(found)))
            time.sleep(0.05)
        raise AssertionError("no worker called the runtime")

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(kill)


def run_example(name: str, *arguments: object, env: dict[str, str] | None = None) -> None:
    """Run a file of examples/, as users do."""
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
