"""The end of `map`: answers are written as they come, and a summary tells how it went."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from .._bulk.iterator import MapRows
from .._bulk.map import Done, Failed
from .._concurrency.threads import run_in_thread
from .._text.cleaning import clean
from .row_files import Answers
from .usage import FAILED

_DONE, _STOPPED, _INTERRUPTED = "done", "stopped", "interrupted"
_MANY = 256
"""The most rows that are written at a time."""


class Writing:
    """Writes the answers of a map, and tells at the end how it went.

    Args:
        rows: the map.
        open: opens the file of answers. The file of an earlier run stays what it is until there is an answer.
        on_error: what a failed row does.
        checkpoint: the file of finished rows.
        output: the name of the file of answers.
    """

    def __init__(
        self, rows: MapRows, open: Callable[[], Answers], on_error: str, checkpoint: str | None, output: str
    ) -> None:
        self._rows = rows
        self._open = open
        self._answers: Answers | None = None
        self._on_error = on_error
        self._checkpoint = checkpoint
        self._output = output
        self._written = 0
        self._failed = 0
        self._first: Failed | None = None
        self._begun = monotonic()

    async def run(self) -> int:
        """Write all answers and return the exit code."""
        ended = _STOPPED
        try:
            while self._goes_on and (done := await self._rows.next_ones(_MANY)):
                await self._in_thread(self._write, self._kept(done))
            await self._in_thread(self._write, [])
            if self._goes_on:
                ended = _DONE
        except asyncio.CancelledError:
            ended = _INTERRUPTED
            raise
        except BrokenPipeError:  # of `| head`: the reader has what it wants
            ended = ""
            raise
        except Exception:
            ended = _STOPPED if self._written else ""  # else nothing began: the error says all
            raise
        finally:
            await self._rows.aclose()
            if self._answers is not None:
                await self._in_thread(self._answers.close)
            if ended:
                self._summarize(ended)
        return FAILED if self._failed else 0

    @property
    def _goes_on(self) -> bool:
        return self._on_error != "raise" or self._first is None

    def _kept(self, done: list[Done]) -> list[Done]:
        """Return the rows to write. A failed one may end the map, or be left out."""
        kept = []
        for row in done:
            if isinstance(row.value, Failed):
                self._failed += 1
                self._first = self._first or row.value
                if self._on_error == "raise":
                    break
                if self._on_error == "skip":
                    continue
            kept.append(row)
        return kept

    def _write(self, done: list[Done]) -> None:
        if self._answers is None:
            self._answers = self._open()
        self._answers.write(done)
        self._written += len(done)

    async def _in_thread(self, work: Callable[..., None], *args: Any) -> None:
        """Await work on the output in a thread, as a pipe may be full. Ctrl-C waits for files, but not for pipes."""
        task = asyncio.ensure_future(run_in_thread(work, *args))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._output != "-":
                await task
            raise

    def _summarize(self, ended: str) -> None:
        seconds = monotonic() - self._begun
        told = [f"{ended}: rows written: {self._written:,}, failed: {self._failed:,}, seconds: {seconds:.1f}"]
        if (first := self._first) is not None:
            told.append(f"the first that failed is row {first.index}{_line(first)}: {clean(str(first.error))}")
        if ended != _DONE and self._checkpoint:
            told.append("the same command goes on from here: it does not call finished rows again")
        elif ended != _DONE:
            told.append("with --checkpoint FILE the same command could go on from here")
        sys.stderr.writelines(f"remote-client: {line}\n" for line in told)


def _line(failed: Failed) -> str:
    line = getattr(failed.row, "line", None)
    return "" if line is None else f" (line {line})"
