"""`make serve`. What it serves, and how it stops, the notebooks' tests show: tests/support/notebooks.py."""

from __future__ import annotations

import socket
import subprocess
import sys

from ..support.notebooks import ROOT
from ..support.runtime import free_port


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("localhost", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "tests.serve", f"--grpc-port={free_port()}", f"--http-port={port}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"Port {port} is taken. Choose others: make serve GRPC_PORT=9085 HTTP_PORT=9080\n"
