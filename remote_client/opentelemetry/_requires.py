"""The check that OpenTelemetry is installed."""

from __future__ import annotations

from importlib.util import find_spec


def require_opentelemetry() -> None:
    """Raise an ImportError that names the extra unless `opentelemetry-api` is installed."""
    # The package `opentelemetry` alone may be a leftover of others that share its namespace.
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        raise ImportError(
            "remote_client.opentelemetry needs OpenTelemetry: pip install 'remote-client[otel]'", name="opentelemetry"
        )
