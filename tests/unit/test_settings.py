"""Settings are checked when they are made, with a message that says what is wrong, and never show a secret."""

import copy
import inspect
import pickle
import subprocess
from dataclasses import FrozenInstanceError, asdict, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import BaseModel, SecretStr, ValidationError

from remote_client import CallOptions, ConnectionInfo, ConnectionTlsInfo, FinderConfig, RemoteClient
from remote_client._settings.connection import parse_target
from remote_client.errors import ConfigurationError, InputError


def test_defaults_are_upstreams() -> None:
    info = ConnectionInfo(hostname="h")
    assert (info.port, info.timeout, info.retries, info.max_session_age) == (80, 60, 1, -1)
    assert (info.options, info.retry_options) == ({}, {})
    assert (info.engine, info.max_pending) == (None, 256)
    assert info.tls == ConnectionTlsInfo(
        enabled=False, insecure_verify=False, ca_file=None, cert_file=None, key_file=None
    )
    assert ConnectionInfo(hostname="h", tls={"enabled": True}).port == 443
    config = FinderConfig(connection={"hostname": "h"})
    assert (config.model_key, config.protocol, config.min_poll_time) == ("mm-model-id", "grpc", 30)
    assert (config.discover_models, config.supported_models, config.remote_connections) == (True, {}, ())


def test_nulls_of_a_configuration_file() -> None:
    info = ConnectionInfo(
        hostname="h", port=None, tls=None, options=None, retry_options=None, retries=None, timeout=None
    )
    assert (info.port, info.tls.enabled, info.options, info.timeout) == (80, False, {}, None)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "hostname: Field required"),
        ({"hostname": ""}, "hostname: must be a DNS name"),
        ({"hostname": "a b"}, "hostname: must be a DNS name"),
        ({"hostname": "a/b"}, "hostname: must be a DNS name"),
        ({"hostname": "a,b"}, "hostname: must be a DNS name"),
        ({"hostname": "a:1"}, "hostname: must be a DNS name"),
        ({"hostname": "dns:///a"}, "hostname: must be a DNS name"),
        ({"hostname": "{0.__class__}"}, "hostname: must be a DNS name"),
        ({"hostname": "{name}"}, "hostname: must be a DNS name"),
        ({"hostname": "{}.{}"}, "hostname: must be a DNS name"),
        ({"hostname": "user@h"}, "hostname: must be a DNS name"),
        ({"hostname": "h", "port": 0}, "port: "),
        ({"hostname": "h", "port": 65536}, "port: "),
        ({"hostname": "h", "port": "80"}, "port: "),
        ({"hostname": "unix:/x", "port": 80}, "port: a unix socket has none"),
        ({"hostname": "unix:"}, "must be followed by the socket's path"),
        ({"hostname": "xds:///svc", "port": 80}, "port: an xDS target has none"),
        ({"hostname": "xds:///"}, "hostname: must be xds:///<service>"),
        ({"hostname": "xds:svc"}, "hostname: must be a DNS name"),
        ({"hostname": "xds://svc"}, "hostname: must be xds:///<service>"),
        ({"hostname": "xds:///user@svc"}, "hostname: must be xds:///<service>"),
        ({"hostname": "xds:///svc?a"}, "hostname: must be xds:///<service>"),
        ({"hostname": "xds:///{}.{}"}, "hostname: must be xds:///<service>"),
        ({"hostname": "h", "timeout": 0}, "timeout: "),
        ({"hostname": "h", "timeout": -1}, "timeout: "),
        ({"hostname": "h", "retries": -1}, "retries: "),
        ({"hostname": "h", "engine": "grpc"}, "engine: "),
        ({"hostname": "h", "max_pending": 0}, "max_pending: "),
        ({"hostname": "h", "tsl": {}}, "unknown key 'tsl', did you mean 'tls'?"),
        ({"hostname": "h", "options": {"a": []}}, "options.a"),
    ],
)
def test_what_a_connection_refuses(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ConnectionInfo(**values)
    assert told in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_settings_are_frozen() -> None:
    info = ConnectionInfo(hostname="h")
    with pytest.raises(FrozenInstanceError):
        info.hostname = "other"  # type: ignore[misc]
    assert info.replace(hostname="other").hostname == "other"
    with pytest.raises(ConfigurationError):
        info.replace(port=0)


def test_settings_are_dataclasses() -> None:
    info = ConnectionInfo(hostname="h", tls={"ca_file": "x"}, options={"a": 1})
    assert [field.name for field in fields(info)] == list(inspect.signature(ConnectionInfo).parameters)
    assert replace(info, hostname="other") == info.replace(hostname="other") != info
    assert asdict(info)["tls"]["ca_file"] == "x"
    made = pickle.loads(pickle.dumps(info))
    assert (made, hash(made), repr(made), made.given) == (info, hash(info), repr(info), info.given)
    assert copy.copy(info) is copy.deepcopy(info) is info


def test_an_implied_port_follows_tls() -> None:
    info = pickle.loads(pickle.dumps(ConnectionInfo(hostname="h", port=None)))
    assert (info.port, info.replace(tls={"enabled": True}).port) == (80, 443)
    assert ConnectionInfo(hostname="h", port=80).replace(tls={"enabled": True}).port == 80


def test_settings_do_not_share_what_they_were_made_of() -> None:
    options, servers = {"a": 1}, [ConnectionInfo(hostname="h")]
    info, config = ConnectionInfo(hostname="h", options=options), FinderConfig(remote_connections=servers)
    options["b"] = 2
    servers.clear()
    assert (info.options, len(config.remote_connections)) == ({"a": 1}, 1)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"retries": "3"}, {"retries": 3}),
        ({"max_pending": 5.0}, {"max_pending": 5}),
        ({"tls": {"enabled": "yes"}}, {"tls": ConnectionTlsInfo(enabled=True), "port": 443}),
        ({"options": {"a": "b", "c": 1.5}}, {"options": {"a": "b", "c": 1.5}}),
        ({"timeout": Decimal(5)}, {"timeout": 5.0}),
        ({"hostname": ["::1"]}, {"hostname": "::1"}),
    ],
)
def test_values_are_converted(given: dict[str, Any], held: dict[str, Any]) -> None:
    info = ConnectionInfo(**{"hostname": "h"} | given)
    assert {name: getattr(info, name) for name in held} == held


