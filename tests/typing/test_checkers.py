"""mypy --strict and pyright understand declared modules, and files that `remote-client stubs` writes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from remote_client._cli.main import main
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._stubs.writer import render
from remote_client.errors import SchemaError
from tests.support import random_schemas
from tests.support.odd_schemas import SCHEMAS
from tests.support.runtime import Runtime
from tests.support.slow import slow_but

ROOT = Path(__file__).parent.parent.parent
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--python-version", "3.11"],
    "pyright": ["-m", "pyright", "--warnings"],
}


def check(checker: str, *files: Path) -> str:
    command = [sys.executable, *CHECKERS[checker], *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", CHECKERS)
def test_calls(checker: str) -> None:
    assert not check(checker, Path(__file__).parent / "calls.py", Path(__file__).parent / "blocking_calls.py")


@pytest.mark.timeout(180)
def test_stubs(runtime: Runtime, tmp_path: Path) -> None:
    files = []
    targets = {"over_grpc": runtime.target, "over_http": runtime.http_target}
    for name, arguments in [(name, [target, *more]) for name, target in targets.items() for more in ([], ["--sync"])]:
        files.append(tmp_path / f"{name}{len(files)}.py")
        assert main(["stubs", *arguments, "-o", str(files[-1])]) == 0
        first = files[-1].read_text()
        assert main(["stubs", *arguments, "-o", str(files[-1])]) == 0
        assert files[-1].read_text() == first
    for checker in CHECKERS:
        assert not check(checker, *files)
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length=120", "--diff", *map(str, files)]
    )
    assert formatted.returncode == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", slow_but(["mypy"], CHECKERS))
def test_stubs_of_odd_schemas(checker: str, tmp_path: Path) -> None:
    """Those of `tests/unit/test_stubs.py`, and random ones."""
    descriptions = {name.replace(" ", "_"): schema.describe() for name, schema in SCHEMAS.items()}
    for seed in range(20):
        with contextlib.suppress(SchemaError):
            descriptions[f"descriptors{seed}"] = protobuf_services.describe(*random_schemas.reflected(Random(seed)))
        with contextlib.suppress(SchemaError):
            document = json.dumps(random_schemas.document(Random(seed)))
            descriptions[f"document{seed}"] = openapi.describe(document.encode())
    for index, (name, description) in enumerate(descriptions.items()):
        text = render(description, "a server", blocking=index % 2 == 1)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    assert not check(checker, tmp_path)


def test_the_command(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stubs", runtime.target]) == 0
    assert "class SampleModule(SampleTask):" in capsys.readouterr().out
    assert main(["stubs", "localhost:1"]) == 1
    assert "UNAVAILABLE" in capsys.readouterr().err
    assert main(["stubs", "nonsense://x"]) == 2
    assert main([]) == 2
