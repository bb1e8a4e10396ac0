"""How far a map is: the numbers, and the line that shows them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._objects.exports import exported_from
from ..errors import ConfigurationError

EVERY = 0.2
"""Seconds between two reports."""


@exported_from("remote_client.bulk")
@dataclass(frozen=True)
class Progress:
    """How far a map is.

    Attributes:
        done: finished rows, with those that failed.
        failed: rows that failed.
        in_flight: calls that run.
        seconds: since the start.
        total: the number of rows; None if it is not known.
    """

    done: int
    failed: int
    in_flight: int
    seconds: float
    total: int | None

    @property
    def rate(self) -> float:
        """Finished rows per second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at this rate; None if the number of rows is not known."""
        if self.total is None or not self.done:
            return None
        return max(self.total - self.done, 0) / self.rate

    def __str__(self) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.seconds_left is None else f", {_clock(self.seconds_left)} left"
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.done:,}{of} rows, {self.rate:,.0f}/s, {self.in_flight} in flight{failed}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


Report = Callable[[Progress], Any]


class Line:
    """A line that shows the progress: rich's or tqdm's, whichever is installed."""

    def __init__(self) -> None:
        ways: tuple[Callable[[str], Any], Callable[[], Any]] = _notebook() or _rich() or _tqdm() or _missing()
        self._show, self._close = ways

    def __call__(self, progress: Progress) -> None:
        self._show(str(progress))

    def close(self) -> None:
        """Leave the last line standing."""
        self._close()


def _notebook() -> tuple[Callable[[str], Any], Callable[[], Any]] | None:
    """Return what shows a line in a notebook, where the widgets of other libraries may be missing."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if not hasattr(shell, "kernel"):
        return None
    handle = ipython.display.display({"text/plain": ""}, raw=True, display_id=True)
    return (lambda text: handle.update({"text/plain": text}, raw=True)), lambda: None


def _rich() -> tuple[Callable[[str], Any], Callable[[], Any]] | None:
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        return None
    console = Console(file=sys.stderr)
    live = Live(Text(""), console=console, refresh_per_second=5)
    live.start()
    return (lambda text: live.update(Text(text))), live.stop


def _tqdm() -> tuple[Callable[[str], Any], Callable[[], Any]] | None:
    try:
        tqdm: Any = importlib.import_module("tqdm").tqdm  # it has no types
    except ImportError:
        return None
    bar = tqdm(bar_format="{desc}", file=sys.stderr)
    return bar.set_description_str, bar.close


def _missing() -> Any:
    raise ConfigurationError("progress=True needs rich or tqdm: pip install 'remote-client[progress]'")
