"""The server's process: compiled when it is needed, on a core of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from .answers import Answer, packed, table

HERE = Path(__file__).parent
SOURCES = sorted(str(each) for each in (HERE / "server").glob("*.c"))
HOST = "127.0.0.1"
PYTHON_SERVERS = 2
WITH_TLS = ("-DTLS", "-lssl", "-lcrypto")


@dataclass(frozen=True)
class Program:
    """How the server is run.

    Attributes:
        command: its command line.
        in_c: whether it is that in C.
        ca: the file of the authority that issued its certificate; empty for a server that cannot speak TLS.
    """

    command: list[str] = field(default_factory=list)
    in_c: bool = True
    ca: str = ""


def cores() -> tuple[int | None, int | None]:
    """The client's core and the server's; None where there is but one."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def pin(process: int, core: int | None) -> None:
    """Keep a process (0: this one) on a core, if there is one to spare."""
    if core is not None:
        os.sched_setaffinity(process, {core})


def build(folder: str) -> Program:
    """Return the server in C, with TLS if OpenSSL's headers are there; without a compiler the slow one in Python."""
    server = str(Path(folder, "server"))
    for options in (WITH_TLS, ()):
        if _compiled(server, options):
            files = _certificates(folder) if options else []
            return Program([server, *files[1:]], in_c=True, ca=files[0] if files else "")
    return Program([sys.executable, "-m", "benchmarks.python_server", str(PYTHON_SERVERS)], in_c=False)


def _compiled(server: str, options: tuple[str, ...]) -> bool:
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        return False
    command = [compiler, "-O2", "-o", server, *SOURCES, *options]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def _certificates(folder: str) -> list[str]:
    """The files of an authority, of a certificate for this machine, and of its key; none without `trustme`."""
    try:
        import trustme
    except ImportError:
        return []
    files = [str(Path(folder, name)) for name in ("ca.pem", "certificate.pem", "key.pem")]
    authority = trustme.CA()
    issued = authority.issue_cert(HOST, "localhost")
    authority.cert_pem.write_to_path(files[0])
    issued.cert_chain_pems[0].write_to_path(files[1])
    issued.private_key_pem.write_to_path(files[2])
    return files


class Backend:
    """A running server with so many models, and so many tasks beside those that are called; a context manager.

    Args:
        program: the server.
        core: the core that it is kept on.
        model_count: the models that it lists.
        more_tasks: the tasks beside those that are called.
        answers: more of its fixed answers.
        large: whether it has answers of megabytes.

    Attributes:
        grpc: where gRPC is spoken.
        http: the URL of HTTP/1.1.
        secure: where both are spoken over TLS; empty for nowhere.
        ca: the file of the authority to trust there.
    """

    def __init__(
        self,
        program: Program,
        core: int | None,
        model_count: int = 1,
        more_tasks: int = 0,
        answers: Sequence[Answer] = (),
        large: bool = True,
    ) -> None:
        self._program = program
        self._core = core
        self._table = packed([*answers, *table(model_count, more_tasks, large=large)])
        self.in_c, self.ca = program.in_c, program.ca

    def __enter__(self) -> Self:
        command = self._program.command
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE.parent)
        pin(self._process.pid, self._core)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._table)
        self._process.stdin.flush()
        self.grpc_port, self.http_port, secure_port = map(int, self._process.stdout.readline().split())
        self.grpc = f"{HOST}:{self.grpc_port}"
        self.http = f"http://{HOST}:{self.http_port}"
        self.secure = f"{HOST}:{secure_port}" if secure_port else ""
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
