"""How what something costs grows with its size."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable
from typing import Any


def exponent(cost: Callable[[int], float], size: int) -> float:
    """Return the power of the size that a cost grows with: 1 where twice the size costs twice as much, 2 for a square.

    What it costs whatever the size is left out, so small sizes do.

    Args:
        cost: gives the cost at a size.
        size: the smallest of three sizes; the others are twice and four times that.
    """
    small, middle, large = (cost(size * factor) for factor in (1, 2, 4))
    return math.log2((large - middle) / (middle - small))


def calls(work: Callable[[], object]) -> int:
    """Count the functions that are called, those written in C too: the same number however busy the machine is."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.collect()
    gc.disable()  # garbage of other tests would be finalized here
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count
