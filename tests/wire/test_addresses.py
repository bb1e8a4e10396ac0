"""A name with several addresses: all of them get calls, and one that fails harms none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
import trustme

from remote_client.errors import TlsError
from remote_client.settings import CallOptions, ConnectionTlsInfo, RetryPolicy
from tests.support.wire import WireServer, raw_module

NAME = "many.test"
HOSTS = ("127.0.0.1", "127.0.0.2")
OPTIONS = CallOptions(timeout=5, retry=RetryPolicy(retries=2))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name means all hosts: to Python's resolver, and to gRPC's own by a list of addresses in its place."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NAME:
            return look_up(host, port, *args, **kwargs)
        return [each for address in HOSTS for each in look_up(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for kind in ("insecure_channel", "secure_channel"):
        monkeypatch.setattr(grpc.aio, kind, _resolving(getattr(grpc.aio, kind)))


def _resolving(make: Callable[..., Any]) -> Callable[..., Any]:
    def channel(target: str, *args: Any, options: list[Any], **more: Any) -> Any:
        name, _, port = target.rpartition(":")
        assert name == f"dns:///{NAME}"
        addresses = ",".join(f"{host}:{port}" for host in HOSTS)
        return make(f"ipv4:{addresses}", *args, options=[*options, ("grpc.default_authority", NAME)], **more)

    return channel


async def _load(module: Any, calls: int) -> None:
    for _ in range(calls // 20):
        assert await asyncio.gather(*(module.echo(b"x") for _ in range(20))) == [b"x"] * 20


async def _seen(server: Any) -> int:
    """How many calls it had."""
    count: int = await server.started("Echo", "POST /echo")
    return count


@pytest.mark.own_http("httpx's transport uses the first address that answers")
async def test_all_addresses(start: Callable[..., Any], known: None, protocol: str) -> None:
    first: Any = start(host=HOSTS[0])
    second: Any = start(host=HOSTS[1], port=first.port)
    async with first.plain(hostname=NAME, call_options=OPTIONS) as module:
        await _load(module, 400)
        assert min(await _seen(first), await _seen(second)) >= 100
        second.__exit__()
        await _load(module, 400)
        second.__enter__()
        await asyncio.sleep(1.5)  # more than the largest reconnect backoff
        if protocol == "grpc":
            await _load(module, 400)
            assert await _seen(second) >= 100
    # Over HTTP connections that work are kept, and rotation makes new ones.
    async with first.plain(hostname=NAME, call_options=OPTIONS) as module:
        await _load(module, 400)
        assert await _seen(second) >= 100


async def test_tls_errors_are_still_known(
    start_wire: Callable[..., WireServer], known: None, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("other.test")
    key, cert, ca = (str(tmp_path / name) for name in ("key", "cert", "ca"))
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(cert)
    authority.cert_pem.write_to_path(ca)
    server = start_wire(host=HOSTS[0], tls={"key": key, "cert": cert})
    tls = ConnectionTlsInfo(enabled=True, ca_file=ca)
    monkeypatch.setattr("tests.wire.test_addresses.HOSTS", HOSTS[:1])
    async with raw_module(server.info(hostname=NAME, tls=tls)) as module:
        with pytest.raises(TlsError) as caught:
            await module.echo(b"x")
    assert caught.value.outcome_known
