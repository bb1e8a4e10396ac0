"""Calls through a forward proxy, by `proxy=` and by the environment, on both protocols, in the clear and over TLS.

The server's name, `runtime.example`, is known to the proxy alone.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from remote_client import RemoteClient
from remote_client.auth import Credentials, OAuthClientCredentials
from remote_client.errors import (
    ConfigurationError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
)
from remote_client.settings import CallOptions, ConnectionInfo
from remote_client.sync import RemoteClient as BlockingClient
from tests.conftest import ENGINE
from tests.support.forward_proxy import ForwardProxy
from tests.support.http_wire import HttpWire, http_module, models
from tests.support.wire import ServerProcess, WireServer, raw_module, settled

KINDS = ("grpc", "grpcs", "http", "https")
TUNNELS = pytest.mark.parametrize("process", ["grpc", "grpcs", "https"], indirect=True)
"""Over plain HTTP the proxy passes requests on: what it answers and what the server answers look alike."""
OVER_TLS = pytest.mark.parametrize("process", ["grpcs", "https"], indirect=True)
IN_THE_CLEAR = pytest.mark.parametrize("process", ["grpc", "http"], indirect=True)
HOST, PORT = "runtime.example", 8085
SECRET = "s3cret of/the:proxy"
CREDENTIALS = f"us er:{SECRET}"
SHOWN = "us%20er:s3cret%20of%2Fthe%3Aproxy"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy")
NESTED_TLS = sys.version_info >= (3, 12, 2) or (3, 11, 8) <= sys.version_info < (3, 12)


class Way:
    """A server that can be reached through a proxy alone.

    Attributes:
        kind: one of `KINDS`.
    """

    def __init__(self, kind: str, server: ServerProcess, proxy: ForwardProxy, ca: str) -> None:
        self.kind, self.server, self.proxy, self._ca = kind, server, proxy, ca
        self.is_grpc, self.secure = kind.startswith("grpc"), kind.endswith("s")

    @property
    def is_tunnel(self) -> bool:
        return self.kind != "http"

    def info(self, **changes: Any) -> ConnectionInfo:
        tls = {"enabled": self.secure, "ca_file": self._ca if self.secure else None}
        given: dict[str, Any] = {
            "hostname": HOST,
            "port": PORT,
            "tls": tls,
            "timeout": 20,
            "retries": 0,
            "proxy": self.proxy.url(),
        }
        return ConnectionInfo(**given | changes)

    def module(self, calls: CallOptions | None = None, **changes: Any) -> Any:
        return (raw_module if self.is_grpc else http_module)(self.info(**changes), options=calls)

    @property
    def ways(self) -> int:
        """How often the proxy was asked for something."""
        return len(self.proxy.seen("tunnels" if self.is_tunnel else "requests"))


class Files:
    """Certificates of the server and of the proxy."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        self.server = self._issue(authority, folder / "server", HOST)
        self.proxy = self._issue(authority, folder / "proxy", "localhost")

    @staticmethod
    def _issue(authority: trustme.CA, path: Path, name: str) -> dict[str, str]:
        issued = authority.issue_cert(name)
        key, cert = f"{path}.key", f"{path}.pem"
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(cert)
        return {"key": key, "cert": cert}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=KINDS)
def process(request: pytest.FixtureRequest, files: Files) -> Iterator[Way]:
    kind: str = request.param
    wish = {"tls": files.server} if kind.endswith("s") else {}
    with (WireServer if kind.startswith("grpc") else HttpWire)(**wish) as server:
        with ForwardProxy(names={HOST: ["127.0.0.1", server.port]}) as proxy:
            yield Way(kind, server, proxy, files.ca)


@pytest.fixture
def way(process: Way, monkeypatch: pytest.MonkeyPatch) -> Way:
    """The way to a server of each kind, with no faults on and nothing counted, and an environment without proxies."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    process.server.command("reset")
    process.proxy.command("reset")
    return process


@pytest.fixture
def start_proxy(way: Way) -> Iterator[Callable[..., ForwardProxy]]:
    """Starts other proxies to the same server."""
    started: list[ForwardProxy] = []

    def start(**wish: Any) -> ForwardProxy:
        proxy = ForwardProxy(names={HOST: ["127.0.0.1", way.server.port]}, **wish).__enter__()
        started.append(proxy)
        return proxy

    yield start
    for each in started:
        each.__exit__()


@pytest_asyncio.fixture
async def module(way: Way) -> AsyncIterator[Any]:
    async with way.module() as made:
        yield made


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
    assert len(proxy.seen("authorizations")) == 1  # never tried again
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


# -- failures ---------------------------------------------------------------------------------------------------------


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
        if ENGINE == "asyncio" or not way.is_grpc:
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
    assert way.ways == 2 or (ENGINE == "grpcio" and way.ways > 2)


@TUNNELS
async def test_a_refusal_is_final(way: Way) -> None:
    await way.proxy.faults(answer=_answer(403))
    async with way.module(retries=3) as module:
        with pytest.raises(PermissionDeniedError) as caught:
            await module.echo(b'"x"')
    assert caught.value.previous == ()
    assert way.ways == 1


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
    if ENGINE == "asyncio" or not way.is_grpc:
        told = f"failed to connect through the proxy at 127.0.0.1:{way.proxy.port}: it took too long"
        assert told in str(caught.value)


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


async def test_a_proxy_that_is_not_there(way: Way, deaf: int) -> None:
    for url in ("http://127.0.0.1:9", "http://nowhere.invalid:1"):
        async with way.module(proxy=url) as module:
            with pytest.raises(UnavailableError) as caught:
                await module.echo(b'"x"')
        assert caught.value.outcome_known
        if ENGINE == "asyncio" or not way.is_grpc:
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
        assert len(proxy.seen("tunnels")) == 1
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
