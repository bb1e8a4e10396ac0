"""Which proxy leads to a server, what its URL may be, and which settings go with it."""

from __future__ import annotations

import base64
import copy
import pickle
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from remote_client import ConnectionInfo, RemoteClient, RemoteModelFinder
from remote_client._client.configuration import remote_finders
from remote_client._client.shared_connections import shared_connections
from remote_client._settings.proxies import Proxy
from remote_client._transport.engine import choose_engine
from remote_client._transport.engines.grpcio_channel import _options as channel_options
from remote_client._transport.net.proxy import (
    Route,
    _has_nested_tls,
    connect_request,
    grpc_core_exception,
    hint,
    is_excluded,
    proxy_for,
)
from remote_client.errors import ConfigurationError, PicklingError
from remote_client.sync import RemoteClient as BlockingClient

SECRET = "s3cret-of-the-proxy"
URL = f"http://user:{SECRET}@proxy.example:3128"
PLAIN = Proxy.parse("http://proxy.example:3128")
NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy", "request_method")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def info(hostname: str = "runtime.example", **settings: Any) -> ConnectionInfo:
    return ConnectionInfo(**{"hostname": hostname, "port": 8085, **settings})


# -- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown", "credentials"),
    [
        ("http://proxy:3128", "http://proxy:3128", None),
        ("proxy:3128", "http://proxy:3128", None),
        ("HTTP://Proxy", "http://proxy:80", None),
        ("https://proxy/", "https://proxy:443", None),
        ("http://[::1]:1", "http://[::1]:1", None),
        ("http://[fe80::1%25eth0]:1", "http://[fe80::1%eth0]:1", None),
        ("http://u:p@proxy:1", "http://proxy:1", "u:p"),
        ("u:p@proxy:1", "http://proxy:1", "u:p"),
        ("http://u@proxy:1", "http://proxy:1", "u:"),
        ("http://us%20er:p%40s%3As@proxy:1", "http://proxy:1", "us er:p@s:s"),
        ("http://@proxy:1", "http://proxy:1", None),
        (" http://proxy:1\n", "http://proxy:1", None),
    ],
)
def test_urls_of_proxies(url: str, shown: str, credentials: str | None) -> None:
    proxy = Proxy.parse(url)
    assert str(proxy) == f"{proxy}" == shown
    assert proxy.credentials == credentials
    assert proxy.secure is shown.startswith("https")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        f"http://u:{SECRET}@",
        f"ftp://u:{SECRET}@h:1",
        f"http://u:{SECRET}@h:0",
        f"http://u:{SECRET}@h:99999",
        f"http://u:{SECRET}@h:port",
        f"http://u:{SECRET}/x@h:1",
        f"http://u:{SECRET}@h:1/path",
        f"http://u:{SECRET}@h:1?query",
        f"http://u:{SECRET}@[::1",
        f"http://u:{SECRET}@h h:1",
        f"u:{SECRET}://h:1",
    ],
)
def test_what_is_no_url_of_a_proxy(url: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy: must be the URL of a proxy") as caught:
        info(proxy=url)
    assert SECRET not in f"{caught.value!r} {caught.value.__context__!r}"


@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks5", "socks5h", "SOCKS5"])
def test_socks_says_what_is_supported(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="proxies are not supported; http:// and https:// are"):
        info(proxy=f"{scheme}://u:{SECRET}@h:1080")


def test_credentials_are_never_shown() -> None:
    connection = info(proxy=URL)
    client = RemoteClient(connection)
    shown = [repr(connection), str(connection), str(asdict(connection)), str(vars(connection))]
    shown += [repr(client), repr(client._finder.servers[0].connection), str(connection.proxy), repr(connection.proxy)]
    for each in shown:
        assert SECRET not in each
        assert base64.b64encode(f"user:{SECRET}".encode()).decode() not in each
    assert "proxy='http://proxy.example:3128'" in repr(connection)


def test_settings_keep_their_proxy() -> None:
    connection = info(proxy=URL)
    for each in (connection.replace(timeout=1), copy.copy(connection), copy.deepcopy(connection)):
        assert isinstance(each.proxy, Proxy)
        assert each.proxy.credentials == f"user:{SECRET}"
        assert each.proxy == connection.proxy
    assert connection.replace(proxy=None).proxy is None
    assert connection == info(proxy=URL)
    assert connection != info(proxy="http://proxy.example:3128")
    assert connection != info(proxy="http://user:other@proxy.example:3128")


def test_proxies_with_credentials_refuse_to_be_pickled() -> None:
    for holder in (info(proxy=URL), RemoteClient(info(proxy=URL)), BlockingClient(info(proxy=URL))):
        with pytest.raises(PicklingError, match=r'proxy: credentials are never pickled.*proxy="env"') as caught:
            pickle.dumps(holder)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("proxy", ["env", "http://proxy.example:3128", None])
def test_other_proxies_are_pickled(proxy: str | None) -> None:
    made = pickle.loads(pickle.dumps(info(proxy=proxy)))
    assert made == info(proxy=proxy)
    client = pickle.loads(pickle.dumps(RemoteClient(info(proxy=proxy))))
    assert client._finder.servers[0].connection.proxy == proxy


def test_settings_have_a_json_schema() -> None:
    assert "proxy" in TypeAdapter(ConnectionInfo).json_schema()["properties"]


def test_handles_of_different_proxies_share_no_connections() -> None:
    first, second = (info(proxy=f"http://{name}:1") for name in ("a", "b"))
    servers = [shared_connections(connection, "grpc")._server for connection in (first, second, first)]  # type: ignore[attr-defined]
    assert servers[0] is servers[2] is not servers[1]


# -- where it is given ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [RemoteClient, BlockingClient])
def test_the_argument_goes_before_the_connection(client: Callable[..., Any]) -> None:
    made = client([info(proxy="env"), info(hostname="other")], proxy="http://proxy:1")
    finder = made._finder if client is RemoteClient else made._twin._finder
    assert {server.connection.proxy for server in finder.servers} == {"http://proxy:1"}


def test_configuration_files() -> None:
    connection = {"hostname": "h", "port": 1, "proxy": "http://proxy:1"}
    config = {"finders": {"remote": {"type": "REMOTE", "config": {"connection": connection}}}}
    name = "MODEL_MANAGEMENT_FINDERS_REMOTE_CONFIG_CONNECTION_PROXY"
    for environment, expected in (({}, "http://proxy:1"), ({name: "env"}, "env"), ({name: ""}, None)):
        found = remote_finders(config, environment)["remote"].connection
        assert found is not None
        assert found.proxy == expected


@pytest.mark.parametrize("proxy", ["env", "http://proxy:1"])
@pytest.mark.parametrize("target", ["unix:/socket", "unix-abstract:name", "xds:///service"])
def test_sockets_and_xds_have_no_proxy(target: str, proxy: str) -> None:
    with pytest.raises(ConfigurationError, match=r"proxy: an? .* is never reached through one"):
        RemoteClient(target, proxy=proxy)


def test_a_transport_has_its_own_proxy() -> None:
    class Transport:
        async def handle_async_request(self, request: Any) -> Any: ...
        async def aclose(self) -> None: ...

    for proxy in ("env", "http://proxy:1"):
        with pytest.raises(ConfigurationError, match="proxy: an httpx transport has its own"):
            RemoteClient("http://h:1", proxy=proxy, transport=Transport())
        config = {"connection": info("{}.h", proxy=proxy), "protocol": "http"}
        with pytest.raises(ConfigurationError, match="proxy: an httpx transport has its own"):
            RemoteModelFinder(config, transport=Transport())


def test_finders_take_it_of_their_connections() -> None:
    finder = RemoteModelFinder({"connection": {"hostname": "{}.h", "port": 1, "proxy": "env"}})
    assert finder.config.connection is not None
    assert finder.config.connection.for_model("m").proxy == "env"


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"grpc.http_proxy": "http://p:1"}, "grpc.http_proxy: it has no effect without .*; use proxy= instead"),
        ({"grpc.http_proxy": "http://p:1", "grpc.enable_http_proxy": 0}, "grpc.http_proxy: it has no effect without"),
        ({"grpc.address_http_proxy": "1.2.3.4:1"}, "grpc.address_http_proxy: it has no effect without"),
        ({"grpc.address_http_proxy_enabled_addresses": "10.0.0.0/8"}, "enabled_addresses: it has no effect without"),
        ({"grpc.ssl_target_name_override": "other"}, "name_override: it has no effect without TLS"),
    ],
)
@pytest.mark.parametrize("engine", [None, "asyncio", "grpcio"])
def test_options_without_effect(options: dict[str, Any], told: str, engine: Any) -> None:
    with pytest.raises(ConfigurationError, match=told):
        RemoteClient(info(options=options, engine=engine))


