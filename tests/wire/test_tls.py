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
from tests.support.proxy import Proxy
from tests.support.wire import WireServer, raw_module


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


async def test_the_right_authority(start_wire: Callable[..., WireServer], authority: Authority) -> None:
    server = start_wire(tls=authority.tls())
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
    for hostname in ("localhost", "127.0.0.1"):
        info = server.info(hostname=hostname, tls=tls)
        async with raw_module(info) as module:
            assert await module.echo(b"private") == b"private"
        with wrapped(raw_module(info)) as blocking:
            assert blocking.echo(b"private") == b"private"
    async with RemoteClient(f"grpcs://localhost:{server.port}", tls={"ca_file": authority.ca}) as client:
        assert [each.name for each in await client.models()] == ["foo"]


async def test_a_slow_handshake(start_wire: Callable[..., WireServer], authority: Authority) -> None:
    server = start_wire(tls=authority.tls())
    async with Proxy(server.port, delay=1.5) as proxy:
        tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
        async with raw_module(server.info(hostname="localhost", port=proxy.port, tls=tls)) as module:
            assert await module.echo(b"slow") == b"slow"


async def _fails(module: Any) -> TlsError:
    """The error of a call of each kind: a TlsError, and soon."""
    watch = Stopwatch()
    caught: Any = None
    async with module:
        for call in (module.echo(b""), anext(module.silent()), module.sum([b"1"]), anext(module.chat([b"1"]))):
            with pytest.raises(TlsError) as caught:
                await call
    with wrapped(raw_module(module.config.connection)) as blocking:
        for deed in (lambda: blocking.echo(b""), lambda: next(blocking.silent())):
            with pytest.raises(TlsError) as caught:
                await asyncio.to_thread(deed)
    assert watch.seconds < 6
    error: TlsError = caught.value
    return error


async def test_a_wrong_authority(start_wire: Callable[..., WireServer], authority: Authority, tmp_path: Path) -> None:
    server = start_wire(tls=authority.tls())
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "localhost")
    tls = ConnectionTlsInfo(enabled=True, ca_file=other.ca)
    error = await _fails(raw_module(server.info(hostname="localhost", tls=tls)))
    assert error.code.name == "UNAVAILABLE"


async def test_the_systems_authorities(start_wire: Callable[..., WireServer], authority: Authority) -> None:
    server = start_wire(tls=authority.tls())
    await _fails(raw_module(server.info(hostname="localhost", tls=ConnectionTlsInfo(enabled=True))))


async def test_a_wrong_host(start_wire: Callable[..., WireServer], tmp_path: Path) -> None:
    authority = Authority(tmp_path, "elsewhere.example")
    server = start_wire(tls=authority.tls())
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
    await _fails(raw_module(server.info(hostname="localhost", tls=tls)))


async def test_a_server_without_tls(wire: WireServer, authority: Authority) -> None:
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
    await _fails(raw_module(wire.info(tls=tls)))


async def test_a_tls_failure_is_told_by_discovery(start_wire: Callable[..., WireServer], authority: Authority) -> None:
    server = start_wire(tls=authority.tls())
    async with RemoteClient(f"grpcs://localhost:{server.port}") as client:
        async with asyncio.timeout(4):
            with pytest.raises(TlsError):
                await client.model("foo")
            with pytest.raises(TlsError):
                await client.models()


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
    info = server.info(hostname="localhost", tls=tls, options={"grpc.primary_user_agent": "secret-option"})
    module = raw_module(info)
    error = await _fails(module)
    secret = "".join(Path(authority.key).read_text().splitlines()[1:-1])[:40]
    shown = " ".join(map(repr, (info, tls, module, module.config, module._caller.connections, error))) + str(error)
    shown += repr(error.__cause__)
    assert secret not in shown.replace("\n", "")
    assert "secret-option" not in shown
