"""Clients of servers that describe themselves alike share the types: they are most of a client's memory."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from remote_client import RemoteClient
from remote_client._client import introspection
from remote_client._schema.rpc import ServiceDescription
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer


async def described(target: str) -> ServiceDescription:
    async with RemoteClient(target) as client:
        return await client.describe()


async def test_two_clients_of_a_server_share_its_types(wire: WireServer) -> None:
    first, second = await described(wire.target), await described(wire.target)
    assert first.types
    assert second is first


async def test_two_servers_that_describe_themselves_alike_share_types(
    wire: WireServer, start_wire: Callable[..., WireServer]
) -> None:
    first, second = await described(wire.target), await described(start_wire().target)
    assert second is first


async def test_clients_over_http_share_types(http_wire: HttpWire) -> None:
    first, second = await described(http_wire.target), await described(http_wire.target)
    assert first.types
    assert second is first


async def test_protocols_share_nothing(wire: WireServer, http_wire: HttpWire) -> None:
    over_grpc, over_http = await described(wire.target), await described(http_wire.target)
    assert not set(over_grpc.types.values()) & set(over_http.types.values())


async def test_a_server_with_another_interface_has_types_of_its_own(http_wire: HttpWire) -> None:
    first = await described(http_wire.target)
    other = '{"openapi": "3.1.0", "paths": {}}'
    await http_wire.faults({"GET /openapi.json": {"body": other}})
    second = await described(http_wire.target)
    assert second is not first
    assert not set(first.types.values()) & set(second.types.values())


async def test_types_go_with_their_last_client(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "_descriptions", type(introspection._descriptions)())
    kept = await described(wire.target)
    assert len(introspection._descriptions) == 1
    del kept
    gc.collect()
    assert not introspection._descriptions
