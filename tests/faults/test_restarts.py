"""Servers that are killed and come back on the same port, again and again; and a frozen one, found by its missing ping.

HTTP has no ping, its calls are ended by their deadline: `test_a_frozen_server_is_given_up_in_time` in tests/wire.
"""

from __future__ import annotations

import asyncio
import math
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._transport.grpc_options import GrpcOptions
from remote_client.errors import UnavailableError
from tests.support.clock import Stopwatch
from tests.support.http_wire import HttpWire
from tests.support.slow import slow_but
from tests.support.wire import WireServer, raw_module
from tests.wire.kinds import ONE_OF_EACH

AT_ONCE = 4
LARGEST = GrpcOptions().max_backoff
"""Seconds of the largest back-off of a gRPC channel. HTTP has none, and gets the same bound."""


class Grpc(WireServer):
    def _ask_identity(self) -> None:
        """Nobody but the client under test: it is to be the first."""


class Http(HttpWire):
    def _ask_identity(self) -> None:
        """As above; the load's own connections would be waited for, too."""


class Load:
    """Calls without a pause, from several tasks; those that fail are followed by another soon."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._tasks = [asyncio.create_task(self._work()) for _ in range(AT_ONCE)]
        self._answered = asyncio.Event()
        self.failed = 0

    async def _work(self) -> None:
        while True:
            try:
                assert await self._module.echo(b"x") == b"x"
            except UnavailableError:
                self.failed += 1
            else:
                self._answered.set()
            await asyncio.sleep(0.01)

    async def answer(self) -> None:
        """Until one more call is answered; what ended the load is raised."""
        self._answered.clear()
        waiter = asyncio.ensure_future(self._answered.wait())
        done, _ = await asyncio.wait((waiter, *self._tasks), timeout=10, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        assert done, "no call was answered for ten seconds"
        for each in done:
            each.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


@pytest.mark.sampled(1)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cycles", slow_but([20], [20, 50]))
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_server_that_comes_back_is_found_soon(protocol: str, cycles: int) -> None:
    kind = Grpc if protocol == "grpc" else Http
    chance = random.Random(protocol)
    server = kind().__enter__()
    times: list[float] = []
    try:
        async with server.plain(timeout=5) as module:
            load = Load(module)
            await load.answer()
            for number in range(cycles):
                await asyncio.sleep(chance.uniform(0, 0.1))
                server.signal(signal.SIGKILL)
                server.__exit__()
                # Now and then so long that the channel's back-off grows to its limit.
                await asyncio.sleep(chance.uniform(0, 0.3) if number % 10 else 1.5)
                server = kind(port=server.port)
                first = asyncio.ensure_future(load.answer())
                await asyncio.to_thread(server.__enter__)
                listening = Stopwatch()
                await first
                times.append(listening.seconds)
            await load.stop()
    finally:
        server.__exit__()
    times.sort()
    p50, p99 = times[len(times) // 2], times[math.ceil(0.99 * len(times)) - 1]
    print(f"{protocol}: found after {p50:.3f} s (median), {p99:.3f} s (p99); {load.failed} calls failed meanwhile")
    assert load.failed > cycles
    assert p99 <= 2 * LARGEST, times


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ONE_OF_EACH["grpc"])
async def test_a_missing_ping_is_noticed(start_wire: Callable[..., WireServer], name: str) -> None:
    """Within a second after the time that a ping may take, counted from when it is due."""
    server = start_wire(options={"grpc.http2.min_recv_ping_interval_without_data_ms": 500})
    every, within = 1.0, 1.0
    options = {"grpc.keepalive_time_ms": int(every * 1000), "grpc.http2.ping_timeout_ms": int(within * 1000)}
    async with raw_module(server.info(timeout=30, options=options)) as module:
        call = asyncio.ensure_future(ONE_OF_EACH["grpc"][name](module))
        await server.until_running(1)
        server.signal(signal.SIGSTOP)
        watch = Stopwatch()
        with pytest.raises(UnavailableError):
            await call
        assert watch.seconds < every + within + 1
