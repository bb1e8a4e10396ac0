"""Calls through a forward proxy, by `proxy=` and by the environment, on both protocols, in the clear and over TLS."""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.auth import Credentials, OAuthClientCredentials
from remote_client.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from remote_client.settings import CallOptions
from remote_client.sync import RemoteClient as BlockingClient
from tests.support.forward_proxy import ForwardProxy
from tests.support.http_wire import HttpWire, models

from .ways import (
    CREDENTIALS,
    HOST,
    IN_THE_CLEAR,
    NESTED_TLS,
    PORT,
    SECRET,
    SHOWN,
    TUNNELS,
    Files,
    Way,
)

pytestmark = pytest.mark.own_http("the client's own connections know forward proxies, httpx's transport is the user's")


async def test_all_kinds_of_calls(way: Way, module: Any) -> None:
    assert await module.echo(b'"there"') == b'"there"'
    assert len([each async for each in module.count(n=3)]) == 3
    assert len(await module.big(size=3_000_000)) >= 3_000_000
    calls = 3
    if way.is_grpc:
        assert await module.sum([b"1", b"2"]) == b"3"
        assert [each async for each in module.chat([b"a", b"b"])] == [b"a", b"b"]
    seen = way.proxy.command("stats")
    if way.is_tunnel:
        assert seen["tunnels"] == [f"{HOST}:{PORT}"]
        assert seen["requests"] == []
    else:
        assert seen["tunnels"] == []
        assert [each.split(" ")[1] for each in seen["requests"]] == [
            f"http://{HOST}:{PORT}/{name}" for name in ("echo", "count", "big")
        ]
    assert seen["authorizations"] == [None] * (1 if way.is_tunnel else calls)


async def test_fifty_calls_at_once(way: Way, module: Any) -> None:
    sent = [b'"%d"' % number for number in range(50)]
    assert await asyncio.gather(*map(module.echo, sent)) == sent
    assert len(way.proxy.seen("tunnels")) <= (1 if way.is_grpc else 50)


async def test_large_requests(way: Way, module: Any) -> None:
    body = b'"' + b"x" * 3_000_000 + b'"'
    assert await asyncio.gather(*[module.echo(body)] * 3) == [body] * 3


@TUNNELS
async def test_answers_in_pieces(way: Way, module: Any) -> None:
    await way.proxy.faults(split=True)
    assert await module.echo(b'"x"') == b'"x"'


@pytest.mark.parametrize("process", ["grpc"], indirect=True)  # the others do not speak first
async def test_answers_in_one_with_what_follows(way: Way, module: Any) -> None:
    await way.proxy.faults(joined=True)
    assert await module.echo(b'"x"') == b'"x"'


