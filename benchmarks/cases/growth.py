"""How the work of a call grows with its size: conversions alone. In flight, threads and models: see the other cases."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator
from functools import partial

from remote_client import RemoteClient

from .. import floors, library
from ..harness import Case
from ..worker import Bench
from .large import encoder, repeat


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Answers of nested messages beside protobuf's own reading, arguments of numbers beside a copy of their bytes."""
    async with RemoteClient(bench.backend.grpc) as client:
        model = await client.model(library.MODEL)
        decode, kind = model.run_rich.rpc.codec.decode, library.message("Tokens")
        _, naive = floors.naive("Rich")
        for count in (2, 20, 200, 2_000):
            data = library.encoded("Tokens", library.rich(count))
            runs = {
                "protobuf": repeat(partial(kind.FromString, data)),
                "client": repeat(partial(decode, data, "pydantic")),
                "client, dict": repeat(partial(decode, data, "dict")),
                "json_format": repeat(partial(naive, data)),
            }
            yield Case(f"growth of answers, nested messages: {count}", runs)
        encode = model.run_numbers_out.rpc.codec.encode
        for count in (10, 1_000, 100_000):
            numbers = [each / 7 for each in range(count)]
            runs = {
                "a copy of the bytes": repeat(partial(bytearray, bytes(8 * count))),
                "client, list": repeat(encoder(encode, numbers)),
                "client, array": repeat(encoder(encode, array("d", numbers))),
            }
            yield Case(f"growth of arguments, doubles: {count}", runs)
