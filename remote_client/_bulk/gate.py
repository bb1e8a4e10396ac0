"""Whether a server that failed may be called again. Fed with failures, answers and times; no I/O."""

from __future__ import annotations

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds until the first probe of a server that is away, and between later ones at most."""


class Gate:
    """Closes when the server cannot be reached; then one call at a time probes it, and an answer opens it again.

    Attributes:
        outage: seconds for which it stays closed at most; None for no limit.
    """

    def __init__(self, outage: float | None) -> None:
        self.outage = outage
        self.probing: bool = False
        """Whether a probe is under way."""
        self._closed_at: float | None = None
        self._probe_at = 0.0
        self._pause = FIRST_PAUSE

    @property
    def is_open(self) -> bool:
        """Whether any number of calls may be made."""
        return self._closed_at is None

    def wait(self, now: float) -> float | None:
        """Return the seconds until the next call may be made; None while a probe is under way."""
        if self._closed_at is None:
            return 0.0
        return None if self.probing else max(self._probe_at - now, 0.0)

    def probe(self) -> None:
        """Note that a call is made while the gate is closed."""
        self.probing = True

    def failed(self, now: float, *, probed: bool) -> bool:
        """Note that the server could not be reached, by a probe or not; return whether to give up."""
        if self._closed_at is None:
            self._closed_at, self._pause = now, FIRST_PAUSE
            self._probe_at = now + self._pause
        elif probed:
            self.probing = False
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._probe_at = now + self._pause
        return self.outage is not None and now - self._closed_at >= self.outage

    def answered(self, *, probed: bool) -> None:
        """Note that the server answered, with an error or not."""
        if probed:
            self.probing, self._closed_at = False, None

    def skipped(self, *, probed: bool) -> None:
        """Note that a row which was to probe the server needed no call."""
        if probed:
            self.probing = False
