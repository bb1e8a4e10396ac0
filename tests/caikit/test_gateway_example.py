"""examples/gateway: it runs, and prints what its README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "gateway"


def test_the_gateway_of_the_examples() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(EXAMPLE / "run.py")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    shown = re.search(r"It prints\n\n```\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    assert ran.stdout == shown[1]
