"""The metrics of calls."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.metrics import Meter

from ..hooks import CallEnded, CallStarted
from ._attributes import STATUS, Attributes, metric_attributes, outcome_attributes, server_attributes

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The bounds of the duration's buckets that the conventions advise."""
MESSAGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class Metrics:
    """The instruments of a meter, and what they record about calls."""

    def __init__(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(
            "rpc.client.call.duration",
            unit="s",
            description="Duration of calls, with all attempts and pauses; of a stream, until its end.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._active = meter.create_up_down_counter(
            "caikit.client.active_calls", unit="{call}", description="Calls that are running."
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

    def start(self, call: CallStarted) -> None:
        """Count a call that runs."""
        self._active.add(1, metric_attributes(call))

    def retry(self, call: CallStarted) -> None:
        """Count an attempt after the first."""
        self._retries.add(1, metric_attributes(call))

    def end(self, call: CallStarted, event: CallEnded) -> None:
        """Record a call's duration and its messages."""
        begun = metric_attributes(call)
        self._active.add(-1, begun)  # with the attributes of the start, or the counter would drift
        attributes: Attributes = {**begun, STATUS: event.status, **outcome_attributes(event)}
        if event.target != call.target:
            attributes |= server_attributes(event.target)
        self._duration.record(event.seconds, attributes)
        if call.streams or call.streams_input:
            self._record_messages(begun, event)

    def _record_messages(self, attributes: Mapping[str, str | int], event: CallEnded) -> None:
        self._requests.record(event.requests, attributes)
        self._responses.record(event.responses, attributes)