def test_options_that_say_what_proxy_says() -> None:
    with pytest.raises(ConfigurationError, match=r"grpc.enable_http_proxy: leave it out"):
        RemoteClient(info(options={"grpc.enable_http_proxy": 1}, proxy="env"))
    assert choose_engine(info(options={"grpc.enable_http_proxy": 0}, proxy="env"), "grpc", environment={}) == "asyncio"
    both = {"grpc.enable_http_proxy": 1, "grpc.http_proxy": "http://p:1"}
    assert choose_engine(info(options=both), "grpc", environment={}) == "grpcio"


def test_a_shared_pool_needs_grpcio() -> None:
    shared = info(options={"grpc.use_local_subchannel_pool": 0})
    assert choose_engine(shared, "grpc", environment={}) == "grpcio"


# -- grpcio -----------------------------------------------------------------------------------------------------------


def test_grpcio_gets_the_proxy_as_options(monkeypatch: pytest.MonkeyPatch) -> None:
    made = channel_options(info(proxy="http://us%20er:a%2Fb@[::1]:3128"))
    assert made["grpc.enable_http_proxy"] == 1
    assert made["grpc.http_proxy"] == "http://us%20er:a%2Fb@[::1]:3128"
    assert made["grpc.lb_policy_name"] == "pick_first"
    for connection in (info(), info(proxy="env")):
        assert channel_options(connection)["grpc.enable_http_proxy"] == 0
    monkeypatch.setenv("grpc_proxy", "proxy:3128")
    assert channel_options(info())["grpc.enable_http_proxy"] == 0
    assert channel_options(info(proxy="env"))["grpc.http_proxy"] == "http://proxy:3128"
    assert channel_options(info("localhost", proxy="env"))["grpc.enable_http_proxy"] == 0


