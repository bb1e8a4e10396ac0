"""Waiting for a real runtime, and watching it: it starts late, is killed, and comes back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from remote_client import HealthState, HealthWatch, RemoteClient
from remote_client.errors import DeadlineExceededError

from ..support.gate import Gate
from ..support.runtime import SAMPLE_MODELS, Runtime
from .clients import call, client_of
from .protocols import Protocol, target_of, undeploy


async def test_a_runtime_that_is_there(runtime: Runtime, gate: Gate, protocol: Protocol, kind_of_client: str) -> None:
    async with client_of(kind_of_client, protocol, gate) as client:
        await call(client.wait_until_ready, timeout=30, models=("foo", runtime.marker))
        with pytest.raises(DeadlineExceededError, match=r"no server lists the model 'fooo' \(did you mean 'foo'\?\)"):
            await call(client.wait_until_ready, 0.5, "fooo")


async def test_a_model_that_is_deployed_meanwhile(client: RemoteClient) -> None:
    config = {"config.yml": f"module_id: {SAMPLE_MODELS['foo']}\n".encode()}
    waiting = asyncio.create_task(client.wait_until_ready(30, ["foo", "meanwhile"]))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await client.deploy_model("meanwhile", config)
    try:
        await waiting
    finally:
        await undeploy(client, "meanwhile")


async def test_with_a_schema(runtime: Runtime, protocol: Protocol, client: RemoteClient) -> None:
    schema = await client.describe()
    async with RemoteClient(target_of(runtime, protocol), schema=schema) as other:
        await other.wait_until_ready(30, "foo")
        with pytest.raises(DeadlineExceededError, match="no server lists the model 'never'"):
            await other.wait_until_ready(0.5, "never")


async def test_two_runtimes(runtime: Runtime, other_runtime: Runtime, protocol: Protocol) -> None:
    targets = [target_of(runtime, protocol), target_of(other_runtime, protocol)]
    async with RemoteClient(targets) as client:
        await client.wait_until_ready(30, [runtime.marker, other_runtime.marker])


@pytest.mark.slow
async def test_a_runtime_that_comes_and_goes() -> None:
    """Both protocols at once, as runtimes start slowly."""
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}) as running:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(RemoteClient(each)) for each in targets_of(running)]
            watches = [await stack.enter_async_context(client.watch_health(poll=0.3)) for client in clients]
            assert await states(watches) == [HealthState.SERVING] * 2
            await asyncio.to_thread(running.kill)
            assert await states(watches) == [HealthState.UNREACHABLE] * 2
            waiting = [asyncio.create_task(client.wait_until_ready(45, "foo")) for client in clients]
            await asyncio.to_thread(running.restart)
            await asyncio.gather(*waiting)
            assert await states(watches) == [HealthState.SERVING] * 2
            for client in clients:
                assert (await (await client.model("foo")).run_sample({"name": "World"})).greeting == "Hello World"


def targets_of(running: Runtime) -> list[str]:
    return [running.target, running.http_target]


async def states(watches: list[HealthWatch]) -> list[HealthState]:
    async with asyncio.timeout(20):
        return [(await anext(watch)).state for watch in watches]


async def test_a_runtime_behind_a_gate(gate: Gate, protocol: Protocol, kind_of_client: str) -> None:
    """A quick sample of the test above: the gate shuts and opens."""
    await gate.shut()
    async with client_of(kind_of_client, protocol, gate) as client:
        waiting = asyncio.create_task(call(client.wait_until_ready, 30, "foo"))
        await asyncio.sleep(0.4)
        assert not waiting.done()
        await gate.open()
        await waiting


async def test_leaving_a_watch(runtime: Runtime, protocol: Protocol, kind_of_client: str, gate: Gate) -> None:
    """The runtime serves on, and the client's other calls go on."""
    async with client_of(kind_of_client, protocol, gate) as client:
        watch: Any = client.watch_health()
        first = await (anext(watch) if kind_of_client == "asyncio" else asyncio.to_thread(next, watch))
        assert first.is_serving
        await call(watch.aclose)
        assert await call(client.healthy)
