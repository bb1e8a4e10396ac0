"""Tests that only `make test-all` runs: more cases of what others try."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_if(condition: bool) -> Any:
    """Return the marks of a parameter that is slow under a condition."""
    return pytest.mark.slow if condition else ()


def slow_but(few: Collection[str], names: Iterable[str]) -> list[Any]:
    """Return parameters of a test, all but a few of them marked as slow."""
    return [pytest.param(name, marks=() if name in few else pytest.mark.slow) for name in names]
