"""Which engine carries the calls, and what the own one reads from gRPC's channel options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remote_client import ConnectionInfo, FinderConfig, RemoteClient, RemoteModelFinder
from remote_client._transport.engine import choose_engine
from remote_client._transport.engines.grpcio_channel import _OPTIONS
from remote_client._transport.engines.grpcio_channel import _options as channel_options
from remote_client._transport.grpc_options import OPTIONS, GrpcOptions, unknown_options
from remote_client.errors import ConfigurationError
from remote_client.sync import RemoteClient as BlockingClient

UNKNOWN = {"grpc.channelz.enable": 1}
SECRET = {"enabled": True, "key_password": "x"}
ELSEWHERE = {"REMOTE_CLIENT_ENGINE": "grpcio"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMOTE_CLIENT_ENGINE", raising=False)


def info(**settings: Any) -> ConnectionInfo:
    return ConnectionInfo(hostname="h", port=1, **settings)


def test_the_own_engine_is_the_default() -> None:
    assert choose_engine(info(), "grpc", environment={}) == "asyncio"


def test_the_connection_goes_before_the_environment() -> None:
    assert choose_engine(info(), "grpc", environment=ELSEWHERE) == "grpcio"
    assert choose_engine(info(engine="asyncio"), "grpc", environment=ELSEWHERE) == "asyncio"
    assert choose_engine(info(engine="grpcio"), "grpc", environment={"REMOTE_CLIENT_ENGINE": "asyncio"}) == "grpcio"
    assert choose_engine(info(), "grpc", environment={"REMOTE_CLIENT_ENGINE": ""}) == "asyncio"


def test_the_argument_goes_before_the_connection() -> None:
    client = RemoteClient([info(engine="asyncio"), info()], engine="grpcio")
    assert {server.connection.engine for server in client._finder.servers} == {"grpcio"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({key: _OPTIONS[key] for key in _OPTIONS if key in OPTIONS}, "asyncio"),
        ({"grpc.lb_policy_name": "pick_first"}, "asyncio"),
        ({"grpc.lb_policy_name": "weighted_round_robin"}, "grpcio"),
        ({"grpc.enable_http_proxy": 0}, "asyncio"),
        ({"grpc.enable_http_proxy": 1}, "grpcio"),
        ({"grpc.default_compression_algorithm": 2}, "asyncio"),
        ({"grpc.default_compression_algorithm": 1}, "grpcio"),
        ({"grpc.service_config": "{}"}, "grpcio"),
        (UNKNOWN, "grpcio"),
    ],
)
def test_options_choose(options: dict[str, Any], expected: str) -> None:
    assert choose_engine(info(options=options), "grpc", environment={}) == expected


def test_interceptors_choose_grpcio() -> None:
    assert choose_engine(info(), "grpc", [object()], {}) == "grpcio"


def test_an_xds_target_needs_grpcio() -> None:
    xds = ConnectionInfo(hostname="xds:///svc")
    told = 'xds:///svc: only engine="grpcio" speaks xDS, and {} is "asyncio"'
    assert choose_engine(xds, "grpc", environment={}) == "grpcio"
    with pytest.raises(ConfigurationError, match=told.format("engine")):
        choose_engine(xds.replace(engine="asyncio"), "grpc", environment={})
    with pytest.raises(ConfigurationError, match=told.format("REMOTE_CLIENT_ENGINE")):
        choose_engine(xds, "grpc", environment={"REMOTE_CLIENT_ENGINE": "asyncio"})


@pytest.mark.parametrize("hostname", ["xds:///svc", "xds:///{}.svc"])
def test_finders_of_xds_targets(hostname: str) -> None:
    RemoteModelFinder({"connection": {"hostname": hostname}})
    with pytest.raises(ConfigurationError, match="xDS is for gRPC only"):
        RemoteModelFinder({"connection": {"hostname": hostname}, "protocol": "http"})
    with pytest.raises(ConfigurationError, match=r"only engine=.grpcio. speaks xDS"):
        RemoteModelFinder({"connection": {"hostname": hostname}, "engine": "asyncio"})


@pytest.mark.parametrize(("hostname", "policy"), [("h", "round_robin"), ("xds:///svc", None), ("127.0.0.1", None)])
def test_how_calls_are_spread_over_a_service_is_its_control_planes_to_say(hostname: str, policy: str | None) -> None:
    assert channel_options(ConnectionInfo(hostname=hostname)).get("grpc.lb_policy_name") == policy


@pytest.mark.parametrize(
    ("settings", "interceptors", "environment", "told"),
    [
        ({"engine": "asyncio", "options": UNKNOWN}, (), {}, r"options: grpc.channelz.enable: .*engine is \"asyncio\""),
        ({"engine": "asyncio"}, (object(),), {}, "interceptors: "),
        ({"options": UNKNOWN}, (), {"REMOTE_CLIENT_ENGINE": "asyncio"}, "REMOTE_CLIENT_ENGINE is"),
        ({}, (), {"REMOTE_CLIENT_ENGINE": "grpc"}, "REMOTE_CLIENT_ENGINE: must be asyncio or grpcio, not 'grpc'"),
        (
            {"options": {"grpc.keepalive_time_ms": "soon"}},
            (),
            {},
            "options: grpc.keepalive_time_ms: expected an integer",
        ),
        ({"options": {"grpc.keepalive_time_ms": -5}}, (), {}, "expected an integer from 0, got -5"),
        ({"options": {"grpc.max_metadata_size": float("nan")}}, (), {}, "options: grpc.max_metadata_size: "),
        ({"options": {"grpc.primary_user_agent": "a\nb"}}, (), {}, "expected printable ASCII"),
    ],
)
def test_what_cannot_be(
    settings: dict[str, Any], interceptors: tuple[Any, ...], environment: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        choose_engine(info(**settings), "grpc", interceptors, environment)


def test_http_has_no_other_engine() -> None:
    assert choose_engine(info(options=UNKNOWN, engine="asyncio"), "http", environment=ELSEWHERE) == "asyncio"
    with pytest.raises(ConfigurationError, match="the protocol here is HTTP"):
        choose_engine(info(engine="grpcio"), "http", environment={})
    with pytest.raises(ConfigurationError, match="the protocol here is HTTP"):
        choose_engine(info(), "http", [object()], {})


@pytest.mark.parametrize("make", [RemoteClient, BlockingClient])
def test_a_client_tells_at_once(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ({"engine": "grpc"}, {"engine": "asyncio", "interceptors": [object()]}, {"max_pending": 0}):
        with pytest.raises(ConfigurationError, match="|".join(arguments)):
            make("h:1", **arguments)
    with pytest.raises(ConfigurationError, match="channelz"):
        make(info(options=UNKNOWN), engine="asyncio")
    with pytest.raises(ConfigurationError, match="HTTP"):
        make("http://h:1", engine="grpcio")
    monkeypatch.setenv("REMOTE_CLIENT_ENGINE", "c")
    with pytest.raises(ConfigurationError, match="REMOTE_CLIENT_ENGINE"):
        make("h:1")
    make("http://h:1")


def test_a_template_is_checked_at_once() -> None:
    config = {"connection": {"hostname": "{}.h", "options": UNKNOWN}, "engine": "asyncio"}
    with pytest.raises(ConfigurationError, match="channelz"):
        RemoteModelFinder(config)


def test_a_finders_engine_is_its_connections() -> None:
    config = FinderConfig(connection=info(engine="asyncio"), remote_connections=(info(max_pending=3),), engine="grpcio")
    assert config.connection is not None
    assert (config.connection.engine, config.remote_connections[0].engine) == ("grpcio", "grpcio")
    assert config.remote_connections[0].max_pending == 3


def test_an_engine_of_a_configuration_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_MANAGEMENT_FINDERS_R_CONFIG_ENGINE", "grpcio")
    monkeypatch.setenv("MODEL_MANAGEMENT_FINDERS_R_CONFIG_CONNECTION_MAX_PENDING", "7")
    finders = {"r": {"type": "REMOTE", "config": {"connection": {"hostname": "h"}}}}
    client = RemoteClient.from_config({"model_management": {"finders": finders}})
    connection = client._finder.servers[0].connection
    assert (connection.engine, connection.max_pending) == ("grpcio", 7)


def test_options_are_read() -> None:
    options = GrpcOptions.of(
        info(
            options={
                "grpc.max_receive_message_length": -1,
                "grpc.max_send_message_length": 5,
                "grpc.keepalive_time_ms": 2**31 - 1,
                "grpc.keepalive_timeout_ms": 1500,
                "grpc.http2.max_pings_without_data": 0,
                "grpc.min_reconnect_backoff_ms": 250.0,
                "grpc.enable_retries": 0,
                "grpc.absolute_max_metadata_size": 9,
                "grpc.max_metadata_size": 8,
                "grpc.default_compression_algorithm": 2,
                **UNKNOWN,
            }
        )
    )
    assert (options.max_receive_size, options.max_send_size, options.keepalive_time) == (None, 5, None)
    assert (options.ping_timeout, options.max_pings_without_data, options.connect_timeout) == (1.5, None, 0.25)
    assert (options.transparent_retries, options.max_metadata_size, options.compression) == (False, 9, "gzip")


def test_both_engines_have_the_same_defaults() -> None:
    known = {key: value for key, value in _OPTIONS.items() if key in OPTIONS}
    assert GrpcOptions.of(info(options=known)) == GrpcOptions.of(info())
    assert unknown_options(_OPTIONS) == ["grpc.service_config_disable_resolution"]


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "engines.md").read_text()
    for key, option in OPTIONS.items():
        assert f"| `{key}` | {option.meaning} |" in text
