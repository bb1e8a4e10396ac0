"""Forward proxies that open no tunnel, break one, or have wrong certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._transport.net.addresses import Address, resolve
from remote_client.errors import (
    ConfigurationError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    TlsError,
    UnavailableError,
)
from tests.support.forward_proxy import ForwardProxy
from tests.support.wire import open_files, settled

from .ways import (
    CREDENTIALS,
    HOST,
    NESTED_TLS,
    OVER_TLS,
    PORT,
    SHOWN,
    TUNNELS,
    Files,
    Way,
)

pytestmark = pytest.mark.own_http("the client's own connections know forward proxies, httpx's transport is the user's")


def _answer(status: int) -> str:
    return f"HTTP/1.1 {status} Said so\r\ncontent-length: 0\r\n\r\n"


ENDINGS: list[tuple[dict[str, Any], type[RemoteCallError]]] = [
    ({"answer": _answer(403)}, PermissionDeniedError),
    ({"answer": _answer(429)}, ResourceExhaustedError),
    ({"answer": _answer(500)}, UnavailableError),
    ({"answer": _answer(502)}, UnavailableError),
    ({"answer": _answer(503)}, UnavailableError),
    ({"answer": _answer(504)}, UnavailableError),
    ({"answer": "", "then": "close"}, UnavailableError),
    ({"answer": "", "then": "reset"}, UnavailableError),
    ({"answer": "HTTP/1.1 20", "then": "close"}, UnavailableError),
    ({"answer": "SSH-2.0-x\r\n", "then": "hold"}, UnavailableError),
    ({"answer": "\x15\x03\x01\x00\x02\x02\x46", "then": "hold"}, UnavailableError),
    ({"answer": "HTTP/1.1 200 " + "x" * 20_000, "then": "hold"}, UnavailableError),
]


@TUNNELS
@pytest.mark.parametrize(("fault", "kind"), ENDINGS)
async def test_a_proxy_that_opens_no_tunnel(
    way: Way, fault: dict[str, Any], kind: type[RemoteCallError], caplog: pytest.LogCaptureFixture
) -> None:
    await way.proxy.faults(fault)
    async with way.module() as module:
        with pytest.raises(kind) as caught:
            await module.echo(b'"x"')
        assert type(caught.value) is kind
        assert caught.value.outcome_known
        assert caught.value.target == f"{HOST}:{PORT}"
        if not way.dials_again:
            assert f"the proxy at 127.0.0.1:{way.proxy.port}" in str(caught.value)
    await way.proxy.faults(answer=None)
    async with way.module() as module:
        assert await module.echo(b'"x"') == b'"x"'
    assert [each for each in caplog.records if each.name == "asyncio"] == []


@TUNNELS
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_calls_are_made_again_where_no_tunnel_was_opened(way: Way, status: int) -> None:
    await way.proxy.faults(answer=[_answer(status)])
    async with way.module(retries=8) as module:  # a failed connection is not tried again at once
        assert await module.echo(b'"x"') == b'"x"'
    assert way.ways == 2 or way.dials_again


@TUNNELS
async def test_a_refusal_is_final(way: Way) -> None:
    await way.proxy.faults(answer=_answer(403))
    async with way.module(retries=3) as module:
        with pytest.raises(PermissionDeniedError) as caught:
            await module.echo(b'"x"')
    assert caught.value.previous == ()
    assert way.ways == 1 or way.dials_again


@TUNNELS
async def test_a_tunnel_that_ends_at_once(way: Way) -> None:
    await way.proxy.faults(answer="HTTP/1.1 200 OK\r\n\r\n")
    async with way.module() as module:
        with pytest.raises(UnavailableError) as caught:
            await module.echo(b'"x"')
    assert caught.value.outcome_known
    await way.proxy.faults(answer=["HTTP/1.1 200 OK\r\n\r\n"])
    async with way.module(retries=8) as module:
        assert await module.echo(b'"x"') == b'"x"'


@TUNNELS
async def test_the_limit_of_connecting_holds_for_the_proxy(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remote_client._transport.http.pool.CONNECT_TIMEOUT", 0.5)
    await way.proxy.faults(answer="")
    options = {"grpc.min_reconnect_backoff_ms": 500} if way.is_grpc else {}
    async with way.module(options=options, timeout=30) as module:
        with pytest.raises(UnavailableError) as caught:
            await module.echo(b'"x"')
    assert caught.value.outcome_known
    if not way.dials_again:
        told = f"failed to connect through the proxy at 127.0.0.1:{way.proxy.port}: it took too long"
        assert told in str(caught.value)


@pytest.mark.sampled(1)
@TUNNELS
@pytest.mark.only_engine("asyncio", "gRPC resolves names itself")
async def test_a_slow_proxy_whose_addresses_come_in_another_order_each_time(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the same ones: a tunnel that is being opened is not given up for them."""
    found = [await resolve(each, way.proxy.port) for each in ("127.0.0.1", "127.0.0.2")]

    async def rotating(host: str, port: int) -> list[Address]:
        found.reverse()
        return [address for each in found for address in each]

    monkeypatch.setattr(f"remote_client._transport.{'grpc.channel' if way.is_grpc else 'http.pool'}.resolve", rotating)
    await way.proxy.faults(delay=2.5)
    async with way.module() as module:
        assert await module.echo(b'"x"') == b'"x"'
    assert way.ways == 1


@TUNNELS
@pytest.mark.only_engine("asyncio", "gRPC gives up a connection that is being made with its time limit alone")
async def test_a_call_that_is_given_up_while_the_proxy_is_silent(way: Way) -> None:
    await way.proxy.faults(answer="")
    async with way.module() as module:
        call = asyncio.ensure_future(module.echo(b'"x"'))
        while not way.ways:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await asyncio.to_thread(_still_open, way) == 0


