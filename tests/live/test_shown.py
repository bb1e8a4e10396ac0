"""Tables of a real runtime, asyncio and blocking."""

from __future__ import annotations

from typing import Any

import pytest

from remote_client import RemoteClient, sync

from ..support.runtime import Runtime
from .protocols import Protocol, named, target_of


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of pytest-xdist have the width of the terminal that they were started from."""
    monkeypatch.setenv("COLUMNS", "0")


async def test_what_a_runtime_has_is_printed_as_tables(client: RemoteClient, protocol: Protocol) -> None:
    models, description, versions = await client.models(), await client.describe(), await client.runtime_info()
    lines = str(models).splitlines()
    assert lines[0].split() == ["NAME", "MODULE", "MODULE", "ID", "LOADED", "BYTES"]
    assert any(line.startswith("foo ") and " SampleModule " in line for line in lines)
    assert len(lines) == len(models) + 1
    rows = [line.split() for line in str(description).splitlines()]
    argument = named(protocol, "sample_input")
    assert ["SampleTask", "run_sample", f"{argument},", "throw?,", "prefix?", "SampleOutputType"] in rows
    assert ["TRAINING", "ARGUMENTS"] in rows
    assert "caikit               0.29.0" in str(versions)


async def test_a_part_of_the_models_is_a_table_too(client: RemoteClient) -> None:
    models: Any = await client.models(["foo"])
    assert [info.name for info in models] == ["foo"]
    assert str(models).startswith("NAME  MODULE        MODULE ID")
    assert "foo" in models._repr_html_()


def test_the_blocking_client_shows_the_same(runtime: Runtime, protocol: Protocol) -> None:
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        assert str(client.models(["foo"])).startswith("NAME  MODULE        MODULE ID")
        assert str(client.describe()).startswith("TASK  ")
