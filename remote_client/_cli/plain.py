"""The command without the extra `cli`: `stubs` alone."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .._version import __version__
from .ends import USAGE, WRONG_USE, WrongUseError
from .server import TARGET, VARIABLE, Server
from .stub_files import write_stubs

_EXTRA = "for the other commands, pip install 'remote-client[cli]'"


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
        raise WrongUseError(f"{given.command}: only stubs is here; {_EXTRA}")
    if unknown:
        raise WrongUseError(f"not understood: {unknown[0]}")
    server = Server(given.target or given.server, given.proxy)
    return asyncio.run(write_stubs(server, given.output, blocking=given.sync))


def _parser() -> ArgumentParser:
    parser = _Parser("remote-client", description="A client for caikit runtimes.", epilog=_EXTRA, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", nargs="?", help="stubs: write declared modules of what a runtime offers")
    parser.add_argument("target", nargs="?", help="the runtime, as with -t")
    parser.add_argument(
        "-t",
        "--target",
        dest="server",
        metavar="TARGET",
        default=os.environ.get(VARIABLE, TARGET),
        help="the runtime: host:port, grpcs://host:port, http://host:port, ...",
    )
    parser.add_argument("--proxy", help='"env" for the proxy that the environment names, or the URL of one')
    parser.add_argument("-o", "--output", type=Path, help="the file to write, and the runtime's schema beside it")
    parser.add_argument("--sync", action="store_true", help="for the blocking client, remote_client.sync")
    return parser
