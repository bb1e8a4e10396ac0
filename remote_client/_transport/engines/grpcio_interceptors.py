"""Interceptors behind those of users and tracing agents, which keep the innermost call, so that it can be cancelled.

An interceptor that waits for the end of its call, as OpenTelemetry's, ddtrace's and Sentry's do, does not pass on its
cancellation: grpc.aio cancels the interceptor, and the call continues without a reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import grpc.aio

inner_calls: ContextVar[list[Any] | None] = ContextVar("inner_calls", default=None)
"""Collects the innermost calls of the call being made."""


def innermost(interceptors: Sequence[Any]) -> list[Any]:
    """Return the interceptors to add, one per kind of call that a user's or an agent's intercepts."""
    added = [kind for kind in _KINDS if any(isinstance(user, kind.__bases__) for user in interceptors)]
    if _is_instrumented() and _Unary not in added:  # agents only wait for the end of unary calls
        added.append(_Unary)
    return [kind() for kind in added]


def _is_instrumented() -> bool:
    """Return whether an agent has replaced the functions that open channels, to add its interceptors."""
    functions = (grpc.aio.insecure_channel, grpc.aio.secure_channel)
    return any(hasattr(opens, "__wrapped__") or not opens.__module__.startswith("grpc.") for opens in functions)


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
"""Separate classes, as grpc.aio uses an interceptor for one kind of call only."""
