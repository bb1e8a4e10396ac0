"""How costs grow with sizes: the table of the cases of `cases/growth.py`, which is in the page, and the exponents."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

CASE = re.compile(r"growth of (?P<what>.+): (?P<size>\d+)")
Costs = dict[int, float]
"""Microseconds by size."""
_UPPER = 10
"""Smaller sizes than a tenth of the largest do not count for the exponent: what is done whatever the size hides it."""


def exponent(costs: Mapping[int, float]) -> float:
    """Return the power of the size that a cost grows with: 1 where twice the size costs twice as much.

    It is the slope of the regression on log axes, over the sizes of the upper decade.
    """
    sizes = [size for size in costs if size * _UPPER >= max(costs)]
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(costs[size]) for size in sizes]
    ).slope


def dimensions(figures: Iterable[dict[str, Any]]) -> dict[str, dict[str, Costs]]:
    """Return the costs in the figures of a run: by what grows, and by the variant."""
    found: dict[str, dict[str, Costs]] = {}
    for figure in figures:
        match = CASE.fullmatch(figure["case"])
        if match is not None and figure["cpu"]:
            costs = found.setdefault(match["what"], {}).setdefault(figure["variant"], {})
            costs[int(match["size"])] = figure["cpu"]
    return found


def tables(figures: Iterable[dict[str, Any]]) -> str:
    """Return a table for each thing that grows."""
    return "\n\n".join(_table(what, variants) for what, variants in dimensions(figures).items())


def _table(what: str, variants: Mapping[str, Costs]) -> str:
    sizes = list(dict.fromkeys(size for costs in variants.values() for size in costs))
    head = [what, *(f"{size:,}" for size in sizes), "exponent"]
    rows = [
        [variant, *(told(costs[size]) if size in costs else "" for size in sizes), f"{exponent(costs):.2f}"]
        for variant, costs in variants.items()
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def told(microseconds: float) -> str:
    """Return a time in the unit that suits it, with three digits at most before the point."""
    for unit, scale in (("us", 1), ("ms", 1e3)):
        value = microseconds / scale
        if value < 999.5:
            return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.1f} {unit}"
    return f"{microseconds / 1e6:.1f} s"
