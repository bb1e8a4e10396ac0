"""Servers that are compared, to balance the calls of a model over those that are alike."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from remote_client._client import servers
from remote_client._schema.rpc import ServiceDescription
from remote_client._schema.runtime_info import ModelInfo, read_models
from remote_client._transport.balance import Balancer
from remote_client._transport.engine import open_connections
from remote_client.settings import ConnectionInfo, FinderConfig

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


def test_a_list_that_changes_nothing_here_compares_no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def are_equivalent(one: Any, other: Any, name: str) -> bool:
        compared.append(name)
        return True

    monkeypatch.setattr(servers, "are_equivalent", are_equivalent)
    connections = [ConnectionInfo(hostname="localhost", port=port) for port in range(1, 11)]
    config = FinderConfig(connection=connections[0], remote_connections=tuple(connections[1:]))
    known = servers.ServerSet(config, None, partial(open_connections, protocol="grpc", transport=None))
    known.balancers["foo"] = Balancer([])
    for server in known.fixed:
        server.description = DESCRIPTION
        known.update(server, read_models([{"name": "foo", "module_id": "id"}]))
    assert len(known.balancers["foo"].servers) == 10
    compared.clear()
    for server in known.fixed:
        known.update(server, read_models([{"name": "foo", "module_id": "id", "loaded": True}, {"name": "bar"}]))
    assert compared == []
    known.update(known.fixed[0], read_models([]))
    assert len(known.balancers["foo"].servers) == 9
