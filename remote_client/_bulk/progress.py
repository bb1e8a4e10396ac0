"""How far a map is: the numbers, and the line that shows them."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from .._concurrency.threads import start
from .._objects.exports import exported_from
from ..errors import ConfigurationError, InputError

EVERY = 0.2
"""Seconds between two reports."""
EVERY_IN_FILE = 10.0
"""Seconds between two lines where standard error is no terminal: a file that keeps all of them."""
RECENT = 10.0
"""Seconds over which the rate is measured: rows that a checkpoint has, and outages, are not part of it for long."""


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
        rate: finished rows per second, over the last ten seconds; in the last report, over all.
    """

    done: int
    failed: int
    in_flight: int
    seconds: float
    total: int | None
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at this rate; None if the number of rows is not known, or none are finished."""
        if self.total is None or not self.rate:
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


class Counts(Protocol):
    """The numbers of a running map."""

    answered: int
    failed: int

    @property
    def in_flight(self) -> int:
        """The calls that run."""
        ...


class Reporter:
    """Shows the progress of a map as a line, or gives it to a function.

    A thread of its own keeps the line up to date: it also tells that nothing happens. A function is called as answers
    are taken.

    Args:
        progress: True for a line, or the function.
        total: the number of rows; None if it is not known.

    Raises:
        ConfigurationError: a line needs rich or tqdm, and neither is installed.
        InputError: an argument is wrong.
    """

    def __init__(self, progress: bool | Report, total: int | None) -> None:
        if total is not None and (not isinstance(total, int) or isinstance(total, bool) or total < 0):
            raise InputError(f"total: expected a number of rows, not {total!r}")
        if not isinstance(progress, bool) and not callable(progress):
            raise InputError(f"progress: expected True or a function of one argument, not {progress!r}")
        self._report = progress if callable(progress) else None
        self._line = Line(self.now) if progress is True else None
        self._counts: Counts | None = None
        self._total = total
        self._begun = self._reported = 0.0
        self._recent: deque[tuple[float, int]] = deque()
        self._is_closed = self._has_ended = False

    def begin(self, counts: Counts) -> None:
        """Begin, with the numbers of a map that begins."""
        self._counts = counts
        self._begun = self._reported = monotonic()
        self._recent.append((self._begun, 0))
        if self._line is not None:
            self._line.begin()

    def tell(self) -> Any:
        """Call the function, if that is due; return what it returned."""
        if self._report is None or self._is_closed or monotonic() - self._reported < EVERY:
            return None
        self._reported = monotonic()
        try:
            return self._report(self.now())
        except Exception:
            self._has_ended = True  # it wants no more
            raise

    def end(self) -> Any:
        """Call the function with the last numbers, once; return what it returned. The line is left standing."""
        self.close()
        if self._report is None or self._counts is None or self._has_ended:
            return None
        self._has_ended = True
        return self._report(self.now())

    def close(self) -> None:
        """Leave the line standing, with the last numbers. From any thread; idempotent."""
        self._is_closed = True
        if self._line is not None:
            self._line.close()

    def now(self) -> Progress:
        """Return the numbers."""
        counts, now = self._counts, monotonic()
        assert counts is not None
        done = counts.answered + counts.failed
        recent, (since, before) = self._recent, (self._begun, 0)
        if not self._is_closed:
            if now - recent[-1][0] >= EVERY:
                recent.append((now, done))
            while len(recent) > 2 and now - recent[1][0] > RECENT:
                recent.popleft()
            since, before = recent[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        return Progress(done, counts.failed, counts.in_flight, now - self._begun, self._total, rate)


class Line:
    """A line on standard error that a thread keeps up to date: rich's or tqdm's, whichever is installed.

    In a notebook it is a display of its own. Where standard error is no terminal, it is a plain line now and then.

    Args:
        now: returns the numbers.
    """

    def __init__(self, now: Callable[[], object]) -> None:
        self._now = now
        self._closing = threading.Event()
        self._begin, self._every = _way()
        self._thread: Any = None

    def begin(self) -> None:
        """Show the line."""
        show, end = self._begin()
        self._thread = start(self._keep, show, end)
        atexit.register(self.close)  # rich hides the cursor as long as the line is there

    def _keep(self, show: Callable[[str], Any], end: Callable[[], Any]) -> None:
        while not self._closing.wait(self._every):
            show(str(self._now()))
        show(str(self._now()))
        end()

    def close(self) -> None:
        """Show the last numbers, and leave the line standing. Idempotent."""
        atexit.unregister(self.close)
        self._closing.set()
        if self._thread is not None:
            with contextlib.suppress(Exception):  # a line that cannot be shown, as standard error was closed
                self._thread.result(1.0)


_Begin = Callable[[], tuple[Callable[[str], Any], Callable[[], Any]]]
"""Shows a line; returns what changes it, and what ends it."""


def _way() -> tuple[_Begin, float]:
    """Return how a line is shown here, and the seconds between its changes."""
    ipython: Any = sys.modules.get("IPython")
    if hasattr(ipython and ipython.get_ipython(), "kernel"):
        return _in_notebook, EVERY
    in_terminal = _with_rich() or _with_tqdm()
    if in_terminal is None:
        raise ConfigurationError("progress=True needs rich or tqdm: pip install 'remote-client[progress]'")
    if not _is_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
        return _plain, EVERY_IN_FILE
    return in_terminal, EVERY


def _is_terminal(file: Any) -> bool:
    return file is not None and file.isatty()


def _in_notebook() -> tuple[Callable[[str], Any], Callable[[], Any]]:
    """Show a line in a notebook, where the widgets of other libraries may be missing."""
    display: Any = importlib.import_module("IPython.display").display
    handle = display({"text/plain": ""}, raw=True, display_id=True)
    return (lambda text: handle.update({"text/plain": text}, raw=True)), lambda: None


def _plain() -> tuple[Callable[[str], Any], Callable[[], Any]]:
    file = sys.stderr
    return (lambda text: file and file.write(f"{text}\n") and file.flush()), lambda: None


def _with_rich() -> _Begin | None:
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        return None

    def begin() -> tuple[Callable[[str], Any], Callable[[], Any]]:
        console = Console(file=sys.stderr, force_terminal=True)
        # What is printed meanwhile goes above the line, but not what goes to a file.
        live = Live(console=console, auto_refresh=False, redirect_stdout=_is_terminal(sys.stdout))
        live.start()
        return (lambda text: live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)), live.stop

    return begin


def _with_tqdm() -> _Begin | None:
    try:
        tqdm: Any = importlib.import_module("tqdm").tqdm  # it has no types
    except ImportError:
        return None

    def begin() -> tuple[Callable[[str], Any], Callable[[], Any]]:
        bar = tqdm(bar_format="{desc}", file=sys.stderr, dynamic_ncols=True)
        return bar.set_description_str, bar.close

    return begin
