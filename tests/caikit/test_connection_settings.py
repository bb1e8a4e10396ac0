"""The settings of caikit's `ConnectionInfo`, one by one, and what else a configuration says of calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from aconfig import Config
from caikit.interfaces.common.data_model import ConnectionInfo, ConnectionTlsInfo
from caikit.runtime.types.caikit_runtime_exception import CaikitRuntimeException
from sample_lib.data_model import SampleInputType
from sample_lib.modules import BundleModule, FailingModule, SampleModule, SlowModule

import remote_client
from remote_client.caikit import RemoteModelFinder, RemoteModelInitializer, RemoteModuleBase, RemoteModuleConfig
from remote_client.errors import ConfigurationError, RemoteCallError

from ..support.clock import Stopwatch
from ..support.runtime import Runtime
from .certificates import Certificates
from .gateways import PROTOCOLS, Protocol, connection_of
from .relay import Relay

MODELS = {SampleModule: "foo", SlowModule: "slow", FailingModule: "failing", BundleModule: "bundle"}
X = SampleInputType(name="x")
INITIALIZER = RemoteModelInitializer({}, "tested")


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


def model_of(module: type, connection: Any, protocol: Protocol, model_key: str = "mm-model-id") -> Any:
    """A remote model by caikit's settings, given as a mapping, or by others as they are."""
    info = ConnectionInfo(**connection) if isinstance(connection, dict) else connection
    config = RemoteModuleConfig.load_from_module(module, info, protocol, model_key, MODELS[module])
    return INITIALIZER.init(config)


def cause_of(raised: pytest.ExceptionInfo[CaikitRuntimeException]) -> RemoteCallError:
    cause = raised.value.__cause__
    assert isinstance(cause, RemoteCallError)
    return cause


def test_a_timeout_ends_calls(runtime: Runtime, protocol: Protocol) -> None:
    model = model_of(SlowModule, connection_of(runtime, protocol, timeout=1), protocol)
    watch = Stopwatch()
    with pytest.raises(CaikitRuntimeException) as raised:
        model.run(10.0)
    assert raised.value.status_code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.9 < watch.wall < 5


def test_a_timeout_of_zero_is_none(runtime: Runtime, protocol: Protocol) -> None:
    assert model_of(SlowModule, connection_of(runtime, protocol, timeout=0), protocol).run(0.1).greeting == "slept 0.1"


def test_options_are_grpcs(runtime: Runtime, protocol: Protocol) -> None:
    """The limit of an answer holds for HTTP too, where caikit's client sends options as a query."""
    connection = connection_of(runtime, protocol, options={"grpc.max_receive_message_length": 1000})
    model = model_of(BundleModule, connection, protocol)
    assert len(model.run("small", size=100).data) == 100
    with pytest.raises(CaikitRuntimeException) as raised:
        model.run("large", size=5000)
    assert raised.value.status_code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_settings_that_caikit_has_no_name_for(runtime: Runtime, protocol: Protocol) -> None:
    packed = {"compression": "gzip"} if protocol == "grpc" else {}
    info = remote_client.ConnectionInfo(**connection_of(runtime, protocol), max_response_size=1000, **packed)
    model = model_of(BundleModule, info, protocol)
    assert len(model.run("small" * 100, size=100).data) == 100
    with pytest.raises(CaikitRuntimeException) as raised:
        model.run("large", size=5000)
    assert raised.value.status_code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_option_that_is_no_number_is_named(runtime: Runtime, protocol: Protocol) -> None:
    connection = connection_of(runtime, protocol, options={"grpc.max_receive_message_length": "much"})
    with pytest.raises(ConfigurationError, match=r"options: grpc\.max_receive_message_length: expected an integer"):
        model_of(BundleModule, connection, protocol).run("small", size=100)


@pytest.mark.parametrize("retries", [0, 3])
def test_retries_are_attempts_after_the_first(runtime: Runtime, protocol: Protocol, retries: int) -> None:
    connection = connection_of(runtime, protocol, retries=retries, retry_options={"backoff_factor": 0.01})
    with pytest.raises(CaikitRuntimeException) as raised:
        model_of(FailingModule, connection, protocol).run("RESOURCE_EXHAUSTED")
    assert raised.value.status_code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(cause_of(raised).previous) == retries


