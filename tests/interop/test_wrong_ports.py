"""Ports of real servers and proxies that speak another protocol than the target says, and streams without framing."""

from __future__ import annotations

import asyncio

import pytest

from remote_client._client.client import RemoteClient
from remote_client.errors import RemoteCallError, StreamTruncatedError, TlsError, UnavailableError
from remote_client.settings import ConnectionInfo, ConnectionTlsInfo
from remote_client.sync import RemoteClient as BlockingClient
from remote_client.sync._modules import wrapped
from tests.support.http_wire import http_module
from tests.support.proxy import Proxy as Relay
from tests.support.runtime import Runtime

from ..conftest import ENGINE
from .conftest import Authority
from .methods import interop_module
from .peers import Peers
from .proxies import PROXIES, Nginx
from .ways import through

RETRIES = 2
HTTP1 = "the server speaks HTTP/1.1, not HTTP/2 (gRPC): try http://{}"
HTTP2 = "the server speaks HTTP/2 (gRPC), not HTTP/1.1: try grpc://{}"
NO_TLS = "the server does not speak TLS: try {}"
MAY_BE_PLAIN = "it may speak no TLS (try {})"


async def told(
    scheme: str, port: int, authority: Authority, blocking: bool = False
) -> tuple[RemoteCallError, str, int]:
    """The error of one call, its text with `PORT` for the target, and the connections that were made for it."""
    secure = scheme.endswith("s")
    async with Relay(port) as relay:
        info = ConnectionInfo(
            hostname="127.0.0.1",
            port=relay.port,
            tls=ConnectionTlsInfo(enabled=secure, ca_file=authority.ca if secure else None),
            timeout=15,
            retries=RETRIES,
            retry_options={"initialBackoff": "0.01s"},
        )
        module = (http_module if scheme.startswith("http") else interop_module)(info)
        with pytest.raises(RemoteCallError) as caught:
            if blocking:
                with wrapped(module) as made:
                    await asyncio.to_thread(made.echo, b"x")
            else:
                async with module:
                    await module.echo(b"x")
        return caught.value, str(caught.value).replace(f"127.0.0.1:{relay.port}", "PORT"), relay.accepted


def check(
    found: tuple[RemoteCallError, str, int], kind: type[RemoteCallError], words: str, *, once: bool = True
) -> None:
    error, text, accepted = found
    assert type(error) is kind
    assert words in text
    if once:
        assert (error.previous, error.outcome_known, accepted) == ((), True, 1)
    else:
        assert len(error.previous) == RETRIES


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("scheme", ["http", "https", "grpcs"])
@pytest.mark.parametrize("name", ["asyncio", "blocking", "strict"])
async def test_a_grpc_server(peers: Peers, authority: Authority, name: str, scheme: str, blocking: bool) -> None:
    found = await told(scheme, peers.server(name).port, authority, blocking)
    if scheme == "http":
        check(found, UnavailableError, HTTP2.format("PORT"))
    else:
        check(found, TlsError, NO_TLS.format(f"{scheme[:-1]}://PORT"))


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("scheme", ["grpc", "https", "grpcs"])
@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
async def test_an_http_server(peers: Peers, authority: Authority, name: str, scheme: str, blocking: bool) -> None:
    if (name, scheme) == ("hypercorn", "grpc"):
        pytest.skip("hypercorn speaks HTTP/2 in the clear, too")
    found = await told(scheme, peers.server(name).port, authority, blocking)
    if scheme == "grpc":
        check(found, UnavailableError, HTTP1.format("PORT"))
    else:
        check(found, TlsError, NO_TLS.format(f"{scheme[:-1]}://PORT"))


# -- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
@pytest.mark.parametrize("port", ["grpc", "http"])
@pytest.mark.parametrize("name", PROXIES)
async def test_tls_at_a_plain_port(peers: Peers, authority: Authority, name: str, port: str, scheme: str) -> None:
    found = await told(scheme, peers.proxy(name).ports[port], authority)
    if port == "grpc" and name in ("envoy", "haproxy"):  # which close the connection: it may be a restart
        check(found, UnavailableError, MAY_BE_PLAIN.format(f"{scheme[:-1]}://PORT"), once=False)
    else:
        check(found, TlsError, NO_TLS.format(f"{scheme[:-1]}://PORT"))