@TUNNELS
@pytest.mark.only_engine("asyncio", "gRPC takes the first answer for the last one")
async def test_interim_answers(way: Way) -> None:
    await way.proxy.faults(before="HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    async with way.module() as module:
        assert await module.echo(b'"x"') == b'"x"'


# -- credentials ------------------------------------------------------------------------------------------------------


def _everything(error: BaseException) -> str:
    """What somebody may see of an error."""
    shown = ""
    each: BaseException | None = error
    while each is not None:
        shown += f"{each!r} {each} {vars(each)}"
        each = each.__cause__ or each.__context__
    return shown


async def test_credentials(way: Way, start_proxy: Callable[..., ForwardProxy]) -> None:
    proxy = start_proxy(credentials=CREDENTIALS)
    async with way.module(proxy=proxy.url(SHOWN)) as module:
        assert await module.echo(b'"x"') == b'"x"'
        assert await module.echo(b'"x"') == b'"x"'
        assert SECRET not in repr(module)
        assert SHOWN.partition(":")[2] not in repr(module)
    shown = set(proxy.seen("authorizations"))
    assert len(shown) == 1
    assert shown.pop().startswith("Basic ")
    if not way.is_grpc:
        names = {name.lower() for name, _ in (await way.server.stats())["last"]["headers"]}
        assert "proxy-authorization" not in names


@pytest.mark.parametrize("given", ["", "us%20er:wrong-password"])
async def test_credentials_that_are_missing_or_wrong(
    way: Way, start_proxy: Callable[..., ForwardProxy], given: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy, events = start_proxy(credentials=CREDENTIALS), list[Any]()
    calls = CallOptions(timeout=20, hooks=(events.append,))
    async with way.module(proxy=proxy.url(given), retries=3, calls=calls) as module:
        with pytest.raises(UnauthenticatedError) as caught:
            await module.echo(b'"x"')
    error = caught.value
    assert error.http_status == 407
    assert "407" in str(error)
    assert "proxy" in str(error)
    assert error.outcome_known or not way.is_tunnel
    assert error.previous == ()
    assert len(proxy.seen("authorizations")) == 1 or way.dials_again
    for each in (_everything(error), repr(events), caplog.text):
        assert "wrong-password" not in each
        assert "d3Jvbmct" not in each.replace("%", "")
    assert way.server.command("stats")["started"] == {} if way.is_grpc else True


async def test_other_credentials_are_not_renewed_for_a_proxy(
    way: Way, start_proxy: Callable[..., ForwardProxy]
) -> None:
    """Its 407 says nothing about the token of the runtime."""

    class Token(Credentials):
        asked = refusals = 0

        async def __call__(self, fetch: Any) -> dict[str, str]:
            self.asked += 1
            return {"authorization": f"Bearer {self.asked}"}

        def refused(self, metadata: Any) -> None:
            self.refusals += 1

    token, proxy = Token(), start_proxy(credentials=CREDENTIALS)
    calls = CallOptions(timeout=20, metadata=(token,))
    async with way.module(proxy=proxy.url(), calls=calls) as module:
        with pytest.raises(UnauthenticatedError):
            await module.echo(b'"x"')
    assert (token.asked, token.refusals) == (1, 0)


# -- connections ------------------------------------------------------------------------------------------------------


async def test_each_rotated_connection_goes_through_it(way: Way) -> None:
    async with way.module(max_session_age=0) as module:
        for _ in range(3):
            assert await module.echo(b'"x"') == b'"x"'
    assert way.proxy.command("stats")["accepts"] == 3


async def test_rotation_under_load_loses_nothing(way: Way) -> None:
    async with way.module(max_session_age=0.05) as module:

        async def work() -> int:
            for _ in range(60):
                assert await module.echo(b'"x"') == b'"x"'
            return 60

        assert sum(await asyncio.gather(*[work() for _ in range(8)])) == 480
    assert way.proxy.command("stats")["accepts"] > 1


async def test_clients_of_different_ways_share_no_connection(
    way: Way, start_proxy: Callable[..., ForwardProxy]
) -> None:
    other = start_proxy()
    for proxy in (way.proxy.url(), other.url(), way.proxy.url()):
        made: Any = pickle.loads(pickle.dumps(RemoteClient(way.info(proxy=proxy), protocol=_protocol(way))))
        async with made as client:
            await client.models()
    assert way.proxy.command("stats")["accepts"] >= 1
    assert other.command("stats")["accepts"] == 1


def _protocol(way: Way) -> Any:
    return "grpc" if way.is_grpc else "http"


# -- clients ----------------------------------------------------------------------------------------------------------


async def _serve_models(way: Way) -> None:
    if not way.is_grpc:
        await way.server.faults({"GET /info/models": models("foo"), "GET /health": {"body": "OK"}})


def _target(way: Way) -> str:
    return f"{way.kind}://{HOST}:{PORT}"


async def test_discovery_and_health(way: Way, files: Files) -> None:
    await _serve_models(way)
    tls = {"ca_file": files.ca} if way.secure else None
    async with RemoteClient(_target(way), proxy=way.proxy.url(), tls=tls, retries=0) as client:
        assert [each.name for each in await client.models()] == ["foo"]
        assert await client.healthy()
    assert way.ways


async def test_the_blocking_client(way: Way, files: Files) -> None:
    await _serve_models(way)
    tls = {"ca_file": files.ca} if way.secure else None

    def look() -> list[str]:
        with BlockingClient(_target(way), proxy=way.proxy.url(), tls=tls, retries=0) as client:
            assert client.healthy()
            return [each.name for each in client.models()]

    assert await asyncio.to_thread(look) == ["foo"]
    assert way.ways


# -- the environment --------------------------------------------------------------------------------------------------


def _variable(way: Way) -> str:
    return "http_proxy" if way.kind == "http" else "https_proxy"


async def test_the_environment_is_not_asked_by_default(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    name = _variable(way).upper()
    monkeypatch.setenv(name, way.proxy.url(SHOWN))
    async with way.module(proxy=None) as module:
        with pytest.raises(UnavailableError) as caught:
            await module.echo(b'"x"')
    told = f'{name} is set, but proxies of the environment are not used by default: proxy="env"'
    assert told in str(caught.value)
    assert str(caught.value).count(told) == 1
    assert SHOWN not in str(caught.value)
    assert way.ways == 0


async def test_the_environment_is_asked_where_it_shall(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_variable(way), way.proxy.url())
    async with way.module(proxy="env") as module:
        assert await module.echo(b'"x"') == b'"x"'
    assert way.ways == 1


async def test_exceptions_of_the_environment(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_variable(way), way.proxy.url())
    monkeypatch.setenv("no_proxy", f"other.example,.{HOST}")
    async with way.module(proxy="env") as module:
        with pytest.raises(UnavailableError) as caught:
            await module.echo(b'"x"')
    assert re.search("resolving|DNS resolution", str(caught.value))
    assert "is set" not in str(caught.value)
    assert way.ways == 0


@IN_THE_CLEAR
async def test_this_machine_is_no_matter_of_the_environments_proxy(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_variable(way), way.proxy.url())
    async with way.module(proxy="env", hostname="127.0.0.1", port=way.server.port) as module:
        assert await module.echo(b'"x"') == b'"x"'
    assert way.ways == 0


async def test_a_proxy_of_the_environment_that_cannot_be_used(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_variable(way), f"socks5://{SHOWN}@127.0.0.1:1")
    async with way.module(proxy="env") as module:
        with pytest.raises(ConfigurationError, match="socks5:// proxies are not supported") as caught:
            await module.echo(b'"x"')
    assert SHOWN not in _everything(caught.value)


# -- what else is sent ------------------------------------------------------------------------------------------------


async def test_tokens_are_fetched_through_it(way: Way, start_http: Callable[..., HttpWire], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret-of-the-client")
    issuer = start_http()
    await issuer.faults({"POST /token": {"body": {"access_token": "t", "token_type": "bearer", "expires_in": 600}}})
    url = f"http://127.0.0.1:{issuer.port}/token"
    credentials = OAuthClientCredentials(url, "me", tmp_path / "secret")
    async with way.module(calls=CallOptions(timeout=20, metadata=(credentials,))) as module:
        assert await module.echo(b'"x"') == b'"x"'
    seen = way.proxy.command("stats")
    assert not any("/token" in each for each in [*seen["tunnels"], *seen["requests"]])  # it is on this machine


async def test_requests_of_credentials_go_through_it(way: Way, start_http: Callable[..., HttpWire]) -> None:
    issuer = start_http()
    await issuer.faults({"GET /token": {"body": "t"}})

    class Token(Credentials):
        async def __call__(self, fetch: Any) -> dict[str, str]:
            await fetch("http://issuer.example/token")
            return {}

    names = {HOST: ["127.0.0.1", way.server.port], "issuer.example": ["127.0.0.1", issuer.port]}
    with ForwardProxy(names=names) as proxy:
        async with way.module(proxy=proxy.url(), calls=CallOptions(timeout=20, metadata=(Token(),))) as module:
            assert await module.echo(b'"x"') == b'"x"'
        assert "GET http://issuer.example/token HTTP/1.1" in proxy.seen("requests")


# -- uvloop -----------------------------------------------------------------------------------------------------------


@pytest.mark.only_engine("asyncio", "grpcio speaks to proxies without TLS only")
@pytest.mark.parametrize("over_tls", [False, True])
def test_on_uvloop(
    way: Way,
    start_proxy: Callable[..., ForwardProxy],
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    over_tls: bool,
) -> None:
    uvloop = pytest.importorskip("uvloop")
    if over_tls and way.secure and not NESTED_TLS:
        pytest.skip("TLS inside of TLS does not work here")
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)
    proxy = start_proxy(**({"tls": files.proxy} if over_tls else {}))

    async def call() -> None:
        await proxy.faults(joined=way.kind == "grpc")
        async with way.module(proxy=proxy.url(host="localhost"), max_session_age=0) as module:
            sent = [b'"%d"' % number for number in range(20)]
            assert await asyncio.gather(*map(module.echo, sent)) == sent
            assert len([each async for each in module.count(n=3)]) == 3
            await proxy.faults(answer="HTTP/1.1 502 Bad Gateway\r\n\r\n")
            if way.is_tunnel:
                with pytest.raises(UnavailableError):
                    await module.echo(b'"x"')

    uvloop.run(call())
