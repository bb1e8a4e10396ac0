"""The command without the extra `cli`: `stubs` alone."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .._version import __version__
from .ends import COMMANDS, USAGE, WRONG_USE, WrongUseError
from .server import Server
from .stub_files import write_stubs

_INSTALL = "pip install 'remote-client[cli]'"


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUseError(message)


def run(arguments: Sequence[str]) -> int:
    """Run `stubs`, and return its exit code."""
    given, unknown = _parser().parse_known_intermixed_args(arguments)
    if given.command is None:
        sys.stderr.write(USAGE)
        return WRONG_USE
    if given.command != "stubs":
        is_known = given.command in COMMANDS
        raise WrongUseError(
            f"the command {given.command} needs: {_INSTALL}" if is_known else f"there is no command {given.command}"
        )
    if unknown:
        raise WrongUseError(f"not understood: {unknown[0]}")
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
    parser.add_argument("command", nargs="?", help="stubs: write declared modules of what a runtime offers")
    parser.add_argument("target", nargs="?", help="the runtime, as with -t")
    parser.add_argument(
        "-t",
        "--target",
        dest="server",
        metavar="TARGET",
        help="the runtime: host:port, http://host:port, ...; without it REMOTE_CLIENT_TARGET, or else localhost:8085",
    )
    parser.add_argument("--proxy", help='"env" for the proxy that the environment names, or the URL of one')
    parser.add_argument("-o", "--output", type=Path, help="the file to write, and the runtime's schema beside it")
    parser.add_argument("--schema", metavar="FILE", help="a schema on file, in the place of the runtime")
    parser.add_argument("--force", action="store_true", help="overwrite a file that was edited")
    parser.add_argument("--sync", action="store_true", help="for the blocking client, remote_client.sync")
    return parser
