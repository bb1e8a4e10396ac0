"""Targets as people write them: what each one means, and what is refused in which words."""

from __future__ import annotations

import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client._client.configuration import remote_finders
from remote_client._settings.connection import parse_target
from remote_client._transport.net.diagnosis import closed_early, wants_tls, wrong_peer
from remote_client.errors import ConfigurationError, InputError
from remote_client.settings import ConnectionInfo, FinderConfig
from remote_client.sync import RemoteClient as BlockingClient

MEANINGS = [
    # target, protocol, hostname, port, base path, TLS
    ("h:1", "grpc", "h", 1, "", False),
    ("h", "grpc", "h", 80, "", False),
    ("h:", "grpc", "h", 80, "", False),
    ("h:1/", "grpc", "h", 1, "", False),
    ("grpc://h", "grpc", "h", 80, "", False),
    ("grpcs://h", "grpc", "h", 443, "", True),
    ("http://h", "http", "h", 80, "", False),
    ("https://h", "http", "h", 443, "", True),
    # schemes and names in any case
    ("HTTP://h:1", "http", "h", 1, "", False),
    ("Https://H.Example:1", "http", "h.example", 1, "", True),
    ("GRPC://h:1", "grpc", "h", 1, "", False),
    ("Grpcs://LOCALHOST:1", "grpc", "localhost", 1, "", True),
    ("UNIX:/Run/X.sock", "grpc", "unix:/Run/X.sock", None, "", False),
    ("Unix-Abstract:Name", "grpc", "unix-abstract:Name", None, "", False),
    ("XDS:///Svc", "grpc", "xds:///Svc", None, "", False),
    ("DNS:///h:1", "grpc", "h", 1, "", False),
    # paths
    ("http://h:1/", "http", "h", 1, "", False),
    ("https://gateway/team/caikit", "http", "gateway", 443, "/team/caikit", True),
    ("https://gateway/team/caikit/", "http", "gateway", 443, "/team/caikit", True),
    ("https://gateway//team///caikit//", "http", "gateway", 443, "/team/caikit", True),
    ("HTTPS://Gateway/Team/Caikit", "http", "gateway", 443, "/Team/Caikit", True),
    ("http://h/a%20b", "http", "h", 80, "/a%20b", False),
    ("http://h/a%2Fb%2fc", "http", "h", 80, "/a%2Fb%2fc", False),
    ("http://h/caf\u00e9", "http", "h", 80, "/caf%C3%A9", False),
    ("http://h/~a/b:c;d,e=f&g", "http", "h", 80, "/~a/b:c;d,e=f&g", False),
    ("http://h/...", "http", "h", 80, "/...", False),
    ("http://[::1]/team", "http", "::1", 80, "/team", False),
    ("http://h/{}/caikit", "http", "h", 80, "/{}/caikit", False),
    # IPv6, with zones
    ("[::1]", "grpc", "::1", 80, "", False),
    ("[::1]:1", "grpc", "::1", 1, "", False),
    ("[2001:DB8::A]:1", "grpc", "2001:db8::a", 1, "", False),
    ("[::ffff:127.0.0.1]:1", "grpc", "::ffff:127.0.0.1", 1, "", False),
    ("[fe80::1%eth0]:1", "grpc", "fe80::1%eth0", 1, "", False),
    ("[fe80::1%25eth0]:1", "grpc", "fe80::1%eth0", 1, "", False),
    ("[fe80::1%2525gbe0]:1", "grpc", "fe80::1%25gbe0", 1, "", False),
    ("[fe80::1%251]:1", "grpc", "fe80::1%251", 1, "", False),
    ("[fe80::1%25]:1", "grpc", "fe80::1%25", 1, "", False),
    ("http://[fe80::1%eth0]:1", "http", "fe80::1%eth0", 1, "", False),
    ("http://[fe80::1%25eth0]:1", "http", "fe80::1%eth0", 1, "", False),
    ("http://[fe80::1%251]:1", "http", "fe80::1%1", 1, "", False),
    ("https://[FE80::1%25Eth0]/a", "http", "fe80::1%Eth0", 443, "/a", True),
    ("grpcs://[fe80::1%25eth0.1]", "grpc", "fe80::1%eth0.1", 443, "", True),
    # gRPC's names
    ("dns:///h:1", "grpc", "h", 1, "", False),
    ("dns:h:1", "grpc", "h", 1, "", False),
    ("dns:///[::1]:1", "grpc", "::1", 1, "", False),
    ("ipv4:127.0.0.1:50051", "grpc", "127.0.0.1", 50051, "", False),
    ("ipv6:[::1]:50051", "grpc", "::1", 50051, "", False),
    ("ipv6:[fe80::1%25eth0]:50051", "grpc", "fe80::1%eth0", 50051, "", False),
    ("unix:/run/x.sock", "grpc", "unix:/run/x.sock", None, "", False),
    ("unix:///run/x.sock", "grpc", "unix:/run/x.sock", None, "", False),
    ("unix:x.sock", "grpc", "unix:x.sock", None, "", False),
    ("unix:/run/a b@c?d#e%41.sock", "grpc", "unix:/run/a b@c?d#e%41.sock", None, "", False),
    ("unix-abstract:runtime", "grpc", "unix-abstract:runtime", None, "", False),
    ("xds:///svc.ns:8085", "grpc", "xds:///svc.ns:8085", None, "", False),
    # names that look like schemes
    ("xds:1", "grpc", "xds", 1, "", False),
    ("dns:53", "grpc", "dns", 53, "", False),
    ("http:80", "grpc", "http", 80, "", False),
    # hosts and ports
    ("h.example.:1", "grpc", "h.example.", 1, "", False),
    ("my_service.ns:1", "grpc", "my_service.ns", 1, "", False),
    ("xn--bcher-kva.example:1", "grpc", "xn--bcher-kva.example", 1, "", False),
    ("h:080", "grpc", "h", 80, "", False),
    ("http://h:00008080/x", "http", "h", 8080, "/x", False),
    ("h:65535", "grpc", "h", 65535, "", False),
    ("{}.models.svc:1", "grpc", "{}.models.svc", 1, "", False),
    ("http://{}.models.svc/team", "http", "{}.models.svc", 80, "/team", False),
]


