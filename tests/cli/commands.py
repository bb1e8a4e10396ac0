"""`remote-client` as a program: run to its end, started, and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from remote_client._cli.main import main

PROGRAM = [sys.executable, "-W", "error", "-m", "remote_client"]
LIMIT = 60
"""Seconds."""


@dataclass(frozen=True)
class Ended:
    """A program that ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output, one JSON document."""
        return json.loads(self.out)

    @property
    def items(self) -> list[Any]:
        """The output, JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments: str, input: str | None = None, env: dict[str, str] | None = None, **options: Any) -> Ended:
    """Run a command to its end, with pipes.

    Args:
        arguments: the command line.
        input: standard input; empty without it.
        env: more environment variables.
        options: of `subprocess.run`.
    """
    ended = subprocess.run(
        [*PROGRAM, *arguments],
        input=input or "",
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        **options,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def run_here(capfd: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run a command in this process, which takes a fifth of the time."""
    capfd.readouterr()
    code = main(arguments)
    return Ended(code, *capfd.readouterr())


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command with pipes, and kill it in the end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen([*PROGRAM, *arguments], **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def on_terminal(*arguments: str, stream: str = "stdout", env: dict[str, str] | None = None) -> Ended:
    """Run a command whose `stream`, standard output or `stderr`, is a terminal of 100 columns; the other is a pipe."""
    terminal, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"} | (env or {})
    with started(*arguments, stdin=subprocess.DEVNULL, env=environment, **{stream: end}) as process:
        os.close(end)
        told = b"".join(_pieces(terminal)).decode().replace("\r\n", "\n")
        pipe = process.stderr or process.stdout
        assert pipe is not None
        piped = pipe.read().decode()
        code = process.wait(LIMIT)
    os.close(terminal)
    return Ended(code, told, piped) if stream == "stdout" else Ended(code, piped, told)


class Told:
    """What a program writes to a terminal."""

    def __init__(self, terminal: int) -> None:
        self._pieces = _pieces(terminal)
        self._text = b""

    def until(self, text: str) -> None:
        """Read until the text is there, which may be now."""
        while text.encode() not in self._text:
            piece = next(self._pieces, None)
            assert piece is not None, self._text.decode()
            self._text += piece


@contextmanager
def on_stderr(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Told]]:
    """Start a command whose standard error is a terminal of 200 columns."""
    terminal, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    try:
        with started(*arguments, stdin=subprocess.DEVNULL, stderr=end, env=environment) as process:
            os.close(end)
            yield process, Told(terminal)
    finally:
        os.close(terminal)


def _pieces(terminal: int) -> Iterator[bytes]:
    try:
        while piece := os.read(terminal, 4096):
            yield piece
    except OSError:  # Linux says so that the other end is closed
        pass
