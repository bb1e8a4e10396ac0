"""docs/settings.md: its examples, and its table of all settings."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Any

import pytest

from remote_client import CallOptions, ConnectionInfo, RemoteClient, RemoteModuleBase

from ..support import readme
from ..support.runtime import Runtime

PAGE = readme.DOCS / "settings.md"
ELSEWHERE = {"hostname", "port", "target", "tls", "metadata", "schema", "user_agent", "max_response_size", "log level"}
"""Settings whose default the table tells in words."""


def rows() -> dict[str, list[str]]:
    """The table's rows by the setting's name: default, client, connection, call, variables."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and line.count("|") == 8]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name.strip("`"): more[:-1] for name, *more in cells if name != "Setting"}


def named(column: int) -> set[str]:
    """The settings that a column says yes to."""
    return {name for name, cells in rows().items() if cells[column] == "yes"}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return {name: each for name, each in inspect.signature(function).parameters.items() if name != "self"}


async def test_the_pages_examples(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REMOTE_CLIENT_TARGET", runtime.target)
    monkeypatch.setenv("REMOTE_CLIENT_TIMEOUT", "30")
    names: dict[str, Any] = {}
    for _, code in readme.examples(PAGE):
        if "RemoteClient." in code and "client" in names:
            await names["client"].aclose()
        await readme.run(code, runtime, names)
    await names["client"].aclose()
    assert capfd.readouterr().out == "True\nHello World\n"


def test_the_table_has_all_arguments_of_a_client() -> None:
    assert named(1) == parameters(RemoteClient).keys()


def test_the_table_has_all_fields_of_a_connection() -> None:
    assert named(2) == {each.name for each in fields(ConnectionInfo)}


def test_the_table_has_all_options_of_calls() -> None:
    assert named(3) == parameters(RemoteClient.with_options).keys() == parameters(RemoteModuleBase.with_options).keys()


def test_the_table_has_the_defaults() -> None:
    info = {each.name: each.default for each in fields(ConnectionInfo) if each.default is not MISSING}
    info |= {"options": {}, "retry_options": {}}
    calls = {each.name: each.default for each in fields(CallOptions)} | {"protocol": "grpc", "retries": 2}
    arguments = {name: each.default for name, each in parameters(RemoteClient).items()}
    told = {name: cells[0].strip("`") for name, cells in rows().items() if name not in ELSEWHERE}
    made = {name: {**arguments, **info, **calls}[name] for name in told}
    assert told == {name: f'"{value}"' if isinstance(value, str) else repr(value) for name, value in made.items()}
    assert info["max_response_size"] == 64 * 1024 * 1024
