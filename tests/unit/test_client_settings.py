"""The settings of a client: as arguments, in the environment, and over a configuration."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
import trustme

from remote_client import ConnectionInfo, RemoteClient, sync
from remote_client._client.client_settings import ClientSettings
from remote_client._settings.connection import USER_AGENT
from remote_client._transport.grpc_options import GrpcOptions
from remote_client._version import __version__
from remote_client.auth import BearerToken
from remote_client.errors import ConfigurationError

from .library import DESCRIPTION

MIB = 1 << 20
LIMIT_OPTION = "grpc.max_receive_message_length"


def connections(client: RemoteClient) -> list[ConnectionInfo]:
    return [server.connection for server in client._finder.servers]


def connection_of(client: RemoteClient) -> ConnectionInfo:
    (found,) = connections(client)
    return found


def keywords(function: Any) -> set[str]:
    return {
        each.name
        for each in inspect.signature(function).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }


# -- compression, user agent, limit of answers ------------------------------------------------------------------------


def test_the_defaults() -> None:
    info = ConnectionInfo(hostname="h")
    assert (info.compression, info.user_agent, info.max_response_size) == (
        None,
        f"remote-client/{__version__}",
        64 * MIB,
    )


def test_a_client_sets_them_for_all_its_servers() -> None:
    client = RemoteClient(["a:1", "b:1"], compression="gzip", user_agent="shop/2", max_response_size=MIB)
    found = {(each.compression, each.user_agent, each.max_response_size) for each in connections(client)}
    assert found == {("gzip", "shop/2", MIB)}


def test_a_client_keeps_those_of_its_target() -> None:
    info = ConnectionInfo(hostname="h", compression="gzip", user_agent="shop/2", max_response_size=None)
    assert connection_of(RemoteClient(info)) == info


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"compression": "deflate"}, "compression: .*'gzip'"),
        ({"compression": True}, "compression: "),
        ({"user_agent": ""}, "user_agent: must be printable ASCII text"),
        ({"user_agent": "a\r\nhost: b"}, "user_agent: must be printable ASCII text"),
        ({"user_agent": " a"}, "user_agent: must be printable ASCII text"),
        ({"user_agent": "Größe"}, "user_agent: must be printable ASCII text"),
        ({"user_agent": 7}, "user_agent: must be printable ASCII text"),
        ({"max_response_size": 0}, "max_response_size: "),
        ({"max_response_size": -1}, "max_response_size: "),
        ({"max_response_size": "much"}, "max_response_size: "),
        ({"max_response_size": 1.5}, "max_response_size: "),
    ],
)
def test_wrong_values_are_refused(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        RemoteClient("h:1", **setting)


def test_http_requests_are_never_compressed() -> None:
    with pytest.raises(ConfigurationError, match="compression: it is for gRPC only"):
        RemoteClient("http://h:1", compression="gzip")


@pytest.mark.parametrize(("option", "limit"), [(1000, 1000), (1e6, 1_000_000), (-1, None), (0, 0)])
def test_grpcs_option_sets_the_limit(option: float, limit: int | None) -> None:
    info = ConnectionInfo(hostname="h", options={LIMIT_OPTION: option})
    assert info.max_response_size == limit
    assert GrpcOptions.of(info).max_receive_size == limit


@pytest.mark.parametrize("option", [-2, 1.5, "much", "1000", float("inf"), float("nan")])
def test_a_wrong_option_is_refused(option: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"options: grpc\.max_receive_message_length: expected an integer"):
        ConnectionInfo(hostname="h", options={LIMIT_OPTION: option})


@pytest.mark.parametrize("limit", [2000, None])
def test_the_setting_overrides_grpcs_option(limit: int | None) -> None:
    info = ConnectionInfo(hostname="h", options={LIMIT_OPTION: 1000}, max_response_size=limit)
    assert info.max_response_size == limit
    assert info.replace(timeout=5).max_response_size == limit
    assert info.replace(max_response_size=7).max_response_size == 7


def test_an_option_that_is_replaced_sets_the_limit_anew() -> None:
    info = ConnectionInfo(hostname="h", options={LIMIT_OPTION: 1000})
    assert info.replace(options={LIMIT_OPTION: 2000}).max_response_size == 2000
    assert info.replace(options={}).max_response_size == 64 * MIB


@pytest.mark.parametrize("setting", [{"compression": "gzip"}, {"user_agent": "shop/2"}, {"max_response_size": MIB}])
def test_they_tell_connections_apart(setting: dict[str, Any]) -> None:
    plain, other = ConnectionInfo(hostname="h"), ConnectionInfo(hostname="h", **setting)
    assert plain != other
    assert hash(plain) != hash(other)
    assert pickle.loads(pickle.dumps(other)) == other


def test_they_travel_with_a_client() -> None:
    client = RemoteClient("h:1", compression="gzip", user_agent="shop/2", max_response_size=None)
    assert connection_of(pickle.loads(pickle.dumps(client))) == connection_of(client)


# -- arguments --------------------------------------------------------------------------------------------------------


def test_the_typed_settings_are_the_arguments() -> None:
    assert keywords(RemoteClient) == set(ClientSettings.__annotations__)


@pytest.mark.parametrize(
    "function",
    [
        RemoteClient.from_config,
        RemoteClient.from_env,
        sync.RemoteClient,
        sync.RemoteClient.from_config,
        sync.RemoteClient.from_env,
    ],
)
def test_all_ways_to_a_client_show_its_arguments(function: Any) -> None:
    assert keywords(function) == keywords(RemoteClient)


@pytest.mark.parametrize("api", [RemoteClient, sync.RemoteClient])
def test_unknown_arguments_are_refused(api: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        api("h:1", colour="red")
    with pytest.raises(TypeError, match=r"from_config\(\) got an unexpected keyword argument 'colour'"):
        api.from_config({"finders": {}}, colour="red")
    with pytest.raises(TypeError, match=r"from_env\(\) got an unexpected keyword argument 'colour'"):
        api.from_env("h:1", colour="red")


# -- from_config ------------------------------------------------------------------------------------------------------


def configured(**config: Any) -> dict[str, Any]:
    return {"finders": {"a": {"type": "REMOTE", "config": config}}}


def test_arguments_override_a_configuration() -> None:
    config = configured(
        connection={"hostname": "h", "timeout": 5, "retries": 4, "user_agent": "file/1"},
        remote_connections=[{"hostname": "other", "max_pending": 3}],
    )
    client = RemoteClient.from_config(
        config, timeout=None, retries=0, compression="gzip", max_response_size=MIB, tls={"enabled": True}
    )
    other, one = connections(client)
    for each in (one, other):
        assert (each.timeout, each.retries, each.compression, each.max_response_size) == (None, 0, "gzip", MIB)
        assert each.tls.enabled
    assert (one.user_agent, other.user_agent, other.max_pending) == ("file/1", USER_AGENT, 3)


def test_a_configuration_without_arguments_is_unchanged() -> None:
    config = configured(connection={"hostname": "h", "timeout": 5, "retries": 4, "max_response_size": None})
    (found,) = connections(RemoteClient.from_config(config))
    assert found == ConnectionInfo(hostname="h", timeout=5, retries=4, max_response_size=None)


def test_arguments_of_a_whole_finder_override_a_configuration() -> None:
    config = configured(connection={"hostname": "h"}, protocol="http", engine=None)
    (finder,) = RemoteClient.from_config(config, protocol="grpc", engine="grpcio")._finder._finders
    assert (finder.config.protocol, finder.config.connection and finder.config.connection.engine) == ("grpc", "grpcio")


def test_a_clients_own_arguments_go_with_a_configuration() -> None:
    def hook(event: Any) -> None: ...

    config = configured(connection={"hostname": "h"})
    client = RemoteClient.from_config(config, hooks=[hook], metadata={"a": "b"})
    (server,) = client._finder.servers
    assert server.caller.options.hooks == (hook,)
    assert server.caller.options.metadata == ({"a": "b"},)
    with pytest.raises(ConfigurationError, match="transport: "):
        RemoteClient.from_config(config, transport=object())  # type: ignore[arg-type]


def test_wrong_arguments_beside_a_configuration_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="retries: "):
        RemoteClient.from_config(configured(connection={"hostname": "h"}), retries=-1)


# -- from_env ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets `REMOTE_CLIENT_...` variables."""
    for name in ("TARGET", "TOKEN_FILE", "CA_FILE", "CERT_FILE", "KEY_FILE", "TIMEOUT", "SCHEMA"):
        monkeypatch.delenv(f"REMOTE_CLIENT_{name}", raising=False)

    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"REMOTE_CLIENT_{name}", value)

    return set_variables


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """PEM files of an authority, of a certificate and of its key, by the variables that name them."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    own = authority.issue_cert("client")
    files = {"CA_FILE": authority.cert_pem, "CERT_FILE": own.cert_chain_pems[0], "KEY_FILE": own.private_key_pem}
    for name, content in files.items():
        content.write_to_path(str(folder / name))
    return {name: str(folder / name) for name in files}


def test_the_environment_sets_a_client_up(environment: Any, certificates: dict[str, str]) -> None:
    environment(TARGET="gateway:8085", TOKEN_FILE="/run/token", TIMEOUT="2.5", **certificates)
    client = RemoteClient.from_env()
    connection = connection_of(client)
    assert (connection.target, connection.timeout, connection.retries) == ("gateway:8085", 2.5, 2)
    assert connection.tls.enabled
    assert connection.tls.ca_file == certificates["CA_FILE"]
    assert connection.tls.mtls_enabled
    assert client._metadata == (BearerToken(file="/run/token"),)


def test_an_authority_alone_turns_tls_on(environment: Any, certificates: dict[str, str]) -> None:
    environment(TARGET="gateway", CA_FILE=certificates["CA_FILE"])
    connection = connection_of(RemoteClient.from_env())
    assert (connection.target, connection.tls.enabled, connection.tls.mtls_enabled) == ("gateway:443", True, False)


def test_the_blocking_client_reads_the_same_variables(environment: Any) -> None:
    environment(TARGET="http://gateway:8080", TIMEOUT="inf")
    with sync.RemoteClient.from_env() as client:
        assert connection_of(client._twin).target == "gateway:8080"
        assert connection_of(client._twin).timeout is None


def test_empty_variables_count_as_unset(environment: Any) -> None:
    environment(TARGET=" gateway:1 ", TOKEN_FILE="", CA_FILE="", TIMEOUT="")
    client = RemoteClient.from_env()
    assert connection_of(client) == ConnectionInfo(hostname="gateway", port=1, retries=2)
    assert client._metadata == ()


def test_arguments_override_variables(environment: Any) -> None:
    environment(TARGET="a:1", TOKEN_FILE="/run/token", CA_FILE="/none", TIMEOUT="soon", SCHEMA="/none")
    client = RemoteClient.from_env(
        ["b:1", "c:1"], metadata={"x": "y"}, tls={"enabled": True}, timeout=None, schema=DESCRIPTION
    )
    assert [each.target for each in connections(client)] == ["b:1", "c:1"]
    assert {each.timeout for each in connections(client)} == {None}
    assert client._metadata == ({"x": "y"},)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "REMOTE_CLIENT_TARGET: it is not set"),
        ({"TARGET": ""}, "REMOTE_CLIENT_TARGET: it is not set"),
        ({"TARGET": "a:1,b:1"}, "REMOTE_CLIENT_TARGET: it has several hosts"),
        ({"TARGET": "::1:8085"}, "REMOTE_CLIENT_TARGET: "),
        ({"TARGET": "a:1", "TIMEOUT": "soon"}, "REMOTE_CLIENT_TIMEOUT: expected seconds"),
        ({"TARGET": "a:1", "TIMEOUT": "0"}, "REMOTE_CLIENT_TIMEOUT: .* above 0"),
        ({"TARGET": "a:1", "TIMEOUT": "nan"}, "REMOTE_CLIENT_TIMEOUT: "),
        ({"TARGET": "a:1", "CA_FILE": "/none"}, "REMOTE_CLIENT_CA_FILE: .*/none"),
        ({"TARGET": "a:1", "CERT_FILE": "/none"}, "REMOTE_CLIENT_CERT_FILE: .*needs cert_file and key_file"),
        ({"TARGET": "a:1", "SCHEMA": "/none"}, "REMOTE_CLIENT_SCHEMA: /none cannot be read"),
    ],
)
def test_errors_name_the_variable(environment: Any, values: dict[str, str], told: str) -> None:
    environment(**values)
    with pytest.raises(ConfigurationError, match=f"^{told}"):
        RemoteClient.from_env()


def test_an_error_never_repeats_credentials(environment: Any) -> None:
    environment(TARGET="https://user:hunter2@gateway")
    with pytest.raises(ConfigurationError, match=r"^REMOTE_CLIENT_TARGET: ") as caught:
        RemoteClient.from_env()
    assert "hunter2" not in str(caught.value)


def test_an_error_about_an_argument_names_no_variable(environment: Any) -> None:
    environment(TARGET="a:1")
    with pytest.raises(ConfigurationError, match=r"^target: "):
        RemoteClient.from_env("a:1,b:1")
