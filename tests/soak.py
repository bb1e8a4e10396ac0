"""`make soak`: half an hour of moderate load on a real runtime, and what of it stays behind in this process.

All kinds of call, over both protocols, on connections that are replaced every few seconds; some calls fail, are
cancelled, or are left before their end. Two more servers are killed and started again all the time. Memory and
descriptors are looked at every few seconds; the first quarter is for warming up.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import gc
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from remote_client import ConnectionInfo, RemoteClient
from remote_client.errors import InputError, InternalError, InvalidArgumentError, UnavailableError
from tests.support.http_wire import HttpWire, http_module
from tests.support.proc import resident
from tests.support.runtime import Runtime
from tests.support.wire import ServerProcess, WireServer, raw_module

WORKERS = 4
"""Calls in flight over each protocol."""
PAUSE = 0.05
"""Seconds a worker waits, on average, between two calls."""
SESSION_AGE = 3
"""Seconds until a connection is replaced."""
RESTART_AGE = 15
"""Seconds that a server lives which is killed again and again; a tenth of the whole time where that is less."""
MEMORY_LIMIT = 4.0
"""MiB an hour by which memory may grow: noise of the allocator."""
HELLO = {"name": "World"}
Deed = Callable[[RemoteClient, random.Random], Awaitable[Any]]


async def _hellos() -> AsyncIterator[dict[str, str]]:
    for _ in range(5):
        yield HELLO


async def unary(client: RemoteClient, _: random.Random) -> None:
    answer = await (await client.model("foo")).run_sample(HELLO)
    assert answer.greeting == "Hello World"


async def large(client: RemoteClient, chance: random.Random) -> None:
    numbers = [chance.random() for _ in range(5_000)]
    assert await (await client.model("numbers")).run_numbers(numbers)


async def stream_out(client: RemoteClient, _: random.Random) -> None:
    async with (await client.model("foo")).run_sample_stream_out(HELLO) as stream:
        assert [item async for item in stream]


async def stream_in(client: RemoteClient, _: random.Random) -> None:
    assert await (await client.model("foo")).run_sample_stream_in(_hellos())


async def bidi(client: RemoteClient, _: random.Random) -> None:
    assert len([item async for item in (await client.model("foo")).run_sample_bidi_stream(_hellos())]) == 5


async def left_early(client: RemoteClient, _: random.Random) -> None:
    async for _item in (await client.model("foo")).run_sample_bidi_stream(_hellos()):
        break


async def cancelled(client: RemoteClient, chance: random.Random) -> None:
    task = asyncio.create_task((await client.model("slow")).run_slow(0.02))
    await asyncio.sleep(chance.random() * 0.02)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def timed_out(client: RemoteClient, _: random.Random) -> None:
    with contextlib.suppress(TimeoutError):
        await (await client.model("slow")).with_options(timeout=0.01).run_slow(0.02)


async def failing(client: RemoteClient, _: random.Random) -> None:
    with contextlib.suppress(InternalError, InvalidArgumentError):
        await (await client.model("failing")).run_failing("ValueError")


async def refused(client: RemoteClient, _: random.Random) -> None:
    with contextlib.suppress(InputError):
        await (await client.model("foo")).run_sample({"nobody": 1})


async def looked_up(client: RemoteClient, _: random.Random) -> None:
    assert await client.models()


HTTP_DEEDS: tuple[Deed, ...] = (unary, large, stream_out, cancelled, timed_out, failing, refused, looked_up)
# A runtime loses a thread for good with each HTTP stream that is left early: only gRPC's are.
GRPC_DEEDS: tuple[Deed, ...] = (*HTTP_DEEDS, stream_in, bidi, left_early)


@dataclass(frozen=True)
class Sample:
    """What there was at a moment."""

    seconds: float
    mebibytes: float
    descriptors: int
    tasks: int


def sample(begun: float) -> Sample:
    gc.collect()
    return Sample(
        time.monotonic() - begun, resident() / 2**20, len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    )


async def work(
    client: RemoteClient, deeds: tuple[Deed, ...], seed: int, until: float, done: collections.Counter[str]
) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until:
        deed = chance.choice(deeds)
        await deed(client, chance)
        done[deed.__name__] += 1
        await asyncio.sleep(chance.random() * 2 * PAUSE)


async def across_restarts(
    server: ServerProcess, make: Callable[..., Any], until: float, done: collections.Counter[str]
) -> None:
    """Unary calls and streams to a server that comes and goes; those that are under way are lost with it."""
    async with make(server.info(timeout=5, max_session_age=SESSION_AGE)) as module:
        while time.monotonic() < until:
            with contextlib.suppress(UnavailableError):
                assert await module.echo(b"x") == b"x"
                assert len([item async for item in module.count(n=3, delay=0.02)]) == 3
                done[across_restarts.__name__] += 1
            await asyncio.sleep(PAUSE)


async def restart(server: ServerProcess, age: float, until: float) -> None:
    """Kill the server, and start it again at its port."""
    while time.monotonic() + age < until:
        await asyncio.sleep(age)
        await asyncio.to_thread(server.__exit__)
        await asyncio.sleep(PAUSE)
        await asyncio.to_thread(server.__enter__)


async def soak(runtime: Runtime, seconds: float, every: float) -> tuple[list[Sample], collections.Counter[str]]:
    begun, done, samples = time.monotonic(), collections.Counter[str](), list[Sample]()
    ports = (("grpc", runtime.port, GRPC_DEEDS), ("http", runtime.http_port, HTTP_DEEDS))
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as workers:
        for protocol, port, deeds in ports:
            info = ConnectionInfo(hostname="localhost", port=port, max_session_age=SESSION_AGE)
            client = await stack.enter_async_context(RemoteClient(info, protocol=protocol))
            for seed in range(WORKERS):
                workers.create_task(work(client, deeds, seed, begun + seconds, done))
        for server, make in ((WireServer(), raw_module), (HttpWire(), http_module)):
            await asyncio.to_thread(stack.enter_context, server)
            until = time.monotonic() + seconds - 1
            workers.create_task(restart(server, min(RESTART_AGE, seconds / 10), until))
            workers.create_task(across_restarts(server, make, until, done))
        while time.monotonic() < begun + seconds:
            await asyncio.sleep(every)
            samples.append(sample(begun))
            print(f"{samples[-1]}, {done.total()} calls", flush=True)
    return samples, done


def verdict(samples: list[Sample]) -> tuple[float, bool]:
    """MiB an hour after the warming up, and whether descriptors and tasks stayed what they were."""
    kept = samples[len(samples) // 4 :]
    slope, _ = statistics.linear_regression([each.seconds for each in kept], [each.mebibytes for each in kept])
    half = len(kept) // 2
    flat = all(
        max(getattr(each, name) for each in kept[half:]) <= 1.2 * max(getattr(each, name) for each in kept[:half])
        for name in ("descriptors", "tasks")
    )
    return slope * 3600, flat


def main() -> int:
    """Soak, and say what it came to; 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=5, help="seconds between two looks")
    given = parser.parse_args()
    with Runtime() as runtime:
        samples, done = asyncio.run(soak(runtime, given.minutes * 60, given.every))
    slope, flat = verdict(samples)
    first, last = samples[0].mebibytes, samples[-1].mebibytes
    told = [each.descriptors for each in samples]
    print(f"{done.total()} calls: {dict(done)}")
    print(f"memory: {first:.1f} MiB at first, {last:.1f} at last, {slope:+.2f} MiB an hour")
    print(f"descriptors: {min(told)} to {max(told)}, {'flat' if flat else 'GROWING'}")
    return int(slope > MEMORY_LIMIT or not flat)


if __name__ == "__main__":
    sys.exit(main())
