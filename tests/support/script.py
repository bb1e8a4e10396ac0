"""Scripts in processes of their own, for what a test cannot do in its own: Ctrl-C, forks, the end of a process."""

from __future__ import annotations

import os
import subprocess
import sys

from .wire import ROOT


def python(code: str, *arguments: str, timeout: float = 20) -> str:
    """Run a script with warnings as errors; what it prints. Nothing may be on its standard error."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    # With it on, its default, gRPC's own threads crash one in ten children of a process that forks while it calls.
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}
    told = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, env=environment, check=False
    )
    noise = [line for line in told.stderr.splitlines() if "fork_posix.cc" not in line]  # gRPC tells that it saw a fork
    assert (told.returncode, noise) == (0, [])
    return told.stdout
