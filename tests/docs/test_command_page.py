"""docs/command-line.md has a table of all commands: with the arguments, options and defaults of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cyclopts import App
from cyclopts.argument import Argument

from remote_client._cli.cyclopts_app import app
from remote_client._cli.usage import COMMANDS

from ..support.readme import DOCS

_, _, _SECTION = (DOCS / "command-line.md").read_text().partition("\n## All commands\n")
TABLE = _SECTION.partition("\n## ")[0]


def listed() -> Iterator[tuple[str, set[str], str]]:
    """The rows of the table: a command with its arguments, which the first of its rows names, options, and a text."""
    command = ""
    for row in re.findall(r"^\| (`.*|\| `.*)\|$", TABLE, re.MULTILINE):
        first, options, text = (cell.strip() for cell in row.removesuffix("|").split("|"))
        command = first.strip("`") or command
        yield command, set(re.findall("`([^`]+)`", options)), text


def commands(of: App = app, *path: str) -> Iterator[tuple[str, list[Argument]]]:
    """The commands of the command line, as the table writes them, with their options."""
    names = [name for name in of if not name.startswith("-")]
    for name in names:
        yield from commands(of[name], *path, name)
    if path and not names:
        taken = [
            each for each in of.assemble_argument_collection(default_parameter=app.default_parameter) if each.parse
        ]
        options = [each for each in taken if each.name.startswith("-")]
        arguments = [each.name if each.required else f"[{each.name}]" for each in taken if each not in options]
        yield " ".join([*path, *arguments]), options


def test_the_table_has_all_commands_and_options() -> None:
    found: dict[str, set[str]] = {}
    for command, options, _ in listed():
        found[command] = found.get(command, set()) | options
    assert found == {command: {name for each in options for name in each.names} for command, options in commands()}
    assert {command.partition(" ")[0] for command in found} == {*COMMANDS}


def test_the_table_has_the_defaults() -> None:
    texts = {(command, name): text for command, options, text in listed() for name in options}
    defaults = {
        (command, option.name): option.field_info.default
        for command, options in commands()
        for option in options
        if isinstance(option.field_info.default, (str, float))
    }
    assert len(defaults) > 5
    for place, default in defaults.items():
        shown = f"{default:g}" if isinstance(default, float) else f"`{default}`"
        assert shown in texts[place], place