@pytest.mark.parametrize(("target", "protocol", "hostname", "port", "base_path", "secure"), MEANINGS)
def test_what_a_target_means(
    target: str, protocol: str, hostname: str, port: int | None, base_path: str, secure: bool
) -> None:
    info, speaks = parse_target(target)
    found = (speaks, info.hostname, info.port, info.base_path, info.tls.enabled)
    assert found == (protocol, hostname, port, base_path, secure)


REFUSED = [
    ("", "the host is missing"),
    (":1", "the host is missing"),
    ("http://", "the host is missing"),
    ("http:///team", "the host is missing"),
    ("https://user:SECRET@h", "user"),
    ("https://SECRET@h/team", "user"),
    ("https://user:SEC/RET@h/team", "user"),
    ("user:SECRET@h:1", "user"),
    ("user:SECRET@h://x", "user"),
    ("dns:///user:SECRET@h:1", "user"),
    ("h:1/team", "gRPC has no paths"),
    ("grpcs://h/team/caikit", "gRPC has no paths"),
    ("dns:///h:1/team", "gRPC has no paths"),
    ("http://h?token=SECRET", "query"),
    ("http://h/team?token=SECRET", "query"),
    ("http://h/team#SECRET", "fragment"),
    ("http://h/team\\x", "backslash"),
    ("http://h/../admin", "base_path"),
    ("http://h/team/./x", "base_path"),
    ("http://h/%2e%2E/admin", "base_path"),
    ("http://h/a%2f..%2Fb", "base_path"),
    ("http://h/50%", "base_path"),
    ("http://h/{}/{}", "base_path"),
    ("http://h/{name}", "base_path"),
    ("ftp://h:1", "unknown scheme"),
    ("passthrough:///h:1", "passthrough"),
    ("dns://8.8.8.8/h:1", "name server"),
    ("dns:///h", "port is missing"),
    ("ipv4:127.0.0.1", "port is missing"),
    ("ipv4:127.0.0.1:1,127.0.0.2:1", "list of targets"),
    ("ipv4:h:1", "IPv4"),
    ("ipv4:[::1]:1", "IPv4"),
    ("ipv6:127.0.0.1:1", "IPv6"),
    ("unix://run/x.sock", "unix:///"),
    ("unix:", "unix"),
    ("unix://", "unix"),
    ("unix-abstract:", "unix"),
    ("unix:/" + "x" * 107, "at most 107 bytes"),
    ("unix-abstract:" + "\u00fc" * 54, "at most 107 bytes"),
    ("a:1,b:1", "list of targets"),
    ("http://a,b/team", "list of targets"),
    ("http:/h:1", "http://"),
    ("https://https://h", "second scheme"),
    ("https:h/x", "https://"),
    ("h:0", "port"),
    ("h:99999", "port"),
    ("h:" + "9" * 5000, "port"),
    ("h:-1", "port"),
    ("h:+1", "port"),
    ("h:1_0", "port"),
    ("h:\u0661", "port"),
    ("h:port", "port"),
    ("::1:1", "brackets"),
    ("fe80::1%eth0", "brackets"),
    ("[::1", "brackets"),
    ("[::1]1", "brackets"),
    ("[zz]:1", "IPv6"),
    ("[127.0.0.1]:1", "IPv6"),
    ("[h]:1", "IPv6"),
    ("[fe80::1%]:1", "IPv6"),
    ("h%41:1", "hostname"),
    ("127.0.0.1%eth0:1", "hostname"),
    ("a b:1", "white space"),
    (" h:1", "white space"),
    ("h:1\n", "white space"),
    ("h\u200b:1", "white space"),
    ("h\x00:1", "white space"),
    ("b\u00fccher.example:1", "punycode"),
    ("http://b\u00fccher.example", "punycode"),
    ("http://\uff48ost", "punycode"),
    (".a:1", "hostname"),
    ("-a:1", "hostname"),
    ("a-:1", "hostname"),
    (".".join(["a" * 63] * 4) + ":1", "hostname"),
    ("8085", "hostname"),
    ("10.0.0.256:1", "IPv4"),
    ("127.1:1", "IPv4"),
    ("010.0.0.1:1", "IPv4"),
    ("0x7f000001:1", "IPv4"),
]


