"""Public classes and functions that private modules define."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def exported_from(module: str) -> Callable[[T], T]:
    """Return a decorator that sets `__module__`: reprs, tracebacks, `help()` and pickles name the public module."""

    def decorate(thing: T) -> T:
        thing.__module__ = module
        return thing

    return decorate
