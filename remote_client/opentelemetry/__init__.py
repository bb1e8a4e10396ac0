"""OpenTelemetry: a CLIENT span and metrics for every call, and the span's context in what is sent.

```python
from remote_client.opentelemetry import instrument

instrument()                                                # every client of this process
client = RemoteClient(target, hooks=[OpenTelemetryHook()])  # or a single one
```

It needs `opentelemetry-api`: `pip install 'remote-client[otel]'`. Where the spans go is configured as ever, with
OpenTelemetry's SDK. See docs/tracing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..hooks import everywhere
from ._requires import require_opentelemetry

require_opentelemetry()

from ._hook import OpenTelemetryHook  # noqa: E402  (says first which extra is missing)

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["OpenTelemetryHook", "instrument", "uninstrument"]


def instrument(*, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None) -> None:
    """Trace and measure the calls of every client in this process, of those that exist already, too.

    A call whose client has an `OpenTelemetryHook` of its own keeps that one alone. Does nothing the second time.

    Args:
        tracer_provider: makes the spans; by default the global one.
        meter_provider: takes the metrics; by default the global one.
    """
    if OpenTelemetryHook not in everywhere:
        everywhere.setdefault(OpenTelemetryHook, OpenTelemetryHook(tracer_provider, meter_provider))


def uninstrument() -> None:
    """Undo `instrument`. Calls that are running still end their spans. Does nothing the second time."""
    everywhere.pop(OpenTelemetryHook, None)
