"""Calls models through `written.py`, a file that `remote-client stubs` wrote, which is on the path.

Usage: python call_with_stubs.py asyncio|blocking grpc|http PORT. Prints what came, a line for each.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import written  # type: ignore[import-not-found]

import remote_client
from remote_client import sync

PROTOCOL: Any = sys.argv[2]
SERVER = remote_client.ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[3]))
TARGET = f"{'http' if PROTOCOL == 'http' else 'grpc'}://127.0.0.1:{sys.argv[3]}"
ADA = written.SampleInputType(name="Ada")
TRAINING: Any = {"training_data": [ADA], "union_list": ["x"], "batch_size": 1}


def config_of(declared: type) -> remote_client.RemoteModuleConfig:
    return remote_client.RemoteModuleConfig.load_from_module(declared, SERVER, PROTOCOL, "mm-model-id", "foo")


async def call(find: Callable[[type], Awaitable[Any]]) -> AsyncIterator[str]:
    sample = await find(written.SampleTask)
    yield (await sample.run(ADA)).greeting
    yield " ".join([each.greeting async for each in sample.run_stream_out(ADA, count=2)])
    if PROTOCOL == "grpc":
        yield (await sample.run_stream_in([ADA, ADA])).greeting
        yield " ".join([each.greeting async for each in sample.run_bidi_stream([ADA, ADA])])
    job = await sample.start_job(ADA)
    yield (await job.wait()).state.name
    yield (await job.result()).greeting
    trained = await (await find(written.SampleModule)).train(**TRAINING)
    yield (await (await trained.model()).run(ADA)).greeting
    await sample.aclose()


def call_blocking(find: Callable[[type], Any]) -> Iterator[str]:
    sample = find(written.SampleTask)
    yield sample.run(ADA).greeting
    yield " ".join(each.greeting for each in sample.run_stream_out(ADA, count=2))
    if PROTOCOL == "grpc":
        yield sample.run_stream_in([ADA, ADA]).greeting
        yield " ".join(each.greeting for each in sample.run_bidi_stream([ADA, ADA]))
    job = sample.start_job(ADA)
    yield job.wait().state.name
    yield job.result().greeting
    trained = find(written.SampleModule).train(**TRAINING)
    yield trained.model().run(ADA).greeting
    sample.close()


async def main() -> None:
    async with remote_client.RemoteClient(TARGET) as client:

        async def find(declared: type) -> Any:
            return await client.model("foo", declared)

        async def load(declared: type) -> Any:
            return remote_client.RemoteModelInitializer().init(config_of(declared))

        for each in (find, load):
            async for told in call(each):
                print(told)


def main_blocking() -> None:
    with sync.RemoteClient(TARGET) as client:

        def find(declared: type) -> Any:
            return client.model("foo", declared)

        def load(declared: type) -> Any:
            return sync.RemoteModelInitializer().init(config_of(declared))

        for each in (find, load):
            print(*call_blocking(each), sep="\n")


if sys.argv[1] == "asyncio":
    asyncio.run(main())
else:
    main_blocking()
