"""The engine below the client, bytes in and out: what it costs without a schema, retries and leases of connections."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from remote_client._settings.connection import parse_target
from remote_client._transport.call import ByteStream, Call, Transport
from remote_client._transport.grpc.transport import GrpcTransport
from remote_client._transport.grpc_options import GrpcOptions
from remote_client._transport.http.transport import HttpTransport
from remote_client._transport.metadata import RawMetadata
from remote_client.errors import ClosedError
from remote_client.settings import ConnectionInfo, ConnectionTlsInfo

from .floors import METADATA, TIMEOUT

NAME = "engine, bytes"


@contextlib.asynccontextmanager
async def grpc_engine(target: str, ca: str = "") -> AsyncIterator[Transport]:
    """The gRPC engine's connections to a server; with an authority's file over TLS."""
    known = connection(target, ca)
    transport = GrpcTransport(known, GrpcOptions.of(known))
    try:
        yield transport
    finally:
        await transport.aclose(_over)


@contextlib.asynccontextmanager
async def http_engine(url: str) -> AsyncIterator[Transport]:
    """The HTTP engine's connections to a server."""
    transport = HttpTransport(connection(url))
    try:
        yield transport
    finally:
        await transport.aclose(_over)


def connection(target: str, ca: str = "") -> ConnectionInfo:
    """How a server is reached."""
    known, _ = parse_target(target)
    return known.replace(tls=ConnectionTlsInfo(enabled=True, ca_file=ca)) if ca else known


def unary(
    transport: Transport, path: str, request: bytes, metadata: RawMetadata = METADATA
) -> Callable[[], Coroutine[Any, Any, bytes]]:
    """A call of bytes, with metadata and a deadline."""
    return lambda: transport.unary(Call(path, metadata, TIMEOUT), request)


def stream(
    transport: Transport, path: str, request: bytes, metadata: RawMetadata = METADATA
) -> Callable[[], Awaitable[int]]:
    """A call of many answers, which are counted."""

    async def read() -> int:
        answers = transport.stream(Call(path, metadata, TIMEOUT), request)
        try:
            return await _count(answers)
        finally:
            await answers.aclose()

    return read


async def _count(answers: ByteStream) -> int:
    seen = 0
    while answers.take() is not None or await answers.read() is not None:
        seen += 1
    return seen


def _over() -> ClosedError:
    return ClosedError("the benchmark is over")
