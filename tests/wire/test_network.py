"""Dead, slow, frozen and restarted servers; names that look like something else."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client._transport.grpc_options import GrpcOptions
from remote_client.errors import RemoteCallError, UnavailableError
from remote_client.settings import ConnectionInfo
from tests.support.clock import Stopwatch
from tests.support.proxy import Proxy
from tests.support.wire import WireServer, raw_module

EAGER = {"grpc.keepalive_time_ms": 1000, "grpc.http2.ping_timeout_ms": 1000}
CALLS: dict[str, list[Callable[[Any], Any]]] = {
    "grpc": [
        lambda module: module.echo(b""),
        lambda module: anext(module.silent()),
        lambda module: module.sum([]),
        lambda module: anext(module.chat([])),
    ],
    "http": [lambda module: module.echo(b"{}"), lambda module: anext(module.count(n=1))],
}


# -- over both protocols ----------------------------------------------------------------------------------------------


async def test_a_connection_that_is_slow_to_be_made(server: Any) -> None:
    delay = 1.5 if server.protocol == "grpc" else 0.2
    async with Proxy(server.port, delay=delay) as proxy:
        async with server.plain(port=proxy.port) as module:
            assert await module.echo(b"slow") == b"slow"
        assert proxy.accepted == 1


@pytest.mark.parametrize(
    ("protocol", "seconds"),
    [("grpc", 3), pytest.param("http", 0.5, marks=pytest.mark.own_http("httpx does not say why"))],
)
async def test_a_refused_connection_is_told_at_once(server: Any, protocol: str, seconds: float) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and does not listen
        port = taken.getsockname()[1]
        async with server.plain(port=port) as module:
            watch = Stopwatch()
            for call in CALLS[protocol]:
                with pytest.raises(UnavailableError) as caught:
                    await call(module)
                assert (caught.value.target, caught.value.model) == (f"127.0.0.1:{port}", "raw")
                assert "refused" in str(caught.value) or "Connect" in str(caught.value)
            assert watch.seconds < seconds
        async with RemoteClient(f"{protocol}://127.0.0.1:{port}") as client:
            with pytest.raises(UnavailableError):
                await client.models()
            assert await client.healthy() is False


@pytest.mark.parametrize("hostname", ["no-such-host.invalid", "a..b", "x" * 70, "_"])
async def test_a_name_that_does_not_exist_is_told(server: Any, protocol: str, hostname: str) -> None:
    async with server.plain(hostname=hostname, timeout=8) as module:
        watch = Stopwatch()
        for call in CALLS[protocol]:
            with pytest.raises(UnavailableError) as caught:
                await call(module)
            assert caught.value.target == f"{hostname}:{server.port}"
        assert watch.seconds < 6


# -- over gRPC --------------------------------------------------------------------------------------------------------


async def test_a_quiet_call_outlives_keepalive(start_wire: Callable[..., WireServer]) -> None:
    server = start_wire(options={"grpc.http2.min_recv_ping_interval_without_data_ms": 500})
    async with raw_module(server.info(options=EAGER)) as module:
        assert await module.sleep(seconds=4) == b"slept"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_frozen_server_is_found(start_wire: Callable[..., WireServer], kind: str) -> None:
    usual = GrpcOptions()
    assert usual.keepalive_time is not None
    faster = {
        "grpc.keepalive_time_ms": usual.keepalive_time * 1000 // 20,
        "grpc.http2.ping_timeout_ms": usual.ping_timeout * 1000 // 20,
    }
    server = start_wire()
    async with raw_module(server.info(timeout=30, options=faster)) as module:
        await module.echo(b"")
        call = asyncio.ensure_future(module.sleep(seconds=3600) if kind == "unary" else anext(module.silent()))
        await server.until_running(1)
        server.signal(signal.SIGSTOP)
        watch = Stopwatch()
        with pytest.raises(UnavailableError):
            await call
        assert watch.seconds < 5


async def test_a_restarted_server_is_found_again_soon(start_wire: Callable[..., WireServer]) -> None:
    first = start_wire()
    async with raw_module(first.info()) as module:
        await module.echo(b"")
        first.__exit__()
        down = time.monotonic()
        while time.monotonic() - down < 6:  # long enough for gRPC's own back-off to grow over the limit below
            with pytest.raises(UnavailableError):
                await module.echo(b"")
            await asyncio.sleep(0.02)
        await asyncio.to_thread(start_wire, port=first.port)
        watch = Stopwatch()
        while True:
            try:
                await module.echo(b"")
                break
            except UnavailableError:
                await asyncio.sleep(0.02)
        assert watch.seconds < 1.8


async def test_a_cut_connection_fails_its_calls_and_the_next_one_works(wire: WireServer) -> None:
    async with Proxy(wire.port) as proxy, raw_module(wire.info(port=proxy.port)) as module:
        calls = [
            asyncio.ensure_future(module.sleep(seconds=3600)),
            asyncio.ensure_future(anext(module.silent())),
            asyncio.ensure_future(module.sum([b"hang"])),
            asyncio.ensure_future(anext(module.chat([b"hang"]))),
        ]
        await wire.until_running(4)
        proxy.cut()
        async with asyncio.timeout(3):
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in results] == [UnavailableError] * 4
        async with asyncio.timeout(3):
            while True:
                try:
                    assert await module.echo(b"again") == b"again"
                    break
                except UnavailableError:
                    await asyncio.sleep(0.02)


ASKED = '{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":5,"initialBackoff":"0.01s",\
"maxBackoff":"0.02s","backoffMultiplier":1,"retryableStatusCodes":["UNAVAILABLE"]}}]}'


@pytest.mark.parametrize("settings", [{}, {"engine": "grpcio", "options": {"grpc.service_config": ASKED}}])
async def test_grpc_retries_nothing_itself(wire: WireServer, settings: dict[str, Any]) -> None:
    """Neither by its default nor where a service configuration would ask for it."""
    async with raw_module(wire.info(**settings)) as module:
        with pytest.raises(UnavailableError):
            await module.fail(code="UNAVAILABLE")
        with pytest.raises(UnavailableError):
            async for _ in module.count(n=0, fail="UNAVAILABLE"):
                pass
    assert (await wire.stats())["started"] == {"Fail": 1, "Count": 1}


@pytest.mark.parametrize("hostname", ["ipv4", "ipv6", "dns", "unix", "xds", "vsock", "google-c2p", "passthrough"])
async def test_a_host_named_like_a_scheme_is_a_host(wire: WireServer, hostname: str) -> None:
    # `ipv4:8085` means something else to gRPC; as a host name it is looked up, and not found.
    async with raw_module(ConnectionInfo(hostname=hostname, port=wire.port, timeout=4)) as module:
        with pytest.raises(RemoteCallError) as caught:
            await module.echo(b"")
    assert f"resolving {hostname}:{wire.port}" in caught.value.details


async def test_a_proxy_of_the_environment_is_not_asked(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Proxy(wire.port) as proxy:
        for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with raw_module(wire.info()) as module:
            assert await module.echo(b"x") == b"x"
        assert proxy.accepted == 0


async def test_a_server_that_speaks_no_http2(wire: WireServer) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    async with raw_module(wire.info(port=server.sockets[0].getsockname()[1], timeout=5)) as module:
        watch = Stopwatch()
        with pytest.raises(UnavailableError):
            await module.echo(b"")
        assert watch.seconds < 4
    server.close()
