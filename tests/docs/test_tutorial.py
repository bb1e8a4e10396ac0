"""docs/tutorial.md: followed as it stands, by a reader with a shell and three terminals."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.readme import DOCS, Block, blocks
from ..support.runtime import free_port
from ..support.session import pieces, screen

ROOT = DOCS.parent
PAGE = DOCS / "tutorial.md"
PORTS = ("8085", "8080", "8000")
"""The page's own; the test takes free ones in their place."""
LINK = ROOT / "tests" / "support" / "linked_packages.py"
SHELL = ["bash", "--norc", "-e", "-o", "pipefail", "-c"]


class Reader:
    """Does what the page says, and compares what the commands print with what the page says they do.

    A block with a title is a file; if it is a command, the title names another terminal, where it runs to the end.

    Args:
        checkout: where the page begins.
        network: install packages as the page says; else those that the tests have are linked.
    """

    def __init__(self, checkout: Path, *, network: bool = False) -> None:
        self.files: set[str] = set()
        self.spread: dict[str, float] = {}
        """The seconds between the first and the last output of commands."""
        self.folder = checkout
        self._network = network
        self._ports = {port: str(free_port()) for port in PORTS}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._printed: str | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        for terminal in reversed(list(self._servers)):
            self._interrupt(terminal)

    def read(self, block: Block) -> None:
        """Do what a block says."""
        text = self._with_own_ports(block.text)
        match block.language, block.title:
            case "sh", "":
                self._printed = self._installed(text) if "pip install" in text and not self._network else self.run(text)
            case "sh", terminal:
                self._serve(terminal, text)
            case "console", terminal if text == "^C\n":
                self._interrupt(terminal)
            case "text", _:
                assert self._printed is not None, f"nothing was run before {block.text!r}"
                assert settled(self._printed) == settled(block.text)
                self._printed = None
            case _, title if title:
                file = self.folder / title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
                self.files.add(title)

    def run(self, text: str) -> str:
        """Run commands on a terminal, and go where they go. Returns what the terminal shows."""
        terminal, end = pty.openpty()
        command = [*SHELL, f'{text}\npwd > "$AFTERWARDS"']
        afterwards = self.folder / "afterwards"
        # The command's default is the page's port.
        variables = environment(AFTERWARDS=str(afterwards), REMOTE_CLIENT_TARGET=f"localhost:{self._ports['8085']}")
        with subprocess.Popen(command, cwd=self.folder, env=variables, stdin=end, stdout=end, stderr=end) as shell:
            os.close(end)
            told, seconds = b"", []
            for piece in pieces(terminal):
                told += piece
                seconds.append(time.monotonic())
        self.spread[text.strip()] = seconds[-1] - seconds[0] if seconds else 0.0
        os.close(terminal)
        shown = "\n".join(screen(told.decode()))
        assert shell.returncode == 0, shown
        self.folder = Path(afterwards.read_text().strip())
        afterwards.unlink()
        return self._with_the_pages_ports(shown)

    def _serve(self, terminal: str, text: str) -> None:
        """Run commands in another terminal, until a port that they name is listened at."""
        server = subprocess.Popen([*SHELL, text], cwd=self.folder, env=environment(), start_new_session=True)
        self._servers[terminal] = server
        for port in re.findall(r"--port (\d+)", text):
            wait_until_listening(int(port), server)

    def _interrupt(self, terminal: str) -> None:
        """Press Ctrl-C in another terminal."""
        server = self._servers.pop(terminal)
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    def _installed(self, text: str) -> str:
        """Make the environments that commands make, without a network."""
        for line in text.replace("\\\n", " ").splitlines():
            match shlex.split(line):
                case ["python3", "-m", "venv", folder]:
                    python = os.environ["RUNTIME_PYTHON"] if folder.endswith("-runtime") else sys.executable
                    subprocess.run([python, "-m", "venv", "--without-pip", self.folder / folder], check=True)
                case [pip, "install", *packages] if pip.endswith("/bin/pip"):
                    made = (self.folder / pip).parents[1]
                    python = os.environ["RUNTIME_PYTHON"] if made.name.endswith("-runtime") else sys.executable
                    named = [re.sub(r"^\.(?=$|\[)", "remote-client", package) for package in packages]
                    done = subprocess.run([python, LINK, made, *named], capture_output=True, text=True)
                    assert done.returncode == 0, done.stderr
                case ["cd", folder]:
                    self.folder = (self.folder / folder).resolve(strict=True)
                case _:
                    raise AssertionError(f"this is done with a network only: {line}")
        return ""

    def _with_own_ports(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda port: self._ports[port[1]], text)

    def _with_the_pages_ports(self, text: str) -> str:
        back = {own: port for port, own in self._ports.items()}
        return re.sub(rf"\b({'|'.join(back)})\b", lambda port: back[port[1]], text)


def environment(**more: str) -> dict[str, str]:
    """A reader's variables: none of the tests'."""
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "PATH", "TMPDIR")}
    pips = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    return kept | pips | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "xterm", "PYTHONDONTWRITEBYTECODE": "1"} | more


def settled(text: str) -> list[str]:
    """The lines of an output, without seconds, which differ from run to run, and what the width of a terminal adds."""
    return [re.sub(r"\d+\.\d\ds", "TIME", " ".join(line.split())) for line in text.rstrip().splitlines()]


def wait_until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens at the port {port}; the server's exit code is {server.poll()}")


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


def follow(reader: Reader) -> None:
    with reader:
        page = list(blocks(PAGE))
        for block in page:
            reader.read(block)
        (tree,) = [block.text for block in page if not block.language]
    assert {word for word in tree.split() if "." in word} == reader.files
    assert reader.folder.name == "tutorial"
    # Words come a tenth of a second apart, and not all at the end.
    assert [seconds > 0.25 for command, seconds in reader.spread.items() if "stream" in command] == [True, True]


def test_the_tutorial(checkout: Path) -> None:
    follow(Reader(checkout))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_in_new_environments(checkout: Path) -> None:
    for name in ("remote_client", "docs"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pytest_remote_client.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    follow(Reader(checkout, network=True))
