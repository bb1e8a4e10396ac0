"""A real caikit runtime, and the wire servers, through tinyproxy and squid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.errors import PermissionDeniedError, RemoteCallError, UnauthenticatedError, UnavailableError
from remote_client.settings import ConnectionInfo
from remote_client.sync import RemoteClient as BlockingClient
from tests.conftest import ENGINE
from tests.support.http_wire import HttpWire, http_module
from tests.support.runtime import Runtime
from tests.support.wire import ServerProcess, WireServer, raw_module, settled

from .conftest import Authority
from .forward_proxies import FORWARDS, PASSWORD, Forward

KINDS = ("grpc", "grpcs", "http", "https")


@pytest.fixture(scope="module", params=FORWARDS)
def forward(request: pytest.FixtureRequest) -> Iterator[Forward]:
    with FORWARDS[request.param]() as running:
        yield running


@pytest.fixture(scope="module", params=FORWARDS)
def locked(request: pytest.FixtureRequest) -> Iterator[Forward]:
    with FORWARDS[request.param](locked=True) as running:
        yield running


class Way:
    """A server of a kind, and the modules that reach it through a proxy."""

    def __init__(self, kind: str, authority: Authority) -> None:
        self.is_grpc, self.secure = kind.startswith("grpc"), kind.endswith("s")
        wish = {"tls": authority.files()} if self.secure else {}
        self._ca = authority.ca
        self.server: ServerProcess = (WireServer if self.is_grpc else HttpWire)(**wish)

    def module(self, proxy: str, **changes: Any) -> Any:
        tls = {"enabled": self.secure, "ca_file": self._ca if self.secure else None}
        given: dict[str, Any] = {
            "hostname": "127.0.0.1",
            "port": self.server.port,
            "tls": tls,
            "timeout": 20,
            "retries": 0,
        }
        given |= {"proxy": proxy} | changes
        info = ConnectionInfo(**given)
        return (raw_module if self.is_grpc else http_module)(info)


@pytest.fixture(scope="module", params=KINDS)
def way(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Way]:
    made = Way(request.param, authority)
    with made.server:
        yield made


async def test_calls(way: Way, forward: Forward) -> None:
    async with way.module(forward.url()) as module:
        sent = [b'"%d"' % number for number in range(50)]
        assert await asyncio.gather(*map(module.echo, sent)) == sent
        assert len([each async for each in module.count(n=3)]) == 3
        body = b'"' + b"x" * 2_000_000 + b'"'
        assert await module.echo(body) == body
        if way.is_grpc:
            assert await module.sum([b"1", b"2"]) == b"3"
            assert [each async for each in module.chat([b"a", b"b"])] == [b"a", b"b"]
    assert await _logged(forward, str(way.server.port))


async def _logged(forward: Forward, text: str) -> bool:
    """Whether its log has a text; squid tells of a tunnel when that is closed."""
    return await settled(lambda: text not in forward.log, False) is False


async def test_rotation(way: Way, forward: Forward) -> None:
    async with way.module(forward.url(), max_session_age=0.05) as module:

        async def work() -> None:
            for _ in range(25):
                assert await module.echo(b'"x"') == b'"x"'

        await asyncio.gather(*[work() for _ in range(8)])


async def test_credentials(way: Way, locked: Forward) -> None:
    async with way.module(locked.url(PASSWORD)) as module:
        assert await module.echo(b'"x"') == b'"x"'


@pytest.mark.parametrize("password", ["", "wrong-password"])
async def test_credentials_that_are_missing_or_wrong(way: Way, locked: Forward, password: str) -> None:
    async with way.module(locked.url(password), retries=3) as module:
        with pytest.raises((UnauthenticatedError, PermissionDeniedError)) as caught:  # tinyproxy: 401 and 403, too
            await module.echo(b'"x"')
    assert caught.value.http_status in (401, 403, 407)
    assert caught.value.previous == ()
    assert "wrong-password" not in f"{caught.value} {caught.value!r}"


async def test_a_server_that_is_not_there(way: Way, forward: Forward) -> None:
    async with way.module(forward.url(), port=9) as module:
        with pytest.raises(RemoteCallError) as caught:
            await module.echo(b'"x"')
    if way.is_grpc or way.secure:
        assert type(caught.value) in (UnavailableError, PermissionDeniedError)  # squid does not allow every port
        assert caught.value.outcome_known
        if ENGINE == "asyncio" or not way.is_grpc:
            assert f"the proxy at 127.0.0.1:{forward.port} opens no tunnel" in str(caught.value)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_runtime(runtime: Runtime, forward: Forward, protocol: str) -> None:
    target = runtime.target if protocol == "grpc" else runtime.http_target

    def block() -> str:
        with BlockingClient(target, proxy=forward.url()) as client:
            greeting: str = client.model("foo").run_sample({"name": "World"}).greeting
            return greeting

    async with RemoteClient(target, proxy=forward.url()) as client:
        assert await client.healthy()
        model: Any = await client.model("foo")
        assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
        assert len([each async for each in model.run_sample_stream_out({"name": "World"}, count=3)]) == 3
    assert await asyncio.to_thread(block) == "Hello World"
    assert await _logged(forward, target.rpartition(":")[2])