def _still_open(way: Way) -> int:
    return asyncio.run(settled(lambda: way.proxy.command("stats")["open"], 0))


@pytest.mark.sampled(6)
@TUNNELS
@pytest.mark.only_engine("asyncio", "gRPC closes its sockets in threads of its own")
@pytest.mark.parametrize(
    "fault",
    [
        {"answer": _answer(403)},
        {"answer": ""},
        {"answer": "no HTTP", "then": "hold"},
        {"answer": "HTTP/1.1 200 OK\r\n\r\n", "then": "hold"},
        {"answer": "HTTP/1.1 200 OK\r\n\r\nand more", "then": "hold"},
    ],
)
async def test_tunnels_that_fail_leave_no_socket_open(
    way: Way, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await way.proxy.faults(fault)
    before = open_files()
    for _ in range(5):
        async with way.module(timeout=0.3) as module:
            for each in await asyncio.gather(*[module.echo(b'"x"') for _ in range(3)], return_exceptions=True):
                assert isinstance(each, RemoteCallError)
    assert open_files() <= before
    assert [each for each in caplog.records if each.name == "asyncio"] == []


async def test_a_proxy_that_is_not_there(way: Way, deaf: int) -> None:
    for url in ("http://127.0.0.1:9", "http://nowhere.invalid:1"):
        async with way.module(proxy=url) as module:
            with pytest.raises(UnavailableError) as caught:
                await module.echo(b'"x"')
        assert caught.value.outcome_known
        if not way.dials_again:
            assert f"failed to connect through the proxy at {url.removeprefix('http://')}" in str(caught.value)


async def test_a_tunnel_that_breaks(way: Way, module: Any) -> None:
    assert await module.echo(b'"x"') == b'"x"'
    await way.proxy.faults(cut=True)
    assert await module.with_options(retries=5).echo(b'"y"') == b'"y"'


async def test_a_tunnel_that_breaks_under_calls(way: Way, module: Any) -> None:
    slow = [asyncio.ensure_future(module.sleep(seconds=30)) for _ in range(3)]
    await way.server.until_running(3)
    await way.proxy.faults(cut=True)
    for each in await asyncio.gather(*slow, return_exceptions=True):
        assert isinstance(each, UnavailableError)
        assert not each.outcome_known


# -- TLS --------------------------------------------------------------------------------------------------------------


@OVER_TLS
async def test_the_servers_certificate_is_verified(way: Way) -> None:
    """Its name, and not the proxy's."""
    with ForwardProxy(names={"other.example": ["127.0.0.1", way.server.port]}) as proxy:
        async with way.module(proxy=proxy.url(), hostname="other.example", retries=3) as module:
            with pytest.raises(TlsError):
                await module.echo(b'"x"')
        assert len(proxy.seen("tunnels")) == 1 or way.dials_again
    own = way.module(tls={"enabled": True})  # by whom the system trusts
    async with own:
        with pytest.raises(TlsError):
            await own.echo(b'"x"')


@pytest.mark.only_engine("asyncio", "grpcio speaks to proxies without TLS only")
async def test_a_proxy_of_tls(
    way: Way,
    start_proxy: Callable[..., ForwardProxy],
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy = start_proxy(tls=files.proxy, credentials=CREDENTIALS)
    url = proxy.url(SHOWN, host="localhost")
    async with way.module(proxy=url, retries=3) as module:
        wanted = ConfigurationError if way.secure and not NESTED_TLS else TlsError
        with pytest.raises(wanted) as caught:
            await module.echo(b'"x"')
        assert f"localhost:{proxy.port}" in str(caught.value)
    assert proxy.seen("authorizations") == []
    if wanted is ConfigurationError:
        return
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)
    async with way.module(proxy=url, max_session_age=0) as module:
        sent = [b'"%d"' % number for number in range(20)]
        assert await asyncio.gather(*map(module.echo, sent)) == sent
        assert len([each async for each in module.count(n=3)]) == 3
        body = b'"' + b"x" * 3_000_000 + b'"'
        assert await module.echo(body) == body
        await proxy.faults(cut=True)
        assert await module.with_options(retries=5).echo(b'"y"') == b'"y"'
    assert [each for each in caplog.records if each.name == "asyncio"] == []


@pytest.mark.only_engine("asyncio", "grpcio speaks to proxies without TLS only")
async def test_a_proxy_of_tls_that_is_spoken_to_in_the_clear(
    way: Way, start_proxy: Callable[..., ForwardProxy], files: Files
) -> None:
    proxy = start_proxy(tls=files.proxy)
    async with way.module(proxy=f"http://localhost:{proxy.port}") as module:
        with pytest.raises(RemoteCallError) as caught:
            await module.echo(b'"x"')
    if way.is_tunnel:
        assert f"the proxy at localhost:{proxy.port} " in str(caught.value)


@pytest.mark.only_engine("asyncio", "grpcio speaks to proxies without TLS only")
async def test_a_proxy_without_tls_that_is_spoken_to_over_tls(way: Way) -> None:
    if way.secure and not NESTED_TLS:
        pytest.skip("TLS inside of TLS does not work here")
    async with way.module(proxy=way.proxy.url().replace("http:", "https:")) as module:
        with pytest.raises(RemoteCallError) as caught:
            await module.echo(b'"x"')
    assert f"the proxy at 127.0.0.1:{way.proxy.port} " in str(caught.value)
