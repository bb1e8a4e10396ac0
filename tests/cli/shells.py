"""Interactive shells that complete `remote-client`: bash, zsh and fish on a terminal of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Self

import pytest

from ..support.session import install_command

# The last line prints the line that is edited, when C-x C-p is typed.
_SETUPS = {
    "bash": r"""
bind 'set enable-bracketed-paste off'
eval "$(remote-client completion bash)"
bind -x '"\C-x\C-p": printf "<<%s>>\n" "$READLINE_LINE"'
""",
    "zsh": r"""
autoload -U compinit; compinit -D -u
source <(remote-client completion zsh)
show-line() { print -r -- "<<$BUFFER>>" }; zle -N show-line; bindkey '^X^P' show-line
""",
    "fish": r"""
remote-client completion fish | source
bind \cx\cp 'printf "<<%s>>\n" (commandline)'
""",
}
_COMMANDS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}
SHELLS = list(_SETUPS)


class Shell:
    """A shell that has loaded its script; a context manager.

    Args:
        name: bash, zsh or fish. A test is skipped where it is not installed.
        folder: an empty folder to work in.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._pexpect: Any = pytest.importorskip("pexpect")
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        programs = folder / "bin"
        programs.mkdir()
        install_command(programs)
        setup = folder / "setup"
        setup.write_text(_SETUPS[name])
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "REMOTE_CLIENT_TIMEOUT": "5",  # two may be too short for a busy machine
            "TERM": "dumb" if name == "bash" else "xterm",
        }
        self._shell = self._pexpect.spawn(
            name, _COMMANDS[name], env=environment, cwd=str(folder), encoding="utf-8", dimensions=(60, 200), timeout=20
        )
        self._shell.sendline(f"source {setup}; printf 'load%s\\n' ed")
        self._shell.expect("loaded")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.close(force=True)

    def completed(self, line: str) -> str:
        """Return a line after a press of the tab key."""
        self._shell.send(f"{line}\t\x18\x10")
        self._shell.expect("<<(.*?)>>")
        found: str = self._shell.match[1]
        self._shell.send("\x15")  # clears the line
        return found
