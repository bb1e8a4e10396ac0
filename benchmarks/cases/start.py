"""How long an import takes, and the way to a first answer: whole interpreters."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from .. import library
from ..harness import Case, Run, Sample
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

FIRST = """
import asyncio, sys, time
async def main():
    began, worked = time.perf_counter(), time.process_time()
    from remote_client import RemoteClient
    async with RemoteClient(sys.argv[1], schema=sys.argv[2] or None) as client:
        model = await client.model("bench")
        await model.run_tiny({"text": "World"} if hasattr(model, "run_rich_stream_in") else "World")
        print(time.perf_counter() - began, time.process_time() - worked)
asyncio.run(main())
"""
"""Prints the seconds, and those of the processor, from the import of the client to its first answer: the first call
imports pydantic, which the import of the client leaves out."""
MORE = (0, 100)
"""Tasks of a library beside those that are called."""


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
    with tempfile.TemporaryDirectory() as folder:
        for more in MORE:
            backend = bench.start(1, more)
            yield _with_schema("schema", folder, more, backend.grpc, library.descriptor_set(more))
            yield _with_schema("schema over HTTP", folder, more, backend.http, library.openapi(more))


def _with_schema(name: str, folder: str, more: int, target: str, schema: bytes) -> Case:
    """What the server tells stands in for the floor."""
    path = Path(folder, f"{name}, {more}")
    path.write_bytes(schema)
    runs = {"reflection": _first(target, ""), "schema": _first(target, str(path))}
    return Case(f"start: {name}, more tasks: {more}", runs, unit="start", limit=1)


def _first(target: str, schema: str) -> Run:
    def run(times: int) -> Sample:
        command = [sys.executable, "-c", FIRST, target, schema]
        return Sample(*map(float, subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()))

    return run


def _starts(code: str, *arguments: str) -> Run:
    def run(times: int) -> None:
        for _ in range(times):
            subprocess.run([sys.executable, "-c", code, *arguments], check=True)

    return run
