"""How long an import takes: whole interpreters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

from ..harness import Case, Run
from ..worker import Bench

CODE = {
    "a bare interpreter": "pass",
    "remote_client": "import remote_client",
    "remote_client, RemoteClient": "from remote_client import RemoteClient",
    "remote_client.sync": "from remote_client.sync import RemoteClient",
    "pydantic": "from pydantic import BaseModel",
    "grpc.aio": "import grpc.aio",
    "httpx": "import httpx",
}


async def cases(_: Bench) -> AsyncIterator[Case]:
    """Beside an interpreter that imports nothing, and the libraries below."""
    yield Case("start: import", {name: _starts(code) for name, code in CODE.items()}, unit="start", limit=2)


def _starts(code: str) -> Run:
    def run(times: int) -> None:
        for _ in range(times):
            subprocess.run([sys.executable, "-c", code], check=True)

    return run
