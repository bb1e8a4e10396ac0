"""Many rows through one method, blocking; see `remote_client.bulk`."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Self

from .._bulk.batches import Split
from .._bulk.frames import Frame, frame_method, map_table
from .._bulk.iterator import Map, awaited, make_map, row_method
from .._bulk.iterator import MapRows as _MapRows
from .._bulk.map import Done, Failed, OnError
from .._bulk.progress import Progress, Report
from .._objects.exports import exported_from
from .._settings.callables import off_loop
from .._settings.durations import Duration
from ..errors import InputError
from ._facade import Blocking
from ._loop_thread import run
from ._modules import RemoteModuleBase

__all__ = ["Done", "Failed", "MapRows", "Progress", "map_frame", "map_rows"]

_MANY = 64
"""The most rows that one visit of the loop brings."""


@exported_from("remote_client.sync.bulk")
class MapRows(Blocking, Iterator[Done]):
    """The answers of `map_rows`: an iterator and a context manager; see `remote_client.bulk.MapRows`."""

    _twin: _MapRows

    def __init__(self, map: Map) -> None:
        map.tells = False  # the function may block, so it is called in this thread
        self._twin = _MapRows(map)
        self._here: deque[Done] = deque()
        self._reporter = map.reporter

    @property
    def failed(self) -> int:
        """The rows that failed so far."""
        return self._twin.failed

    @property
    def skipped(self) -> int:
        """The rows that failed so far and are not given, with `on_error="skip"`."""
        return self._twin.skipped

    def __next__(self) -> Done:
        while True:
            if not self._here and not self._read():
                self._tell_end()
                raise StopIteration
            self._tell()
            with contextlib.suppress(IndexError):  # another thread took it
                return self._here.popleft()

    def _read(self) -> bool:
        """Read the next answers; return whether there are any."""
        try:
            return run(self._bring)
        except Exception:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self._tell_end()
            raise

    async def _bring(self) -> bool:
        rows = await self._twin.next_ones(_MANY)
        self._here.extend(rows)  # here: an exception in the waiting thread, as of Ctrl-C, would lose what it is given
        return bool(rows)

    def _tell(self) -> None:
        if self._reporter is not None:
            try:
                _wait(self._reporter.tell())
            except Exception:
                run(self._twin.aclose)
                raise

    def _tell_end(self) -> None:
        if self._reporter is not None:
            _wait(self._reporter.end())

    def aclose(self) -> None:
        """Cancel the calls that run. Idempotent."""
        run(self._twin.aclose)
        self._here.clear()
        self._tell_end()

    close = aclose

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.aclose()


@exported_from("remote_client.sync.bulk")
def map_rows(
    method: Callable[..., Any],
    rows: Iterable[Any] | AsyncIterable[Any],
    *,
    concurrency: int | Literal["auto"] = "auto",
    ordered: bool = True,
    on_error: OnError = "raise",
    batch_size: int | None = None,
    split: Split | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Report = False,
    total: int | None = None,
    outage: Duration | None = 300.0,
) -> MapRows:
    """Call a method for every row, and give the answers; see `remote_client.bulk.map_rows`.

    A function that gets the progress may block: it is called in the thread that takes the answers.
    """
    map = make_map(
        row_method(*_twin_of(method)),
        rows,
        concurrency=concurrency,
        ordered=ordered,
        on_error=on_error,
        batch_size=batch_size,
        split=split,
        checkpoint=checkpoint,
        progress=progress,
        total=total,
        outage=outage,
    )
    return MapRows(map)


@exported_from("remote_client.sync.bulk")
def map_frame(
    method: Callable[..., Any],
    frame: Frame,
    *,
    input: str | Mapping[str, str],
    output: str | Mapping[str, str],
    on_error: OnError = "raise",
    error_column: str | None = None,
    concurrency: int | Literal["auto"] = "auto",
    batch_size: int | None = None,
    split: Split | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Report = False,
    outage: Duration | None = 300.0,
) -> Frame:
    """Return a table with a method's answers as columns, and block; see `remote_client.bulk.map_frame`."""
    options: dict[str, Any] = {"concurrency": concurrency, "batch_size": batch_size, "split": split}
    told = off_loop(progress) if callable(progress) else progress
    options |= {"checkpoint": checkpoint, "progress": told, "outage": outage}
    bound = frame_method(*_twin_of(method))
    result: Frame = run(map_table, bound, frame, input, output, on_error, error_column, options)
    return result


def _wait(result: Any) -> None:
    if result is not None:
        run(awaited, result)


def _twin_of(method: Any) -> tuple[Any, Any]:
    """Return the asyncio module and the description of a method of the blocking client."""
    module, rpc = getattr(method, "__self__", None), getattr(method, "rpc", None)
    if not isinstance(module, RemoteModuleBase):
        raise InputError(
            "method: expected a method of a model of remote_client.sync, such as model.run; for models of the asyncio "
            "client there is remote_client.bulk"
        )
    return module._twin, rpc
