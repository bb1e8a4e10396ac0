"""Three servers with 64 calls in flight: one is slow, one is killed, one freezes; then all are well again.

Where one is killed or frozen alone, see tests/wire/test_servers.py.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.hooks import CallEnded
from tests.wire.test_servers import greet, load

SLOW = 0.3
TIMEOUT = 1.5
ROUTES = ("SampleTaskPredict", "POST /api/v1/task/echo")


def echo(model: Any) -> Any:
    return model.run_echo("a")


async def slow_down(protocol: str, server: Any, seconds: float) -> None:
    if protocol == "grpc":
        await server.faults(predict_delay=seconds)
    else:
        await server.faults({"POST /api/v1/task/echo": {"delay": seconds}})


@pytest.mark.sampled(1)
async def test_one_is_slow_one_is_killed_one_freezes(start: Callable[..., Any], protocol: str) -> None:
    call, name = (greet, "foo") if protocol == "grpc" else (echo, "raw")
    servers = [start() for _ in range(3)]
    killed, frozen, slow = servers
    failed: list[CallEnded] = []

    def hook(event: Any) -> None:
        if isinstance(event, CallEnded) and event.error:
            failed.append(event)

    async def asked(server: Any) -> int:
        count: int = await server.started(*ROUTES)
        return count

    async with RemoteClient([each.target for each in servers], timeout=TIMEOUT, hooks=[hook]) as client:
        model = await client.model(name)

        # The slow one answers all it is asked, and is asked less.
        await slow_down(protocol, slow, SLOW)
        assert (await load(model, 2, call=call)).keys() == {"answered"}
        shares = [await asked(each) for each in servers]
        assert 0 < shares[2] < sum(shares) / 10, shares

        # Those that were under way are lost, and what a frozen server is asked before it is known to be frozen: a
        # retry has no more time than the call. Then all go to the slow one.
        killed.signal(signal.SIGKILL)
        frozen.signal(signal.SIGSTOP)
        await load(model, TIMEOUT + 0.5, call=call)
        before = await asked(slow)
        failed.clear()
        ended = await load(model, 2, call=call)
        assert ended["answered"] > 64, ended
        assert await asked(slow) - before >= ended["answered"]
        # Once in a while one call is the probe of a server that was given up: another has time to answer it.
        assert not failed, failed
        assert ended.keys() == {"answered"}

        # All are well again: they are asked, and nothing is lost.
        frozen.signal(signal.SIGCONT)
        killed.__exit__()
        again = await asyncio.to_thread(start, port=killed.port)
        await slow_down(protocol, slow, 0)
        servers[0] = again
        before_all = [await asked(each) for each in servers]
        for _ in range(20):
            await load(model, 0.5, 16, call)
            if all([await asked(each) > count + 20 for each, count in zip(servers, before_all, strict=True)]):
                break
        failed.clear()
        before_all = [await asked(each) for each in servers]
        assert (await load(model, 1, call=call)).keys() == {"answered"}
        shares = [await asked(each) - count for each, count in zip(servers, before_all, strict=True)]
        assert min(shares) > sum(shares) / 5, shares