def test_settings_are_fields_of_pydantic_models() -> None:
    class Theirs(BaseModel):
        server: ConnectionInfo
        finder: FinderConfig | None = None

    made = Theirs.model_validate({"server": {"hostname": "h", "port": 1}, "finder": {"connection": {"hostname": "h"}}})
    assert made.server == ConnectionInfo(hostname="h", port=1)
    assert Theirs(server=made.server).server is made.server
    with pytest.raises(ValidationError, match="unknown key 'hostnme', did you mean 'hostname'"):
        Theirs.model_validate({"server": {"hostnme": "h"}})


@pytest.mark.parametrize(
    ("target", "dials", "protocol", "secure"),
    [
        ("h:1", "h:1", "grpc", False),
        ("h", "h:80", "grpc", False),
        ("grpc://h:1", "h:1", "grpc", False),
        ("grpc://h:1/", "h:1", "grpc", False),
        ("grpcs://h:1", "h:1", "grpc", True),
        ("grpcs://h", "h:443", "grpc", True),
        ("[::1]:1", "[::1]:1", "grpc", False),
        ("grpc://[fe80::1]:1", "[fe80::1]:1", "grpc", False),
        ("127.0.0.1:1", "127.0.0.1:1", "grpc", False),
        ("unix:/run/x.sock", "unix:/run/x.sock", "grpc", False),
        ("unix:///run/x.sock", "unix:/run/x.sock", "grpc", False),
        ("unix-abstract:runtime", "unix-abstract:runtime", "grpc", False),
        ("http://h:1", "h:1", "http", False),
        ("https://h", "h:443", "http", True),
        ("xds:1", "xds:1", "grpc", False),
        ("xds:///svc", "xds:///svc", "grpc", False),
        ("xds:///svc.ns:8085", "xds:///svc.ns:8085", "grpc", False),
        ("xds://authority/svc", "xds://authority/svc", "grpc", False),
    ],
)
def test_targets(target: str, dials: str, protocol: str, secure: bool) -> None:
    info, speaks = parse_target(target)
    assert (info.target, speaks, info.tls.enabled) == (dials, protocol, secure)


@pytest.mark.parametrize(
    "target",
    [
        "",
        ":1",
        "grpc://",
        "grpc://user:SECRET@h:1",
        "user:SECRET@h:1",
        "h:1/path",
        "h:1?token=SECRET",
        "h:1#SECRET",
        "h:0",
        "h:65536",
        "h:port",
        "::1:1",
        "a b:1",
        "ftp://h:1",
        "xds://user:SECRET@h/svc",
        "xds:///svc?token=SECRET",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "h\n:1",
        "[::1:1",
        "[zz]:1",
    ],
)
def test_targets_refused(target: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_target(target)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["evil.example/", "evil.example#", "a.b", "UPPER", "x" * 64, "-a", "a-", "", "ü", "{}", "a\n", "a@b", "a:1"],
)
def test_names_that_may_not_become_a_host(name: str) -> None:
    template = ConnectionInfo(hostname="{}.models.svc", port=1)
    assert template.is_template
    with pytest.raises(InputError, match="must be a DNS label"):
        template.for_model(name)


