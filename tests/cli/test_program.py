"""The program itself: how quickly it starts, how it ends, and what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from remote_client._cli.main import main
from remote_client._cli.options import Options
from remote_client._cli.usage import COMMANDS

from .commands import PROGRAM, run


def cpu_seconds(*command: str) -> float:
    """Return the time that a program computes: unlike the time that it takes, no other program changes it much."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_takes_a_moment() -> None:
    bare = min(cpu_seconds("-c", "pass") for _ in range(3))
    assert min(cpu_seconds("-m", "remote_client", "--help") for _ in range(3)) < 0.25 + 5 * bare


def test_help_lists_all_commands_and_options() -> None:
    ended = run("--help")
    assert (ended.code, ended.err) == (0, "")
    for name, command in COMMANDS.items():
        assert f" {name} " in ended.out
        assert command.help.split()[0] in ended.out
    assert "[REMOTE_CLIENT_TOKEN_FILE]" in ended.out
    assert "TOKENS" not in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"Usage: remote-client {command}")
    assert "--target -t" in out
    told = getattr(import_module(f"remote_client._cli.{COMMANDS[command].module}"), command)
    summary, *more = (told.__doc__ or told.help).split("    Args:")[0].split("\n\n")
    assert [
        " ".join(each.split()) for each in (summary, *more) if " ".join(each.split()) not in " ".join(out.split())
    ] == []


def test_without_the_extra_every_command_but_stubs_names_it() -> None:
    script = f"import sys; names = {sorted(COMMANDS)}; sys.modules['cyclopts'] = None\n"
    script += "from remote_client._cli.main import main\n"
    script += "print([main([name, 'a', 'b=c', '--nothing', '-v']) for name in names if name != 'stubs'])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    others = sorted(COMMANDS.keys() - {"stubs"})
    assert ended.stdout == f"{[2] * len(others)}\n"
    told = [f"remote-client: the command {name} needs: pip install 'remote-client[cli]'" for name in others]
    assert ended.stderr.splitlines() == told


@pytest.mark.parametrize("arguments", [["--help"], ["info"]])
def test_a_reader_that_leaves_is_no_traceback(runtime: Any, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*PROGRAM, "-t", runtime.target, *arguments]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "code"), [("call foo run_sample_stream_in -i -", 1), ("models", 0), ("call foo SampleTask x", 2)]
)
def test_streams_that_are_closed_are_empty(runtime: Any, arguments: str, code: int) -> None:
    script = 'exec "$@" <&- >&- 2>&-'
    command = ["sh", "-c", script, "sh", *PROGRAM, "-t", runtime.target, *arguments.split()]
    assert subprocess.run(command, timeout=60, check=False).returncode == code


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("models", "standard output cannot be written: No space left on device"),
        ("call foo SampleTask sample_input.name=a", "standard output cannot be written: No space left on device"),
        (
            "call foo SampleTask sample_input.name=a -o /dev/full",
            "/dev/full cannot be written: No space left on device",
        ),
        ("--help", "No space left on device"),
    ],
)
def test_a_full_disk_is_one_line(runtime: Any, arguments: str, told: str) -> None:
    command = [*PROGRAM, "-t", runtime.target, *arguments.split()]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, f"remote-client: {told}\n")


def test_a_terminal_without_the_letters_gets_escapes() -> None:
    ended = run("health", "-t", "http://localhost:1/ä", env={"PYTHONIOENCODING": "ascii"})
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith('{"target":"http://localhost:1/\\xe4"')


def test_an_error_of_the_program_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(Options, "client", broken)
    with pytest.raises(ZeroDivisionError):
        main(["info"])
