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


MAKING = """
import sys
from {module} import CallOptions, ConnectionInfo, FinderConfig, RemoteClient, RemoteModelFinder
from remote_client.auth import BearerToken
from remote_client.settings import RetryPolicy

server = ConnectionInfo(
    hostname="h", port=1, timeout=5, tls={{"enabled": True}}, options={{"grpc.keepalive_time_ms": 1}}, proxy="p:1"
)
RemoteClient(server, protocol="grpc", metadata=BearerToken(env="TOKEN"), hooks=[print])
RemoteClient(["http://h:1", "https://h/team"], retries=3, tls={{"insecure_verify": True}}, max_session_age=0)
RemoteModelFinder(FinderConfig(connection=server, remote_connections=(server,), min_poll_time=1))
RemoteModelFinder({{"connection": {{"hostname": "{{}}.h", "port": 1}}}})
CallOptions(timeout=5, retry=RetryPolicy(retries=1, codes=frozenset(["ABORTED"])))
server.replace(port=2)
print(*{{"pydantic", "pydantic_core", "yaml", "google.protobuf", "email"}} & set(sys.modules))
"""


@pytest.mark.parametrize("module", ["remote_client", "remote_client.sync"])
def test_making_a_client_loads_no_pydantic(module: str) -> None:
    script = MAKING.format(module=module)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert not done.returncode, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("value", ["{'retries': '3'}", "{'timeout': 'x'}", "{'unknown': 1}"])
def test_values_that_need_pydantic_load_it(value: str) -> None:
    script = (
        "import sys; from remote_client import ConnectionInfo, errors\n"
        f"try: ConnectionInfo(hostname='h', **{value})\n"
        "except errors.ConfigurationError: pass\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


IMPORTING = """
import sys
from {module} import RemoteClient

ours = {{name for name in sys.modules if name.startswith("remote_client")}}
others = {{"email", "google", "grpc", "hashlib", "html", "httpx", "ipaddress", "json", "pathlib", "pydantic"}}
others |= {{"random", "urllib.parse", "yaml"}}
parts = ("_bulk", "_cli", "_client.finder", "_client.jobs", "_client.module", "_schema.openapi", "_schema.protobuf")
parts += ("_schema.rpc", "_stubs", "_transport", "testing")
names = tuple(f"remote_client.{{part}}." for part in parts)
print(*(others & set(sys.modules)), *(name for name in ours if f"{{name}}.".startswith(names)))
print(len(ours))
"""


@pytest.mark.parametrize(("module", "most"), [("remote_client", 45), ("remote_client.sync", 65)])
def test_importing_the_class_loads_no_more_than_its_settings(module: str, most: int) -> None:
    """Whoever makes no client pays for none."""
    script = IMPORTING.format(module=module)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded, count = done.stdout.splitlines()
    assert loaded == ""
    assert int(count) < most
