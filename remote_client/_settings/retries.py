"""The policy of retries, and its options in the spelling of gRPC and urllib3."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .._objects.exports import exported_from
from .._text.closest import closest
from .checked import Bounds, Count, Settings, checked
from .durations import Pause, seconds

# The annotations are no strings: the check of the arguments reads them.


@exported_from("remote_client.settings")
@checked
@dataclass(frozen=True, kw_only=True, repr=False)
class RetryPolicy(Settings):
    """How often, when and after how long a call is sent again.

    Attributes:
        retries: attempts after the first.
        initial_backoff: seconds (or a `timedelta`): the limit of the first pause, which is a random part of it.
        max_backoff: seconds (or a `timedelta`): the greatest limit of a pause.
        multiplier: the factor by which the limit grows from pause to pause.
        codes: the names of the gRPC statuses to retry; None for UNAVAILABLE and RESOURCE_EXHAUSTED.
        http_statuses: the HTTP statuses to retry; None for 429, 502, 503 and 504.
    """

    retries: Count = 2
    initial_backoff: Pause = 0.1
    max_backoff: Pause = 5
    multiplier: Annotated[float, Bounds(1)] = 2
    codes: frozenset[str] | None = None
    http_statuses: frozenset[int] | None = None


def _grpc_duration(value: Any) -> float:
    """Return the seconds of a duration as service configs write it, `0.1s`, or as a number or `timedelta`."""
    return float(value.removesuffix("s")) if isinstance(value, str) else seconds(value)


ONCE = RetryPolicy(retries=0)
"""The policy without retries."""
_GRPC_RETRY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "maxAttempts": ("retries", lambda value: int(value) - 1),
    "initialBackoff": ("initial_backoff", _grpc_duration),
    "maxBackoff": ("max_backoff", _grpc_duration),
    "backoffMultiplier": ("multiplier", float),
    "retryableStatusCodes": ("codes", lambda value: frozenset(str(code).upper() for code in value)),
}
"""The options of gRPC's retry policy (service config): name -> field, and the conversion of its value."""
_URLLIB3_RETRY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "total": ("retries", int),
    "backoff_factor": ("initial_backoff", seconds),
    "backoff_max": ("max_backoff", seconds),
    "status_forcelist": ("http_statuses", lambda value: frozenset(map(int, value))),
}
_URLLIB3_UNUSED = (
    "allowed_methods",
    "backoff_jitter",
    "connect",
    "history",
    "other",
    "raise_on_redirect",
    "raise_on_status",
    "read",
    "redirect",
    "remove_headers_on_redirect",
    "respect_retry_after_header",
    "status",
)
"""Options of urllib3's `Retry` that are accepted and ignored."""


def retry_policy(retries: int | None, options: Mapping[str, Any]) -> RetryPolicy:
    """Return the policy of upstream's settings: `retries`, and options named as in gRPC's policy or urllib3's `Retry`.

    Raises:
        ValueError: an option is unknown, or its value is wrong.
    """
    known = {**_GRPC_RETRY, **_URLLIB3_RETRY}
    given: dict[str, Any] = {"retries": retries or 0}
    for name, value in options.items():
        if name not in known and name not in _URLLIB3_UNUSED:
            close = closest(name, [*known, *_URLLIB3_UNUSED])
            raise ValueError(f"retry_options: unknown key {name!r}" + (f", did you mean {close!r}?" if close else ""))
        if name in known:
            field, read = known[name]
            try:
                given[field] = read(value)
            except (TypeError, ValueError):
                raise ValueError(f"retry_options: {name}: the value has the wrong type") from None
    return RetryPolicy(**given)