@pytest.mark.parametrize(("target", "told"), REFUSED)
def test_what_is_refused_says_why(target: str, told: str) -> None:
    for make in (parse_target, RemoteClient, BlockingClient, lambda each: RemoteClient(["http://a", each])):
        with pytest.raises(ConfigurationError) as caught:
            make(target)
        assert told in str(caught.value)
        assert "SECRET" not in everything_told(caught.value)


def everything_told(error: BaseException) -> str:
    """The error and all it is chained to, the suppressed ones too, as text and as `repr`."""
    told, each = [], error
    while each is not None:
        told += [str(each), repr(each), repr(each.args), "".join(traceback.format_exception_only(each))]
        each = each.__cause__ or each.__context__  # type: ignore[assignment]
    return "\n".join(told)


@pytest.mark.parametrize("target", [None, 5, b"h:1", ["http://a", None], [b"h:1"], [["h:1"]], []])
def test_what_is_no_target_at_all(target: Any) -> None:
    with pytest.raises(ConfigurationError, match="target: "):
        RemoteClient(target)


def test_a_protocol_for_targets_that_name_none() -> None:
    assert parse_target("h/team", "http")[0].target == "h:80/team"
    assert parse_target("h:1", "http")[1] == "http"
    assert parse_target("http://h", "http")[1] == "http"
    for target in ("grpc://h:1", "dns:///h:1", "unix:/x", "xds:///x", "ipv4:127.0.0.1:1"):
        with pytest.raises(ConfigurationError, match="the target names grpc, not http"):
            parse_target(target, "http")
    with pytest.raises(ConfigurationError, match="the target names http, not grpc"):
        parse_target("http://h", "grpc")


# -- what is made of them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "shown", "authority", "tls_name"),
    [
        ("https://gateway:1/team/", "gateway:1/team", "gateway:1", "gateway"),
        ("https://[fe80::1%25eth0]:1/team", "[fe80::1%eth0]:1/team", "[fe80::1]:1", "fe80::1"),
        ("https://h.example.:1", "h.example.:1", "h.example:1", "h.example"),
        ("grpcs://[::1%lo]", "[::1%lo]:443", "[::1]:443", "::1"),
        ("unix:/x", "unix:/x", "localhost", "localhost"),
    ],
)
def test_how_a_target_is_shown_and_how_servers_are_told(target: str, shown: str, authority: str, tls_name: str) -> None:
    info, _ = parse_target(target)
    assert (info.target, info.authority, info.tls_name) == (shown, authority, tls_name)


