"""Decides whether a failed call is sent again, and after which pause. Pure: no I/O, no clock of its own.

Retried are UNAVAILABLE, RESOURCE_EXHAUSTED unless it is about a message's size, HTTP 429, 502, 503 and 504, and lost
connections; not UNKNOWN or INTERNAL, which a model's own errors become. Pauses have full jitter unless the server names
one by gRPC's pushback (gRFC A6) or HTTP's Retry-After. The budget of a server, a fifth of the calls and ten a second,
keeps retries from multiplying its load while it is down.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ..errors import RemoteCallError, ResourceExhaustedError, ResponseTooLargeError, TlsError, UnavailableError
from ..settings import RetryPolicy

_HTTP = frozenset([429, 502, 503, 504])
_SHARE, _RATE, _BURST = 0.2, 10.0, 10.0
NEVER = -1.0
"""A pushback that forbids retries."""
NOT_HERE = -2.0
"""A pushback that forbids retries at this server, but not at another."""


def may_retry(error: RemoteCallError, policy: RetryPolicy) -> bool:
    """Return whether another attempt may succeed after this error."""
    if error.pushback == NEVER or isinstance(error, (TlsError, ResponseTooLargeError)):
        return False
    status = "RESOURCE_EXHAUSTED" if error.shed else error.status
    if policy.codes is not None and error.http_status is None:
        return status in policy.codes or error.status in policy.codes
    if error.http_status is not None:
        return error.http_status in (policy.http_statuses if policy.http_statuses is not None else _HTTP)
    if isinstance(error, ResourceExhaustedError):
        return "larger than max" not in error.details
    return error.shed or isinstance(error, UnavailableError)


def pause(
    error: RemoteCallError, policy: RetryPolicy, failed: int, jitter: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait after `failed` attempts: the server's, or a random part of a growing limit."""
    if error.pushback is not None:
        return error.pushback
    try:
        limit = min(policy.initial_backoff * policy.multiplier ** (failed - 1), policy.max_backoff)
    except OverflowError:  # after a thousand attempts
        limit = policy.max_backoff if policy.initial_backoff else 0.0
    return limit * jitter()


def pushback_ms(value: str | bytes | None) -> float | None:
    """Return `grpc-retry-pushback-ms` in seconds; anything but a number from 0 forbids retries (gRFC A6)."""
    if value is None:
        return None
    try:
        seconds = int(value) / 1000
    except (ValueError, OverflowError):
        return NEVER
    return seconds if seconds >= 0 else NEVER


def retry_after(value: str | None, now: float) -> float | None:
    """Return HTTP's `Retry-After`, a number or a date, in seconds; None for anything else. `now` is the Unix time."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    from email.utils import parsedate_to_datetime  # takes milliseconds to import

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


class Budget:
    """The retry budget of a server: a fifth of its calls, and ten a second.

    The first ten are available at once; they are the share of the first fifty calls.
    """

    __slots__ = ("_counted", "_left", "_since", "calls")

    def __init__(self, now: float) -> None:
        self.calls: int = 0
        """The number of calls, which the caller increments."""
        self._counted = int(_BURST / _SHARE)
        self._left = _BURST
        self._since = now

    def spend(self, now: float) -> bool:
        """Take one retry from the budget; return False if none is left."""
        earned = max(0, self.calls - self._counted) * _SHARE + (now - self._since) * _RATE
        self._counted = max(self._counted, self.calls)
        self._since = now
        self._left = min(_BURST, self._left + earned)
        if self._left < 1:
            return False
        self._left -= 1
        return True
