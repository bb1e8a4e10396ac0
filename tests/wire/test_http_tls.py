"""TLS over HTTP: what fits works, and what does not is told at once, as what it is."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shutil
import socket
import ssl
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client._transport.net.tls import tls_context
from remote_client.errors import RemoteCallError, RemoteClientError, TlsError, UnavailableError
from remote_client.settings import ConnectionTlsInfo
from tests.support.clock import Stopwatch
from tests.support.http_wire import HttpWire as Wire
from tests.support.http_wire import http_module
from tests.support.proxy import Proxy

from .test_tls import PLAIN, Authority

Start = Callable[..., Wire]
pytestmark = pytest.mark.own_http("the TLS of a transport is set by whoever makes it")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "localhost", "127.0.0.1")


def _tls(**more: Any) -> ConnectionTlsInfo:
    return ConnectionTlsInfo(enabled=True, **more)


async def _works(module: Any) -> None:
    body = b"private" * 100_000
    async with module:
        assert await module.echo(body) == body
        assert len([item async for item in module.count(n=3, size=50_000)]) == 3


async def _fails(module: Any) -> TlsError:
    """The error of a call of each kind: a TlsError, and soon."""
    watch = Stopwatch()
    caught: Any = None
    async with module:
        for call in (module.echo(b"{}"), anext(module.silent()), module.echo(bytes(1_000_000))):
            with pytest.raises(TlsError) as caught:
                await call
    assert watch.seconds < 1
    error: TlsError = caught.value
    assert (error.code.name, error.model) == ("UNAVAILABLE", "raw")
    assert str(error).isprintable()
    return error


@pytest.mark.parametrize("days", [(-20, -10), (10, 20)], ids=["expired", "not yet"])
async def test_a_certificate_out_of_its_time(start_http: Start, tmp_path: Path, days: tuple[int, int]) -> None:
    authority = Authority(tmp_path, "localhost")
    made = trustme.CA()
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (now + datetime.timedelta(days=each) for each in days)
    issued = made.issue_cert("localhost", not_before=begin, not_after=end)
    made.cert_pem.write_to_path(authority.ca)
    issued.private_key_pem.write_to_path(authority.key)
    issued.cert_chain_pems[0].write_to_path(authority.cert)
    server = start_http(tls=authority.tls())
    await _fails(http_module(server.info(hostname="localhost", tls=_tls(ca_file=authority.ca))))


# -- servers without TLS ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", bytes(9)])
async def test_nothing_goes_out_as_plain_text(authority: Authority, http_wire: Wire, said: bytes) -> None:
    """Whatever a server does instead of a handshake."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1 << 16))
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    info = http_wire.info(port=server.sockets[0].getsockname()[1], tls=_tls(ca_file=authority.ca), timeout=5)
    async with http_module(info) as module:
        for call in (module.echo(b"my secret"), anext(module.silent())):
            with pytest.raises(RemoteCallError):
                await call
    server.close()
    assert len(heard) == 2
    assert all(each.startswith(b"\x16\x03") and b"secret" not in each and b"POST" not in each for each in heard)


# -- mutual TLS -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clients(tmp_path: Path) -> list[Authority]:
    """One whose certificates the server takes, and a stranger."""
    made = []
    for name in ("friend", "stranger"):
        (tmp_path / name).mkdir()
        made.append(Authority(tmp_path / name, "client.example"))
    return made


async def test_mutual_tls(start_http: Start, authority: Authority, clients: list[Authority]) -> None:
    friend, stranger = clients
    server = start_http(tls={**authority.tls(), "ca": friend.ca})

    def module(**files: str) -> Any:
        return http_module(server.info(hostname="localhost", tls=_tls(ca_file=authority.ca, **files)))

    await _works(module(cert_file=friend.cert, key_file=friend.key))
    # An asyncio server, as uvicorn is, ends the connection without telling why.
    for files in ({}, {"cert_file": stranger.cert, "key_file": stranger.key}):
        async with module(**files) as refused:
            for call in (refused.echo(b"{}"), anext(refused.silent())):
                with pytest.raises((TlsError, UnavailableError)):
                    await call
    assert (await server.stats())["started"] == {"POST /echo": 1, "POST /count": 1}
    await _works(module(cert_file=friend.cert, key_file=friend.key))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", ["nobody", "stranger"])
