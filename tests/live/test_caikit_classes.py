"""caikit's module classes, in the environment that has caikit: this one has not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..support.runtime import Runtime

SCRIPT = Path(__file__).parent.parent / "runtime" / "call_with_caikit_classes.py"


def test_classes_and_data_objects(runtime: Runtime) -> None:
    told = subprocess.run(
        [os.environ["RUNTIME_PYTHON"], SCRIPT, str(runtime.port), str(runtime.http_port)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent.parent)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert told.returncode == 0, told.stderr
    assert len(told.stdout.splitlines()) == 7, told.stdout
