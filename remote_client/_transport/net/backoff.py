"""The pause between tries of what fails: connecting, and resolving a name. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """The pause between tries: doubles from `first` to `last` seconds, and ends with a success."""

    first: float
    last: float
    until: float = 0.0
    _pause: float = 0.0

    def failed(self, now: float) -> None:
        """A try failed."""
        self._pause = min(self._pause * 2 or self.first, self.last)
        self.until = now + self._pause

    def succeeded(self) -> None:
        """A try worked."""
        self._pause = self.until = 0.0
