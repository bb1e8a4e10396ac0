"""Checks of durations: seconds as any number, or a `timedelta`."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from numbers import Real
from typing import Annotated, Any

from ..errors import ConfigurationError
from .checked import Conversion

Duration = float | timedelta
"""Seconds, or a `timedelta`."""
REACH = 1e9
"""Seconds (31 years) beyond which a duration has no limit: clocks of engines and servers overflow with more."""
OUTAGE = 300.0
"""Seconds without an answer after which a wait for a job without a timeout ends."""


def seconds(value: Any, name: str = "") -> float:
    """Return a duration in seconds, at most `REACH`.

    Raises:
        ConfigurationError: the value is no number and no `timedelta`, or NaN.
    """
    if isinstance(value, timedelta):
        given = value.total_seconds()
    elif isinstance(value, (Real, Decimal)) and not isinstance(value, bool):
        given = _number(value)
    else:
        given = math.nan
    if math.isnan(given):
        raise _wrong(name, "must be seconds or a timedelta", value)
    return max(-REACH, min(given, REACH))


def pause(value: Any) -> float:
    """Return a duration in seconds that may be 0.

    Raises:
        ConfigurationError: the value is no duration, or below 0.
    """
    given = seconds(value)
    if given < 0:
        raise _wrong("", "must be seconds or a timedelta, 0 or more", value)
    return given


def limit(value: Any, name: str = "") -> float | None:
    """Return a time limit in seconds, or None for no limit, which `math.inf` and anything beyond `REACH` stand for.

    Raises:
        ConfigurationError: the value is no duration, or not above 0.
    """
    if value is None:
        return None
    given = seconds(value, name)
    if given <= 0:
        raise _wrong(name, "must be seconds or a timedelta above 0, or None for no limit", value)
    return None if given == REACH else given


def lasting(given: float | None) -> str:
    """Return a duration in words, to the millisecond: the rest of a limit may have sixteen digits."""
    return "any time" if given is None else f"{round(given, 3):.12g} seconds"


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if value > 0 else -math.inf
    except ValueError:  # a signalling NaN of `Decimal`
        return math.nan


def _wrong(name: str, expected: str, value: Any) -> ConfigurationError:
    return ConfigurationError(f"{name}: {expected}, not {value!r:.80}".removeprefix(": "))


Seconds = Annotated[float, Conversion(seconds)]
"""The type of a field that takes a duration."""
Pause = Annotated[float, Conversion(pause)]
"""The type of a field that takes a duration of 0 or more."""
Limit = Annotated[float | None, Conversion(limit)]
"""The type of a field that takes a time limit."""
