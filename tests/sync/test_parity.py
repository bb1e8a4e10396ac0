"""Each public name of the asyncio client has its blocking twin, with the same parameters."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import remote_client
from remote_client import bulk, sync
from remote_client.sync import bulk as blocking_bulk
from remote_client.sync._facade import Blocking

TWINS = [name for name in remote_client.__all__ if isinstance(getattr(sync, name), type)]
TWINS = [name for name in TWINS if getattr(sync, name) is not getattr(remote_client, name)]


ATTRIBUTES = {  # set on the asyncio client's instances
    "PredictionJob": {"id"},
    "TrainingJob": {"id", "model_name"},
    "RemoteModelFinder": {"config", "instance_name"},
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_name_is_there() -> None:
    assert set(sync.__all__) == set(remote_client.__all__)
    assert len(TWINS) == 8
    for name in remote_client.__all__:
        if name not in TWINS and name != "construct_remote_module_class":
            assert getattr(sync, name) is getattr(remote_client, name)


@pytest.mark.parametrize("name", TWINS)
def test_every_twin_has_the_same_members(name: str) -> None:
    own, twin = getattr(remote_client, name), getattr(sync, name)
    expected = public(own) - {"asend", "athrow"}
    more = ATTRIBUTES.get(name, set()) | ({"close"} if "aclose" in expected else set())
    if name == "RemoteModuleBase":
        more |= {"is_blocking"}
    if name == "RemoteModelFinder":
        expected -= {"balancer_for", "can_trust", "find_module", "locate", "servers", "trust"}  # parts for other rooms
    assert public(twin) == expected | more
    for member in expected:
        original, mirrored = getattr(own, member), getattr(twin, member)
        if isinstance(original, property):
            assert isinstance(mirrored, property)
        else:
            assert parameters(mirrored) == parameters(original), member
        assert mirrored.__doc__, member


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", [name for name in TWINS if name != "RemoteModuleBase"])
def test_every_twin_is_made_alike(name: str) -> None:
    own, twin = getattr(remote_client, name), getattr(sync, name)
    made_by_users = issubclass(twin, Blocking) and "__init__" in vars(twin)
    if made_by_users or name == "RemoteModelInitializer":
        assert parameters(twin.__init__) == parameters(own.__init__)


def test_the_blocking_maps_are_twins() -> None:
    assert set(blocking_bulk.__all__) == set(bulk.__all__)
    for name in ("map_rows", "map_frame"):
        assert parameters(getattr(blocking_bulk, name)) == parameters(getattr(bulk, name))
    assert public(blocking_bulk.MapRows) == public(bulk.MapRows) - {"next_ones"} | {"close"}
    for name in ("Done", "Failed", "Progress"):
        assert getattr(blocking_bulk, name) is getattr(bulk, name)
