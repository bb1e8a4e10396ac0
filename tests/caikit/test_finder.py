"""`RemoteModelFinder` inside caikit: which models it finds, on which server, and what it refuses."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from aconfig import Config, ImmutableConfig
from caikit.core.model_management import ModelFinderBase
from caikit.core.modules import ModuleConfig
from caikit.interfaces.common.data_model import ConnectionInfo
from sample_lib.modules import SampleTask

from remote_client.caikit import RemoteModelFinder, RemoteModuleConfig
from remote_client.sync import RemoteClient

from ..support.clock import Stopwatch
from ..support.runtime import SAMPLE_MODELS, Runtime
from .gateways import PROTOCOLS, Protocol, connection_of
from .relay import Relay

GREETS, PREFIXES = SAMPLE_MODELS["foo"], SAMPLE_MODELS["primitive"]


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


@pytest.fixture(scope="module")
def second() -> Iterator[Runtime]:
    """A runtime whose models are not loaded before their first call, with other modules than the first one's."""
    models = {"foo": PREFIXES, "localhost": GREETS, "late-grpc": GREETS, "late-http": GREETS, "broken": "no-such-id"}
    with Runtime(models=models, wait_for_loads=False) as running:
        yield running


@pytest.fixture
def silent() -> Iterator[dict[str, Any]]:
    """The connection of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield {"hostname": "127.0.0.1", "port": listener.getsockname()[1], "timeout": 1}


def finder_of(connection: dict[str, Any] | None = None, protocol: Protocol = "grpc", **more: Any) -> RemoteModelFinder:
    given = {} if connection is None else {"connection": connection}
    return RemoteModelFinder(Config({"protocol": protocol, **given, **more}), "tested")


def found_by(finder: RemoteModelFinder, name: str) -> RemoteModuleConfig:
    config = finder.find_model(name)
    assert config is not None, f"{name} was not found"
    return config


def test_it_is_one_of_caikits(runtime: Runtime) -> None:
    finder = RemoteModelFinder(
        config=ImmutableConfig({"connection": connection_of(runtime, "grpc")}), instance_name="x"
    )
    assert isinstance(finder, ModelFinderBase)
    assert finder.name == "REMOTE_CLIENT"


def test_a_model_is_found(runtime: Runtime, protocol: Protocol) -> None:
    connection = connection_of(runtime, protocol)
    config = found_by(finder_of(connection, protocol), "foo")
    assert isinstance(config, RemoteModuleConfig)
    assert isinstance(config, ModuleConfig)
    assert isinstance(config.connection, ConnectionInfo)
    assert (config.connection.hostname, config.connection.port) == ("localhost", connection["port"])
    assert (config.protocol, config.model_key, config.model_path) == (protocol, "mm-model-id", "foo")
    assert (config.module_id, config.module_name) == (f"{GREETS}-remote", "SampleModule Remote")
    ((task, methods),) = config.task_methods
    assert task is SampleTask
    assert len(methods) == 4


def test_a_module_of_several_tasks(runtime: Runtime, protocol: Protocol) -> None:
    config = found_by(finder_of(connection_of(runtime, protocol), protocol), "prefix")
    assert [task.__name__ for task, _ in config.task_methods] == ["StreamingTask", "BidiStreamingTask"]


def test_an_unknown_model_is_not_found(runtime: Runtime, protocol: Protocol) -> None:
    finder = finder_of(connection_of(runtime, protocol), protocol)
    assert finder.find_model("nothing") is None
    assert finder.find_model("") is None


def test_more_arguments_are_ignored(runtime: Runtime) -> None:
    """caikit passes on what `load` is given."""
    assert finder_of(connection_of(runtime, "grpc")).find_model(model_path="foo", load_backends=None) is not None


def test_the_configuration_of_its_keys(runtime: Runtime) -> None:
    connection = connection_of(runtime, "grpc", timeout=7, retries=2, max_session_age=1.5)
    config = found_by(finder_of(connection, model_key="x-model"), "foo")
    assert config.model_key == "x-model"
    settings = config.connection
    assert isinstance(settings, ConnectionInfo)
    assert (settings.timeout, settings.retries, settings.max_session_age) == (7, 2, 1.5)


def test_no_server_is_asked_before_the_first_question() -> None:
    with Relay() as relay:
        finder_of({"hostname": "127.0.0.1", "port": relay.port})
        assert relay.accepted == 0


@contextmanager
def recorded(runtime: Runtime, protocol: Protocol) -> Iterator[tuple[int, list[str]]]:
    """A server that passes unary calls on to a runtime; yields its port, and what it was asked."""
    asked: list[str] = []
    if protocol == "grpc":
        with grpc.insecure_channel(runtime.target) as channel:

            class Handler(grpc.GenericRpcHandler):
                def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                    asked.append(details.method)
                    call = channel.unary_unary(details.method)
                    return grpc.unary_unary_rpc_method_handler(lambda request, _: call(request))

            server = grpc.server(ThreadPoolExecutor(4), [Handler()])
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            yield port, asked
            server.stop(None).wait()
        return

    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            with urlopen(runtime.http_target + self.path) as answer:
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Requests) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield web.server_port, asked
        web.shutdown()
        thread.join()


def test_no_server_is_asked_to_describe_itself(runtime: Runtime, protocol: Protocol) -> None:
    """caikit knows what its servers have, as for caikit's finder."""
    with recorded(runtime, protocol) as (port, asked):
        finder = finder_of({"hostname": "127.0.0.1", "port": port}, protocol)
        assert found_by(finder, "foo").module_id == f"{GREETS}-remote"
    assert asked == ["/caikit.runtime.info.InfoService/GetModelsInfo" if protocol == "grpc" else "/info/models"]


