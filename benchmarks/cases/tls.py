"""Unary calls over gRPC and TLS, by the same authority for both."""

from __future__ import annotations

from collections.abc import AsyncIterator

from remote_client import RemoteClient

from .. import engine, library
from ..floors import aio_channel
from ..harness import Case, LeftOut
from ..worker import Bench
from .grpc import caller, plain, unary_case

COUNTS = {"Tiny": (1, 32), "Page": (1, 8)}


async def cases(bench: Bench) -> AsyncIterator[Case | LeftOut]:
    """A tiny and a large answer."""
    target, ca = bench.backend.secure, bench.backend.ca
    if not target:
        yield LeftOut("tls", "the server has no TLS (it needs a C compiler, OpenSSL's headers and trustme)")
        return
    async with (
        RemoteClient(engine.connection(target, ca)) as client,
        engine.grpc_engine(target, ca) as raw,
        aio_channel(target, ca) as channel,
    ):
        model = await client.model(library.MODEL)
        for task, counts in COUNTS.items():
            calls = {**plain(task, channel, raw), "client": caller(model, task)}
            for count in counts:
                yield unary_case("tls", task, count, calls)