def test_template() -> None:
    template = ConnectionInfo(hostname="{}.models.svc", port=1, timeout=5)
    assert template.for_model("foo-1") == ConnectionInfo(hostname="foo-1.models.svc", port=1, timeout=5)
    plain = ConnectionInfo(hostname="h", port=1)
    assert plain.for_model("anything/at all") is plain
    assert ConnectionInfo(hostname="xds:///{}.svc:8085").for_model("foo-1").target == "xds:///foo-1.svc:8085"


class Pem:
    """PEM files of all sorts."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        first, second = authority.issue_cert("a"), authority.issue_cert("b")
        self.ca = self._write(folder / "ca", authority.cert_pem.bytes())
        self.cert = self._write(folder / "cert", first.cert_chain_pems[0].bytes())
        self.key = self._write(folder / "key", first.private_key_pem.bytes())
        self.other_key = self._write(folder / "other_key", second.private_key_pem.bytes())
        self.garbage = self._write(folder / "garbage", b"-----BEGIN CERTIFICATE-----\nSECRET\n")
        self.empty = self._write(folder / "empty", b"")
        self.missing = str(folder / "missing")
        self.encrypted_key = str(folder / "encrypted_key")
        subprocess.run(
            ["openssl", "pkey", "-aes128", "-passout", "pass:x", "-in", self.key, "-out", self.encrypted_key],
            check=True,
        )

    @staticmethod
    def _write(path: Path, data: bytes) -> str:
        path.write_bytes(data)
        return str(path)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"cert_file": "cert"}, "cert_file and key_file together"),
        ({"key_file": "key"}, "cert_file and key_file together"),
        ({"ca_file": "missing"}, "ca_file: no such file"),
        ({"cert_file": "missing", "key_file": "key"}, "cert_file: no such file"),
        ({"cert_file": "cert", "key_file": "missing"}, "key_file: no such file"),
        ({"ca_file": "garbage"}, "is not a PEM file of certificates"),
        ({"ca_file": "empty"}, "is not a PEM file of certificates"),
        ({"ca_file": "key"}, "is not a PEM file of certificates"),
        ({"cert_file": "garbage", "key_file": "key"}, "are not a PEM certificate and its key"),
        ({"cert_file": "cert", "key_file": "garbage"}, "are not a PEM certificate and its key"),
        ({"cert_file": "cert", "key_file": "other_key"}, "are not a PEM certificate and its key"),
        ({"cert_file": "cert", "key_file": "encrypted_key"}, "the key is encrypted"),
    ],
)
def test_tls_files(tmp_path: Path, files: dict[str, str], told: str) -> None:
    pem = Pem(tmp_path)
    values = {name: getattr(pem, file) for name, file in files.items()}
    with pytest.raises(ConfigurationError) as caught:
        ConnectionTlsInfo(enabled=True, **values)
    assert told in str(caught.value)
    assert "SECRET" not in str(caught.value)
    # Upstream checks nothing while TLS is off, and so do we.
    assert not ConnectionTlsInfo(**values).enabled


def test_good_tls_files(tmp_path: Path) -> None:
    pem = Pem(tmp_path)
    assert not ConnectionTlsInfo(enabled=True, ca_file=pem.ca).mtls_enabled
    assert ConnectionTlsInfo(enabled=True, ca_file=pem.ca, cert_file=pem.cert, key_file=pem.key).mtls_enabled


def test_an_encrypted_key_has_a_password(tmp_path: Path) -> None:
    pem = Pem(tmp_path)
    files = {"cert_file": pem.cert, "key_file": pem.encrypted_key}
    assert ConnectionTlsInfo(enabled=True, key_password="x", **files).password == "x"
    with pytest.raises(ConfigurationError, match="key_password is wrong") as caught:
        ConnectionTlsInfo(enabled=True, key_password="hunter2", **files)
    assert "hunter2" not in str(caught.value)


def test_a_keys_password_is_never_shown() -> None:
    info = ConnectionInfo(hostname="h", tls={"key_password": "hunter2"})
    shown = f"{info!r} {info} {asdict(info)} {vars(info.tls)} {FinderConfig(connection=info)!r}"
    assert "hunter2" not in shown
    with pytest.raises(ConfigurationError) as caught:
        ConnectionInfo(hostname="h", tls={"key_password": ["hunter2"]})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(info)
    assert info == ConnectionInfo(hostname="h", tls=ConnectionTlsInfo(key_password=SecretStr("hunter2")))
    assert info != ConnectionInfo(hostname="h", tls={"key_password": "other"})
    assert pickle.loads(pickle.dumps(ConnectionTlsInfo(ca_file="x"))) == ConnectionTlsInfo(ca_file="x")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "connection or remote_connections is needed"),
        (
            {"remote_connections": [{"hostname": "h"}], "supported_models": {"a": "b"}},
            "supported_models needs connection",
        ),
        ({"remote_connections": [{"hostname": "{}"}]}, "only connection may have {}"),
        ({"connection": {"hostname": "h"}, "protocol": "carrier pigeon"}, "protocol"),
        ({"connection": {"hostname": "h"}, "model_key": "Bad Key"}, "model_key"),
        ({"connection": {"hostname": "h"}, "model_key": "grpc-x"}, "model_key"),
        ({"connection": {"hostname": "h"}, "min_poll_time": -1}, "min_poll_time"),
        ({"connection": {"hostname": "h"}, "min_pol_time": 1}, "did you mean 'min_poll_time'"),
        ({"connection": {"hostname": "h", "port": "x"}}, "port"),
        ({"connection": {"hostname": "h", "tls": {"enabled": True, "insecure_verify": True}}}, "insecure_verify"),
        ({"connection": {"hostname": "{}"}, "supported_models": {"Bad/": "id"}}, "must be a DNS label"),
    ],
)
def test_what_a_finder_refuses(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FinderConfig(**config)
    assert told in str(caught.value)


def test_supported_models() -> None:
    models = {"a": "id", "b": {"module_id": "id", "tasks": ["SampleTask"]}}
    config = FinderConfig(connection={"hostname": "h"}, supported_models=models)
    assert (config.supported_models["a"].module_id, config.supported_models["a"].tasks) == ("id", None)
    assert config.supported_models["b"].tasks == ("SampleTask",)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"total_timeout": 0}, {"output": "xml"}]
)
def test_call_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CallOptions(**options)


def test_client_settings() -> None:
    assert repr(RemoteClient("h:1")) == "<RemoteClient of h:1: 0 connections opened>"
    assert repr(RemoteClient(["a:1", "b:2"])) == "<RemoteClient of a:1, b:2: 0 connections opened>"
    RemoteClient(ConnectionInfo(hostname="h"), protocol="grpc", timeout=None, max_session_age=0)
    assert repr(RemoteClient("http://h:1")) == "<RemoteClient of h:1: 0 connections opened>"
    RemoteClient("h:1", protocol="http", tls={"insecure_verify": True})
    for target, options, told in [
        ([], {}, "at least one"),
        (["a:1", "http://b:1"], {}, "one protocol"),
        ("grpc://h:1", {"protocol": "http"}, "the target names grpc"),
        ("unix:/x", {"protocol": "http"}, "the target names grpc"),
        ("xds:///svc", {"protocol": "http"}, "the target names grpc"),
        ("grpcs://h:1", {"tls": {"enabled": False}}, "turns it off"),
        ("h:1", {"tls": {"insecure_verify": True}}, "insecure_verify"),
        ("h:1", {"timeout": 0}, "timeout"),
        (ConnectionInfo(hostname="unix:/x"), {"protocol": "http"}, "unix socket"),
        ("h:1", {"transport": object()}, "transport"),
        ("h:1", {"retries": -1}, "retries"),
    ]:
        with pytest.raises(ConfigurationError, match=told):
            RemoteClient(target, **options)  # type: ignore[arg-type]


def test_no_secret_is_shown(tmp_path: Path) -> None:
    secret = "s3cr3t"
    info = ConnectionInfo(hostname="h", options={"grpc.token": secret}, retry_options={"status": secret})
    client = RemoteClient(info, metadata={"authorization": secret})
    options = CallOptions(metadata=({"authorization": secret},))
    for shown in (repr(info), str(info), repr(client), repr(options), str(options)):
        assert secret not in shown
    with pytest.raises(ConfigurationError) as caught:
        ConnectionInfo(hostname="h", options={secret: {secret: secret}, "a": [secret]}, port=secret)
    assert f"= {secret}" not in str(caught.value)
