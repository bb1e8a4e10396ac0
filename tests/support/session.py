"""The terminal sessions in docs/command-line.md, which `make session` records anew.

Their commands are the page's. They run in one bash, on a terminal of 100 columns, in a folder with the page's files,
and with a real runtime; what they write replaces what the page has. Ports become the usual ones, nothing else is
changed.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .runtime import SAMPLE_MODELS, Runtime
from .wire import ROOT

PAGE = ROOT / "docs" / "command-line.md"
FILES = {
    "rows.jsonl": '{"name": "Ada"}\n{"name": "Grace"}\n',
    "new-model/config.yml": f"module_id: {SAMPLE_MODELS['text']}\n",
}
"""What is in the folder."""
MODELS = ("foo", "slow", "text")
COLUMNS = 100
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
_PROMPT, _MORE = "$ ", "> "
_MARK = "\x1e"
"""Printed before each command."""
_CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")
_VARYING = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "TIME"),
    (re.compile(r"\b\d[\d,]*(\.\d+)?\b"), "NUMBER"),
    (re.compile(r"[ ─]+"), " "),  # the columns of tables are as wide as what is in them
)


def main() -> None:
    """Record the page's sessions."""
    with Runtime(models={name: SAMPLE_MODELS[name] for name in MODELS}) as runtime:
        PAGE.write_text(recorded(PAGE.read_text(), runtime))


def recorded(page: str, runtime: Runtime) -> str:
    """Return a page with the output of its commands, run now."""
    with tempfile.TemporaryDirectory() as folder:
        commands = [command for block in _BLOCK.findall(page) for command in commands_of(block)]
        written = iter(outputs(commands, runtime, Path(folder)))
        return _BLOCK.sub(lambda block: "".join(_session(commands_of(block[0]), written)), page)


def masked(page: str) -> list[str]:
    """Return the lines of sessions without what differs from run to run: ids, times, and numbers."""
    lines = [line.rstrip() for block in _BLOCK.findall(page) for line in block.splitlines()]
    for pattern, text in _VARYING:
        lines = [line if line.startswith(_PROMPT) else pattern.sub(text, line) for line in lines]
    return lines


def commands_of(block: str) -> list[str]:
    """Return the commands of a session; the lines of a long one begin with `> `."""
    found: list[str] = []
    for line in block.splitlines():
        if line.startswith(_PROMPT):
            found.append(line.removeprefix(_PROMPT))
        elif line.startswith(_MORE) and found[-1].endswith("\\"):
            found[-1] += "\n" + line.removeprefix(_MORE)
    return found


def _session(commands: Iterable[str], outputs: Iterator[str]) -> Iterator[str]:
    for command in commands:
        shown = command.replace("\n", f"\n{_MORE}")
        yield f"{_PROMPT}{shown}\n{next(outputs)}"


def outputs(commands: Iterable[str], runtime: Runtime, folder: Path, columns: int = COLUMNS) -> list[str]:
    """Return what each command writes to its terminal."""
    for name, content in FILES.items():
        folder.joinpath(name).parent.mkdir(exist_ok=True)
        folder.joinpath(name).write_text(content)
    ports = {"localhost:8085": runtime.target, "localhost:8080": f"localhost:{runtime.http_port}"}
    script = f"mark() {{ local code=$?; printf '{_MARK}\\n'; return $code; }}\n"
    script += "".join(f"mark\n{command}\n" for command in commands)
    for usual, own in ports.items():
        script = script.replace(usual, own)
    told = _on_terminal(script, folder, runtime.target, columns)
    for usual, own in ports.items():
        told = told.replace(own, usual)
    _, *written = told.split(f"{_MARK}\r\n")
    hidden = runtime.marker if runtime.marker not in runtime.models else "\n"
    return ["".join(f"{line}\n" for line in screen(output) if hidden not in line) for output in written]


def _on_terminal(script: str, folder: Path, target: str, columns: int) -> str:
    with tempfile.TemporaryDirectory() as programs:
        install_command(Path(programs))
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TERM": "xterm",
            "COLUMNS": str(columns),
            "NO_COLOR": "1",
            "REMOTE_CLIENT_TARGET": target,
        }
        terminal, end = pty.openpty()
        command = ["bash", "--norc", "-c", script]
        with subprocess.Popen(command, cwd=folder, env=environment, stdin=end, stdout=end, stderr=end) as shell:
            os.close(end)
            told = b"".join(pieces(terminal))
            shell.wait(60)
        os.close(terminal)
    return told.decode()


def install_command(folder: Path) -> None:
    """Make `remote-client` a program in a folder."""
    program = folder / "remote-client"
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    program.write_text(f"#!{sys.executable}\n{start}\nfrom remote_client._cli.main import main\nsys.exit(main())\n")
    program.chmod(0o755)


def pieces(terminal: int) -> Iterator[bytes]:
    """Yield what comes from a terminal until the program at its other end has closed it."""
    try:
        while piece := os.read(terminal, 4096):
            yield piece
    except OSError:  # Linux says so that the other end is closed
        pass


def screen(told: str) -> list[str]:
    """Return the lines that a terminal shows in the end: progress has replaced, and taken away, its own."""
    lines, row = [""], 0
    for line in re.split(r"(\r\n|\r|\n|\x1b\[[0-9;?]*[A-Za-z])", told):
        if line in ("\n", "\r\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif (control := _CONTROL.fullmatch(line)) is not None:
            count, kind = control.groups()
            row -= int(count or 1) if kind == "A" else 0
            lines[row] = "" if kind == "K" else lines[row]
        elif line != "\r":
            lines[row] += line
    return [line.rstrip() for line in lines[: row + bool(lines[row])]]


if __name__ == "__main__":
    main()