def test_tls_turned_on_moves_a_port_that_nobody_gave() -> None:
    assert ConnectionInfo(hostname="h").replace(tls={"enabled": True}).port == 443
    assert ConnectionInfo(hostname="h", port=None).replace(tls={"enabled": True}).port == 443
    assert ConnectionInfo(hostname="h", port=80).replace(tls={"enabled": True}).port == 80
    assert ConnectionInfo(hostname="h").replace(timeout=5).replace(tls={"enabled": True}).port == 443
    assert "h:443" in repr(RemoteClient("h", tls={}))
    assert "h:80:" in repr(RemoteClient("h:80", tls={}))
    travelled = pickle.loads(pickle.dumps(ConnectionInfo(hostname="h")))
    assert travelled.replace(tls={"enabled": True}).port == 443


@pytest.mark.parametrize("target", ["http://h:1/team", "http://[fe80::1%25eth0]:1/team", "https://h:1/team"])
def test_what_errors_tell_to_try_are_targets(target: str) -> None:
    info, protocol = parse_target(target)
    tried = [
        closed_early(info, protocol),
        str(wants_tls(b"The plain HTTP request was sent to HTTPS port", info, protocol)),
    ]
    tried += [
        str(wrong_peer(each, info, protocol)) for each in (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", b"\x15\x03\x01")
    ]
    found = [each for told in tried for each in re.findall(r"try (\w+://[^\s,)]+)", told)]
    assert len(found) >= 2
    for each in found:
        other, speaks = parse_target(each)
        assert other.base_path == (info.base_path if speaks == "http" else "")


# -- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("/", ""),
        (None, ""),
        ("team/caikit", "/team/caikit"),
        ("/team//caikit/", "/team/caikit"),
        ("/a%20b/\u00e9", "/a%20b/%C3%A9"),
        ("/{}", "/{}"),
    ],
)
def test_base_paths(given: Any, kept: str) -> None:
    info = ConnectionInfo(hostname="h", port=1, base_path=given)
    assert info.base_path == kept
    assert info.target == f"h:1{kept}"
    assert info == ConnectionInfo(hostname="h", port=1, base_path=kept)
    assert pickle.loads(pickle.dumps(info)) == info
    assert info.replace(base_path=kept) == info


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "https://h/a",
        "/a/../b",
        "/%2E",
        "/a?b",
        "/a#b",
        "/a b",
        "/a\n",
        "/a\\b",
        "/user:SECRET@h",
        "/%",
        "/%zz",
        "/{}/{}",
    ],
)
def test_base_paths_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="base_path: ") as caught:
        ConnectionInfo(hostname="h", port=1, base_path=path)
    assert "SECRET" not in everything_told(caught.value)


@pytest.mark.parametrize("kind", ["unix:/x", "unix-abstract:x", "xds:///x"])
def test_sockets_and_services_have_no_path(kind: str) -> None:
    with pytest.raises(ConfigurationError, match="base_path: "):
        ConnectionInfo(hostname=kind, base_path="/team")


