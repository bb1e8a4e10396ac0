"""How long an import takes, and the way to a first answer: whole interpreters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

from .. import library
from ..harness import Case, Run
from ..worker import Bench
from .http import BODY

CODE = {
    "a bare interpreter": "pass",
    "remote_client": "import remote_client",
    "remote_client, RemoteClient": "from remote_client import RemoteClient",
    "remote_client.sync": "from remote_client.sync import RemoteClient",
    "pydantic": "from pydantic import BaseModel",
    "grpc.aio": "import grpc.aio",
    "httpx": "import httpx",
}


ANSWERS = {
    "grpc.aio, bytes": """
import asyncio, sys
import grpc.aio
async def main():
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        await channel.unary_unary(sys.argv[2])(bytes.fromhex(sys.argv[3]), timeout=60)
asyncio.run(main())
""",
    "client": """
import asyncio, sys
from remote_client import RemoteClient
async def main():
    async with RemoteClient(sys.argv[1]) as client:
        model = await client.model("bench")
        await model.run_tiny(sample_input={"text": "World"})
asyncio.run(main())
""",
    "client, blocking": """
import sys
from remote_client.sync import RemoteClient
with RemoteClient(sys.argv[1]) as client:
    client.model("bench").run_tiny(sample_input={"text": "World"})
""",
}
ANSWERS["client, grpcio"] = ANSWERS["client"].replace("(sys.argv[1])", "(sys.argv[1], engine='grpcio')")
HTTP_ANSWERS = {
    "aiohttp, bytes": """
import asyncio, sys
import aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.post(sys.argv[1] + sys.argv[2], data=bytes.fromhex(sys.argv[3])) as answer:
            await answer.read()
asyncio.run(main())
""",
    "client": ANSWERS["client"].replace('sample_input={"text": "World"}', '"World"'),
}
"""Programs that end with their first answer; the client's also ask for the models and the schema."""


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Beside an interpreter that imports nothing, and the libraries below."""
    yield Case("start: import", {name: _starts(code) for name, code in CODE.items()}, unit="start", limit=2)
    backend, request = bench.backend, library.text_request("Tiny")
    arguments = [backend.grpc, library.rpc("Tiny"), request.hex()]
    runs = {name: _starts(code, *arguments) for name, code in ANSWERS.items()}
    yield Case("start: first answer", runs, unit="start", limit=2)
    arguments = [backend.http, library.route("tiny"), BODY.hex()]
    runs = {name: _starts(code, *arguments) for name, code in HTTP_ANSWERS.items()}
    yield Case("start: first answer over HTTP", runs, unit="start", limit=2)


def _starts(code: str, *arguments: str) -> Run:
    def run(times: int) -> None:
        for _ in range(times):
            subprocess.run([sys.executable, "-c", code, *arguments], check=True)

    return run
