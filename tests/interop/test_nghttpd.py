"""A server that speaks HTTP/2 and no gRPC: nghttp2's own."""

from __future__ import annotations

import asyncio

import pytest

from remote_client.errors import InvalidResponseError, NotFoundError, RemoteCallError
from remote_client.settings import ConnectionTlsInfo

from .conftest import Authority
from .methods import interop_module
from .nghttpd import Nghttpd

GRPC_ECHO = ("--echo-upload", "--trailer", "grpc-status: 0", "--no-content-length")
"""What makes of it as much of a gRPC server as it can be: it sends back what it gets, and a status behind it."""


async def test_a_status_of_http_is_its_class() -> None:
    with Nghttpd() as server:
        async with interop_module(server.info()) as module:
            for _ in range(3):
                with pytest.raises(NotFoundError) as caught:
                    await module.echo(b"x")
                assert caught.value.http_status == 404
            with pytest.raises(NotFoundError):
                await module.sum([b"1", b"2"])
            with pytest.raises(NotFoundError):
                await anext(module.count(n=1))


async def test_an_answer_that_is_no_grpc() -> None:
    """A page with status 200: its words are told, not taken for a message."""
    with Nghttpd(files={"test.Test/Echo": b"<html>welcome</html>"}) as server:
        async with interop_module(server.info()) as module:
            with pytest.raises(InvalidResponseError) as caught:
                await module.echo(b"x")
    assert "200" in caught.value.details
    assert "welcome" in caught.value.details


@pytest.mark.parametrize("padding", [(), ("--padding=255",)], ids=["plain", "padded"])
async def test_what_it_sends_back(padding: tuple[str, ...]) -> None:
    """It names no content type, so that is no answer of gRPC's, however long it is and whatever follows."""
    with Nghttpd(*GRPC_ECHO, *padding) as server:
        async with interop_module(server.info()) as module:
            for body in (b"", b"x", bytes(200_000)):
                with pytest.raises(InvalidResponseError):
                    await module.echo(body)


async def test_few_streams_at_once() -> None:
    """Calls above its limit wait their turn: none is refused, all get its answer."""
    with Nghttpd("--max-concurrent-streams=3") as server:
        async with interop_module(server.info()) as module:
            answers = await asyncio.gather(*(module.echo(bytes(20_000)) for _ in range(60)), return_exceptions=True)
    assert len({type(each) for each in answers}) == 1
    assert all("404" in str(each) for each in answers), answers[0]


async def test_tls_with_alpn(authority: Authority) -> None:
    with Nghttpd(tls=authority.files()) as server:
        tls = ConnectionTlsInfo(enabled=True, ca_file=authority.ca)
        async with interop_module(server.info(hostname="localhost", tls=tls)) as module:
            with pytest.raises(RemoteCallError) as caught:
                await module.echo(b"x")
    assert "404" in caught.value.details
