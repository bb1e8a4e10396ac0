"""Scripts in processes of their own, for what a test cannot do in its own: Ctrl-C, forks, the end of a process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Any

from .wire import ROOT


def python(code: str, *arguments: str, timeout: float = 20) -> str:
    """Run a script with warnings as errors; what it prints. Nothing may be on its standard error."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    # With it on, its default, gRPC's own threads crash one in ten children of a process that forks while it calls.
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}
    # A session of its own: a child that it forked, and that hangs, must end with it, or its pipes never close.
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    out: str
    errors: str
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    noise = [line for line in errors.splitlines() if "fork_posix.cc" not in line]  # gRPC tells that it saw a fork
    assert (process.returncode, noise) == (0, [])
    return out
