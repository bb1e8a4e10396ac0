"""docs/tls-and-tokens.md: its examples, over TLS in front of a real runtime, one that checks tokens among them."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from remote_client import ConnectionInfo, ConnectionTlsInfo

from ..support import readme
from ..support.edge import Edge, Fault, GrpcEdge, HttpEdge, _Front
from ..support.http_wire import HttpWire
from ..support.readme import DOCS
from ..support.runtime import Runtime
from .following import follow

PAGE = DOCS / "tls-and-tokens.md"
TOKENS = ["Bearer of-a-file", "Bearer of-oauth", "Session of-a-login"]


class Checked(Edge):
    """Speaks TLS to clients, and refuses calls without one of the tokens, if there are any."""

    def __init__(self, to: int, context: ssl.SSLContext, tokens: Iterable[str] = ()) -> None:
        super().__init__(to)
        self.context = context
        self.tokens = frozenset(tokens)

    def arrived(self, name: str, headers: Iterable[tuple[str, str]]) -> Fault:
        fault = super().arrived(name, headers)
        sent = {key.lower(): value for key, value in headers}.get("authorization")
        return "UNAUTHENTICATED" if self.tokens and sent not in self.tokens else fault


class Grpc(Checked, GrpcEdge):
    async def _listen(self) -> asyncio.Server:
        self.sides = set()
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Front(self), "127.0.0.1", 0, ssl=self.context)


class Http(Checked, HttpEdge):
    async def _listen(self) -> asyncio.Server:
        self._tasks = set()
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.context)


def write_files(server: str = "server.pem") -> None:
    """Write what the page names: an authority, a client's certificate, a token, a secret."""
    authority = trustme.CA()
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    client = authority.issue_cert("client@example.org", not_after=tomorrow)
    authority.cert_pem.write_to_path("ca.pem")
    client.private_key_pem.write_to_path("client.key")
    client.cert_chain_pems[0].write_to_path("client.pem")
    authority.issue_cert("localhost", not_after=tomorrow).private_key_and_cert_chain_pem.write_to_path(server)
    Path("token").write_text("of-a-file")
    Path("secret.txt").write_text("a-secret")


def context(*, mutual: bool = False, alpn: str = "h2") -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile="ca.pem")
    made.load_cert_chain("server.pem")
    made.set_alpn_protocols([alpn])
    made.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    return made


@pytest.mark.own_http("the TLS of a transport is set by whoever makes it")
async def test_the_examples(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REMOTE_CLIENT_ENGINE", raising=False)  # errors have OpenSSL's words, or grpcio's
    write_files()

    def export(line: str) -> str:
        name, _, value = line.removeprefix("export ").strip().partition("=")
        monkeypatch.setenv(name, value)
        return ""

    issued = {"access_token": "of-oauth", "token_type": "Bearer", "expires_in": 3600}
    faults = {"POST /token": {"body": issued}, "POST /session": {"body": "of-a-login"}}
    async with AsyncExitStack() as stack:
        login = stack.enter_context(HttpWire(faults=faults))
        plain = await stack.enter_async_context(Grpc(runtime.port, context()))
        web = await stack.enter_async_context(Http(runtime.http_port, context(alpn="http/1.1")))
        private = await stack.enter_async_context(Grpc(runtime.port, context(mutual=True)))
        gateway = await stack.enter_async_context(Grpc(runtime.port, context(), TOKENS))
        here = {
            "https://login.example": f"http://localhost:{login.port}",
            "https://runtime.example:8080": f"https://localhost:{web.port}",
            "runtime.example:8085": f"localhost:{plain.port}",
            "127.0.0.1:8085": f"127.0.0.1:{plain.port}",
            "private.example:8085": f"localhost:{private.port}",
            "gateway.example:443": f"localhost:{gateway.port}",
        }
        await follow(PAGE, runtime, capfd, here, shell=export)
        assert login.command("stats")["started"] == {"POST /token": 1, "POST /session": 1}
        assert all(edge.seen for edge in (plain, web, private, gateway))


def test_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files()
    (text,) = [block.text for block in readme.blocks(PAGE) if block.language == "yaml"]
    connection: Any = yaml.safe_load(text)["connection"]
    assert ConnectionInfo(**connection).tls.mtls_enabled
    assert os.path.exists("client.key")


def test_the_table_has_every_field() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert {
        name.strip(" `") for row in rows for name in row.split(",")
    } >= ConnectionTlsInfo.__dataclass_fields__.keys()
