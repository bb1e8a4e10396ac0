"""How costs grow with sizes: of messages and calls, and of what a client knows. A unit is all of a size."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import itertools
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import aiohttp
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client import RemoteClient
from remote_client.testing._builder import add_field, new_file
from tests.support.large_schemas import describe

from .. import engine, footprint, library
from ..floors import aio_channel, unary
from ..harness import Case, Run, Sample, in_flight
from ..worker import Bench
from .discovery import MODELS, descriptors, parsed
from .http import BODY, METADATA, plain_call
from .large import repeat

MESSAGES = CALLS = (1, 10, 100, 1_000, 3_000, 10_000)
FIELDS = (1, 10, 100, 300, 1_000)
DOUBLES = (10, 1_000, 10_000, 30_000, 100_000)
LISTED = (10, 100, 1_000, 3_000, 10_000)
TASKS = (10, 100, 300, 1_000)
SERVERS = (1, 10, 30, 100)
STREAMS = (1, 10, 100, 500, 1_500, 5_000)
"""Sizes; those of the upper decade tell the exponent."""
PACKAGE = "caikit_data_model.growth"
KINDS = ("string", "int64", "bool")
"""Of the fields of a wide message, in turns."""
FIRST = """
import asyncio, sys, time
from remote_client import RemoteClient
async def first(target):
    async with RemoteClient(target) as client:
        model = await client.model("bench")
        await model.run_tiny({"text": "World"})
async def main(small, target):
    await first(small)
    began, worked = time.perf_counter(), time.process_time()
    await first(target)
    print(time.perf_counter() - began, time.process_time() - worked)
asyncio.run(main(*sys.argv[1:]))
"""
"""Prints the seconds, and those of the processor, to a first answer of a server whose tasks the process does not know.
That of another server came before, and had modules imported."""
Deed = Callable[[], Awaitable[Any]]
NO_GC = "client, gc off"
_case = partial(Case, unit="all", rounds=5, seconds=0.05)
_slow_case = partial(_case, rounds=3)


def _without_gc(run: Run) -> Run:
    """A run without Python's garbage collector, which looks at the more objects the more of them live."""

    async def without(times: int) -> None:
        gc.disable()
        try:
            if (made := run(times)) is not None and inspect.isawaitable(made):
                await made
        finally:
            gc.enable()

    return without


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Conversions beside protobuf's own, calls beside bytes, and what is known of servers beside asking them."""
    for case in _conversions():
        yield case
    for some in (_doubles, _calls, _http_calls, _streams, _models, _tasks, _servers):
        async for case in some(bench):
            yield case


# -- conversions -------------------------------------------------------------------------------------------------------


def _conversions() -> Iterator[Case]:
    files = _files()
    description, pool = describe([files]), descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(files.SerializeToString())
    for name, what, sizes in (("Many", "messages", MESSAGES), *((f"Wide{size}", "fields", (size,)) for size in FIELDS)):
        codec = description.tasks[f"{name}Task"].methods[0].codec
        request, answer = (
            message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{full}"))
            for full in (f"{name}TaskRequest", name)
        )
        for size in sizes:
            values = {"items": _items(size)} if name == "Many" else _fields(size)
            data = answer(**values).SerializeToString()
            reads = {
                "protobuf": partial(answer.FromString, data),
                "client, models": partial(codec.decode, data, "pydantic"),
                "client, dicts": partial(codec.decode, data, "dict"),
            }
            runs = {each: repeat(read) for each, read in reads.items()}
            if name == "Many":
                runs[NO_GC] = _without_gc(runs["client, models"])
            yield _case(f"growth of answers, {what}: {size}", runs)
            model = codec.decode(data, "pydantic")
            writes = {
                "protobuf": partial(_written, request, values),
                "client, models": partial(codec.encode, "", (model,), {}),
                "client, dicts": partial(codec.encode, "", (values,), {}),
            }
            yield _case(f"growth of requests, {what}: {size}", {each: repeat(write) for each, write in writes.items()})


def _written(kind: Any, values: dict[str, Any]) -> bytes:
    data: bytes = kind(sample_input=values).SerializeToString()
    return data


