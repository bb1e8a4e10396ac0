"""What the grpcio engine puts behind the interceptors of users and tracing agents: it keeps the call itself.

An interceptor that waits for the end of its call, as OpenTelemetry's, ddtrace's and Sentry's do, passes no cancel on:
grpc.aio cancels the interceptor, and the call goes on with nobody to read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import grpc.aio

inner_calls: ContextVar[list[Any] | None] = ContextVar("inner_calls", default=None)
"""Where the innermost calls of the call being made are kept."""


def innermost(interceptors: Sequence[Any]) -> list[Any]:
    """Return the interceptors to add: for each kind of call that a user's intercept, or an agent's."""
    added = [kind for kind in _KINDS if any(isinstance(each, kind.__bases__) for each in interceptors)]
    if _is_instrumented() and _Unary not in added:  # agents wait for the end of unary calls only
        added.append(_Unary)
    return [kind() for kind in added]


def _is_instrumented() -> bool:
    """Whether something else than grpc.aio opens its channels: an agent, which adds its interceptors to them."""
    openers = (grpc.aio.insecure_channel, grpc.aio.secure_channel)
    return any(hasattr(each, "__wrapped__") or not each.__module__.startswith("grpc.") for each in openers)


def _kept(call: Any) -> Any:
    inner = inner_calls.get()
    if inner is not None:
        inner.append(call)
    return call


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return _kept(await continuation(client_call_details, request))


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return _kept(await continuation(client_call_details, request))


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):  # type: ignore[type-arg]
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return _kept(await continuation(client_call_details, request_iterator))


_KINDS: tuple[type, ...] = (_Unary, _UnaryStream, _StreamStream)
"""One class each: grpc.aio takes an interceptor for one kind of call only."""