@pytest.mark.parametrize(
    "options", [{"maxAttempts": 2, "initialBackoff": "0.01s"}, {"total": 1, "backoff_factor": 0.01}]
)
def test_retry_options_in_either_spelling(runtime: Runtime, protocol: Protocol, options: dict[str, Any]) -> None:
    connection = connection_of(runtime, protocol, retries=5, retry_options=options)
    with pytest.raises(CaikitRuntimeException) as raised:
        model_of(FailingModule, connection, protocol).run("RESOURCE_EXHAUSTED")
    assert len(cause_of(raised).previous) == 1


def test_what_the_model_refuses_is_not_retried(runtime: Runtime, protocol: Protocol) -> None:
    with pytest.raises(CaikitRuntimeException) as raised:
        model_of(FailingModule, connection_of(runtime, protocol, retries=5), protocol).run("INVALID_ARGUMENT")
    assert raised.value.status_code is grpc.StatusCode.INVALID_ARGUMENT
    assert not cause_of(raised).previous


@pytest.mark.parametrize(("age", "connections"), [(-1, 1), (0, 3)])
def test_max_session_age(runtime: Runtime, protocol: Protocol, age: int, connections: int) -> None:
    """Below 0 a connection is never replaced; 0 opens one per call."""
    with Relay(connection_of(runtime, protocol)["port"]) as relay:
        connection = {"hostname": "127.0.0.1", "port": relay.port, "max_session_age": age}
        model = model_of(SampleModule, connection, protocol)
        for _ in range(3):
            model.run(X)
        assert relay.accepted == connections


def test_models_of_a_server_share_its_connections(runtime: Runtime, protocol: Protocol) -> None:
    with Relay(connection_of(runtime, protocol)["port"]) as relay:
        connection = {"hostname": "127.0.0.1", "port": relay.port}
        for module, arguments in ((SampleModule, (X,)), (BundleModule, ("small",))):
            model_of(module, connection, protocol).run(*arguments)
        first, second = (model_of(SampleModule, connection, protocol) for _ in range(2))
        first.run(X)
        before = relay.accepted
        second.run(X)
        assert relay.accepted == before


def test_the_model_key_names_the_metadata(runtime: Runtime) -> None:
    model = model_of(SampleModule, connection_of(runtime, "grpc"), "grpc", model_key="x-model")
    with pytest.raises(CaikitRuntimeException, match="Missing required model ID") as raised:
        model.run(X)
    assert raised.value.status_code is grpc.StatusCode.INVALID_ARGUMENT


def test_over_http_the_model_key_means_nothing(runtime: Runtime) -> None:
    model = model_of(SampleModule, connection_of(runtime, "http"), "http", model_key="x-model")
    assert model.run(X).greeting == "Hello x"


@pytest.mark.parametrize("wrong", ["smtp", "", None])
def test_an_unknown_protocol_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="protocol"):
        RemoteModuleBase(ConnectionInfo(hostname="localhost"), wrong, "mm-model-id", "foo")


