"""`map_rows`, and the iterator it returns."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Literal, Self

from .._client.module import RemoteModuleBase
from .._concurrency import fork as _fork
from .._objects.exports import exported_from
from .._schema.rpc import RemoteRPCDescriptor
from .._settings.durations import Duration, limit
from ..errors import ForkedError, InputError, WrongLoopError
from .batches import Batches, Split
from .calls import RowCalls
from .checkpoint import Checkpoint
from .concurrency import AdaptiveLimit, FixedLimit
from .gate import Gate
from .map import Done, Failed, OnError, Run
from .methods import RowMethod
from .progress import Report, Reporter
from .rows import rows_of
from .streamed import WINDOW, StreamRun

logger = logging.getLogger("remote_client")


class Map:
    """Binds the method and opens the checkpoint, runs the calls, cuts batches into rows, and reports the progress.

    Attributes:
        run: the calls.
        reporter: reports the progress; None without `progress`.
        tells: whether this map calls the progress function, in the event loop. The blocking map calls it itself.
    """

    def __init__(
        self,
        run: Run | StreamRun,
        method: RowMethod,
        *,
        size: int,
        checkpoint: Checkpoint | None,
        reporter: Reporter | None,
        outage: float | None,
    ) -> None:
        self.run = run
        self._method = method
        self._size = size
        self._checkpoint = checkpoint
        self.reporter = reporter
        self.tells = True
        self._outage = outage
        self._begun = False
        self._given: deque[Done] = deque()

    async def next(self) -> Done | None:
        """Return the next finished row; None after the last one."""
        try:
            if not self._begun:
                await self._begin()
            if not self._given:
                done = await self.run.next()
                if done is None:
                    await self.aclose()
                    return None
                self._given.extend(self._rows_of(done))
            if self.reporter is not None and self.tells:
                await awaited(self.reporter.tell())
        except Exception:  # a read that is cancelled may be followed by another one
            await self._abort()
            raise
        return self._given.popleft()

    async def _begin(self) -> None:
        await self._method.prepare(self._outage)
        if self._checkpoint is not None:
            await self._checkpoint.open()
        if self.reporter is not None:
            self.reporter.begin(self.run)
        self._begun = True

    async def next_ones(self, most: int) -> list[Done]:
        """Return the next finished rows, as many as are there; none after the last one."""
        first = await self.next()
        if first is None:
            return []
        rows = [first]
        while len(rows) < most:
            if self._given:
                rows.append(self._given.popleft())
            elif (done := self.run.take()) is not None:
                self._given.extend(self._rows_of(done))
            else:
                break
        return rows

    def _rows_of(self, done: Done) -> Iterable[Done]:
        if not self._size:
            return (done,)
        first, value = done.index * self._size, done.value
        if isinstance(value, Failed):
            rows = enumerate(value.row, first)
            return [Done(index, Failed(index, row, value.error)) for index, row in rows]
        return [Done(index, answer) for index, answer in enumerate(value, first)]

    async def aclose(self) -> None:
        """Cancel the calls that run, and close the checkpoint and the rows. Idempotent."""
        try:
            await self.run.aclose()
            if self.reporter is not None and self.tells:
                await awaited(self.reporter.end())
        finally:
            self.close_files()

    async def _abort(self) -> None:
        """Close it after an error, which is the one to tell."""
        try:
            await self.aclose()
        except Exception:
            logger.debug("the function of the progress failed too", exc_info=True)

    def close_files(self) -> None:
        """Close the checkpoint and the line of progress. From any thread."""
        if self.reporter is not None:
            self.reporter.close()
        if self._checkpoint is not None:
            self._checkpoint.close()


async def awaited(result: Any) -> None:
    """Await what a function returned, if it is an async one."""
    if inspect.isawaitable(result):
        await result


@exported_from("remote_client.bulk")
class MapRows(AsyncIterator[Done]):
    """The answers of `map_rows`: an async iterator, and an async context manager.

    Nothing is read or sent before the first answer is asked for. Several tasks may read from it: an answer goes to one
    of them. `aclose()`, the end of `async with`, and dropping the iterator, as after a `break`, cancel the calls that
    run.
    """

    def __init__(self, map: Map) -> None:
        self._map = map
        self._turn = asyncio.Lock()
        self._born = _fork.count
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def failed(self) -> int:
        """The rows that failed so far."""
        return self._map.run.failed

    @property
    def skipped(self) -> int:
        """The rows that failed so far and are not given, with `on_error="skip"`."""
        return self._map.run.skipped

    def _check(self) -> None:
        """Raise unless this is the event loop of the first read, whose tasks the map has."""
        loop = asyncio.get_running_loop()
        if self._born != _fork.count:
            raise ForkedError("the map was made before the process forked; make a new one in the child")
        if self._loop is None:
            self._loop = loop
            weakref.finalize(self, _drop, self._map, loop, self._born).atexit = False
        elif self._loop is not loop:
            raise WrongLoopError("the map was begun in another event loop; read it there")

    async def __anext__(self) -> Done:
        self._check()
        async with self._turn:
            done = await self._map.next()
        if done is None:
            raise StopAsyncIteration
        return done

    async def next_ones(self, most: int) -> list[Done]:
        """Return the next answers, as many as are there, up to a number; none after the last one."""
        self._check()
        async with self._turn:
            return await self._map.next_ones(most)

    async def aclose(self) -> None:
        """Cancel the calls that run. Idempotent. From another task, it makes a read raise a ClosedError."""
        self._check()
        await self._map.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _drop(map: Map, loop: asyncio.AbstractEventLoop, born: int) -> None:
    if born != _fork.count:
        return  # the tasks and the files are the parent's
    map.close_files()  # at once: the next map may use the same checkpoint
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(map.run.cancel)


@exported_from("remote_client.bulk")
def map_rows(
    method: Callable[..., Awaitable[Any]],
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
    """Call a method for every row, and give the answers.

    Rows are read only as fast as answers are taken: memory is bounded by `concurrency`. A server that is away loses no
    rows: they are sent again when it is back.

    Args:
        method: a unary method of a model, such as `model.run_embedding`, with or without `with_options`.
        rows: an iterable or async iterable; a thread reads one that may block. A row is a mapping of arguments, a tuple
            of positional ones, or a single value.
        concurrency: how many calls run at a time; `"auto"` finds the number at which the server is fastest, 4 to 256.
        ordered: whether answers come in the order of the rows; else as they come.
        on_error: a failed row raises its error after the rows before it (`"raise"`), is given as a `Failed`
            (`"return"`), or is left out and counted (`"skip"`).
        batch_size: rows of one call, for a method that takes lists: an argument is the list of the rows' values.
        split: the answer's list with a value per row of a batch, by its name (with dots), or a function that returns
            it. Needed with `batch_size`.
        checkpoint: a file for the finished rows: their indexes, digests of their requests, and the answers. Started
            again with it, a map calls only the rows that are missing or have changed; with batches, the batches. The
            file survives the end of the process at any time; a power failure may take its last seconds.
        progress: True for a line with the rows per second and the time left, on standard error (needs `rich` or
            `tqdm`; a line every ten seconds where it is no terminal); or a function, sync or async, that gets a
            `Progress` as answers are taken, at most every 0.2 seconds, and at the end. Its error ends the map.
        total: the number of rows, for the time left; by default `len(rows)`, if there is one.
        outage: the seconds (or a `timedelta`) for which the server may be away, or refuse all calls; None for no limit.

    Raises:
        InputError: an argument is wrong.
        ConfigurationError: `progress` needs rich or tqdm. Raised by the first read: the checkpoint is no file of a map,
            cannot be opened, or is used by another map.
        OSError: raised by a read: the checkpoint cannot be written, as on a full disk.
    """
    return MapRows(
        make_map(
            row_method(getattr(method, "__self__", None), getattr(method, "rpc", None)),
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
    )


def make_map(
    method: RowMethod,
    rows: Any,
    *,
    concurrency: int | Literal["auto"],
    ordered: bool,
    on_error: OnError,
    batch_size: int | None,
    split: Split | None,
    checkpoint: str | os.PathLike[str] | None,
    progress: bool | Report,
    total: int | None,
    outage: Duration | None,
) -> Map:
    """Return the map of a method; see `map_rows`."""
    if (batch_size is None) != (split is None):
        raise InputError("batch_size and split: give both, or none")
    size = 0 if batch_size is None else _positive("batch_size", batch_size)
    if on_error not in ("raise", "return", "skip"):
        raise InputError(f'on_error: expected "raise", "return" or "skip", not {on_error!r}')
    pace = AdaptiveLimit() if concurrency == "auto" else FixedLimit(_positive("concurrency", concurrency, '"auto" or '))
    reader = rows_of(rows)
    reporter = make_reporter(progress, rows, total)
    gate = Gate(limit(outage, "outage"))
    if method.rpc.input_streaming:
        if size or checkpoint is not None or not ordered:
            raise InputError(
                f"{method.rpc.name} streams: batch_size, checkpoint and ordered=False are for unary methods"
            )
        window = WINDOW if concurrency == "auto" else concurrency
        streamed = StreamRun(method, reader, window, gate, on_error)
        return Map(streamed, method, size=0, checkpoint=None, reporter=reporter, outage=gate.outage)
    kept = None if checkpoint is None else Checkpoint(checkpoint)
    run = Run(
        RowCalls(method, split, kept),
        Batches(reader, size) if size else reader,
        pace,
        gate,
        ordered=ordered,
        on_error=on_error,
        size=size,
    )
    return Map(run, method, size=size, checkpoint=kept, reporter=reporter, outage=gate.outage)


def make_reporter(progress: bool | Report, rows: Any, total: int | None) -> Reporter | None:
    """Return the reporter of a map's progress; None without `progress`. Raises the errors of `Reporter`."""
    if total is None and hasattr(rows, "__len__"):
        total = len(rows)
    reporter = Reporter(progress, total)
    return None if progress is False else reporter


def _positive(name: str, value: Any, others: str = "") -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name}: expected {others}a positive integer, not {value!r}")
    return value


def row_method(module: Any, rpc: Any) -> RowMethod:
    """Return the method of a map for a model and one of its methods.

    Raises:
        InputError: it is not a method of a model, or not one with one request and one answer.
    """
    if not isinstance(module, RemoteModuleBase) or not isinstance(rpc, RemoteRPCDescriptor):
        raise InputError(
            "method: expected a method of a model, such as model.run; for models of the blocking client there is "
            "remote_client.sync.bulk"
        )
    if rpc.job is not None or rpc.input_streaming is not rpc.output_streaming:
        raise InputError(f"method: expected a method with one answer per request, not {rpc.name}")
    return RowMethod(module, rpc)
