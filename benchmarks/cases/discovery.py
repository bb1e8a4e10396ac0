"""Looking at a server: its models, and everything a first call needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from grpc_reflection.v1alpha import reflection_pb2

from remote_client import RemoteClient
from remote_client._schema.protobuf.reflection import PATHS
from tests.support.wire_library import INFO_SERVICE

from .. import library
from ..floors import aio_channel, unary
from ..harness import Case, in_flight
from ..worker import Bench

MODELS = f"/{INFO_SERVICE}/GetModelsInfo"


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Listing 10, 100 and 1,000 models, and the way to the first call of one of them."""
    for count in (10, 100, 1000):
        target = bench.start(count).grpc
        async with RemoteClient(target) as client, aio_channel(target) as channel:
            assert len(await client.models()) == count
            runs = {
                "grpc.aio, bytes": in_flight(1, unary(channel, MODELS, b"")),
                "client": in_flight(1, client.models),
                "protobuf messages": in_flight(1, parsed(channel)),
            }
            yield Case(f"discovery of models: {count}", runs, limit=200)
        yield Case(f"discovery to a first call, models: {count}", _firsts(target), unit="client", limit=20)


def parsed(channel: Any) -> Callable[[], Awaitable[int]]:
    """A list of models as protobuf's messages."""
    call, kind = unary(channel, MODELS, b""), library.message("ModelInfoResponse")

    async def models() -> int:
        return len(kind.FromString(await call()).models)

    return models


def _firsts(target: str) -> dict[str, Callable[[int], Awaitable[None]]]:
    request = library.text_request("Tiny")

    async def plain() -> None:
        """The same exchanges: connect, models, descriptors, call."""
        async with aio_channel(target) as channel:
            await unary(channel, MODELS, b"")()
            await descriptors(channel)
            await unary(channel, library.rpc("Tiny"), request)()

    async def ours() -> None:
        async with RemoteClient(target) as client:
            model = await client.model(library.MODEL)
            await model.run_tiny(sample_input=library.TEXT)

    return {"grpc.aio, bytes": in_flight(1, plain), "client": in_flight(1, ours)}


async def descriptors(channel: Any, *more: str) -> None:
    """Read what a server tells of its services, and of those named."""
    async for _ in channel.stream_stream(PATHS[0])(_questions(library.SERVICE, INFO_SERVICE, *more)):
        pass


def _questions(*services: str) -> Iterator[bytes]:
    asked = reflection_pb2.ServerReflectionRequest
    yield asked(list_services="").SerializeToString()
    for service in services:
        yield asked(file_containing_symbol=service).SerializeToString()
