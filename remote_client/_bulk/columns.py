"""Columns of answers: typed arrays that are made bit by bit in polars and Arrow, lists of objects in pandas."""

from __future__ import annotations

import importlib
from typing import Any

from .._schema.plain_values import plain
from ..errors import ConfigurationError, InvalidResponseError
from .kinds import Kind, cell_of

CHUNK = 1024
"""Answers that are Python objects before they become an array."""


def narwhals() -> Any:
    """Return the module. Raises a ConfigurationError that says how to install it."""
    try:
        return importlib.import_module("narwhals")  # late: only tables need it
    except ImportError:
        raise ConfigurationError("map_frame needs narwhals: pip install 'remote-client[frames]'") from None


class ObjectColumn:
    """A column of pandas: messages and lists are its objects. Integers and booleans with gaps are nullable types.

    Args:
        name: the column's name.
        kind: the kind of its values; None if it is not known.
        backend: narwhals' name of the frame's library.
    """

    def __init__(self, name: str, kind: Kind | None, backend: Any) -> None:
        self.name = name
        self._kind = kind
        self._library = backend.to_native_namespace()
        self._values: list[Any] = []

    def extend(self, values: list[Any]) -> None:
        """Add values; None is a gap."""
        self._values += map(plain, values)

    def add_to(self, frame: Any) -> Any:
        """Return a native frame with the column. Its index stays what it is, as an array has none."""
        frame = frame.copy(deep=False)
        frame[self.name] = self._array()
        return frame

    def _array(self) -> Any:
        series, values = self._library.Series, self._values
        kind = None if self._kind is None else self._kind.name
        if kind is None and values:
            return series(values).array
        try:
            return series(values, dtype=self._dtype(kind, any(value is None for value in values))).array
        except OverflowError:  # integers beyond 64 bits with a sign
            return series(values).array

    def _dtype(self, kind: str | None, has_gaps: bool) -> Any:
        if kind == "text":
            return self._library.Series([""]).dtype  # which it is differs between the versions of pandas
        if has_gaps and kind in ("integer", "boolean"):
            return {"integer": "Int64", "boolean": "boolean"}[kind]
        return {"integer": "int64", "boolean": "bool", "float": "float64", "time": "datetime64[us, UTC]"}.get(
            kind or "", "object"
        )


class TypedColumn:
    """A column of polars or Arrow, of the type that the server describes: it is the same whatever the answers are.

    Args:
        name: the column's name.
        kind: the kind of its values; None if it is not known: then the library chooses.
        backend: narwhals' name of the frame's library.
    """

    def __init__(self, name: str, kind: Kind | None, backend: Any) -> None:
        self.name = name
        self._backend = backend
        self._cell = plain if kind is None else cell_of(kind)
        self._dtype = None if kind is None else dtype_of(kind)
        self._values: list[Any] = []
        self._chunks: list[Any] = []

    def extend(self, values: list[Any]) -> None:
        """Add values; None is a gap."""
        self._values += map(self._cell, values)
        if len(self._values) >= CHUNK and self._dtype is not None:
            self._flush()

    def _flush(self) -> None:
        values, self._values = self._values, []
        try:
            series = narwhals().new_series(self.name, values, self._dtype, backend=self._backend)
        except Exception as error:  # each library has exceptions of its own
            raise InvalidResponseError(f"column {self.name}: answers do not fit {self._dtype}: {error}") from error
        self._chunks.append(series.to_frame())

    def add_to(self, frame: Any) -> Any:
        """Return a native frame with the column."""
        if self._values or not self._chunks:
            self._flush()
        column = narwhals().concat(self._chunks, how="vertical")[self.name]
        return narwhals().from_native(frame).with_columns(column).to_native()


Column = ObjectColumn | TypedColumn


def dtype_of(kind: Kind) -> Any:
    """Return narwhals' type of a kind: a map is a list of entries, a value without a fixed type is JSON text."""
    nw = narwhals()
    if kind.name == "list":
        return nw.List(dtype_of(kind.items[0]))
    if kind.name == "map":
        key, value = map(dtype_of, kind.items)
        return nw.List(nw.Struct({"key": key, "value": value}))
    if kind.name == "message":
        return nw.Struct({name: dtype_of(each) for name, (_, each) in kind.fields.items()})
    scalars = {
        "boolean": nw.Boolean(),
        "integer": nw.Int64(),
        "float": nw.Float64(),
        "bytes": nw.Binary(),
        "time": nw.Datetime("us", "UTC"),
    }
    return scalars.get(kind.name, nw.String())