@pytest.mark.parametrize(
    ("hostname", "kept"),
    [
        ("H.Example", "h.example"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("fe80::1%25gbe0", "fe80::1%25gbe0"),
        ("[fe80::1%25eth0]", "fe80::1%eth0"),
        ("fe80::1%251", "fe80::1%251"),
        ("unix:///Run/x", "unix:/Run/x"),
        ("UNIX:/Run/x", "unix:/Run/x"),
        (["fe80::1%eth0"], "fe80::1%eth0"),  # as YAML reads it without quotes
        ("XDS:///Svc", "xds:///Svc"),
    ],
)
def test_hostnames(hostname: Any, kept: str) -> None:
    info = ConnectionInfo(hostname=hostname)
    assert info.hostname == kept
    assert info.replace(timeout=5).hostname == kept


@pytest.mark.parametrize(
    ("hostname", "told"),
    [
        ("https://user:SECRET@gateway/team", "user"),
        ("gateway/team", "base_path"),
        ("user:SECRET@gateway", "user"),
        ("gateway:8080", "port"),
        ("b\u00fccher.example", "punycode"),
        ("10.0.0.256", "IPv4"),
        (["gateway"], "hostname"),
        (5, "hostname"),
        ("[fe80::1%eth0", "IPv6"),
    ],
)
def test_hostnames_refused(hostname: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ConnectionInfo(hostname=hostname, port=1)
    assert told in str(caught.value)
    assert "SECRET" not in everything_told(caught.value)
    file = {"finders": {"x": {"type": "REMOTE", "config": {"connection": {"hostname": hostname, "port": 1}}}}}
    with pytest.raises(ConfigurationError) as caught:
        remote_finders(file, {})
    assert told in str(caught.value)
    assert "SECRET" not in everything_told(caught.value)


def target_of(config: Any, environment: dict[str, str]) -> str:
    """The target of a configuration's only connection."""
    (found,) = remote_finders(config, environment).values()
    assert found.connection is not None
    return found.connection.target


def test_base_paths_of_configuration_and_environment() -> None:
    config = {"connection": {"hostname": "gateway", "base_path": "/team/"}, "protocol": "http"}
    file = {"finders": {"x": {"type": "REMOTE", "config": config}}}
    assert target_of(file, {}) == "gateway:80/team"
    prefix = "MODEL_MANAGEMENT_FINDERS_X_CONFIG_CONNECTION_"
    environment = {f"{prefix}BASE_PATH": "/other", f"{prefix}HOSTNAME": "[fe80::1%eth0]"}
    assert target_of(file, environment) == "[fe80::1%eth0]:80/other"
    assert "gateway:80/team" in repr(RemoteClient.from_config(file))


def test_grpc_refuses_a_base_path_everywhere() -> None:
    info = ConnectionInfo(hostname="h", port=1, base_path="/team")
    for make in (RemoteClient, BlockingClient, lambda each: FinderConfig(connection=each)):
        with pytest.raises(ConfigurationError, match="base_path: gRPC has no paths"):
            make(info)
    assert "h:1/team" in repr(RemoteClient(info, protocol="http"))


# -- templates --------------------------------------------------------------------------------------------------------


def test_a_model_in_a_path() -> None:
    template = ConnectionInfo(hostname="h", port=1, base_path="/models/{}/caikit")
    assert template.is_template
    for name in ("foo", "Granite-3.1_8b~x", "8"):
        assert template.for_model(name).target == f"h:1/models/{name}/caikit"
    for name in ("..", ".", ".x", "a/b", "a%2fb", "a b", "", "\u00fc", "a\n", "{}", "a?b", "a@b"):
        with pytest.raises(InputError, match="base path"):
            template.for_model(name)
    both = ConnectionInfo(hostname="{}.svc", port=1, base_path="/{}")
    assert both.for_model("foo").target == "foo.svc:1/foo"
    with pytest.raises(ConfigurationError, match="remote_connections"):
        FinderConfig(remote_connections=(template,), protocol="http")


@pytest.mark.parametrize("name", ["2130706433", "0x7f000001", "1"])
def test_a_model_is_no_address(name: str) -> None:
    with pytest.raises(InputError, match="address"):
        ConnectionInfo(hostname="{}", port=1).for_model(name)
    assert ConnectionInfo(hostname="{}.svc", port=1).for_model(name).hostname == f"{name}.svc"
    assert ConnectionInfo(hostname="127.0.0.{}", port=1).for_model("1").hostname == "127.0.0.1"


# -- the documentation ------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parent.parent.parent / "docs" / "targets.md").read_text()


def rows(heads: str) -> list[list[str]]:
    """The rows of a table of the page, without the marks of code."""
    table = PAGE.partition(heads)[2].partition("\n\n")[0]
    return [[each.strip(" `") for each in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize(("target", "protocol", "tls", "shown"), rows("| Target | Protocol |"))
def test_the_pages_targets(target: str, protocol: str, tls: str, shown: str) -> None:
    info, speaks = parse_target(target)
    assert (speaks, info.tls.enabled, info.target) == (protocol.lower(), tls == "yes", shown)


@pytest.mark.parametrize("target", [each for each, _ in rows("| Target | Why |")])
def test_the_pages_refused_targets(target: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_target(target)


def test_the_pages_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(PAGE.partition("```yaml\n")[2].partition("```")[0])
    name = "MODEL_MANAGEMENT_FINDERS_REMOTE_CONFIG_CONNECTION_BASE_PATH"
    assert name in PAGE
    for environment, path in (({}, "/team/caikit"), ({name: "/other"}, "/other")):
        assert target_of(file, environment) == f"gateway.example:443{path}"
