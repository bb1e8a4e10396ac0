"""`map_frame`: the rows of a table through one method, and the answers as its columns."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from .._concurrency.threads import run_in_thread
from .._objects.exports import exported_from
from .._schema.codec import server_codec
from .._schema.rpc import RemoteRPCDescriptor
from .._settings.durations import Duration, limit
from ..errors import InputError, InvalidResponseError
from .batches import Split
from .columns import Column, ObjectColumn, TypedColumn, narwhals
from .iterator import make_map, row_method
from .kinds import JSON, Kind, answer_kind, kind_at, value_at
from .map import Done, Failed, OnError
from .methods import RowMethod
from .progress import Report

Frame = TypeVar("Frame")
_MANY = 512
"""Answers that become cells at a time, and rows that are read."""
_TEXT = Kind("text")


@exported_from("remote_client.bulk")
async def map_frame(
    method: Callable[..., Awaitable[Any]],
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
    """Call a method for every row of a table, and return the table with the answers as columns.

    Rows are read from the table as they are sent. Their order stays, and so does pandas' index.

    A message becomes a struct in polars and Arrow, and a dict in pandas; an enum its name; a scalar or a list itself.
    In polars and Arrow columns have the types that the server describes, whatever the answers are: a map is a list of
    structs of `key` and `value`, and what has no fixed type is JSON text. If `split` is a function, the library chooses
    the type.

    Args:
        method: a unary method of a model, such as `model.run_embedding`, with or without `with_options`.
        frame: a table of pandas, polars (a `DataFrame`) or Arrow.
        input: the column of the method's first argument, or the columns of arguments by their names. An argument is
            left out for a row in which its column has no value.
        output: the column for the answers, or for each of several columns the part of the answer, with dots for fields
            of fields. A column of this name is replaced.
        on_error: a failed row raises its error, which names the row (`"raise"`), has no value (`"return"`), or is left
            out of the table (`"skip"`).
        error_column: a column for the errors' texts, with `on_error="return"`; rows without an error have no value.
        concurrency: as for `map_rows`, like all that follow.
        batch_size: rows of one call, for a method that takes lists.
        split: the answer's list with a value per row of a batch.
        checkpoint: a file for the finished rows.
        progress: True for a line, or a function that gets a `Progress`.
        outage: the seconds for which the server may be away.

    Raises:
        InputError: an argument is wrong; or the answer has no such part.
        ConfigurationError: narwhals is not installed; else as for `map_rows`.
    """
    bound = frame_method(getattr(method, "__self__", None), getattr(method, "rpc", None))
    options: dict[str, Any] = {"concurrency": concurrency, "batch_size": batch_size, "split": split}
    options |= {"checkpoint": checkpoint, "progress": progress, "outage": outage}
    result: Frame = await map_table(bound, frame, input, output, on_error, error_column, options)
    return result


def frame_method(module: Any, rpc: Any) -> RowMethod:
    """Return the method of a map whose answers become cells. Raises an InputError; see `row_method`."""
    row_method(module, rpc)
    if module._caller.options.output in ("proto", "caikit"):  # they are no cells
        module = module.with_options(output="pydantic")
    return row_method(module, rpc)


async def map_table(
    method: RowMethod,
    frame: Any,
    input: str | Mapping[str, str],
    output: str | Mapping[str, str],
    on_error: OnError,
    error_column: str | None,
    options: dict[str, Any],
) -> Any:
    """Return a frame with the columns of a method's answers; see `map_frame`. The options are those of `map_rows`."""
    table = _table(frame)
    rows = _Input(table, input)
    if error_column is not None and on_error != "return":
        raise InputError('error_column: rows without an answer are kept with on_error="return" only')
    await method.prepare(limit(options["outage"], "outage"))
    columns = Output(table, output, error_column, row_kind(method.rpc, options["split"]))
    map = make_map(method, rows, ordered=True, on_error=on_error, total=len(table), **options)
    kept: list[int] = []
    waiting: list[Done] = []
    try:
        while done := await map.next_ones(_MANY):
            waiting += done
            if on_error == "skip":
                kept += [each.index for each in done]
            if len(waiting) >= _MANY:  # not for each few: a thread costs as much as a row
                await run_in_thread(columns.extend, waiting)
                waiting = []
        await run_in_thread(columns.extend, waiting)
    finally:
        await map.aclose()
    native = table[kept].to_native() if on_error == "skip" else frame
    return await run_in_thread(columns.add_to, native)