# Configured models.


def test_configured_models_need_no_server() -> None:
    nobody = {"hostname": "localhost", "port": 1}
    finder = finder_of(nobody, discover_models=False, supported_models={"a": GREETS, "b": PREFIXES})
    assert found_by(finder, "a").module_id == f"{GREETS}-remote"
    assert found_by(finder, "b").module_id == f"{PREFIXES}-remote"
    assert finder.find_model("foo") is None


def test_without_discovery_other_models_are_unknown(runtime: Runtime) -> None:
    finder = finder_of(connection_of(runtime, "grpc"), discover_models=False, supported_models={"a": GREETS})
    assert finder.find_model("bar") is None


def test_a_poll_removes_no_configured_model(runtime: Runtime, protocol: Protocol) -> None:
    finder = finder_of(connection_of(runtime, protocol), protocol, supported_models={"hidden": GREETS}, min_poll_time=0)
    assert finder.find_model("nothing") is None
    assert found_by(finder, "hidden").module_id == f"{GREETS}-remote"


def test_a_configured_module_overrides_the_listed_one(runtime: Runtime) -> None:
    finder = finder_of(connection_of(runtime, "grpc"), supported_models={"foo": PREFIXES})
    assert found_by(finder, "foo").module_id == f"{PREFIXES}-remote"


def test_an_unknown_module_is_a_key_error() -> None:
    finder = finder_of({"hostname": "localhost"}, discover_models=False, supported_models={"a": "no-such-id"})
    with pytest.raises(KeyError, match="no-such-id"):
        finder.find_model("a")


# Templates.


def test_a_template_names_the_server_of_a_model() -> None:
    finder = finder_of(
        {"hostname": "foo.{}.svc", "port": 12345}, discover_models=False, supported_models={"a": GREETS, "b": GREETS}
    )
    for name in ("a", "b"):
        settings = found_by(finder, name).connection
        assert (settings.hostname, settings.port) == (f"foo.{name}.svc", 12345)


def test_a_model_is_found_on_the_server_of_its_name(second: Runtime, protocol: Protocol) -> None:
    finder = finder_of({**connection_of(second, protocol), "hostname": "{}"}, protocol)
    assert found_by(finder, "localhost").connection.hostname == "localhost"


@pytest.mark.parametrize("name", ["No_Label", "a/b", "a.example.com", "", "127"])
def test_a_name_that_fits_no_host_name_is_not_found(name: str, protocol: Protocol) -> None:
    assert finder_of({"hostname": "{}", "port": 1}, protocol).find_model(name) is None


def test_a_model_without_a_server_is_not_found(protocol: Protocol) -> None:
    assert finder_of({"hostname": "{}.invalid", "port": 1}, protocol).find_model("foo") is None


# Several servers.


