"""Servers that are compared, to balance the calls of a model over those that are alike."""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from remote_client._client import servers
from remote_client._schema.rpc import ServiceDescription
from remote_client._schema.runtime_info import ModelInfo

from .library import DESCRIPTION


def server(description: ServiceDescription | None, module_id: str = "id") -> Any:
    return SimpleNamespace(description=description, models={"foo": ModelInfo(name="foo", module_id=module_id)})


async def rendered(description: ServiceDescription) -> ServiceDescription:
    caller: Any = None
    await servers.render_interface(caller, description)
    return description


async def test_servers_of_one_interface_and_one_module_are_alike() -> None:
    one, other = server(await rendered(DESCRIPTION)), server(await rendered(replace(DESCRIPTION)))
    assert servers.are_equivalent(one, other, "foo")
    assert not servers.are_equivalent(one, server(replace(DESCRIPTION)), "foo")  # not yet
    assert servers.are_equivalent(one, server(DESCRIPTION), "foo")
    assert not servers.are_equivalent(one, server(DESCRIPTION, "other"), "foo")
    assert not servers.are_equivalent(one, server(await rendered(replace(DESCRIPTION, tasks={}))), "foo")


async def test_an_interface_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = 0
    tell = inspect.Signature.__str__

    def counted(signature: inspect.Signature) -> str:
        nonlocal told
        told += 1
        return tell(signature)

    monkeypatch.setattr(inspect.Signature, "__str__", counted)
    one, other = server(replace(DESCRIPTION)), server(replace(DESCRIPTION))
    for _ in range(10):
        await rendered(one.description)
        await rendered(other.description)
        assert servers.are_equivalent(one, other, "foo")
    assert told == 2 * sum(len(task.methods) for task in DESCRIPTION.tasks.values())
