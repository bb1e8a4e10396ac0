"""TLS with ALPN through every proxy, over both protocols, and servers that have no HTTP/2 to offer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from remote_client.errors import TlsError
from remote_client.settings import ConnectionTlsInfo
from tests.support.http_wire import HttpWire, http_module

from .conftest import Authority
from .methods import interop_module
from .peers import Peers
from .proxies import PROXIES


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("name", PROXIES)
async def test_grpc_over_tls(peers: Peers, authority: Authority, name: str, hostname: str) -> None:
    proxy = peers.proxy(name)
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
    info = proxy.server.info(hostname=hostname, port=proxy.ports["grpcs"], tls=tls, max_session_age=0.2)
    async with interop_module(info) as module:
        for _ in range(3):
            assert await module.echo(bytes(1_000_000)) == bytes(1_000_000)
            assert [item async for item in module.count(n=3)] == [b"0", b"1", b"2"]
            assert await module.sum([b"1", b"2", b"3"]) == b"6"
            assert [item async for item in module.chat([b"a", b"b"])] == [b"a", b"b"]
            assert await asyncio.gather(*(module.echo(b"%d" % n) for n in range(50))) == [b"%d" % n for n in range(50)]
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", PROXIES)
async def test_http_over_tls(peers: Peers, authority: Authority, name: str) -> None:
    proxy = peers.proxy(name)
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
    async with http_module(proxy.web.info(hostname="localhost", port=proxy.ports["https"], tls=tls)) as module:
        for _ in range(3):
            assert await module.echo(bytes(300_000)) == bytes(300_000)
            assert len([item async for item in module.count(count=3)]) == 3


@pytest.mark.parametrize("name", ["envoy", "nginx", "haproxy"])
async def test_a_proxy_that_offers_http_1_only(peers: Peers, authority: Authority, name: str) -> None:
    proxy = peers.proxy(name)
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
    async with interop_module(proxy.server.info(hostname="localhost", port=proxy.ports["https"], tls=tls)) as module:
        async with asyncio.timeout(5):
            with pytest.raises(TlsError):
                await module.echo(b"x")
            with pytest.raises(TlsError):
                await anext(module.silent())


async def test_a_server_that_offers_http_1_only(authority: Authority) -> None:
    with HttpWire(tls=authority.files()) as server:
        tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
        async with interop_module(server.info(hostname="localhost", tls=tls)) as module:
            async with asyncio.timeout(5):
                with pytest.raises(TlsError):
                    await module.echo(b"x")


@asynccontextmanager
async def _server_without_alpn(authority: Authority) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.cert, authority.key)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_server_without_alpn(peers: Peers, authority: Authority) -> None:
    async with _server_without_alpn(authority) as port:
        tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
        info = peers.server("asyncio").info(hostname="localhost", port=port, tls=tls)
        async with interop_module(info) as module, asyncio.timeout(5):
            with pytest.raises(TlsError):
                await module.echo(b"x")


@pytest.mark.parametrize("name", PROXIES)
async def test_an_authority_that_is_not_trusted(peers: Peers, name: str) -> None:
    proxy = peers.proxy(name)
    tls = ConnectionTlsInfo(enabled=True)
    async with interop_module(proxy.server.info(hostname="localhost", port=proxy.ports["grpcs"], tls=tls)) as module:
        with pytest.raises(TlsError):
            await module.echo(b"x")
