"""The command line without the extra `cli`: argparse, and only the command `stubs`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import Field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from .._settings.variables import variable
from .._version import __version__
from .options import KINDS, OPTIONS, Options, flags, takes_several
from .stub_files import write_stubs
from .usage import COMMANDS, USAGE, USAGE_ERROR, Parsed, UsageError

_INSTALL = "pip install 'remote-client[cli]'"


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parse(arguments: Sequence[str]) -> Parsed:
    """Return the command `stubs` with its arguments. Raises a UsageError for other commands."""
    found, unknown = _parser().parse_known_intermixed_args(arguments)
    if found.command is None:
        return Parsed(_print_usage)
    if found.command != "stubs":
        is_known = found.command in COMMANDS
        raise UsageError(
            f"the command {found.command} needs: {_INSTALL}" if is_known else f"there is no command {found.command}"
        )
    if unknown:
        raise UsageError(f"unknown argument: {unknown[0]}")
    given = {each.name: getattr(found, each.name) for each in OPTIONS}
    options = Options.of(given if found.positional is None else {**given, "target": found.positional})
    return Parsed(partial(write_stubs, options, found.output, blocking=found.sync, force=found.force), options)


def _print_usage() -> int:
    sys.stderr.write(USAGE)
    return USAGE_ERROR


def _parser() -> ArgumentParser:
    parser = _Parser(
        "remote-client",
        description="A client for caikit runtimes.",
        epilog=f"For the other commands: {_INSTALL}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", nargs="?", help="stubs: write typed Python classes for a runtime's tasks")
    parser.add_argument("positional", nargs="?", metavar="target", help="the runtime, as with -t")
    for each in OPTIONS:
        told = f"{each.metadata['help']} [{variable(each.name)}]"
        parser.add_argument(*flags(each), dest=each.name, default=None, help=told, **_action(each))
    parser.add_argument("-o", "--output", type=Path, help="the Python file; the runtime's schema goes beside it")
    parser.add_argument("--force", action="store_true", help="overwrite files that were edited")
    parser.add_argument("--sync", action="store_true", help="write classes for the blocking client, remote_client.sync")
    return parser


def _action(option: Field[Any]) -> dict[str, Any]:
    kind = KINDS[option.name]
    if kind is bool:
        return {"action": "store_true"}
    return {"action": "append" if takes_several(option) else "store", "type": kind}
