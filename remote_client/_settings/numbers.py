"""Checks of the numbers in gRPC's channel arguments."""

from __future__ import annotations

Value = str | int | float


def integer(value: Value, least: int = 0) -> int:
    """Return an integer, which YAML and JSON may have written as a float.

    Raises:
        ValueError: the value is no integer, or too small.
    """
    try:
        if not isinstance(value, str) and value == int(value) and value >= least:
            return int(value)
    except (ValueError, OverflowError):  # not a number, or infinite
        pass
    raise ValueError(f"expected an integer from {least}, got {value!r}")


def size(value: Value) -> int | None:
    """Return a number of bytes, or None for -1, which stands for no limit.

    Raises:
        ValueError: the value is neither.
    """
    given = integer(value, -1)
    return None if given == -1 else given