def test_the_first_of_several_servers_wins(runtime: Runtime, second: Runtime, protocol: Protocol) -> None:
    connections = [connection_of(each, protocol) for each in (runtime, second)]
    for order, module_id in ((connections, GREETS), (connections[::-1], PREFIXES)):
        config = found_by(finder_of(None, protocol, remote_connections=order), "foo")
        assert config.module_id == f"{module_id}-remote"
        assert config.connection.port == order[0]["port"]


def test_connection_comes_after_remote_connections(runtime: Runtime, second: Runtime, protocol: Protocol) -> None:
    last, first = connection_of(runtime, protocol), connection_of(second, protocol)
    finder = finder_of(last, protocol, remote_connections=[first])
    assert found_by(finder, "foo").connection.port == first["port"]
    assert found_by(finder, "zoo").connection.port == last["port"]


def test_a_template_comes_before_other_servers(runtime: Runtime, second: Runtime) -> None:
    template = {**connection_of(second, "grpc"), "hostname": "{}"}
    finder = finder_of(template, remote_connections=[connection_of(runtime, "grpc")])
    assert found_by(finder, "localhost").connection.port == second.port
    assert found_by(finder, "zoo").connection.port == runtime.port


def test_a_dead_server_is_passed_over(runtime: Runtime, protocol: Protocol) -> None:
    dead = {"hostname": "localhost", "port": 1}
    finder = finder_of(None, protocol, remote_connections=[dead, connection_of(runtime, protocol)])
    assert found_by(finder, "foo").connection.port == connection_of(runtime, protocol)["port"]


def test_a_silent_server_behind_delays_nothing(runtime: Runtime, silent: dict[str, Any], protocol: Protocol) -> None:
    finder = finder_of(None, protocol, remote_connections=[connection_of(runtime, protocol), silent])
    watch = Stopwatch()
    found_by(finder, "foo")
    assert watch.seconds < 0.9


def test_a_search_does_not_block_those_for_other_models(runtime: Runtime, silent: dict[str, Any]) -> None:
    finder = finder_of(None, remote_connections=[connection_of(runtime, "grpc"), silent])
    found_by(finder, "foo")
    search = threading.Thread(target=finder.find_model, args=("nothing",))
    search.start()
    watch = Stopwatch()
    found_by(finder, "foo")
    found_by(finder, "bar")
    assert watch.seconds < 0.5
    assert search.is_alive()
    search.join()


def test_many_threads_find_models(runtime: Runtime, protocol: Protocol) -> None:
    finder = finder_of(connection_of(runtime, protocol), protocol)
    names = [*SAMPLE_MODELS] * 4
    with ThreadPoolExecutor(32) as pool:
        found = [*pool.map(lambda name: found_by(finder, name).module_id, names)]
    assert found == [f"{SAMPLE_MODELS[name]}-remote" for name in names]


# Polls.


def test_an_unknown_model_is_asked_for_again_after_min_poll_time(runtime: Runtime, second: Runtime) -> None:
    with Relay(second.port) as relay:
        connection = {"hostname": "127.0.0.1", "port": relay.port}
        patient, eager = (finder_of(connection, min_poll_time=seconds) for seconds in (60, 0))
        assert patient.find_model("zoo") is eager.find_model("zoo") is None
        relay.to = runtime.port
        relay.cut()
        assert patient.find_model("zoo") is None
        assert eager.find_model("zoo") is not None


def test_a_known_model_needs_no_further_poll(runtime: Runtime, protocol: Protocol) -> None:
    with Relay(connection_of(runtime, protocol)["port"]) as relay:
        finder = finder_of({"hostname": "127.0.0.1", "port": relay.port}, protocol, min_poll_time=0)
        found_by(finder, "foo")
        relay.to = 0
        relay.cut()
        found_by(finder, "bar")


def test_a_server_that_is_away_at_first(runtime: Runtime, protocol: Protocol) -> None:
    with Relay() as relay:
        finder = finder_of({"hostname": "127.0.0.1", "port": relay.port}, protocol, min_poll_time=60)
        assert finder.find_model("foo") is None
        relay.to = connection_of(runtime, protocol)["port"]
        watch = Stopwatch()
        while (config := finder.find_model("foo")) is None:  # a server that was away is dialled after a pause
            assert watch.seconds < 10
            time.sleep(0.05)
        assert config.module_id == f"{GREETS}-remote"