def test_what_grpcio_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="https://p:443: grpcio speaks to proxies without TLS only"):
        RemoteClient("h:1", proxy=f"https://u:{SECRET}@p", engine="grpcio")
    monkeypatch.setenv("grpc_proxy", f"https://u:{SECRET}@p")
    with pytest.raises(ConfigurationError, match="https://p:443: grpcio speaks to proxies without TLS only"):
        channel_options(info(proxy="env"))
    monkeypatch.setenv("no_proxy", "example")
    with pytest.raises(ConfigurationError, match="the environment's no_proxy keeps grpcio from using it"):
        channel_options(info(proxy=URL))
    monkeypatch.setattr("remote_client._transport.engines.grpcio_channel._VERSION", (1, 71))
    monkeypatch.delenv("no_proxy")
    with pytest.raises(ConfigurationError, match="this grpcio takes no @ in a user or password"):
        channel_options(info(proxy="http://u:p%40ss@p:1"))
    assert channel_options(info(proxy=URL))["grpc.http_proxy"] == URL


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"no_proxy": ""}, None),
        ({"no_proxy": "*"}, None),
        ({"no_proxy": "ample"}, "no_proxy"),
        ({"no_proxy": "a, runtime.EXAMPLE"}, "no_proxy"),
        ({"no_proxy": ".runtime.example"}, "no_proxy"),
        ({"no_proxy": "10.0.0.0/8"}, None),
        ({"no_grpc_proxy": "", "no_proxy": "example"}, None),
        ({"no_grpc_proxy": "example"}, "no_grpc_proxy"),
        ({"NO_PROXY": "example"}, None),
    ],
)
def test_what_keeps_grpcio_from_using_a_proxy(environment: dict[str, str], found: str | None) -> None:
    assert grpc_core_exception("runtime.example", environment) == found


def test_networks_keep_grpcio_from_using_a_proxy() -> None:
    assert grpc_core_exception("10.1.2.3", {"no_proxy": "10.0.0.0/8"}) == "no_proxy"


# -- the environment --------------------------------------------------------------------------------------------------

HTTPS: dict[str, Any] = {"tls": {"enabled": True}}


