"""docs/raw-calls.md: its examples."""

from __future__ import annotations

from typing import Any

import pytest

from ..support import readme
from ..support.runtime import Runtime


async def printed(page: str, runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> list[str]:
    names: dict[str, Any] = {}
    for _, code in readme.examples(readme.DOCS / page):
        await readme.run(code, runtime, names)
    return capfd.readouterr().out.splitlines()


async def test_raw_calls(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    greeting = "{'greeting': 'Hello World'}"
    assert await printed("raw-calls.md", runtime, capfd) == [
        greeting, r"b'\x08\x01'", "True", greeting, "['foo']", "b'OK'"
    ]  # fmt: skip
