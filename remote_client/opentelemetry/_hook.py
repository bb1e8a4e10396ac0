"""The hook that traces calls: what it does at each event. Names and attributes are in `_attributes`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from .._objects.exports import exported_from
from .._version import __version__
from ..errors import PicklingError
from ..hooks import AttemptFailed, CallEnded, CallStarted, Event, foreign_calls
from ._attributes import (
    SCHEMA_URL,
    SCOPE,
    call_attributes,
    failure_attributes,
    outcome_attributes,
    server_attributes,
    span_name,
)
from ._metrics import metrics_of

_Suppress = Callable[[], AbstractContextManager[Any]]

try:
    from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation

    _suppress: _Suppress = suppress_instrumentation
except ImportError:  # then no instrumentor is here either
    _suppress = nullcontext

    def is_instrumentation_enabled() -> bool:
        """Return whether to trace calls, which nobody can switch off here."""
        return True


class _Traced(NamedTuple):
    """What is kept of a running call."""

    span: Span
    context: Context
    attached: Token[Context]
    quiet: Token[_Suppress]


@exported_from("remote_client.opentelemetry")
class OpenTelemetryHook:
    """A hook that makes a CLIENT span of every call, measures it, and sends the span's context with it.

    The span is the current one while the call runs: in middleware, and where a streamed input is read. The spans that
    gRPC's and httpx's own instrumentors would make of the same call are suppressed. docs/tracing.md lists attributes,
    events and metrics.

    Args:
        tracer_provider: makes the spans; by default the global one.
        meter_provider: takes the metrics; by default the global one.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._is_global = tracer_provider is None and meter_provider is None
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider, SCHEMA_URL)
        self._metrics = metrics_of(meter_provider)
        self._running: WeakKeyDictionary[CallStarted, _Traced] = WeakKeyDictionary()

    def __call__(self, event: Event) -> None:
        """Take an event of a call."""
        if isinstance(event, CallStarted):
            if is_instrumentation_enabled():
                self._start(event)
        elif event.call is None:
            return
        elif isinstance(event, CallEnded):
            traced = self._running.pop(event.call, None)
            if traced is not None:
                self._end(event.call, traced, event)
        elif (traced := self._running.get(event.call)) is not None:
            self._fail(event.call, traced, event)

    def metadata(self, call: CallStarted) -> dict[str, str]:
        """Return the span's context as the global propagators write it, by default `traceparent` and `baggage`."""
        traced = self._running.get(call)
        if traced is None:
            return {}
        carrier: dict[str, str] = {}
        propagate.inject(carrier, traced.context)
        return {key.lower(): value for key, value in carrier.items()}  # as gRPC demands

    def _start(self, call: CallStarted) -> None:
        attributes = {**call_attributes(call), "caikit.request_id": call.request_id}
        span = self._tracer.start_span(span_name(call), kind=SpanKind.CLIENT, attributes=attributes)
        # Without an SDK older versions of the API give a span that is none, which would hide the caller's.
        valid = span.get_span_context().is_valid
        context = trace.set_span_in_context(span) if valid else otel_context.get_current()
        self._running[call] = _Traced(span, context, otel_context.attach(context), foreign_calls.set(_suppress))
        self._metrics.start(call)

    def _fail(self, call: CallStarted, traced: _Traced, event: AttemptFailed) -> None:
        if traced.span.is_recording():
            traced.span.add_event("caikit.attempt_failed", failure_attributes(event))
        if event.wait is not None:
            self._metrics.retry(call)

    def _end(self, call: CallStarted, traced: _Traced, event: CallEnded) -> None:
        span = traced.span
        try:
            if span.is_recording():
                _describe(span, call, event)
            self._metrics.end(call, event)
        finally:
            span.end()
            _leave(traced)

    def __reduce__(self) -> Any:
        if not self._is_global:
            raise PicklingError(
                "an OpenTelemetryHook with providers of its own is not pickled: its spans belong to this process. Use "
                "OpenTelemetryHook(), which takes the global ones of the other process"
            )
        return OpenTelemetryHook, ()


def _describe(span: Span, call: CallStarted, event: CallEnded) -> None:
    """Add the outcome of a call to its span."""
    attributes = {**outcome_attributes(event), "caikit.attempts": event.attempts}
    if call.protocol == "http" and event.attempts > 1:
        attributes["http.request.resend_count"] = event.attempts - 1
    if event.target != call.target:
        attributes |= server_attributes(event.target)
    if call.streams or call.streams_input:
        attributes |= {"caikit.request.messages": event.requests, "caikit.response.messages": event.responses}
    span.set_attributes(attributes)
    if event.error is not None:
        span.set_status(Status(StatusCode.ERROR, str(event.error) or None))


def _leave(traced: _Traced) -> None:
    """Make the span that was current before the call the current one again."""
    try:
        foreign_calls.reset(traced.quiet)
    except ValueError:  # a call whose coroutine was dropped ends in the garbage collector's context
        return
    otel_context.detach(traced.attached)
