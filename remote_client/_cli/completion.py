"""`remote-client completion`: a shell's script for completion, and the answers to the questions of such scripts."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Literal

from cyclopts import App

from .._settings.variables import variable
from .completion_scripts import FILES, QUESTION, SCRIPTS
from .options import KINDS, OPTIONS, flags, takes_several

_WORDS = "CYCLOPTS_COMPLETION_WORDS"
"""The variable of the words with which cyclopts answers for options and commands too (since 5.2)."""
_CURSOR = "\0"


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the script with which a shell completes commands, options, models, tasks, methods and their arguments.

    Put `eval "$(remote-client completion bash)"` into ~/.bashrc, `source <(remote-client completion zsh)` into ~/.zshrc
    after compinit, or `remote-client completion fish | source` into ~/.config/fish/config.fish. Models, tasks and
    arguments are those of the runtime that the line, or else REMOTE_CLIENT_TARGET, names.

    Args:
        shell: The shell.
    """
    sys.stdout.write(SCRIPTS[shell])
    return 0


def answer(app: App, kind: str = "words", *words: str) -> int:
    """Answer a script's question. Candidates are whole words that begin with the last word."""
    if kind == "line":
        words = tuple(words_of("".join(words)))
    elif words:  # fish leaves the quote that is open
        words = (*words[:-1], words[-1].lstrip("'\""))
    sys.stdout.writelines(f"{line}\n" for line in candidates(app, words))
    return 0


def candidates(app: App, words: Sequence[str]) -> Iterator[str]:
    """Yield the lines that answer a script, see `completion_scripts`."""
    given, words = options_and_rest(words)
    printed = StringIO()
    with _variables(given | {_WORDS: "".join(f"{word}\x1f" for word in words)}), redirect_stdout(printed):
        app([QUESTION], exit_on_error=False, print_error=False, result_action="return_value")
    prefix = ""  # of a value in `--option=value`
    for line in printed.getvalue().partition("\x1fbegin\n")[2].split("\n"):
        value, _, rest = line.partition("\t")
        if value == "\x1fprefix":
            prefix = rest
        elif value.endswith(FILES) or value == "\x1ffiles":
            yield f"{FILES}\t{prefix}{rest}"
        elif value and not value.startswith("\x1f"):
            yield f"{prefix}{line}"


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment, where completers find the options."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def options_and_rest(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the options of all commands as variables, and the other words.

    cyclopts does not complete the commands of a group after an option of all commands.
    """
    named = {name: option for option in OPTIONS for name in flags(option)}
    given: dict[str, str] = {}
    rest: list[str] = []
    left = iter(words[:-1])
    for word in left:
        name, equals, value = word.partition("=")
        option = named.get(name)
        if option is None:
            rest.append(word)
            continue
        if KINDS[option.name] is bool:
            value = "1"
        elif not equals and (value := next(left, "")) == "":  # the last word is the option's value
            rest.append(word)
            continue
        key = variable(option.name)
        given[key] = f"{given[key]}\n{value}" if takes_several(option) and key in given else value
    return given, [*rest, *words[-1:]]


def words_of(line: str) -> list[str]:
    """Return the words of a line after the command's name. The last may be empty, or have an open quote."""
    for quote in ("", "'", '"'):
        try:
            *words, last = shlex.split(f"{line}{_CURSOR}{quote}")
        except ValueError:  # of an open quote
            continue
        return [*words, last.removesuffix(_CURSOR)][1:]
    return []
