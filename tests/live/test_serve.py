"""`make serve`. What it serves, and how it stops, the notebooks' tests show: tests/support/notebooks.py."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

from ..support.notebooks import ROOT
from ..support.runtime import free_port


def test_a_port_that_is_taken_is_said_with_free_ones() -> None:
    with socket.create_server(("localhost", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "tests.serve", f"--grpc-port={free_port()}", f"--http-port={port}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (1, "")
    told = rf"Port {port} is taken. Choose others: make serve GRPC_PORT=(\d+) HTTP_PORT=(\d+)\n"
    named = re.fullmatch(told, ended.stderr)
    assert named is not None
    for other_port in named.groups():
        socket.create_server(("localhost", int(other_port))).close()
