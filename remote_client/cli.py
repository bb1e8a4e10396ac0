"""The `remote-client` command."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .client import RemoteClient
from .errors import RemoteClientError
from .stubs import write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser("remote-client", description="A client for caikit runtimes.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    stubs = commands.add_parser(
        "stubs", help="write declared modules from a live runtime", description="Writes a runtime's types and tasks."
    )
    stubs.add_argument("target", help="host:port, grpcs://host:port, http://host:port, ...")
    stubs.add_argument("--proxy", help="env for the proxy that the environment names, or the URL of one")
    stubs.add_argument("-o", "--output", type=Path, help="the file to write; standard output without it")
    stubs.add_argument("--sync", action="store_true", help="for the blocking client, remote_client.sync")
    given = parser.parse_args(arguments)
    try:
        text = asyncio.run(_stubs(given.target, given.proxy, given.sync))
        if given.output is None:
            sys.stdout.write(text)
        else:
            given.output.write_text(text, encoding="utf-8")
    except (RemoteClientError, OSError) as error:
        sys.stderr.write(f"remote-client: {error}\n")
        return 1
    return 0


async def _stubs(target: str, proxy: str | None, blocking: bool) -> str:
    async with RemoteClient(target, proxy=proxy) as client:
        return write(await client.describe(), "a caikit runtime", blocking=blocking)


if __name__ == "__main__":
    sys.exit(main())