def _files() -> FileDescriptorProto:
    """The tasks whose answers and requests are messages of a size."""
    file = new_file("growth.proto", PACKAGE)
    item = file.message_type.add(name="Item")
    for name, kind in (("word", "string"), ("entity", "string"), ("start", "int64"), ("end", "int64")):
        add_field(item, name, kind)
    add_field(file.message_type.add(name="Many"), "items", f"{PACKAGE}.Item", repeated=True)
    for size in FIELDS:
        wide = file.message_type.add(name=f"Wide{size}")
        for number in range(size):
            add_field(wide, f"f{number}", KINDS[number % len(KINDS)])
    service = file.service.add(name="GrowthService")
    for name in ("Many", *(f"Wide{size}" for size in FIELDS)):
        request = file.message_type.add(name=f"{name}TaskRequest")
        add_field(request, "sample_input", f"{PACKAGE}.{name}")
        types = {"input_type": f".{PACKAGE}.{request.name}", "output_type": f".{PACKAGE}.{name}"}
        service.method.add(name=f"{name}TaskPredict", **types)
    return file


def _items(count: int) -> list[dict[str, Any]]:
    return [{"word": f"word{each}", "entity": "B-LOC", "start": each + 1, "end": each + 6} for each in range(count)]


def _fields(count: int) -> dict[str, Any]:
    values = ("words", 12345, True)
    return {f"f{each}": values[each % len(values)] for each in range(count)}


async def _doubles(bench: Bench) -> AsyncIterator[Case]:
    async with RemoteClient(bench.backend.grpc) as client:
        encode = (await client.model(library.MODEL)).run_numbers_out.rpc.codec.encode
    for count in DOUBLES:
        numbers = [each / 7 for each in range(count)]
        runs = {
            "a copy of the bytes": repeat(partial(bytearray, bytes(8 * count))),
            "client, list": repeat(partial(encode, "", (numbers,), {})),
            "client, array": repeat(partial(encode, "", (array("d", numbers),), {})),
        }
        yield _case(f"growth of arguments, doubles: {count}", runs)


# -- calls -------------------------------------------------------------------------------------------------------------


def _at_once(count: int, call: Deed) -> Run:
    async def run(times: int) -> None:
        for _ in range(times):
            await asyncio.gather(*(call() for _ in range(count)))

    return run


def _beside_no_gc(name: str, runs: dict[str, Run]) -> Case:
    """Return a slow case, with the client without Python's garbage collector too."""
    return _slow_case(name, runs | {NO_GC: _without_gc(runs["client"])})


@contextlib.asynccontextmanager
async def _peers(bench: Bench) -> AsyncIterator[dict[str, footprint.Opened]]:
    """The floor, the engine and the client: a call of each, and a dialogue."""
    async with contextlib.AsyncExitStack() as stack:
        makers = {"grpc.aio, bytes": footprint.plain, engine.NAME: footprint.raw, "client": footprint.client}
        yield {name: await stack.enter_async_context(make(bench.backend.grpc, "")) for name, make in makers.items()}


async def _calls(bench: Bench) -> AsyncIterator[Case]:
    async with _peers(bench) as peers:
        for count in CALLS:
            runs = {name: _at_once(count, call) for name, (call, _) in peers.items()}
            yield _beside_no_gc(f"growth of gRPC calls, in flight: {count}", runs)


async def _http_calls(bench: Bench) -> AsyncIterator[Case]:
    target, route = bench.backend.http, library.route("tiny")
    async with (
        RemoteClient(target) as client,
        engine.http_engine(target) as raw,
        aiohttp.ClientSession() as session,
    ):
        model = await client.model(library.MODEL)
        calls = {
            "aiohttp, bytes": plain_call(session, target + route),
            engine.NAME: engine.unary(raw, f"POST {route}", BODY, METADATA),
            "client": lambda: model.run_tiny("World"),
        }
        for count in CALLS:
            runs = {name: _at_once(count, call) for name, call in calls.items()}
            yield _beside_no_gc(f"growth of HTTP calls, in flight: {count}", runs)