def _table(frame: Any) -> Any:
    """Return narwhals' view of a frame. Raises an InputError for what is none."""
    nw = narwhals()
    try:
        table = nw.from_native(frame)
    except (TypeError, ValueError) as error:  # another object; columns of the same name
        raise InputError(f"frame: {error}") from None
    if isinstance(table, nw.LazyFrame):
        raise InputError(f"frame: {type(frame).__name__} has no rows yet: give frame.collect(), or one part at a time")
    return table


def row_kind(rpc: RemoteRPCDescriptor, split: Split | None) -> Kind | None:
    """Return the kind of a row's answer; None if a function cuts it out of that of a batch."""
    kind = answer_kind(server_codec(rpc.codec).signature)
    if split is None:
        return kind
    if callable(split):
        return None
    found = kind_at(kind, split)
    return found.items[0] if found.name == "list" else JSON


class _Input:
    """The rows of a frame as arguments."""

    def __init__(self, table: Any, input: str | Mapping[str, str]) -> None:
        self._table = table
        self._arguments = None if isinstance(input, str) else list(input)
        self._columns = [input] if isinstance(input, str) else list(input.values())
        missing = [column for column in self._columns if column not in table.columns]
        if missing:
            raise InputError(
                f"input: the frame has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}"
            )
        self._is_null = _is_missing if table.implementation.is_pandas_like() else _is_none

    def __iter__(self) -> Iterator[Any]:
        unique = list(dict.fromkeys(self._columns))
        places = [unique.index(column) for column in self._columns]
        is_null, names = self._is_null, self._arguments
        for cells in self._table.select(unique).iter_rows(buffer_size=_MANY):
            values = [cells[place] for place in places]
            if names is None:
                yield tuple(value for value in values if not is_null(value))
            else:
                yield {name: value for name, value in zip(names, values, strict=True) if not is_null(value)}


def _is_none(value: Any) -> bool:
    return value is None


def _is_missing(value: Any) -> bool:
    """Return whether pandas takes a cell for missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


class Output:
    """The columns that are added to a frame."""

    def __init__(
        self, table: Any, output: str | Mapping[str, str], error_column: str | None, kind: Kind | None
    ) -> None:
        paths: list[tuple[str, str]] = [(output, "")] if isinstance(output, str) else list(output.items())
        if error_column in dict(paths):
            raise InputError(f"error_column: {error_column!r} is a column of the output, too")
        backend = table.implementation
        column = ObjectColumn if backend.is_pandas_like() else TypedColumn
        self._columns: list[tuple[str, Column]] = [
            (path, column(name, kind_at(kind, path) if path and kind is not None else kind, backend))
            for name, path in paths
        ]
        self._errors: Column | None = None if error_column is None else column(error_column, _TEXT, backend)

    def extend(self, done: list[Done]) -> None:
        """Add answers."""
        for path, column in self._columns:
            try:
                column.extend([None if isinstance(each.value, Failed) else _part(each.value, path) for each in done])
            except (TypeError, ValueError, AttributeError) as error:
                rows = f"rows {done[0].index} to {done[-1].index}"
                raise InvalidResponseError(f"column {column.name}: {rows}: {error}") from error
        if self._errors is not None:
            self._errors.extend([str(each.value.error) if isinstance(each.value, Failed) else None for each in done])

    def add_to(self, frame: Any) -> Any:
        """Return a native frame with the columns."""
        for _, column in self._columns:
            frame = column.add_to(frame)
        return frame if self._errors is None else self._errors.add_to(frame)


def _part(answer: Any, path: str) -> Any:
    return value_at(answer, path) if path else answer
