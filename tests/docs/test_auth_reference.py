"""docs/reference/auth.md: its examples, with a server that issues tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.http_wire import HttpWire
from ..support.readme import DOCS
from ..support.runtime import Runtime
from .following import follow

PAGE = DOCS / "reference/auth.md"


async def test_the_examples(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    issued = {"access_token": "issued", "token_type": "Bearer", "expires_in": 3600}
    faults = {"POST /token": {"body": issued}, "GET /ticket": {"body": "a-ticket"}}
    with HttpWire(faults=faults) as login:
        await follow(PAGE, runtime, capfd, {"https://login.example": f"http://localhost:{login.port}"})
        started = login.command("stats")["started"]
    assert started["POST /token"] == 1
    assert started["GET /ticket"] >= 1
