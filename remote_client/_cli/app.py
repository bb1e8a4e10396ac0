"""The commands, as cyclopts runs them. Each is imported when it is called: the list of them is quick to show.

cyclopts, because an option of all commands is defined once, stands before or after the command, and is known to
functions that complete; typer needs it in each command, and click's private parts for late imports.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from .._version import __version__
from .ends import COMMANDS, USAGE, WRONG_USE, WrongUseError
from .server import Server

app = App(name="remote-client", help="A client for caikit runtimes.", version=__version__, help_format="plaintext")
for _name, _help in COMMANDS.items():
    app.command(f"{__package__}.{_name}:{_name}", name=_name, help=_help)


def run(arguments: Sequence[str]) -> int:
    """Run a command, and return its exit code."""
    try:
        code = app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise WrongUseError(str(error)) from None
    return int(code or 0)  # None of `--help`


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    target: Annotated[str | None, Parameter(["--target", "-t"])] = None,
    proxy: str | None = None,
) -> int:
    """Run the command that the tokens are, with the options of all commands taken out.

    Args:
        tokens: The command.
        target: The runtime: host:port, grpcs://host:port, http://host:port, ...; without it REMOTE_CLIENT_TARGET, or
            else localhost:8085.
        proxy: "env" for the proxy that the environment names, or the URL of one.
    """
    if not tokens:
        sys.stderr.write(USAGE)
        return WRONG_USE
    command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    if "server" not in ignored:  # --help, --version
        command(*bound.args, **bound.kwargs)
        return 0
    import asyncio  # here, because `--help` does without

    code: int = asyncio.run(command(*bound.args, **bound.kwargs, server=Server.of(target, proxy)))
    return code