async def test_a_server_that_tells_why_it_refuses(
    http_wire: Wire, authority: Authority, clients: list[Authority], version: ssl.TLSVersion, who: str
) -> None:
    """With TLS 1.3 that comes after the client's part of the handshake."""
    friend, stranger = clients
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=friend.ca)
    context.load_cert_chain(authority.cert, authority.key)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, version
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        for _ in range(3):
            connection, _ = listener.accept()
            with connection.dup() as kept:  # closed at once, it would take its last words along
                with contextlib.suppress(OSError):
                    context.wrap_socket(connection, server_side=True)
                while kept.recv(1 << 16):
                    pass

    refusing = asyncio.create_task(asyncio.to_thread(refuse))
    files = {"cert_file": stranger.cert, "key_file": stranger.key} if who == "stranger" else {}
    info = http_wire.info(port=listener.getsockname()[1], tls=_tls(ca_file=authority.ca, **files))
    error = await _fails(http_module(info))
    secret = "".join(Path(stranger.key).read_text().splitlines()[1:-1])[:40]
    assert secret not in "".join(map(repr, (info, error, error.__cause__))) + str(error)
    await refusing
    listener.close()


# -- no verification --------------------------------------------------------------------------------------------------


async def test_insecure_verify_warns_once_and_connects(start_http: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "elsewhere.example")
    server = start_http(tls=authority.tls())
    # The file makes it a setting of its own, which was not used before.
    tls = _tls(insecure_verify=True, ca_file=authority.ca)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for age in (-1, 0):
            await _works(http_module(server.info(hostname="localhost", tls=tls, max_session_age=age)))
    assert [each.category for each in caught] == [UserWarning]
    assert "insecure_verify" in str(caught[0].message)
    # Nobody else is less careful for it.
    await _fails(http_module(server.info(hostname="localhost", tls=_tls(ca_file=authority.ca))))


async def test_insecure_verify_is_no_plain_text(http_wire: Wire, authority: Authority) -> None:
    await http_wire.faults(PLAIN)
    tls = _tls(insecure_verify=True, ca_file=authority.ca)
    with pytest.warns(UserWarning, match="insecure_verify"):
        await _fails(http_module(http_wire.info(tls=tls)))
    assert (await http_wire.stats())["started"] == {}


# -- contexts ---------------------------------------------------------------------------------------------------------


async def test_contexts_are_made_once(
    start_http: Start, http_wire: Wire, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One takes 20 ms, in the event loop."""
    made = 0
    create = ssl.create_default_context

    def counted(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        nonlocal made
        made += 1
        return create(*args, **kwargs)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    server = start_http(tls=authority.tls())
    for _ in range(2):
        info = server.info(hostname="localhost", tls=_tls(ca_file=authority.ca), max_session_age=0)
        async with http_module(info) as module:
            for _ in range(5):
                await module.echo(b"x")
    assert (await server.stats())["connections"] == 10
    assert made == 1
    async with http_module(http_wire.info(max_session_age=0)) as module:
        for _ in range(5):
            await module.echo(b"x")
    assert made == 1, "without TLS there is no use for one"


async def test_changed_files_are_read_again(start_http: Start, authority: Authority, tmp_path: Path) -> None:
    """When a connection is made; an old one goes on."""
    (tmp_path / "newer").mkdir()
    newer = Authority(tmp_path / "newer", "localhost")
    first, second = start_http(tls=authority.tls()), start_http(tls=newer.tls())
    async with Proxy(first.port) as proxy:
        tls = _tls(ca_file=authority.ca)
        info = first.info(hostname="localhost", port=proxy.port, tls=tls, max_session_age=0)
        async with http_module(info) as module:
            await module.echo(b"x")
            proxy._to = second.port
            with pytest.raises(TlsError):
                await module.echo(b"x")
            shutil.copy(newer.ca, authority.ca)
            os.utime(authority.ca, ns=(time.time_ns(), time.time_ns()))
            for _ in range(3):
                assert await module.echo(b"x") == b"x"


@pytest.mark.parametrize("change", ["gone", "garbage", "empty", "a folder"])
async def test_a_file_that_breaks_is_told(start_http: Start, authority: Authority, change: str) -> None:
    """As a typed error; and when the file is back, all is well."""
    server = start_http(tls=authority.tls())
    path = Path(authority.ca)
    good = path.read_bytes()
    info = server.info(hostname="localhost", tls=_tls(ca_file=authority.ca), max_session_age=0)
    async with http_module(info) as module:
        await module.echo(b"x")
        path.unlink()
        if change == "a folder":
            path.mkdir()
        elif change != "gone":
            path.write_bytes(b"garbage" if change == "garbage" else b"")
        for call in (lambda: module.echo(b"x"), lambda: anext(module.count(n=1))):
            with pytest.raises(RemoteClientError, match=r"ca\.pem"):
                await call()
        if change == "a folder":
            path.rmdir()
        path.write_bytes(good)
        assert await module.echo(b"x") == b"x"


def test_plain_http_needs_no_context() -> None:
    assert tls_context(ConnectionTlsInfo()) is None
