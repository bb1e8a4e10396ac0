"""The completion of `remote-client`, in real shells."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from remote_client._cli.completion import words_of
from remote_client._cli.main import main

from ..live.protocols import PROTOCOLS, Protocol, nobody
from ..support.runtime import Runtime, free_port
from ..support.session import install_command
from ..support.slow import slow_but
from .commands import run
from .shells import SHELLS, Shell

Printed = pytest.CaptureFixture[str]


def lines(runtime: Runtime) -> list[tuple[str, str]]:
    """Lines before and after the tab key, the most telling ones first."""
    grpc, http = runtime.target, runtime.http_target
    return [
        (f"remote-client jobs -t {grpc} wait Sam", f"remote-client jobs -t {grpc} wait SampleTask "),
        (f"remote-client -t {grpc} call foo SampleTask pre", f"remote-client -t {grpc} call foo SampleTask prefix="),
        ("remote-client call a B c@sett", "remote-client call a B c@settings.pem "),
        ("remote-client comp", "remote-client completion "),
        ("remote-client jobs wait --lim", "remote-client jobs wait --limit "),
        (f"remote-client -t {http} call primit", f"remote-client -t {http} call primitive "),
        (f"remote-client -t {http} call foo 'Sam", f"remote-client -t {http} call foo 'SampleTask' "),
        (f"remote-client -t {http} call file FileTask in", f"remote-client -t {http} call file FileTask inputs@"),
        (f"remote-client call foo SampleTask -t {grpc} th", f"remote-client call foo SampleTask -t {grpc} throw:="),
        ("remote-client --ca-file=sett", "remote-client --ca-file=settings.pem "),
        ("remote-client deploy a ./sett", "remote-client deploy a ./settings.pem "),
        (f"remote-client -t localhost:{free_port()} jobs wait Sa",) * 2,
        (f"remote-client -t {grpc} health --models primit", f"remote-client -t {grpc} health --models primitive "),
    ]


@pytest.mark.parametrize(("start", "end"), [(0, 3), pytest.param(3, 13, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_lines(runtime: Runtime, name: str, start: int, end: int, tmp_path: Path) -> None:
    tmp_path.joinpath("settings.pem").touch()
    with Shell(name, tmp_path) as shell:
        for typed, completed in lines(runtime)[start:end]:
            assert shell.completed(typed) == completed


def test_the_function_of_bash_takes_words(runtime: Runtime, tmp_path: Path) -> None:
    install_command(tmp_path)
    script = f"""
        PATH={tmp_path}:$PATH; eval "$(remote-client completion bash)"
        COMP_WORDS=(remote-client -t {runtime.target} call primit) COMP_CWORD=4
        _remote_client; echo "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"REMOTE_CLIENT_TIMEOUT": "5"}
    ended = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, env=environment, timeout=30
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "primitive\n", "")


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("describe run_sample_str", ["run_sample_stream_out", "run_sample_stream_in"]),
        ("jobs start foo SampleTask ", ["sample_input.", "sample_input:=", "throw:=true", "throw:=false", "prefix="]),
        ("bench foo SampleTask sample_input.", ["sample_input.name="]),
        ("call foo SampleTask sample_input.name=x throw:=true ", ["sample_input.", "sample_input:=", "prefix="]),
        ("call foo run_sample_stream_in ", ["sample_inputs:=", "sample_inputs@", "greeting="]),
        ("train embedding r", ["rows:=", "rows@", "rate:="]),
        ("train foo train", ["training_data:=", "training_data@"]),
        ("call nothing Nothing ", []),
        ("jobs result Fi", ["FileTask"]),
        ("undeploy geo", ["geo"]),
        ("map text TextTask --checkpoint ", ["files"]),
        ("call foo SampleTask prefix=@x", ["files"]),
        ("call foo SampleTask --format j", ["json"]),
    ],
)
def test_the_candidates(runtime: Runtime, line: str, candidates: list[str], capfd: Printed) -> None:
    given = ["--timeout", "5", "-t", runtime.target]
    assert main(["__complete", "line", " ".join(["remote-client", *given, line])]) == 0
    found = capfd.readouterr().out.split("\n")[:-1]
    assert [each.partition("\t")[0].strip("\x1e") for each in found] == candidates


def test_the_environment_stays_what_it_is(runtime: Runtime) -> None:
    before = dict(os.environ)
    assert main(["__complete", "words", "-t", runtime.target, "--json", "jobs", "wait", "S"]) == 0
    assert dict(os.environ) == before


def test_candidates_have_descriptions(target: str, capfd: Printed) -> None:
    assert main(["__complete", "words", "--timeout=5", "-t", target, "call", "primitive"]) == 0
    assert capfd.readouterr().out == "primitive\tSampleModule\n"


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
def test_a_script_is_printed(shell: str, capfd: Printed) -> None:
    assert main(["completion", shell]) == 0
    assert "__complete" in capfd.readouterr().out


def test_a_shell_that_is_not_known(capfd: Printed) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capfd.readouterr().err


def test_a_server_that_is_away_is_no_error(protocol: Protocol, capfd: Printed) -> None:
    assert main(["__complete", "words", "-t", nobody(free_port(), protocol), "jobs", "wait", "S"]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("protocol", slow_but({"grpc"}, PROTOCOLS), indirect=True)
def test_a_silent_server_holds_no_shell_up(protocol: Protocol) -> None:
    with socket.create_server(("localhost", 0)) as listener:
        target = nobody(listener.getsockname()[1], protocol)
        begun = time.monotonic()
        asked = run("__complete", "words", "-t", target, "jobs", "wait", "S")
        assert time.monotonic() - begun < 20  # two seconds; a call has 60
    assert (asked.code, asked.out, asked.err) == (0, "", "")
