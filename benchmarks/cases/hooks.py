"""What hooks, middleware, OpenTelemetry and `with_response` add to a call of the client, which is the floor here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from remote_client import RemoteClient
from remote_client.hooks import Event
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.opentelemetry import OpenTelemetryHook

from .. import library
from ..harness import Case, in_flight
from ..worker import Bench
from .grpc import Call, caller

COUNTS = (1, 32)


def hook(event: Event) -> None:
    """Do nothing."""


async def middleware(call: OutgoingCall, proceed: Proceed) -> Answer:
    """Do nothing."""
    return await proceed(call)


def settings() -> dict[str, dict[str, Any]]:
    """What clients are made with, by what it is."""
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    traced = OpenTelemetryHook(TracerProvider(shutdown_on_exit=False), meters)
    unsampled = OpenTelemetryHook(TracerProvider(ALWAYS_OFF, shutdown_on_exit=False), meters)
    return {
        "no hook": {},
        "a hook": {"hooks": [hook]},
        "a middleware": {"middleware": [middleware]},
        "OpenTelemetry without an SDK": {"hooks": [OpenTelemetryHook()]},
        "OpenTelemetry's SDK, not sampled": {"hooks": [unsampled]},
        "OpenTelemetry's SDK": {"hooks": [traced]},
    }


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """A tiny answer over either protocol."""
    for protocol, target in (("grpc", bench.backend.grpc), ("http", bench.backend.http)):
        async with AsyncExitStack() as stack:
            calls: dict[str, Call] = {}
            for name, more in settings().items():
                model = await (await stack.enter_async_context(RemoteClient(target, **more))).model(library.MODEL)
                calls[name] = _caller(model, protocol)
                if not more:
                    calls["with_response"] = _caller(model.with_response(), protocol)
            for count in COUNTS:
                runs = {name: in_flight(count, call) for name, call in calls.items()}
                yield Case(f"hooks over {protocol}, in flight: {count}", runs, step=count)


def _caller(model: Any, protocol: str) -> Call:
    if protocol == "grpc":
        return caller(model, "Tiny")
    return lambda: model.run_tiny("World")
