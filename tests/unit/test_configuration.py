"""caikit's configuration files, and what the environment overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client._client.configuration import remote_finders
from remote_client.errors import ConfigurationError

CAIKITS_OWN = """
runtime:
    library: sample_lib
model_management:
    initializers:
        default: {type: REMOTE}
    finders:
        local:
            type: LOCAL
        remote:
            type: REMOTE
            config:
                connection:
                    hostname: foo.{}.bar
                    port: 8085
                    tls: {enabled: false}
                    timeout: null
                    options: {grpc.keepalive_time_ms: 30000}
                remote_connections:
                    - {hostname: other, port: 1}
                min_poll_time: 5
                supported_models:
                    foo: some-id
        last:
            type: REMOTE
            config: {connection: {hostname: web, port: 8080}, protocol: http, discover_models: false}
"""


def finders(config: Any, **environment: str) -> Any:
    return remote_finders(config, environment)


def small(**connection: Any) -> dict[str, Any]:
    return {"finders": {"my-finder": {"type": "REMOTE", "config": {"connection": {"hostname": "h", **connection}}}}}


def test_caikits_own_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(CAIKITS_OWN)
    for given in (file, str(file)):
        found = finders(given)
        assert list(found) == ["remote", "last"]
    remote = found["remote"]
    assert remote.connection.target == "foo.{}.bar:8085"
    assert (remote.connection.timeout, remote.min_poll_time) == (None, 5)
    assert [each.target for each in remote.remote_connections] == ["other:1"]
    assert remote.supported_models["foo"].module_id == "some-id"
    assert (found["last"].protocol, found["last"].discover_models) == ("http", False)
    client = RemoteClient.from_config(file)
    assert repr(client) == "<RemoteClient of other:1, web:8080: 0 connections opened>"


def test_a_finder_of_the_client_inside_caikit_is_one_of_this_client() -> None:
    """A deployment that was switched to `remote_client.caikit` needs no second configuration."""
    finder = {
        "type": "REMOTE_CLIENT",
        "import_class": "remote_client.caikit.RemoteModelFinder",
        "config": {"connection": {"hostname": "h"}},
    }
    found = remote_finders({"finders": {"local": {"type": "LOCAL"}, "default": finder}}, {})
    assert {name: config.connection and config.connection.hostname for name, config in found.items()} == {
        "default": "h"
    }


def test_the_environment_goes_over_it() -> None:
    prefix = "MODEL_MANAGEMENT_FINDERS_MY_FINDER_CONFIG_"
    found = finders(
        small(port=1, timeout=5),
        **{
            f"{prefix}CONNECTION_HOSTNAME": "elsewhere",
            f"{prefix}CONNECTION_PORT": "8085",
            f"{prefix}CONNECTION_TIMEOUT": "null",
            f"{prefix}CONNECTION_MAX_SESSION_AGE": "2.5",
            f"{prefix}PROTOCOL": "http",
            f"{prefix}CONNECTION_TLS_ENABLED": "true",
            f"{prefix}DISCOVER_MODELS": "false",
            f"{prefix}CONNECTION_NONSENSE": "ignored: it may be anybody's",
            "MODEL_MANAGEMENT_FINDERS_OTHER_CONFIG_PROTOCOL": "grpc",
        },
    )["my-finder"]
    connection = found.connection
    assert (connection.target, connection.timeout, connection.max_session_age) == ("elsewhere:8085", None, 2.5)
    assert (found.protocol, connection.tls.enabled, found.discover_models) == ("http", True, False)


def test_the_environment_is_the_processs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_MANAGEMENT_FINDERS_MY_FINDER_CONFIG_CONNECTION_HOSTNAME", "elsewhere")
    given = small()
    assert "elsewhere" in repr(RemoteClient.from_config({"model_management": given}))
    assert given == small()  # what was given is not changed


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "model_management is missing"),
        ({"model_managment": {}}, "is 'model_managment' a misspelling?"),
        ({"model_management": []}, "must be a mapping"),
        ({"model_management": {}}, "finders is missing"),
        ({"model_management": {"finder": {}}}, "is 'finder' a misspelling?"),
        ({"finders": {"a": []}}, "finders.a: must be a mapping"),
        ({"finders": {"a": {"type": "LOCAL"}}}, "none is of the type REMOTE or REMOTE_CLIENT; there are LOCAL"),
        ({"finders": {"a": {"type": "REMOTE", "confg": {}}}}, "unknown key 'confg', did you mean 'config'"),
        ({"finders": {"a": {"type": "REMOTE", "config": []}}}, "connection or remote_connections is needed"),
        ({"finders": {"a": {"type": "REMOTE", "config": 5}}}, "config: must be a mapping"),
        (small(hostnme="x"), "unknown key 'hostnme', did you mean 'hostname'"),
        (small(port="x"), "port: Input should be a valid integer"),
        (
            {"finders": {"a": {"type": "REMOTE", "config": {"connection": {"hostname": "h"}, "min_pol_time": 1}}}},
            "finders.a.config: FinderConfig: unknown key 'min_pol_time', did you mean 'min_poll_time'",
        ),
    ],
)
def test_what_is_wrong_is_told(config: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        finders(config)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\xff"])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError):
        finders(tmp_path / "config.yml")
    with pytest.raises(FileNotFoundError):
        finders(tmp_path / "missing.yml")
