"""`RemoteModelFinder.find_module`, by which the client inside caikit finds models: their modules are known there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remote_client import RemoteModelFinder, errors

from ..support.clock import Stopwatch
from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, port_of


@pytest.fixture(scope="module")
def lazy() -> Iterator[Runtime]:
    """A runtime that lists its models before it has loaded them."""
    models = {f"{kind}-{protocol}": id for protocol in ("grpc", "http") for kind, id in KINDS.items()}
    with Runtime(models=models, wait_for_loads=False) as running:
        yield running


KINDS = {name: SAMPLE_MODELS[name] for name in ("foo", "geo", "slow", "failing", "parameters", "numbers")}
"""Models of tasks with all kinds of methods, with streams only, and with required inputs of several types."""


def finder_of(port: int, protocol: Protocol, **more: object) -> RemoteModelFinder:
    return RemoteModelFinder({"connection": {"hostname": "localhost", "port": port}, "protocol": protocol, **more})


async def test_the_server_and_the_module_of_a_model(runtime: Runtime, protocol: Protocol) -> None:
    finder = finder_of(port_of(runtime, protocol), protocol)
    found = await finder.find_module("foo")
    assert found is not None
    assert (found[0].port, found[1]) == (port_of(runtime, protocol), SAMPLE_MODELS["foo"])
    assert await finder.find_module("nothing") is None
    await finder.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_is_loaded_without_being_run(lazy: Runtime, protocol: Protocol, kind: str) -> None:
    finder = finder_of(port_of(lazy, protocol), protocol)
    name = f"{kind}-{protocol}"
    before = await finder.discover()
    assert (before[name].loaded, before[name].module_id) == (False, "")
    watch = Stopwatch()
    found = await finder.find_module(name)
    assert found is not None
    assert found[1] == KINDS[kind]
    assert watch.seconds < 5
    await finder.aclose()


async def test_nobody_to_ask_is_an_error(protocol: Protocol) -> None:
    finder = finder_of(1, protocol)
    with pytest.raises(errors.UnavailableError):
        await finder.find_module("foo")
    await finder.aclose()


async def test_a_server_of_a_name_is_forgotten_when_it_lacks_the_model(protocol: Protocol) -> None:
    finder = RemoteModelFinder({"connection": {"hostname": "{}.localhost", "port": 1}, "protocol": protocol})
    with pytest.raises(errors.UnavailableError):
        await finder.find_module("foo")
    assert finder.servers == []
    await finder.aclose()


async def test_a_closed_finder_finds_nothing_more(runtime: Runtime, protocol: Protocol) -> None:
    finder = finder_of(port_of(runtime, protocol), protocol)
    await finder.aclose()
    with pytest.raises(errors.ClosedError):
        await finder.find_module("foo")
