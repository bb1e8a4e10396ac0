"""TLS: what fits works, and what does not is told at once, as what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client._client.client import RemoteClient
from remote_client.errors import TlsError
from remote_client.settings import ConnectionTlsInfo
from remote_client.sync._modules import wrapped
from tests.support.clock import Stopwatch
from tests.support.http_wire import CLOSE, answer
from tests.support.proxy import Proxy
from tests.support.wire import WireServer, open_files, settled

SCHEMES = {"grpc": "grpcs", "http": "https"}
PLAIN = {"ACCEPT": {"steps": [*answer("TLS, what is that?", 400), CLOSE]}}
"""What an HTTP server without TLS answers to a handshake."""


class Authority:
    """A certificate authority, and the files of one server's certificate."""

    def __init__(self, folder: Path, *names: str) -> None:
        authority, self.key = trustme.CA(), str(folder / "key.pem")
        self.ca, self.cert = str(folder / "ca.pem"), str(folder / "cert.pem")
        issued = authority.issue_cert(*names)
        authority.cert_pem.write_to_path(self.ca)
        issued.private_key_pem.write_to_path(self.key)
        issued.cert_chain_pems[0].write_to_path(self.cert)

    def tls(self) -> dict[str, str]:
        return {"key": self.key, "cert": self.cert}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "localhost", "127.0.0.1")


OWN_HTTP = pytest.mark.own_http("the TLS of a transport is set by whoever makes it")
both = pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=OWN_HTTP)])
"""Runs a test over both protocols; a transport's own TLS is its maker's."""


def _tls(**more: Any) -> ConnectionTlsInfo:
    return ConnectionTlsInfo(enabled=True, **more)


def _calls(module: Any) -> list[Any]:
    """A call of each kind."""
    calls = [module.echo(b"{}"), anext(module.silent()), module.echo(bytes(1_000_000))]
    return [*calls, module.sum([b"1"]), anext(module.chat([b"1"]))] if hasattr(module, "chat") else calls


async def _fails(server: Any, **changes: Any) -> TlsError:
    """The error of a call of each kind: a TlsError, and soon."""
    watch = Stopwatch()
    caught: Any = None
    async with server.plain(**changes) as module:
        for call in _calls(module):
            with pytest.raises(TlsError) as caught:
                await call
            assert (caught.value.code.name, caught.value.model) == ("UNAVAILABLE", "raw")
            assert str(caught.value).isprintable()
    assert watch.seconds < (6 if server.protocol == "grpc" else 1)
    with wrapped(server.plain(**changes)) as blocking:
        for deed in (lambda: blocking.echo(b"{}"), lambda: next(blocking.silent())):
            with pytest.raises(TlsError) as caught:
                await asyncio.to_thread(deed)
    error: TlsError = caught.value
    return error


async def _works(module: Any) -> None:
    body = b"private" * 100_000
    async with module:
        assert await module.echo(body) == body
        assert len([item async for item in module.count(n=3, size=50_000)]) == 3


@both
async def test_the_right_authority(start: Callable[..., Any], authority: Authority, protocol: str) -> None:
    server = start(tls=authority.tls())
    before = (await server.stats())["open"]
    named = [{"hostname": name, "tls": _tls(ca_file=authority.ca)} for name in ("localhost", "127.0.0.1")]
    for changes in named:
        with wrapped(server.plain(**changes)) as blocking:
            assert blocking.echo(b"private") == b"private"
    files = open_files()
    for changes in named:
        await _works(server.plain(**changes))
    async with RemoteClient(f"{SCHEMES[protocol]}://localhost:{server.port}", tls={"ca_file": authority.ca}) as client:
        assert [model.name for model in await client.models()] == ["foo" if protocol == "grpc" else "raw"]
        if protocol == "http":
            assert (await (await client.model("raw")).run_echo("a")).text == "a"
    assert (await server.stats())["connections"] == 5
    assert await settled(open_files, files) <= files
    assert (await server.until(lambda seen: seen["open"] <= before))["open"] <= before


@both
async def test_a_slow_handshake(start: Callable[..., Any], authority: Authority) -> None:
    server = start(tls=authority.tls())
    async with Proxy(server.port, delay=1.5 if server.protocol == "grpc" else 0.2) as proxy:
        await _works(server.plain(hostname="localhost", port=proxy.port, tls=_tls(ca_file=authority.ca)))


@both
async def test_a_wrong_authority(start: Callable[..., Any], authority: Authority, tmp_path: Path) -> None:
    server = start(tls=authority.tls())
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "localhost")
    await _fails(server, hostname="localhost", tls=_tls(ca_file=other.ca))
    await _fails(server, hostname="localhost", tls=_tls())  # the system's
    stats = await server.stats()
    assert stats["started"] == {}
    if server.protocol == "http":
        assert stats["connections"] == 10, "a failed handshake is not tried again"


@both
@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1"])
async def test_a_wrong_host(start: Callable[..., Any], tmp_path: Path, hostname: str) -> None:
    authority = Authority(tmp_path, "elsewhere.example")
    server = start(tls=authority.tls())
    await _fails(server, hostname=hostname, tls=_tls(ca_file=authority.ca))


@both
async def test_a_server_without_tls(server: Any, authority: Authority) -> None:
    await server.faults(PLAIN)
    await _fails(server, tls=_tls(ca_file=authority.ca))
    assert (await server.stats())["started"] == {}


@both
async def test_a_tls_failure_is_told_by_discovery(
    start: Callable[..., Any], authority: Authority, protocol: str
) -> None:
    server = start(tls=authority.tls())
    async with RemoteClient(f"{SCHEMES[protocol]}://localhost:{server.port}") as client:
        async with asyncio.timeout(4):
            for call in (client.model("foo"), client.models(), client.healthy()):
                with pytest.raises(TlsError):
                    await call


async def test_no_server_talks_its_way_to_a_tls_error(wire: WireServer, module: Any) -> None:
    """A TlsError is this end's finding; words of a server that was reached over a good connection are not."""
    from remote_client.errors import RemoteCallError

    with pytest.raises(RemoteCallError) as caught:
        await module.fail(code="UNAVAILABLE", details="the certificate of the backend has expired")
    assert type(caught.value).__name__ == "UnavailableError"


async def test_keys_are_never_shown(
    start_wire: Callable[..., WireServer], authority: Authority, tmp_path: Path
) -> None:
    server = start_wire()
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca, cert_file=authority.cert, key_file=authority.key)
    changes = {"hostname": "localhost", "tls": tls, "options": {"grpc.primary_user_agent": "secret-option"}}
    info, module = server.info(**changes), server.plain(**changes)
    error = await _fails(server, **changes)
    secret = "".join(Path(authority.key).read_text().splitlines()[1:-1])[:40]
    shown = " ".join(map(repr, (info, tls, module, module.config, module._caller.connections, error))) + str(error)
    shown += repr(error.__cause__)
    assert secret not in shown.replace("\n", "")
    assert "secret-option" not in shown