def test_why_a_model_was_not_found_is_logged(protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
    assert finder_of({"hostname": "localhost", "port": 1}, protocol).find_model("foo") is None
    assert any("foo" in text and "Connection refused" in text for text in caplog.messages)


# Models that are not loaded.


def test_a_model_that_is_not_loaded_is_loaded(second: Runtime, protocol: Protocol) -> None:
    with RemoteClient(second.target) as client:
        (listed,) = [info for info in client.models() if info.name == f"late-{protocol}"]
    assert (listed.loaded, listed.module_id) == (False, "")
    finder = finder_of(connection_of(second, protocol), protocol)
    assert found_by(finder, f"late-{protocol}").module_id == f"{GREETS}-remote"


def test_a_model_that_cannot_be_loaded_is_not_found(second: Runtime, protocol: Protocol) -> None:
    assert finder_of(connection_of(second, protocol), protocol).find_model("broken") is None


# Wrong configurations.


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": "smtp"},
        {"model_key": 5},
        {"discover_models": "perhaps"},
        {"min_poll_time": "soon"},
        {"supported_models": ["foo"]},
        {"connection": {"hostname": "localhost", "no_such_setting": 1}},
        {"connection": {"port": 80}},
        {"connection": {"hostname": "localhost", "tls": {"enabled": True, "ca_file": "/no/such/file"}}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_configuration_is_a_value_error(wrong: dict[str, Any]) -> None:
    (key,) = wrong
    with pytest.raises(ValueError, match=key):
        RemoteModelFinder(Config({"connection": {"hostname": "localhost"}, **wrong}), "tested")


def test_configured_models_need_a_connection() -> None:
    with pytest.raises(ValueError, match="supported_models needs connection"):
        finder_of(None, remote_connections=[{"hostname": "localhost"}], supported_models={"a": GREETS})


def test_a_connection_is_needed() -> None:
    with pytest.raises(ValueError, match="connection or remote_connections is needed"):
        finder_of(None)


@pytest.mark.parametrize("hostname", ["localhost", "{}.example.com"])
def test_grpc_refuses_unverified_servers(hostname: str) -> None:
    insecure = {"hostname": hostname, "tls": {"enabled": True, "insecure_verify": True}}
    with pytest.raises(ValueError, match="insecure_verify"):
        finder_of(insecure)
    if hostname == "localhost":
        with pytest.raises(ValueError, match="insecure_verify"):
            finder_of({"hostname": "localhost"}, remote_connections=[insecure])
    finder_of(insecure, "http")


def test_unknown_keys_are_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """As caikit's finder does: it merges the keys of several files."""
    finder_of({"hostname": "localhost"}, backend_priority=[], load_path="/models")
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "backend_priority" in record.message
    assert "load_path" not in record.message


@pytest.mark.parametrize("name", ["connection", "remote_connections"])
def test_zero_stands_for_no_timeout_and_the_default_port(name: str) -> None:
    given: Any = {"hostname": "localhost", "port": 0, "timeout": 0}
    more = {"discover_models": False, "supported_models": {"a": GREETS}}
    if name == "connection":
        settings = found_by(finder_of(given, **more), "a").connection
        assert (settings.port, settings.timeout) == (80, 0)
    else:
        finder_of(None, remote_connections=[given])


def test_an_empty_connection_is_none(runtime: Runtime) -> None:
    """As merged configurations have it."""
    finder = finder_of({}, remote_connections=[connection_of(runtime, "grpc")], supported_models={})
    assert finder.find_model("foo") is not None


# Subclasses.


class OwnFinder(RemoteModelFinder):
    """Finds models by names of its own."""

    name = "OWN"

    def find_model(self, model_path: str, **kwargs: Any) -> RemoteModuleConfig | None:
        config = super().find_model(model_path.removeprefix("our-"), **kwargs)
        if config is not None:
            config.model_path = f"{config.model_path} of {self.name}"
        return config


def test_a_subclass_changes_what_is_found(runtime: Runtime) -> None:
    finder = OwnFinder(Config({"connection": connection_of(runtime, "grpc")}), "own")
    config = finder.find_model("our-foo")
    assert config is not None
    assert config.model_path == "foo of OWN"