@pytest.mark.parametrize(
    ("protocol", "settings", "environment", "expected"),
    [
        ("grpc", {}, {}, None),
        ("grpc", {}, {"http_proxy": "a"}, "a"),
        ("grpc", HTTPS, {"http_proxy": "a"}, "a"),
        ("grpc", {}, {"http_proxy": "a", "https_proxy": "b"}, "b"),
        ("grpc", {}, {"http_proxy": "a", "https_proxy": "b", "grpc_proxy": "c"}, "c"),
        ("grpc", {}, {"HTTP_PROXY": "a", "HTTPS_PROXY": "b"}, "b"),
        ("grpc", {}, {"HTTPS_PROXY": "b", "GRPC_PROXY": "c"}, "c"),
        ("grpc", {}, {"https_proxy": "b", "HTTPS_PROXY": "c"}, "b"),
        ("grpc", {}, {"ALL_PROXY": "a"}, None),
        # A variable that is set, though to nothing, counts: no proxy.
        ("grpc", {}, {"grpc_proxy": "", "https_proxy": "b"}, None),
        ("grpc", {}, {"grpc_proxy": " ", "https_proxy": "b"}, None),
        ("grpc", {}, {"https_proxy": "b", "no_proxy": "runtime.example"}, None),
        ("grpc", {}, {"https_proxy": "b", "NO_PROXY": "runtime.example"}, None),
        ("grpc", {}, {"https_proxy": "b", "no_grpc_proxy": "x", "no_proxy": "runtime.example"}, "b"),
        ("grpc", {}, {"https_proxy": "b", "NO_GRPC_PROXY": "runtime.example"}, None),
        ("http", {}, {"http_proxy": "a", "https_proxy": "b"}, "a"),
        ("http", HTTPS, {"http_proxy": "a", "https_proxy": "b"}, "b"),
        ("http", HTTPS, {"http_proxy": "a"}, None),
        ("http", {}, {"https_proxy": "a"}, None),
        ("http", {}, {"HTTP_PROXY": "a"}, "a"),
        ("http", {}, {"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, None),
        ("http", {}, {"HTTP_PROXY": "a", "REQUEST_METHOD": "GET", "ALL_PROXY": "b"}, "b"),
        ("http", {}, {"http_proxy": "a", "REQUEST_METHOD": "GET"}, "a"),
        ("grpc", {}, {"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, None),
        ("http", HTTPS, {"HTTPS_PROXY": "a", "REQUEST_METHOD": "GET"}, "a"),
        ("http", {}, {"all_proxy": "a"}, "a"),
        ("http", HTTPS, {"ALL_PROXY": "a"}, "a"),
        ("http", HTTPS, {"ALL_PROXY": "a", "https_proxy": ""}, None),
        ("http", {}, {"grpc_proxy": "a"}, None),
        ("http", {}, {"http_proxy": "a", "no_proxy": "*"}, None),
        ("http", {}, {"http_proxy": "a", "no_grpc_proxy": "*"}, "a"),
    ],
)
def test_the_environments_proxy(
    protocol: Any, settings: dict[str, Any], environment: dict[str, str], expected: str | None
) -> None:
    found = proxy_for(info(**settings, proxy="env"), protocol, environment)
    assert found == (None if expected is None else f"http://{expected}:80")
    assert proxy_for(info(**settings), protocol, environment) is None
    explicit = proxy_for(info(**settings, proxy=URL), protocol, {**environment, "no_proxy": "*"})
    assert explicit == Proxy.parse(URL)


@pytest.mark.parametrize("value", [f"socks5://u:{SECRET}@h:1", f"ftp://u:{SECRET}@h:1"])
def test_a_proxy_of_the_environment_that_cannot_be_used(value: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy: the environment's HTTPS_PROXY: ") as caught:
        proxy_for(info(proxy="env"), "grpc", {"HTTPS_PROXY": value})
    assert SECRET not in f"{caught.value!r} {caught.value.__context__!r}"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_hint_names_the_variable_alone(protocol: Any) -> None:
    environment = {"HTTP_PROXY": f"http://u:{SECRET}@proxy:1"}
    told = hint(info(), protocol, environment)
    assert told == '; HTTP_PROXY is set, but proxies of the environment are not used by default: proxy="env"'
    assert hint(info(proxy="env"), protocol, environment) == ""
    assert hint(info(proxy=URL), protocol, environment) == ""
    assert hint(info("localhost"), protocol, environment) == ""
    assert hint(info(), protocol, environment | {"no_proxy": "example"}) == ""
    assert hint(info(), protocol, {}) == ""
    assert hint(info(), protocol, {"HTTP_PROXY": "not: a URL"}) == told
    assert hint(ConnectionInfo(hostname="unix:/x"), protocol, environment) == ""


@pytest.mark.parametrize(
    ("host", "exceptions", "expected"),
    [
        ("example.com", "", False),
        ("example.com", "example.com", True),
        ("EXAMPLE.com", "Example.COM", True),
        ("example.com.", "example.com", True),
        ("sub.example.com", "example.com", True),
        ("sub.example.com", ".example.com", True),
        ("sub.example.com", "*.example.com", True),
        ("example.com", ".example.com", True),
        ("notexample.com", "example.com", False),
        ("notexample.com", ".example.com", False),
        ("example.com", "sub.example.com", False),
        ("example.com", " a , example.com ", True),
        ("example.com", "a b", False),
        ("example.com", ",,", False),
        ("example.com", "*", True),
        ("example.com", "a,*", True),
        ("example.com", "ex*", False),
        ("example.com", ".", False),
        ("example.com", "example.com:8085", True),
        ("example.com", "example.com:443", False),
        ("sub.example.com", ".example.com:8085", True),
        ("example.com", "example.com:port", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:8085", True),
        ("10.1.2.3", "10.1.2.3:1", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3/8", True),
        ("10.1.2.3", "10.1.0.0/16,", True),
        ("10.1.2.3", "11.0.0.0/8", False),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", ".2.3", False),
        ("10.1.2.3", "*", True),
        ("10.1.2.3", "fe80::/10", False),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("fd00::1", "fd00::1", True),
        ("fd00::1", "[fd00::1]", True),
        ("fd00::1", "[fd00:0::1]:8085", True),
        ("fd00::1", "[fd00::1]:1", False),
        ("fd00::1", "fd00::/8", True),
        ("fe80::1%eth0", "fe80::/10", True),
        ("example.com", "10.0.0.0/8", False),
        # never through a proxy
        ("localhost", "", True),
        ("LOCALHOST", "", True),
        ("app.localhost", "", True),
        ("127.0.0.1", "", True),
        ("127.1.2.3", "", True),
        ("::1", "", True),
        ("mylocalhost", "", False),
    ],
)
def test_exceptions(host: str, exceptions: str, expected: bool) -> None:
    assert is_excluded(host, 8085, exceptions) is expected


# -- the way ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "settings", "is_tunnel"),
    [("grpc", {}, True), ("grpc", HTTPS, True), ("http", {}, False), ("http", HTTPS, True)],
)
def test_what_goes_through_a_tunnel(protocol: Any, settings: dict[str, Any], is_tunnel: bool) -> None:
    assert Route.to(info(**settings, proxy=URL), protocol).is_tunnel is is_tunnel
    straight = Route.to(info(**settings), protocol)
    assert not straight.is_tunnel
    assert straight.first == ("runtime.example", 8085)


def test_the_server_is_looked_up_by_the_proxy() -> None:
    assert Route.to(info(proxy=URL), "grpc").first == ("proxy.example", 3128)


@pytest.mark.parametrize(
    ("version", "works"),
    [
        ((3, 11, 7), False),
        ((3, 11, 8), True),
        ((3, 12, 0), False),
        ((3, 12, 1), False),
        ((3, 12, 2), True),
        ((3, 13, 0), True),
        ((3, 14, 0), True),
    ],
)
def test_where_tls_works_inside_of_tls(version: tuple[int, ...], works: bool) -> None:
    assert _has_nested_tls(version) is works


def test_tls_through_a_proxy_of_tls_on_old_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remote_client._transport.net.proxy._has_nested_tls", lambda: False)
    secure = f"https://u:{SECRET}@p"
    for protocol in ("grpc", "http"):
        with pytest.raises(ConfigurationError, match=r"https://p:443: TLS .* needs Python 3.11.8 or 3.12.2"):
            Route.to(info(proxy=secure, **HTTPS), protocol)
        Route.to(info(proxy=secure), protocol)


# -- anything ---------------------------------------------------------------------------------------------------------


@given(st.text(), st.text(alphabet=".:*/,[]% 0123456789abcdeflocalhost", max_size=60))
def test_any_text_is_an_exception(host: str, exceptions: str) -> None:
    assert is_excluded(host, 1, exceptions) in (True, False)
    grpc_core_exception(host, {"no_proxy": exceptions})


@given(st.text())
def test_any_text_is_a_proxy_or_none(url: str) -> None:
    try:
        proxy = Proxy.parse(url)
    except ValueError as error:
        assert error.__context__ is None
    else:
        assert Proxy.parse(str(proxy)) == str(proxy)
        connect_request("h", 1, proxy)
