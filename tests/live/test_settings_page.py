"""docs/settings.md: its examples, and its table of all settings."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

import remote_client
from remote_client import CallOptions, ConnectionInfo, ConnectionTlsInfo, RemoteClient, RemoteModuleBase
from remote_client._cli.options import OPTIONS
from remote_client._client.environment import _SETTINGS
from remote_client._settings.variables import variable
from remote_client.settings import FinderConfig, RetryPolicy

from ..support import readme
from ..support.runtime import Runtime

PAGE = readme.DOCS / "settings.md"
ELSEWHERE = {"hostname", "port", "target", "tls", "metadata", "schema", "user_agent", "max_response_size", "retry"}
"""Settings whose default the table tells in words."""
CLASSES: dict[str, Any] = {
    "connection": ConnectionInfo,
    "tls": ConnectionTlsInfo,
    "finder": FinderConfig,
    "options": CallOptions,
    "policy": RetryPolicy,
}
"""The kinds of places that are dataclasses."""
OF_COMMAND = {"insecure": "insecure_verify", "token_file": "metadata", "header": "metadata"}
"""The settings of the command's options that have another name."""


def rows() -> dict[str, list[str]]:
    """The table's rows by the setting's name: default, places, meaning."""
    table = PAGE.read_text().partition("| setting | default |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name.strip("`"): more for name, *more in cells if not name.startswith("**")}


def set_in(place: str) -> set[str]:
    """The settings that can be set in a place."""
    return {name for name, cells in rows().items() if place in cells[1].split(", ")}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return {name: each for name, each in inspect.signature(function).parameters.items() if name != "self"}


async def test_the_pages_examples(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REMOTE_CLIENT_TARGET", runtime.target)
    monkeypatch.setenv("REMOTE_CLIENT_TIMEOUT", "30")
    names: dict[str, Any] = {}
    printed = ""
    for block in readme.blocks(PAGE):
        if block.language == "python":
            await readme.run(block.text, runtime, names)
            printed = capfd.readouterr().out
        elif block.language == "text":
            assert printed == block.text


def test_the_table_has_all_arguments_of_a_client() -> None:
    assert set_in("client") == parameters(RemoteClient).keys()


@pytest.mark.parametrize("place", CLASSES)
def test_the_table_has_all_fields(place: str) -> None:
    assert set_in(place) == {each.name for each in fields(CLASSES[place])}


def test_the_table_has_all_options_of_calls() -> None:
    options = parameters(RemoteClient.with_options).keys()
    assert set_in("call") == options == parameters(RemoteModuleBase.with_options).keys()


def test_the_table_has_all_options_of_the_command() -> None:
    assert set_in("command") == {OF_COMMAND.get(each.name, each.name) for each in OPTIONS}


def test_the_table_has_all_variables() -> None:
    told = {name for cells in rows().values() for name in re.findall(r"`(REMOTE_CLIENT_\w+|COLUMNS|TERM)`", cells[2])}
    ours = {variable(each) for names, _ in _SETTINGS.values() for each in names}
    ours |= {variable(each.name) for each in OPTIONS} | {variable("engine"), variable("log")}
    assert told == ours | {"COLUMNS", "TERM"}


def test_variables_in_italics_are_the_commands_alone() -> None:
    of_command = {name for cells in rows().values() for name in re.findall(r"\*`([A-Z_]+)`\*", cells[2])}
    of_client = {variable(each) for names, _ in _SETTINGS.values() for each in names}
    assert of_command == {variable(each.name) for each in OPTIONS} - of_client


def test_the_page_names_all_variables_that_the_package_reads() -> None:
    sources = [file.read_text() for file in Path(remote_client.__file__).parent.rglob("*.py")]
    read = {name for text in sources for name in re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', text)}
    assert {"COLUMNS", "TERM"} <= read
    assert {name for name in read if name not in PAGE.read_text()} == set()


def test_the_table_has_the_defaults() -> None:
    made: dict[str, Any] = {name: each.default for name, each in parameters(RemoteClient).items()}
    for kind in CLASSES.values():
        for each in fields(kind):
            factory = each.default_factory
            made[each.name] = each.default if factory is MISSING else factory()
    made["protocol"] = "grpc"
    told = {name: cells[0] for name, cells in rows().items() if cells[0].startswith("`") and name not in ELSEWHERE}
    assert told == {name: f"`{_written(made[name])}`" for name in told}
    of_classes = {name for place in CLASSES for name in set_in(place)}
    assert of_classes - ELSEWHERE <= told.keys()
    assert made["max_response_size"] == 64 * 1024 * 1024


def _written(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
