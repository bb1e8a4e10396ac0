"""Tests that only `make test-all` runs: more cases of what others try."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import pytest

_GOLDEN = (math.sqrt(5) - 1) / 2


def mark_all_but_samples(items: Iterable[pytest.Item]) -> None:
    """Mark all but `count` cases of each test that is `sampled(count)` as slow.

    The golden ratio spreads the sample over all parameters, where equal steps would take every other one of some.
    """
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("slow"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for found in cases.values():
        (count,) = found[0].get_closest_marker("sampled").args  # type: ignore[union-attr]
        order = sorted(range(len(found)), key=lambda number: number * _GOLDEN % 1)
        for number in order[count:]:
            found[number].add_marker(pytest.mark.slow)


def slow_if(condition: bool) -> Any:
    """Return the marks of a parameter that is slow under a condition."""
    return pytest.mark.slow if condition else ()


def slow_but(few: Collection[str], names: Iterable[str]) -> list[Any]:
    """Return parameters of a test, all but a few of them marked as slow."""
    return [pytest.param(name, marks=() if name in few else pytest.mark.slow) for name in names]
