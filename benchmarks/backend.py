"""The server's process: compiled when it is needed, on a core of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from .answers import packed, table

HERE = Path(__file__).parent
HOST = "127.0.0.1"
PYTHON_SERVERS = 2


def cores() -> tuple[int | None, int | None]:
    """The client's core and the server's; None where there is but one."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def pin(process: int, core: int | None) -> None:
    """Keep a process (0: this one) on a core, if there is one to spare."""
    if core is not None:
        os.sched_setaffinity(process, {core})


def build(folder: str) -> list[str]:
    """The command that runs the server: Python's, slower than the client, where that in C cannot be compiled."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is not None:
        command = [compiler, "-O2", "-o", str(Path(folder, "server")), str(HERE / "server.c")]
        if subprocess.run(command, check=False).returncode == 0:
            return [str(Path(folder, "server"))]
    return [sys.executable, "-m", "benchmarks.python_server", str(PYTHON_SERVERS)]


class Backend:
    """A running server with so many models; a context manager."""

    def __init__(self, command: list[str], core: int | None, model_count: int = 1) -> None:
        self._command = command
        self._core = core
        self._table = packed(table(model_count))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE.parent)
        pin(self._process.pid, self._core)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._table)
        self._process.stdin.flush()
        ports = self._process.stdout.readline().split()
        self.in_c = len(ports) == 1  # and has one port for both protocols
        self.grpc_port, self.http_port = int(ports[0]), int(ports[-1])
        self.grpc = f"{HOST}:{self.grpc_port}"
        self.http = f"http://{HOST}:{self.http_port}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()  # it ends when its input does
        self._process.stdout.close()
        self._process.wait()


def build_folder() -> tempfile.TemporaryDirectory[str]:
    """Where the server is compiled."""
    return tempfile.TemporaryDirectory(prefix="remote-client-bench-")
