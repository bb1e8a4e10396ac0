"""Calls load nothing that they do not need: other engines' libraries take a tenth of a second and megabytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer

SCRIPT = """
import asyncio, sys
from remote_client import RemoteClient, errors
from remote_client.sync import RemoteClient as BlockingClient

async def main(target):
    async with RemoteClient(target) as client:
        await client.healthy()
        try:
            await (await client.model("none")).run()
        except errors.RemoteCallError:
            pass

asyncio.run(main(sys.argv[1]))
with BlockingClient(sys.argv[1]) as client:
    client.healthy()
print(*{"grpc", "httpx", "aiohttp"} & set(sys.modules))
"""


def loaded(target: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, target], capture_output=True, text=True, timeout=30)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.only_engine("asyncio", "the other one is grpc")
def test_grpc_calls_load_no_grpc(wire: WireServer) -> None:
    assert loaded(wire.target) == ""


def test_http_calls_load_no_httpx(http_wire: HttpWire) -> None:
    assert loaded(f"http://{http_wire.host}:{http_wire.port}") == ""


def test_a_status_code_is_grpcs_on_demand() -> None:
    script = (
        "import sys; from remote_client.errors import NotFoundError; error = NotFoundError(''); before = 'grpc' in "
        "sys.modules; import pickle; code = error.code; print(before, type(code).__module__, code.name)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "grpc", "NOT_FOUND"]
