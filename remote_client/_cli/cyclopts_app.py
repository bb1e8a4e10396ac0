"""The command line with cyclopts. A command's module is imported when the command runs, so `--help` stays quick.

With cyclopts, the options of all commands are defined once, stand before or after the command, and are completed by
shells. typer repeats them in every command, and imports commands late only through private names of click.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import Field
from functools import partial
from inspect import Parameter as Argument
from inspect import Signature, cleandoc
from types import GenericAlias
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter, UnknownOptionError, UnusedCliTokensError

from .._settings.variables import variable
from .._text.closest import closest
from .._version import __version__
from .completers import files
from .completion_scripts import QUESTION
from .options import KINDS, OPTIONS, Options, flags, takes_several
from .usage import COMMANDS, USAGE, USAGE_ERROR, Parsed, UsageError

app = App(
    name="remote-client",
    help="A client for caikit runtimes.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=""),
)
for _name, _command in COMMANDS.items():
    app.command(f"{__package__}.{_command.module}:{_name}", name=_name, help=_command.help)
_OPTIONS = "options"
"""The parameter of commands that takes the options of all commands."""
_GROUP = Group("Options of all commands, and their variables", sort_key=1)
_Token = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]


def parse(arguments: Sequence[str]) -> Parsed:
    """Return the command that the arguments name. Raises a UsageError."""
    if arguments[:1] == [QUESTION]:
        from .completion import answer

        return Parsed(partial(answer, app, *arguments[1:]))
    if not {"--help", "-h"}.isdisjoint(arguments):
        _show_docstring(arguments)
    try:
        found = app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except UnusedCliTokensError as error:
        raise UsageError(f"unexpected argument: {' '.join(error.unused_tokens or ())}") from None
    except UnknownOptionError as error:
        raise UsageError(_with_all_options(error)) from None
    except CycloptsError as error:
        raise UsageError(str(error)) from None
    return found if isinstance(found, Parsed) else Parsed(lambda: 0)  # `--help` has run


def _show_docstring(arguments: Sequence[str]) -> None:
    """Let the help of a command be its docstring's paragraphs, not its line in the list of commands."""
    name = next((each for each in arguments if each in COMMANDS), None)
    command = None if name is None else app[name].default_command
    if name is not None and command is not None:
        text, _, _ = cleandoc(command.__doc__ or "").partition("\n\nArgs:")
        app[name].help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _with_all_options(error: UnknownOptionError) -> str:
    """Return the message with the most similar option: cyclopts does not look at those of all commands."""
    name = (error.token.keyword or error.token.value).partition("=")[0]
    own = [flag for argument in error.argument_collection if argument.parse for flag in argument.names]
    close = closest(name, [*own, *(flag for option in OPTIONS for flag in flags(option))])
    return f"Unknown option: {name}. Did you mean {close}?" if close else str(error)


def _launch(*tokens: _Token, **given: Any) -> Parsed:
    """Parse the options of all commands, and find the command in `tokens`."""
    if not tokens:
        return Parsed(_print_usage)
    if len(tokens) == 1 and tokens[0] in COMMANDS and app[tokens[0]].default_command is None:
        raise UsageError(f"{tokens[0]} has commands: remote-client {tokens[0]} --help lists them")
    command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    options = Options.of(given)
    if _OPTIONS in ignored:
        bound.arguments[_OPTIONS] = options
    return Parsed(partial(command, *bound.args, **bound.kwargs), options)


def _print_usage() -> int:
    sys.stderr.write(USAGE)
    return USAGE_ERROR


def _signature() -> Signature:
    """Return the parameters of `_launch`: the tokens, and every option."""
    options = [
        Argument(each.name, Argument.KEYWORD_ONLY, default=None, annotation=_annotation(each)) for each in OPTIONS
    ]
    return Signature([Argument("tokens", Argument.VAR_POSITIONAL, annotation=_Token), *options])


def _annotation(option: Field[Any]) -> Any:
    kind = KINDS[option.name]
    told = Parameter(
        flags(option),
        help=f"{option.metadata['help']} [{variable(option.name)}]",
        show_default=False,
        group=_GROUP,
        completer=files if option.metadata["is_file"] else None,
    )
    return Annotated[(GenericAlias(list, kind) if takes_several(option) else kind) | None, told]


_launch.__signature__ = _signature()  # type: ignore[attr-defined]
app.meta.default(_launch)
