"""Targets as people write them, against servers: base paths on every route, zones, and how servers are named."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest

from remote_client import RemoteClient
from remote_client._settings.connection import parse_target
from remote_client._transport.fetch import fetch
from remote_client._transport.http.requests import host_of
from remote_client.errors import RemoteCallError, UnavailableError
from remote_client.hooks import CallEnded
from remote_client.settings import ConnectionInfo, ConnectionTlsInfo
from remote_client.sync import RemoteClient as BlockingClient
from tests.support.forward_proxy import ForwardProxy
from tests.support.gateway import Gateway
from tests.support.http_wire import HttpWire, http_module
from tests.support.strict_h2 import StrictServer
from tests.support.wire import raw_module

from .test_tls import Authority

ENGINES = ["asyncio", "grpcio"]
PREFIXES = ["/team/caikit", "/a%20b/%2Fc", "/caf%C3%A9"]


# -- base paths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_every_route_is_below_the_base_path(http_wire: HttpWire, prefix: str) -> None:
    seen: list[Any] = []
    async with Gateway(http_wire.port, prefix) as gateway, RemoteClient(gateway.target, hooks=[seen.append]) as client:
        assert await client.healthy()
        assert await client.models()
        assert (await client.runtime_info()).runtime_version == "1.2.3"
        model = await client.model("raw")
        assert (await model.run_echo("Grüße")).text == "Grüße"
        assert [each.text async for each in model.run_echo_stream_out("x")] == ["x"] * 3
        assert {each.target for each in gateway.received} == {
            f"{prefix}{route}"
            for route in (
                "/health",
                "/info/models",
                "/info/version",
                "/openapi.json",
                "/api/v1/task/echo",
                "/api/v1/task/server-streaming-echo",
            )
        }
        shown = f"127.0.0.1:{gateway.port}{prefix}"
        assert {each.target for each in seen if isinstance(each, CallEnded)} == {shown}
        assert shown in repr(client)
        assert shown in repr(model)


async def test_errors_show_the_base_path(http_wire: HttpWire) -> None:
    await http_wire.faults({"POST /api/v1/task/echo": {"status": 400, "body": {"details": "no"}}})
    async with Gateway(http_wire.port, "/team") as gateway, RemoteClient(gateway.target) as client:
        model = await client.model("raw")
        with pytest.raises(RemoteCallError) as caught:
            await model.run_echo("x")
        assert caught.value.target == f"127.0.0.1:{gateway.port}/team"
        assert f"{gateway.port}/team" in str(caught.value)


async def test_a_redirect_to_tls_names_the_target_with_its_path(http_wire: HttpWire) -> None:
    moved = {"status": 308, "headers": {"location": "https://gateway.example/team/api/v1/task/echo"}}
    await http_wire.faults({"POST /api/v1/task/echo": moved})
    async with Gateway(http_wire.port, "/team") as gateway, RemoteClient(gateway.target) as client:
        model = await client.model("raw")
        with pytest.raises(RemoteCallError, match=r"use https://gateway\.example/team( |$)"):
            await model.run_echo("x")


async def test_a_query_follows_the_base_path(http_wire: HttpWire) -> None:
    async with Gateway(http_wire.port, "/team") as gateway:
        info = ConnectionInfo(hostname="127.0.0.1", port=gateway.port, base_path="team/", timeout=5)
        async with http_module(info) as module:
            assert await module.echo(b'"x"') == b'"x"'
        (request,) = gateway.received
        assert request.target == "/team/echo"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_transport_of_the_users_gets_the_base_path(http_wire: HttpWire, prefix: str) -> None:
    transport = httpx.AsyncHTTPTransport()
    async with Gateway(http_wire.port, prefix) as gateway, RemoteClient(gateway.target, transport=transport) as client:
        model = await client.model("raw")
        assert (await model.run_echo("x")).text == "x"
        assert [each.text async for each in model.run_echo_stream_out("x")] == ["x"] * 3
        assert {each.target.removeprefix(prefix)[:1] for each in gateway.received} == {"/"}


async def test_the_blocking_client_and_configurations_have_base_paths(http_wire: HttpWire) -> None:
    async with Gateway(http_wire.port, "/team") as gateway:
        connection = {"hostname": "127.0.0.1", "port": gateway.port, "base_path": "/team"}
        config = {"finders": {"x": {"type": "REMOTE", "config": {"connection": connection, "protocol": "http"}}}}

        def call() -> list[str]:
            with BlockingClient(gateway.target) as one, BlockingClient.from_config(config) as other:
                return [client.model("raw").run_echo("x").text for client in (one, other)]

        assert await asyncio.to_thread(call) == ["x", "x"]
        assert all(each.target.startswith("/team/") for each in gateway.received)


async def test_a_model_in_the_base_path(http_wire: HttpWire) -> None:
    async with Gateway(http_wire.port, "/models/raw") as gateway:
        async with RemoteClient(gateway.target.replace("raw", "{}")) as client:
            model = await client.model("raw")
            assert (await model.run_echo("x")).text == "x"
        assert all(each.target.startswith("/models/raw/") for each in gateway.received)


async def test_two_paths_of_a_gateway_are_two_servers(start_http: Callable[..., HttpWire]) -> None:
    first, second = start_http(), start_http()
    async with Gateway(first.port, "/a") as one, Gateway(second.port, "/b") as other:
        targets = [f"HTTP://127.0.0.1:{one.port}/a/", f"http://127.0.0.1:{other.port}//b"]
        async with RemoteClient(targets) as client:
            model = await client.model("raw")
            while not any("echo" in each.target for each in other.received):  # it has its share once it is described
                await asyncio.gather(*(model.run_echo("x") for _ in range(20)))
        assert {each.target for each in one.received if "echo" in each.target} == {"/a/api/v1/task/echo"}
        assert {each.target for each in other.received if "echo" in each.target} == {"/b/api/v1/task/echo"}


@pytest.mark.own_http("a transport has a proxy of its own")
async def test_a_base_path_through_a_forward_proxy(http_wire: HttpWire) -> None:
    async with Gateway(http_wire.port, "/team") as gateway:
        with ForwardProxy(names={"gateway.example": ["127.0.0.1", gateway.port]}) as proxy:
            async with RemoteClient("http://Gateway.Example/team/", proxy=proxy.url()) as client:
                assert await client.healthy()
            assert proxy.seen("requests") == ["GET http://gateway.example/team/health HTTP/1.1"]
        assert [each.target for each in gateway.received] == ["/team/health"]


# -- how servers are named --------------------------------------------------------------------------------------------


async def heads_of(info: ConnectionInfo) -> dict[bytes, bytes]:
    """The head of a gRPC call, as a server gets it; with the connection's port replaced by the server's."""
    host = "::1" if ":" in info.hostname else "127.0.0.1"
    async with StrictServer().at(host) as server, raw_module(info.replace(port=server.port, retries=0)) as module:
        assert await module.echo(b"x") == b"x"
        found = dict(server.requests[0][2].headers)
        return {name: value.replace(b":%d" % server.port, b":PORT") for name, value in found.items()}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("target", ["[::1]:1", "[::1%lo]:1", "[::1%25lo]:1", "[::1%1]:1", "ipv6:[::1%25lo]:1"])
async def test_grpc_names_no_zone(target: str, engine: Any) -> None:
    info, _ = parse_target(target)
    assert (await heads_of(info.replace(engine=engine, timeout=5)))[b":authority"] == b"[::1]:PORT"


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_given_authority_counts_with_a_zone_too(engine: Any) -> None:
    info = ConnectionInfo(
        hostname="::1%lo", port=1, engine=engine, options={"grpc.default_authority": "runtime.example"}
    )
    assert (await heads_of(info))[b":authority"] == b"runtime.example"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("target", ["ipv4:127.0.0.1:1", "dns:///127.0.0.1:1", "dns:127.0.0.1:1", "GRPC://127.0.0.1:1/"])
async def test_names_as_grpc_writes_them(target: str, engine: Any) -> None:
    info, _ = parse_target(target)
    assert (await heads_of(info.replace(engine=engine, timeout=5)))[b":authority"] == b"127.0.0.1:PORT"


@pytest.mark.own_http("httpx resolves names and checks certificates itself")
@pytest.mark.parametrize("host", ["[::1]", "[::1%lo]", "[::1%25lo]", "[::1%1]"])
async def test_http_names_no_zone(start_http: Callable[..., HttpWire], host: str) -> None:
    server = start_http(host="::1")
    async with RemoteClient(f"http://{host}:{server.port}") as client:
        assert await client.healthy()
    assert ["host", f"[::1]:{server.port}"] in (await server.stats())["last"]["headers"]


@pytest.mark.own_http("httpx resolves names and checks certificates itself")
@pytest.mark.parametrize("host", ["[::1%lo]", "[::1%25lo]", "[::1%251]"])
async def test_who_gives_out_credentials_has_a_zone_too(start_http: Callable[..., HttpWire], host: str) -> None:
    server = start_http(host="::1")
    assert await fetch(f"HTTP://{host}:{server.port}/health") == b"OK"
    assert ["host", f"[::1]:{server.port}"] in (await server.stats())["last"]["headers"]


@pytest.mark.parametrize("host", ["fe80::1%eth0", "[fe80::1%25eth0]"])
async def test_a_transport_of_the_users_gets_the_zone(host: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="OK")

    info = ConnectionInfo(hostname=host, port=8080, base_path="/team")
    async with RemoteClient(info, protocol="http", transport=httpx.MockTransport(answer)) as client:
        assert await client.healthy()
    (request,) = seen
    assert (request.url.host, request.url.port, request.url.path) == ("fe80::1%eth0", 8080, "/team/health")
    assert request.headers["host"] == "[fe80::1]:8080"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://Gateway.Example", "gateway.example"),
        ("https://gateway.example:443", "gateway.example"),
        ("http://gateway.example.", "gateway.example"),
        ("http://[::1]/team", "[::1]"),
        ("http://gateway.example:443", "gateway.example:443"),
        ("https://gateway.example:4430", "gateway.example:4430"),
    ],
)
async def test_a_host_header_without_the_schemes_own_port(target: str, host: str) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["host"])
        return httpx.Response(200, text="OK")

    async with RemoteClient(target, transport=httpx.MockTransport(answer)) as client:
        assert await client.healthy()
    assert seen == [host_of(parse_target(target)[0])] == [host]


@pytest.mark.own_http("httpx resolves names and checks certificates itself")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_certificate_names_no_zone(
    start: Callable[..., Any],
    tmp_path: Path,
    protocol: str,
    engine: Any,
) -> None:
    if protocol == "http" and engine == "grpcio":
        pytest.skip("engines are gRPC's")
    authority = Authority(tmp_path, "::1")
    server = start(host="::1", tls=authority.tls())
    tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
    async with server.plain(hostname="[::1%25lo]", tls=tls, engine=engine) as module:
        assert await module.echo(b'"x"') == b'"x"'


@pytest.mark.own_http("httpx resolves names and checks certificates itself")
@pytest.mark.parametrize(("protocol", "engine"), [("grpc", "asyncio"), ("grpc", "grpcio"), ("http", None)])
async def test_a_dot_at_the_end_is_the_resolvers_alone(
    start: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    engine: Any,
) -> None:
    asked = resolve_here(monkeypatch)
    authority = Authority(tmp_path, "runtime.test")
    server = start(tls=authority.tls())
    tls = {"enabled": True, "ca_file": authority.ca}
    async with server.plain(hostname="Runtime.Test.", tls=tls, engine=engine) as module:
        assert await module.echo(b'"x"') == b'"x"'
    assert set(asked) == {"runtime.test."}


def resolve_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let names of .test. be this machine, to Python's resolver and to gRPC's own; which were asked for."""
    asked: list[str] = []
    look_up, secure_channel = socket.getaddrinfo, grpc.aio.secure_channel

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).endswith(".test."):
            asked.append(host)
            host = "127.0.0.1"
        return look_up(host, *args, **kwargs)

    def channel(target: str, *args: Any, **kwargs: Any) -> Any:
        host, _, port = target.removeprefix("dns:///").rpartition(":")
        asked.append(host)
        return secure_channel(f"ipv4:127.0.0.1:{port}", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(grpc.aio, "secure_channel", channel)
    return asked


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_zone_that_is_none(protocol: str) -> None:
    async with RemoteClient(f"{protocol}://[fe80::1%25nowhere0]:1", retries=0, timeout=5) as client:
        with pytest.raises(UnavailableError, match="nowhere0"):
            await client.models()


# -- unix sockets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["plain", "a b", "a%41", "a?b#c", "\u00fcber"])
@pytest.mark.parametrize("kind", ["unix:", "unix://", "UNIX:"])
async def test_paths_of_sockets_are_taken_as_they_are(tmp_path: Path, kind: str, name: str, engine: Any) -> None:
    await call_over_socket(f"unix:{tmp_path}/{name}", f"{kind}{tmp_path}/{name}", tmp_path / name, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["plain", "a%41b"])
async def test_names_of_sockets_are_taken_as_they_are(tmp_path: Path, name: str, engine: Any) -> None:
    name = f"remote-client-{name}-{uuid.uuid4().hex}"
    await call_over_socket(f"unix-abstract:{name}", f"Unix-Abstract:{name}", "\0" + name, engine)


async def call_over_socket(shown: str, target: str, address: str | Path, engine: Any) -> None:
    info, _ = parse_target(target)
    assert info.target == shown
    async with (
        StrictServer().at(str(address)),
        raw_module(info.replace(timeout=5, retries=0, engine=engine)) as module,
    ):
        assert await module.echo(b"near") == b"near"
