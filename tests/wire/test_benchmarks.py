"""The benchmarks run; what they tell is not looked at."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("only", ["ceiling", "sync unary tiny", "grpc unary rich, in flight: 32", "http events"])
async def test_a_quick_run_tells_every_variant(only: str, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", only, "--json", str(written)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    table, _ = await process.communicate()
    assert process.returncode == 0
    figures = json.loads(written.read_text())["figures"]
    assert figures
    assert all(each["case"].startswith(only) and each["value"] > 0 for each in figures)
    assert all(each["variant"] in table.decode() for each in figures)
