"""Rows in batches: the columns of several rows as the arguments of one call, and its answer cut back into rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from .._concurrency.iterators import END
from .._text.cleaning import type_name
from ..errors import InputError, InvalidResponseError
from .rows import LATER, Rows

Split = str | Callable[[Any], Sequence[Any]]


class Batches(Rows):
    """Reads rows in lists of a size; the last one may be shorter."""

    def __init__(self, rows: Rows, size: int) -> None:
        self._rows = rows
        self._size = size
        self._batch: list[Any] = []
        self._ended = False
        self._error: Exception | None = None
        """The error of the rows, which is raised after the batch of those before it."""

    def take(self) -> Any:
        while not self._ended and len(self._batch) < self._size:
            try:
                row = self._rows.take()
            except Exception as error:
                row, self._error = END, error
            if row is LATER:
                return LATER
            self._add(row)
        batch, self._batch = self._batch, []
        if not batch and self._error is not None:
            raise self._error
        return batch or END

    async def read(self) -> Any:
        while (batch := self.take()) is LATER:
            try:
                row = await self._rows.read()
            except Exception as error:
                row, self._error = END, error
            self._add(row)
        return batch

    def _add(self, row: Any) -> None:
        if row is END:
            self._ended = True
        else:
            self._batch.append(row)

    def cancel(self) -> None:
        self._rows.cancel()

    async def aclose(self) -> None:
        await self._rows.aclose()


def columns_of(batch: Sequence[Any]) -> Any:
    """Return the arguments of a batch: for each argument the list of the rows' values.

    Raises:
        InputError: the rows have different arguments.
    """
    first = batch[0]
    if isinstance(first, Mapping):
        if any(not isinstance(row, Mapping) or row.keys() != first.keys() for row in batch):
            raise InputError(f"rows of one batch must have the same arguments: the first one has {', '.join(first)}")
        return {name: [row[name] for row in batch] for name in first}
    if type(first) is tuple:
        if any(type(row) is not tuple or len(row) != len(first) for row in batch):
            raise InputError(f"rows of one batch must have the same arguments: the first one has {len(first)}")
        return tuple(map(list, zip(*batch, strict=True)))
    return (list(batch),)


def cut(answer: Any, split: Split, count: int) -> list[Any]:
    """Return the answers of the rows of a batch.

    Args:
        answer: the batch's answer.
        split: the name of the answer's list, with dots for fields of fields; or a function that returns it.
        count: the number of rows.

    Raises:
        InvalidResponseError: the answer has no such list, or one with another number of values.
    """
    found: Any = split(answer) if callable(split) else answer
    for name in () if callable(split) else split.split("."):
        try:
            found = found[name] if isinstance(found, Mapping) else getattr(found, name)
        except (KeyError, AttributeError):
            has = ", ".join(found if isinstance(found, Mapping) else getattr(type(found), "model_fields", ()))
            raise InvalidResponseError(f"split: the answer has no {name!r}{has and f'; it has {has}'}") from None
    # A message is iterable as well: by its fields.
    if isinstance(found, (str, bytes, Mapping)) or not isinstance(found, (Collection, Iterator)):
        part = "split" if callable(split) else f"split: {split}"
        raise InvalidResponseError(f"{part}: expected a list with a value per row, not {type_name(found)}")
    values = list(found)
    if len(values) != count:
        raise InvalidResponseError(f"split: the answer has {len(values)} values for {count} rows")
    return values
