"""docs/readiness.md and docs/raw-calls.md: their examples."""

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


async def test_readiness(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    missing, *lines = await printed("readiness.md", runtime, capfd)
    (shown,) = [line for line in (readme.DOCS / "readiness.md").read_text().splitlines() if "did you mean" in line]
    assert missing == shown.replace("localhost:8085", runtime.target)
    address = f"localhost:{runtime.http_port}"
    assert lines == [f"{runtime.target} SERVING None", "SERVING", "no change", "[]", f"{address} is SERVING"]


async def test_raw_calls(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    greeting = "{'greeting': 'Hello World'}"
    assert await printed("raw-calls.md", runtime, capfd) == [
        greeting, r"b'\x08\x01'", "True", greeting, "['foo']", "b'OK'"
    ]  # fmt: skip
