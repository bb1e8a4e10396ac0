"""docs/coming-from-caikit.md: its examples print what the page says, with the page's configurations."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..support.readme import DOCS, examples
from ..support.runtime import Runtime

PAGE = DOCS / "coming-from-caikit.md"
CODE = [code for _, code in examples(PAGE)]
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIGURATIONS = [yaml.safe_load(text) for text in YAML.findall(PAGE.read_text())]


def merged(*configurations: dict[str, Any]) -> dict[str, Any]:
    """Return one configuration of several, as a file of the process has them all."""
    found: dict[str, Any] = {}
    for configuration in configurations:
        for key, value in configuration.items():
            found[key] = merged(found.get(key, {}), value) if isinstance(value, dict) else value
    return found


def run(code: str, configuration: dict[str, Any], folder: Path, runtime: Runtime) -> list[str]:
    """Run code in a process of its own, in a folder that has the configuration, and return the lines it prints."""
    ports = {"8085": str(runtime.port), "8080": str(runtime.http_port)}

    def here(text: str) -> str:
        return re.sub("8085|8080", lambda match: ports[match[0]], text)

    (folder / "config.yml").write_text(here(yaml.safe_dump({"merge_strategy": "merge", **configuration})))
    root = DOCS.parent
    path = os.pathsep.join([str(root), str(root / "tests" / "runtime")])
    ran = subprocess.run(
        [sys.executable, "-c", here(code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def printed(code: str) -> Iterator[str]:
    """Yield what the comments behind `print` say."""
    for line in code.splitlines():
        if line.strip().startswith("print("):
            _, comment, text = line.partition("  # ")
            assert comment, f"what does it print? {line}"
            yield text


def test_the_examples(runtime: Runtime, tmp_path: Path) -> None:
    switched, _, trainer = CONFIGURATIONS
    code = "\n".join(CODE)
    assert run(code, merged(switched, trainer), tmp_path, runtime) == list(printed(code))


def test_the_configuration_with_local_models(runtime: Runtime, tmp_path: Path) -> None:
    assert run(CODE[0], CONFIGURATIONS[1], tmp_path, runtime) == list(printed(CODE[0]))


@pytest.mark.parametrize("index", range(len(CONFIGURATIONS)))
def test_every_part_is_named_as_it_is(index: int) -> None:
    """A part without `import_class` is one of caikit's own."""
    parts = [part for kind in CONFIGURATIONS[index]["model_management"].values() for part in kind.values()]
    assert any(part["type"] == "REMOTE_CLIENT" for part in parts)
    assert all(("import_class" in part) == (part["type"] == "REMOTE_CLIENT") for part in parts)