@pytest.mark.parametrize("port", ["grpcs", "https"])
@pytest.mark.parametrize("name", PROXIES)
async def test_http_at_a_port_with_tls(peers: Peers, authority: Authority, name: str, port: str) -> None:
    found = await told("http", peers.proxy(name).ports[port], authority)
    if name == "nginx":
        check(found, UnavailableError, "the server speaks TLS: try https://PORT")
    else:
        check(found, UnavailableError, "it may speak TLS (try https://PORT) or gRPC (try grpc://PORT)", once=False)


@pytest.mark.parametrize("port", ["grpcs", "https"])
@pytest.mark.parametrize("name", PROXIES)
async def test_grpc_at_a_port_with_tls(peers: Peers, authority: Authority, name: str, port: str) -> None:
    found = await told("grpc", peers.proxy(name).ports[port], authority)
    if name == "nginx":
        check(found, UnavailableError, f"{HTTP1.format('PORT')}, or grpcs://PORT if the port is one for TLS")
    elif name == "envoy" and ENGINE == "asyncio":  # gRPC's library does not tell of the alert
        check(found, UnavailableError, "the server speaks TLS: try grpcs://PORT")
    elif name != "envoy":
        check(found, UnavailableError, "it may speak TLS (try grpcs://PORT)", once=False)


@pytest.mark.parametrize("name", ["envoy", "nginx", "haproxy"])
async def test_http_at_a_port_for_grpc(peers: Peers, authority: Authority, name: str) -> None:
    found = await told("http", peers.proxy(name).ports["grpc"], authority)
    if name == "nginx":
        check(found, UnavailableError, HTTP2.format("PORT"))
    else:
        check(found, UnavailableError, "or gRPC (try grpc://PORT)", once=False)


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("name", ["envoy", "nginx", "haproxy"])
async def test_grpc_at_a_port_with_tls_for_http(peers: Peers, authority: Authority, name: str, blocking: bool) -> None:
    """Nobody agrees to HTTP/2 there."""
    found = await told("grpcs", peers.proxy(name).ports["https"], authority, blocking)
    check(found, TlsError, "offer h2 by ALPN, or try https://PORT if it serves HTTP")


# -- a real runtime ---------------------------------------------------------------------------------------------------


async def test_the_ports_of_a_runtime(runtime: Runtime) -> None:
    for scheme, port, kind, words in (
        ("http", runtime.port, UnavailableError, HTTP2),
        ("grpc", runtime.http_port, UnavailableError, HTTP1),
        ("https", runtime.port, TlsError, NO_TLS.format("http://{}")),
        ("grpcs", runtime.port, TlsError, NO_TLS.format("grpc://{}")),
        ("https", runtime.http_port, TlsError, NO_TLS.format("http://{}")),
        ("grpcs", runtime.http_port, TlsError, NO_TLS.format("grpc://{}")),
    ):
        server = f"127.0.0.1:{port}"
        async with RemoteClient(f"{scheme}://{server}") as client:
            for call in (client.model("foo"), client.models(), client.healthy(), client.runtime_info()):
                with pytest.raises(kind) as caught:
                    await call
                assert words.format(server) in str(caught.value)
        with BlockingClient(f"{scheme}://{server}") as blocking:
            with pytest.raises(kind) as caught:
                await asyncio.to_thread(blocking.model, "foo")
            assert words.format(server) in str(caught.value)


# -- streams without framing ------------------------------------------------------------------------------------------


async def test_nginx_without_chunked_encoding(peers: Peers) -> None:
    """All items come; whether they are all cannot be known. One answer has its length."""
    with through(peers, Nginx, "http", http="proxy_buffering off; chunked_transfer_encoding off;") as (way, _):
        async with way.module() as module:
            assert await module.echo(b"x" * 100_000) == b"x" * 100_000
            items = []
            with pytest.raises(StreamTruncatedError, match=r"no framing.*chunked_transfer_encoding"):
                async for each in module.count(n=3):
                    items.append(each)
            assert len(items) == 3

        def read() -> int:
            count = 0
            with wrapped(way.module()) as blocking, pytest.raises(StreamTruncatedError, match="no framing"):
                for _ in blocking.count(n=3):
                    count += 1
            return count

        assert await asyncio.to_thread(read) == 3
