"""The completion of `remote-client`, in real shells."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from remote_client._cli.completion import words_of
from remote_client._cli.main import main

from ..live.protocols import Protocol, nobody
from ..support.runtime import Runtime, free_port
from .commands import run
from .shells import SHELLS, Shell


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_lines(runtime: Runtime, name: str, tmp_path: Path) -> None:
    tmp_path.joinpath("settings.pem").touch()
    grpc, http = runtime.target, runtime.http_target
    with Shell(name, tmp_path) as shell:
        for typed, completed in [
            ("remote-client comp", "remote-client completion "),
            ("remote-client completion z", "remote-client completion zsh "),
            ("remote-client jobs wait --lim", "remote-client jobs wait --limit "),
            (f"remote-client -t {grpc} jobs stat", f"remote-client -t {grpc} jobs status "),
            (f"remote-client -t {grpc} jobs wait Sam", f"remote-client -t {grpc} jobs wait SampleTask "),
            (f"remote-client jobs wait -t {http} Sam", f"remote-client jobs wait -t {http} SampleTask "),
            (f"remote-client -t {http} jobs wait 'Sam", f"remote-client -t {http} jobs wait 'SampleTask' "),
            ("remote-client --ca-file sett", "remote-client --ca-file settings.pem "),
            ("remote-client --ca-file=sett", "remote-client --ca-file=settings.pem "),
            (f"remote-client -t localhost:{free_port()} jobs wait Sa",) * 2,
        ]:
            assert shell.completed(typed).rstrip() == completed.rstrip()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("remote-client ", [""]),
        ("remote-client jobs wa", ["jobs", "wa"]),
        ("remote-client call 'a b' \"c", ["call", "a b", "c"]),
        ("remote-client call a\\ b c=\"d'", ["call", "a b", "c=d'"]),
        ("remote-client -t http://localhost:1 x:=1", ["-t", "http://localhost:1", "x:=1"]),
    ],
)
def test_the_words_of_a_line(line: str, words: list[str]) -> None:
    assert words_of(line) == words


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "__complete" in capfd.readouterr().out


def test_a_shell_that_is_not_known(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capfd.readouterr().err


def test_a_server_that_is_away_is_no_error(protocol: Protocol) -> None:
    asked = run("__complete", "words", "-t", nobody(free_port(), protocol), "jobs", "wait", "S")
    assert (asked.code, asked.out, asked.err) == (0, "", "")


def test_a_silent_server_holds_no_shell_up(protocol: Protocol) -> None:
    with socket.create_server(("localhost", 0)) as listener:
        target = nobody(listener.getsockname()[1], protocol)
        begun = time.monotonic()
        asked = run("__complete", "words", "-t", target, "jobs", "wait", "S")
        assert time.monotonic() - begun < 3
    assert (asked.code, asked.out, asked.err) == (0, "", "")