def test_settings_of_this_client_serve_as_well(runtime: Runtime, protocol: Protocol) -> None:
    settings = remote_client.ConnectionInfo(**connection_of(runtime, protocol, timeout=0.3, max_pending=3))
    assert model_of(SampleModule, settings, protocol).run(X).greeting == "Hello x"
    with pytest.raises(CaikitRuntimeException) as raised:
        model_of(SlowModule, settings, protocol).run(10.0)
    assert raised.value.status_code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    "setting",
    [{"timeout": 0.5}, {"retries": None}, {"retry_options": {"status_forcelist": [500]}}, {"max_pending": 3}],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_that_caikits_lack_are_no_error(setting: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """caikit logs an error for whatever its checks refuse."""
    connection = {"hostname": "localhost", **setting}
    supported = {"foo": SampleModule.MODULE_ID}
    config = RemoteModelFinder(Config({"connection": connection, "supported_models": supported}), "x").find_model("foo")
    assert config is not None
    assert config.connection == remote_client.ConnectionInfo(**connection)
    assert not caplog.messages


@pytest.mark.parametrize(
    "setting", [{"timeout": None}, {"timeout": 5}, {"max_session_age": 0.5}, {"port": None}], ids=str
)
def test_settings_that_caikits_have_are_given_as_caikits(setting: dict[str, Any]) -> None:
    connection = {"hostname": "localhost", **setting}
    supported = {"foo": SampleModule.MODULE_ID}
    config = RemoteModelFinder(Config({"connection": connection, "supported_models": supported}), "x").find_model("foo")
    assert config is not None
    assert isinstance(config.connection, ConnectionInfo)


def test_a_finder_gives_settings_that_caikits_lack(runtime: Runtime, protocol: Protocol) -> None:
    connection = connection_of(runtime, protocol, timeout=0.3, max_pending=3)
    config = RemoteModelFinder(Config({"connection": connection, "protocol": protocol}), "x").find_model("slow")
    assert config is not None
    assert isinstance(config.connection, remote_client.ConnectionInfo)
    with pytest.raises(CaikitRuntimeException) as raised:
        INITIALIZER.init(config).run(10.0)
    assert raised.value.status_code is grpc.StatusCode.DEADLINE_EXCEEDED


# TLS.


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_runtime(files: Certificates) -> Iterator[Runtime]:
    tls = {"server": {"key": files.server_key, "cert": files.server_cert}}
    with Runtime(models={"foo": SampleModule.MODULE_ID}, tls=tls, ca_file=files.ca) as running:
        yield running


@pytest.fixture(scope="module")
def mutual_runtime(files: Certificates) -> Iterator[Runtime]:
    tls = {"server": {"key": files.server_key, "cert": files.server_cert}, "client": {"cert": files.ca}}
    shown = (files.client_key, files.client_cert)
    with Runtime(models={"foo": SampleModule.MODULE_ID}, tls=tls, ca_file=files.ca, client_files=shown) as running:
        yield running


def greets(runtime: Runtime, protocol: Protocol, tls: dict[str, Any]) -> bool:
    """Find and call a model, with the finder's settings and with caikit's."""
    connection = connection_of(runtime, protocol, tls=tls)
    config = RemoteModelFinder(Config({"connection": connection, "protocol": protocol}), "x").find_model("foo")
    if config is None:
        return False
    assert isinstance(config.connection.tls, ConnectionTlsInfo)
    models = INITIALIZER.init(config), model_of(SampleModule, connection, protocol)
    return [model.run(X).greeting for model in models] == ["Hello x", "Hello x"]


def test_tls(tls_runtime: Runtime, files: Certificates, protocol: Protocol) -> None:
    assert greets(tls_runtime, protocol, {"enabled": True, "ca_file": files.ca})


def test_mutual_tls(mutual_runtime: Runtime, files: Certificates, protocol: Protocol) -> None:
    ours = {"cert_file": files.client_cert, "key_file": files.client_key}
    assert greets(mutual_runtime, protocol, {"enabled": True, "ca_file": files.ca, **ours})
    assert not greets(mutual_runtime, protocol, {"enabled": True, "ca_file": files.ca})


def test_a_server_of_another_authority_is_not_called(tls_runtime: Runtime, tmp_path: Path, protocol: Protocol) -> None:
    tls = {"enabled": True, "ca_file": Certificates(tmp_path).ca}
    assert not greets(tls_runtime, protocol, tls)
    with pytest.raises(CaikitRuntimeException) as raised:
        model_of(SampleModule, connection_of(tls_runtime, protocol, tls=tls), protocol).run(X)
    assert raised.value.status_code is grpc.StatusCode.UNAVAILABLE


def test_http_may_skip_the_verification(tls_runtime: Runtime) -> None:
    with pytest.warns(UserWarning, match="insecure_verify"):
        assert greets(tls_runtime, "http", {"enabled": True, "insecure_verify": True})


def test_grpc_refuses_to_skip_the_verification() -> None:
    insecure = ConnectionInfo(hostname="localhost", tls=ConnectionTlsInfo(enabled=True, insecure_verify=True))
    with pytest.raises(ValueError, match="insecure_verify"):
        RemoteModuleBase(insecure, "grpc", "mm-model-id", "foo")
    with pytest.raises(ValueError, match="insecure_verify"):
        model_of(SampleModule, insecure, "grpc")


def test_without_tls_its_settings_mean_nothing(runtime: Runtime) -> None:
    assert greets(runtime, "grpc", {"enabled": False, "insecure_verify": True})
