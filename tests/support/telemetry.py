"""OpenTelemetry's real SDK with what it exports in memory, for tests of spans and metrics."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from remote_client.opentelemetry import OpenTelemetryHook


class Telemetry:
    """Providers of their own, so that tests do not meet.

    Attributes:
        hook: a hook on these providers.
        tracer: for spans of a test's own.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.hook = OpenTelemetryHook(self.tracer_provider, self.meter_provider)
        self.tracer = self.tracer_provider.get_tracer("test")

    def close(self) -> None:
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()

    def spans(self, kind: SpanKind | None = None) -> list[ReadableSpan]:
        """The spans that ended, in the order of their starts."""
        ended = self._exporter.get_finished_spans()
        return sorted((span for span in ended if kind in (None, span.kind)), key=lambda span: span.start_time or 0)

    def calls(self) -> list[ReadableSpan]:
        """The client's spans."""
        return self.spans(SpanKind.CLIENT)

    def points(self, metric: str) -> list[Any]:
        """The points of a metric, with their attributes and values."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]

    def total(self, metric: str) -> float:
        """The sum of a metric's values over all attributes."""
        return sum(point.value if hasattr(point, "value") else point.sum for point in self.points(metric))


def traceparent_of(span: ReadableSpan) -> str:
    """The header by which a span's context goes out."""
    context = span.context
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
