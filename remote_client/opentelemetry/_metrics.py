"""The metrics of calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter, get_meter_provider

from .._concurrency import fork as _fork
from .._version import __version__
from ..hooks import CallEnded, CallStarted
from ._attributes import (
    SCHEMA_URL,
    SCOPE,
    STATUS,
    Attributes,
    Key,
    attributes_of,
    key_of,
    metric_attributes,
    outcome_attributes,
    server_attributes,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The bounds of the duration's buckets that the conventions advise."""
MESSAGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class Metrics:
    """The instruments of a meter, and what they record about calls."""

    def __init__(self, meter: Meter) -> None:
        self._running: WeakKeyDictionary[CallStarted, int] = WeakKeyDictionary()
        """The calls that are running, in any thread, and the process in which they began, as `fork` counts them."""
        self._seen: dict[Key, None] = {}
        """The kinds of calls that were counted: they are zero afterwards, not unknown."""
        self._duration = meter.create_histogram(
            "rpc.client.call.duration",
            unit="s",
            description="Duration of calls, with all attempts and pauses; of a stream, until its end.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        # Counted when somebody collects: counting up and down would take longer than the call's span.
        meter.create_observable_up_down_counter(
            "caikit.client.active_calls", [self._count], unit="{call}", description="Calls that are running."
        )
        self._retries = meter.create_counter(
            "caikit.client.retries", unit="{retry}", description="Attempts after the first."
        )
        self._requests = meter.create_histogram(
            "caikit.client.request.messages",
            unit="{message}",
            description="Messages sent by a call with a stream.",
            explicit_bucket_boundaries_advisory=MESSAGES,
        )
        self._responses = meter.create_histogram(
            "caikit.client.response.messages",
            unit="{message}",
            description="Messages received by a call with a stream.",
            explicit_bucket_boundaries_advisory=MESSAGES,
        )

    def _count(self, options: CallbackOptions) -> Iterable[Observation]:
        running = [call for each in self._running.keyrefs() if (call := each()) is not None]
        counts = Counter(key_of(call) for call in running if self._running.get(call) == _fork.count)
        return [Observation(counts[key], dict(attributes_of(key))) for key in tuple(self._seen)]

    def start(self, call: CallStarted) -> None:
        """Let a call be counted while it runs."""
        self._running[call] = _fork.count
        self._seen[key_of(call)] = None

    def retry(self, call: CallStarted) -> None:
        """Count an attempt after the first."""
        self._retries.add(1, metric_attributes(call))

    def end(self, call: CallStarted, event: CallEnded) -> None:
        """Record a call's duration and its messages."""
        begun = metric_attributes(call)
        self._running.pop(call, None)
        attributes: Attributes = {**begun, STATUS: event.status, **outcome_attributes(event)}
        if event.target != call.target:
            attributes |= server_attributes(event.target)
        self._duration.record(event.seconds, attributes)
        if call.streams or call.streams_input:
            self._record_messages(begun, event)

    def _record_messages(self, attributes: Mapping[str, str | int], event: CallEnded) -> None:
        self._requests.record(event.requests, attributes)
        self._responses.record(event.responses, attributes)


class _Global:
    """Stands for the global provider, which may be set at any time."""


_GLOBAL = _Global()
_made: WeakKeyDictionary[MeterProvider | _Global, Metrics] = WeakKeyDictionary()


def metrics_of(provider: MeterProvider | None) -> Metrics:
    """Return the metrics of a provider, or of the global one, made once: it ignores what a second set counts."""
    key = _GLOBAL if provider is None or provider is get_meter_provider() else provider
    found = _made.get(key)
    return found or _made.setdefault(key, Metrics(get_meter(SCOPE, __version__, provider, SCHEMA_URL)))
