"""docs/several-servers.md: its examples, with two runtimes of which one is stopped on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.readme import DOCS
from ..support.runtime import SAMPLE_MODELS, Runtime
from .following import follow

PAGE = DOCS / "several-servers.md"


async def test_the_examples(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}) as first:
        here = {f"runtime-{name}:8085": server.target for name, server in (("a", first), ("b", runtime))}
        here |= {
            f"hostname: runtime-{name}, port: 8085": f"hostname: localhost, port: {server.port}"
            for name, server in (("a", first), ("b", runtime))
        }

        def delete(line: str) -> str:
            assert line == "kubectl delete pod runtime-a\n"
            first.kill()
            return ""

        await follow(PAGE, runtime, capfd, here, shell=delete)
