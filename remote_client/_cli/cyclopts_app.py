"""The command line with cyclopts. A command's module is imported when the command runs, so `--help` stays quick.

With cyclopts, the options of all commands are defined once, stand before or after the command, and are completed by
shells. typer repeats them in every command, and imports commands late only through private names of click.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from .._version import __version__
from .description_sources import Server
from .usage import COMMANDS, USAGE, USAGE_ERROR, UsageError

app = App(name="remote-client", help="A client for caikit runtimes.", version=__version__, help_format="plaintext")
for _name, _help in COMMANDS.items():
    app.command(f"{__package__}.{_name}:{_name}", name=_name, help=_help)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    try:
        code = app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise UsageError(str(error)) from None
    return int(code or 0)  # `--help` returns None


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    target: Annotated[str | None, Parameter(["--target", "-t"])] = None,
    proxy: str | None = None,
) -> int:
    """Parse the options of all commands, and run the command in `tokens`.

    Args:
        tokens: The command and its own options.
        target: The runtime (host:port, http://host:port, ...); default: $REMOTE_CLIENT_TARGET or localhost:8085.
        proxy: A proxy's URL, or "env" for the proxy that the environment variables name.
    """
    if not tokens:
        sys.stderr.write(USAGE)
        return USAGE_ERROR
    command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    if "server" not in ignored:  # --help, --version
        command(*bound.args, **bound.kwargs)
        return 0
    import asyncio  # here, so that `--help` stays quick

    code: int = asyncio.run(command(*bound.args, **bound.kwargs, server=Server.of(target, proxy)))
    return code
