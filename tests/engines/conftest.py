"""Ray, Dask and Spark in local mode against a real runtime, in an environment of their own: `make engines`.

A line per engine at the end says how many rows it scored in which time, and what was killed meanwhile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from remote_client.sync import RemoteClient

from ..support.runtime import Runtime
from .scoring import ROOT

# What the engines' workers import, and which Python Spark's are.
os.environ["PYTHONPATH"] = str(ROOT)
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # as Ray will have it; else it warns

Report = Callable[[str, int, float, str], None]
_lines: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests time: a worker of Ray's takes ten seconds to start."""
    for item in items:
        item.add_marker(pytest.mark.timeout(240))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the engines' lines."""
    for line in _lines:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def report() -> Report:
    """Notes an engine, its rows, their seconds and a remark for the end."""
    return lambda engine, rows, seconds, remark: _lines.append(f"{engine}: {rows:,} rows in {seconds:.1f} s, {remark}")


@pytest.fixture
def client(runtime: Runtime) -> Iterator[RemoteClient]:
    with RemoteClient(runtime.target) as client:
        yield client
