"""Exponential backoff between attempts to connect or to resolve a name. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """A pause that doubles from `first` to `last` seconds with every failure, and ends with a success."""

    first: float
    last: float
    until: float = 0.0
    _pause: float = 0.0

    def failed(self, now: float) -> None:
        self._pause = min(self._pause * 2 or self.first, self.last)
        self.until = now + self._pause

    def succeeded(self) -> None:
        self._pause = self.until = 0.0
