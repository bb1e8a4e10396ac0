"""Interceptors of grpc.aio that call a function: it takes one for one kind of call only."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc.aio

from remote_client._transport.engine import open_connections
from remote_client.sync._loop_thread import run
from remote_client.sync._modules import wrapped
from tests.support.wire import WireServer, raw_module


class Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, around: Any) -> None:
        self._around = around

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._around(continuation, client_call_details, request)


class StreamOut(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, around: Any) -> None:
        self._around = around

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._around(continuation, client_call_details, request)


class Bidi(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, around: Any) -> None:
        self._around = around

    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._around(continuation, client_call_details, request_iterator)


def around_all(unary: Any, streaming: Any | None = None) -> list[Any]:
    """Interceptors for calls of every kind: one function around unary calls, another one around streams."""
    return [Unary(unary), StreamOut(streaming or unary), Bidi(streaming or unary)]


def _module(wire: WireServer, interceptors: Sequence[Any], **changes: Any) -> Any:
    info = wire.info(**changes)
    return raw_module(info, open_connections(info, "grpc", None, interceptors))


@contextlib.asynccontextmanager
async def intercepted(wire: WireServer, interceptors: Sequence[Any], **changes: Any) -> AsyncIterator[Any]:
    """A module of the grpcio engine."""
    module = _module(wire, interceptors, **changes)
    try:
        yield module
    finally:
        await module._caller.connections.aclose()


@contextlib.contextmanager
def intercepted_in_a_thread(wire: WireServer, interceptors: Sequence[Any]) -> Iterator[Any]:
    """As `intercepted`, blocking."""
    module = _module(wire, interceptors)
    try:
        yield wrapped(module)
    finally:
        run(module._caller.connections.aclose)
