"""The command line without the extra `cli`: argparse, and only the command `stubs`."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .._version import __version__
from .description_sources import Server
from .stub_files import write_stubs
from .usage import COMMANDS, USAGE, USAGE_ERROR, UsageError

_INSTALL = "pip install 'remote-client[cli]'"


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def run(arguments: Sequence[str]) -> int:
    """Run `stubs` and return its exit code."""
    given, unknown = _parser().parse_known_intermixed_args(arguments)
    if given.command is None:
        sys.stderr.write(USAGE)
        return USAGE_ERROR
    if given.command != "stubs":
        is_known = given.command in COMMANDS
        raise UsageError(
            f"the command {given.command} needs: {_INSTALL}" if is_known else f"there is no command {given.command}"
        )
    if unknown:
        raise UsageError(f"unknown argument: {unknown[0]}")
    server = Server.of(given.server if given.target is None else given.target, given.proxy)
    return asyncio.run(write_stubs(server, given.output, blocking=given.sync, schema=given.schema, force=given.force))


def _parser() -> ArgumentParser:
    parser = _Parser(
        "remote-client",
        description="A client for caikit runtimes.",
        epilog=f"For the other commands: {_INSTALL}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", nargs="?", help="stubs: write typed Python classes for a runtime's tasks")
    parser.add_argument("target", nargs="?", help="the runtime, as with -t")
    parser.add_argument(
        "-t",
        "--target",
        dest="server",
        metavar="TARGET",
        help="the runtime (host:port, http://host:port, ...); default: $REMOTE_CLIENT_TARGET or localhost:8085",
    )
    parser.add_argument("--proxy", help='a proxy\'s URL, or "env" for the proxy that the environment variables name')
    parser.add_argument("-o", "--output", type=Path, help="the Python file; the runtime's schema goes beside it")
    parser.add_argument("--schema", metavar="FILE", help="a schema file to read instead of asking the runtime")
    parser.add_argument("--force", action="store_true", help="overwrite files that were edited")
    parser.add_argument("--sync", action="store_true", help="write classes for the blocking client, remote_client.sync")
    return parser
