"""The options of all commands: how they reach the server, and the variables that stand for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_client._cli import look
from remote_client._cli.main import main
from remote_client._cli.options import OPTIONS, Options, flags, variable
from remote_client._cli.usage import UsageError

from ..live.protocols import Protocol, nobody, port_of
from ..support.forward_proxy import ForwardProxy
from ..support.http_wire import HttpWire
from ..support.runtime import Runtime, free_port
from ..support.wire import ROOT, WireServer
from ..wire.test_tls import Authority
from .commands import run

APP = "remote_client._cli.cyclopts_app"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Parse a command line, and return the options that the command gets."""

    def parse(*arguments: str) -> Options:
        seen: list[Options] = []

        def info(*, options: look.AllOptions) -> int:
            seen.append(options)
            return 0

        monkeypatch.setattr(look, "info", info)
        sys.modules.pop(APP, None)
        assert main(list(arguments)) == 0
        return seen[0]

    yield parse
    sys.modules.pop(APP, None)  # it keeps the command that this test made


ALL = {
    "target": ("http://a", "http://a"),
    "ca_file": ("ca.pem", "ca.pem"),
    "cert_file": ("c.pem", "c.pem"),
    "key_file": ("k.pem", "k.pem"),
    "token_file": ("token", "token"),
    "header": ("x-a: 1:2", ("x-a: 1:2",)),
    "timeout": ("2.5", 2.5),
    "schema": ("s.json", "s.json"),
    "proxy": ("env", "env"),
}
"""Options with a value: as text, and as the commands get it."""
FLAGS = {"tls", "insecure", "json", "verbose"}


def test_every_option_is_tried() -> None:
    assert {each.name for each in OPTIONS} == ALL.keys() | FLAGS


def test_the_page_has_every_option() -> None:
    table = (ROOT / "docs" / "command-line.md").read_text().partition("## Options of all commands")[2]
    for option in OPTIONS:
        assert all(f"`{name}`" in table for name in (*flags(option), variable(option.name)))


@pytest.mark.parametrize("before", [True, False])
def test_options_stand_before_or_after_the_command(given: Any, before: bool) -> None:
    words = [f"--{name.replace('_', '-')}" for name in FLAGS]
    words += [word for name, (text, _) in ALL.items() for word in (f"--{name.replace('_', '-')}", text)]
    options = given(*words, "info") if before else given("info", *words)
    assert options == Options(**{name: value for name, (_, value) in ALL.items()}, **dict.fromkeys(FLAGS, True))
    assert options.given == ALL.keys() | FLAGS