async def _streams(bench: Bench) -> AsyncIterator[Case]:
    async with _peers(bench) as peers:
        for count in STREAMS:
            runs = {name: _open_at_once(count, dialogue) for name, (_, dialogue) in peers.items()}
            yield _beside_no_gc(f"growth of streams, open: {count}", runs)


def _open_at_once(count: int, dialogue: Deed) -> Run:
    """Streams that have their first answer, and end when all have."""

    async def run(times: int) -> None:
        for _ in range(times):
            for stream in await asyncio.gather(*(dialogue() for _ in range(count))):
                if hasattr(stream, "aclose"):
                    await stream.aclose()
                else:
                    stream.cancel()  # grpc.aio's

    return run


# -- what a client knows -----------------------------------------------------------------------------------------------


async def _models(bench: Bench) -> AsyncIterator[Case]:
    for count in LISTED:
        target = bench.start(count, large=False).grpc
        async with RemoteClient(target) as client, aio_channel(target) as channel:
            runs = {
                "grpc.aio, bytes": in_flight(1, unary(channel, MODELS, b"")),
                "protobuf": in_flight(1, parsed(channel)),
                "client": in_flight(1, client.models),
                "client, all new": in_flight(1, partial(_all_models, target)),
            }
            yield _case(f"growth of models, listed: {count}", runs)


async def _all_models(target: str) -> None:
    """Look at each model of a list that nothing is known of."""
    async with RemoteClient(target) as client:
        assert all(model.name for model in await client.models())


async def _tasks(bench: Bench) -> AsyncIterator[Case]:
    for count in TASKS:
        more = count - len(library.TASKS)
        target = bench.start(1, more, large=False).grpc
        plain = partial(_plain_first, [target], *([library.MORE_SERVICE] if more else []))
        runs = {"grpc.aio, bytes": in_flight(1, plain), "client": _first_answer(bench.backend.grpc, target)}
        yield _slow_case(f"growth of tasks, first answer: {count}", runs, limit=1)


def _first_answer(small: str, target: str) -> Run:
    def run(times: int) -> Sample:
        command = [sys.executable, "-c", FIRST, small, target]
        return Sample(*map(float, subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()))

    return run


async def _servers(bench: Bench) -> AsyncIterator[Case]:
    targets = [bench.start(1, large=False).grpc for _ in range(max(SERVERS))]
    for count in SERVERS:
        some = targets[:count]
        firsts = {"grpc.aio, bytes": partial(_plain_first, some), "client": partial(_client_first, some)}
        runs = {name: in_flight(1, first) for name, first in firsts.items()}
        yield _case(f"growth of servers, first answer: {count}", runs)
    for count in SERVERS:
        async with RemoteClient(targets[:count]) as client, contextlib.AsyncExitStack() as stack:
            model = await client.model(library.MODEL)
            channels = [await stack.enter_async_context(aio_channel(target)) for target in targets[:count]]
            request = library.text_request("Tiny")
            calls: dict[str, Deed] = {
                "grpc.aio, bytes": _in_turns([unary(channel, library.rpc("Tiny"), request) for channel in channels]),
                "client": partial(model.run_tiny, library.TEXT),
            }
            runs = {name: in_flight(1, call) for name, call in calls.items()}
            yield _case(f"growth of servers, a call: {count}", runs)


def _in_turns(deeds: list[Deed]) -> Deed:
    following = itertools.cycle(deeds)

    async def deed() -> Any:
        return await next(following)()

    return deed


async def _plain_first(targets: list[str], *more: str) -> None:
    """The same exchanges: connect, models of all servers, descriptors of one, a call."""
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(aio_channel(target)) for target in targets]
        await asyncio.gather(*(unary(channel, MODELS, b"")() for channel in channels))
        await descriptors(channels[0], *more)
        await unary(channels[0], library.rpc("Tiny"), library.text_request("Tiny"))()


async def _client_first(targets: list[str]) -> None:
    async with RemoteClient(targets) as client:
        model = await client.model(library.MODEL)
        await model.run_tiny(library.TEXT)