def test_variables_stand_for_options(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (text, _) in ALL.items():
        monkeypatch.setenv(variable(name), text)
    for name, text in zip(sorted(FLAGS), ("1", "TRUE", "on", "0"), strict=True):
        monkeypatch.setenv(variable(name), text)
    options = given("info")
    expected = {name: value for name, (_, value) in ALL.items()}
    assert options == Options(**expected, insecure=True, json=True, tls=True, verbose=False)
    assert (options.given, options.is_explicit) == (frozenset(), False)
    assert given("info", "-t", "b:1", "--timeout=inf").target == "b:1"
    assert given("info", "-t", "b:1", "--timeout=inf").timeout == float("inf")


def test_short_options_and_lists(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert given("-v", "info", "--header", "a:1", "-t", "b:1", "--header=b:2").header == ("a:1", "b:2")
    monkeypatch.setenv("REMOTE_CLIENT_HEADER", "a: 1\nb: 2\n")
    monkeypatch.setenv("REMOTE_CLIENT_SCHEMA", " ")
    assert (given("info").header, given("info").schema) == (("a: 1", "b: 2"), None)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("TIMEOUT", "soon", "REMOTE_CLIENT_TIMEOUT: expected seconds, got 'soon'"),
        ("JSON", "perhaps", "REMOTE_CLIENT_JSON: expected 1 or 0, got 'perhaps'"),
    ],
)
def test_a_wrong_variable_is_wrong_use(
    name: str, text: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"REMOTE_CLIENT_{name}", text)
    assert main(["info"]) == 2
    assert capsys.readouterr() == ("", f"remote-client: {told}\n")
    with pytest.raises(UsageError):
        Options.of({})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("-t a:b", "--target: the port must be a number"),
        ("--timeout -1", "--timeout: must be seconds above 0, or inf for no limit, not -1.0"),
        ("--timeout soon", "--timeout"),
        ("--ca-file nowhere.pem", "ConfigurationError: --ca-file: no such file: nowhere.pem"),
        ("--cert-file nowhere.pem", "mutual TLS needs --cert-file and --key-file together"),
        ("--insecure", "--insecure: gRPC cannot skip the verification"),
        ("--token-file nowhere", "--token-file: nowhere cannot be read: "),
        ("--header secret", "--header: expected NAME:VALUE"),
        ("--header Bad\u00e4:secret", "metadata"),
        ("--schema nowhere.json", "--schema: nowhere.json cannot be read: No such file or directory"),
        ("--proxy socks5://b", "--proxy: socks5:// proxies are not supported"),
        ("--nothing", "--nothing"),
        ("--tagret x", "Unknown option: --tagret. Did you mean --target?"),
        ("some words", "unexpected argument: some words"),
        ("-t", "-t"),
    ],
)
def test_a_wrong_option_is_wrong_use(arguments: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
    assert "secret" not in err


def test_an_error_names_the_variable_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REMOTE_CLIENT_CA_FILE", "nowhere.pem")
    assert main(["models"]) == 2
    told = "remote-client: ConfigurationError: REMOTE_CLIENT_CA_FILE: no such file: nowhere.pem\n"
    assert capsys.readouterr() == ("", told)


# -- on the wire ------------------------------------------------------------------------------------------------------


def test_the_token_and_headers_are_sent(wire: WireServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    asked = ["models", "-t", wire.target]
    assert main([*asked, "--token-file", str(token), "--header", "x-tenant: one", "--header=x-more:a:b"]) == 0
    sent = wire.command("stats")["metadata"][-1]
    assert (sent["authorization"], sent["x-tenant"], sent["x-more"]) == ("Bearer s3cret", "one", "a:b")
    assert main([*asked, "--header", "x-tenant: two"]) == 0
    assert wire.command("stats")["metadata"][-1]["x-tenant"] == "two"
    wire.command("faults", faults={"only": ["Bearer other"]})
    assert main([*asked, "--token-file", str(token)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("remote-client: SchemaUnavailableError: ")
    assert "UNAUTHENTICATED" in err
    assert "; give a schema file with --schema, or credentials with --token-file or --header, or ask where " in err
    assert main(["info", "-t", wire.target, "--token-file", str(token)]) == 1


def test_a_token_that_is_refused_is_read_again(wire: WireServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("new")
    wire.command("faults", faults={"only": ["Bearer new"]})
    assert main(["models", "-t", wire.target, "--token-file", str(token), "--header", "x-tenant:one"]) == 0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "localhost", "127.0.0.1")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tls(protocol: Protocol, authority: Authority, capsys: pytest.CaptureFixture[str]) -> None:
    server = (WireServer if protocol == "grpc" else HttpWire)(tls={"key": authority.key, "cert": authority.cert})
    with server:
        target = server.target if protocol == "grpc" else server.target.replace("http:", "https:")
        assert main(["health", "-t", target, "--ca-file", authority.ca]) == 0
        assert main(["models", "-t", target, "--tls"]) == 1
        told = capsys.readouterr().err
        assert "TlsError: " in told
        assert "set --ca-file to the certificate of the one that did" in told
        assert main(["health", "-t", target, "--insecure"]) == (0 if protocol == "http" else 2)


def test_a_proxy(runtime: Runtime, protocol: Protocol) -> None:
    with ForwardProxy(names={"runtime.example": ["127.0.0.1", port_of(runtime, protocol)]}) as proxy:
        target = nobody(80, protocol).replace("localhost", "runtime.example")
        assert main(["health", "-t", target, "--proxy", proxy.url()]) == 0


def test_a_program_reads_its_variables(runtime: Runtime) -> None:
    ended = run("models", env={"REMOTE_CLIENT_TARGET": runtime.http_target})
    assert (ended.code, ended.err) == (0, "")
    away = run("models", env={"REMOTE_CLIENT_TARGET": nobody(free_port(), "http")})
    assert (away.code, away.out, away.err.count("\n")) == (1, "", 1)  # no warnings of the client's, either
