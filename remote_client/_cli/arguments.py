"""Arguments of calls from JSON, CSV and Parquet: what JSON cannot express is made of text, by the method's types."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime
from typing import Any

from .._bulk.kinds import JSON, Kind, kind_at, kind_of
from ..errors import InputError
from .hints import hint
from .usage import UsageError

Value = Callable[[Any], Any]


class Arguments:
    """Makes the arguments of a method of the columns of a row.

    Args:
        signature: the method's.
        columns: `ARGUMENT=COLUMN`, or `COLUMN` for the first argument; an argument may be a field of one, with dots.
            Without any, columns have the names of arguments.
        batched: whether an argument is the list of the values of several rows.

    Raises:
        UsageError: a column is for no argument.
    """

    def __init__(self, signature: inspect.Signature, columns: Sequence[str], *, batched: bool) -> None:
        self._kinds = {name: _kind(each.annotation, batched) for name, each in signature.parameters.items()}
        self._required = {name for name, each in signature.parameters.items() if each.default is each.empty}
        self._first = next(iter(self._kinds), "")
        self._picked = [self._pick(column) for column in columns]

    def _pick(self, option: str) -> tuple[str, str]:
        argument, equals, column = option.partition("=")
        path, column = (argument, column) if equals else (self._first, option)
        if path.partition(".")[0] not in self._kinds:
            raise UsageError(f"--column {option}: the method has no argument {path!r}; {hint(path, self._kinds)}")
        try:
            self._kind(path)
        except InputError as error:
            _, _, problem = str(error).partition("; ")
            raise UsageError(
                f"--column {option}: the argument has no field {path.partition('.')[2]!r}; {problem}"
            ) from None
        return path, column

    def _kind(self, path: str) -> Kind:
        name, _, rest = path.partition(".")
        kind = self._kinds.get(name, JSON)
        return kind_at(kind, rest) if rest else kind

    def from_json(self, row: Any) -> dict[str, Any]:
        """Return the arguments of a row of JSON: an object's by name, or the only argument. Raises an InputError."""
        if self._picked and isinstance(row, Mapping):
            self._check_columns(row, self._required)  # rows may lack what is optional
        return self._of(row, value_of_json)

    def from_text(self, row: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments of a row of CSV. An empty cell has no value. Raises an InputError."""
        self._check_columns(row, self._kinds)
        return self._of({name: text or None for name, text in row.items()}, value_of_text)

    def from_values(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a row of Parquet, whose values have types. Raises an InputError."""
        self._check_columns(row, self._kinds)
        return self._of(row, lambda _, value: value)

    def _check_columns(self, row: Mapping[str, Any], needed: Container[str]) -> None:
        """Raise an InputError if a row lacks a column that was chosen for one of these arguments."""
        for path, column in self._picked:
            if column not in row and path.partition(".")[0] in needed:
                raise InputError(f"--column: the row has no column {column!r} for {path}; {hint(column, row)}")

    def _of(self, row: Any, value_of: Callable[[Kind, Any], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, value in self._values(row):
            if value is None:
                continue
            *outer, last = path.split(".") if self._picked else [path]
            place = found
            for name in outer:
                place = place.setdefault(name, {})
            try:
                place[last] = value_of(self._kind(path) if self._picked else self._kinds.get(path, JSON), value)
            except ValueError as error:
                raise InputError(f"{path}: {error}") from None
        return found

    def _values(self, row: Any) -> list[tuple[str, Any]]:
        if not self._picked and not isinstance(row, Mapping):
            return [(self._first, row)]
        if not self._picked:
            if unknown := [name for name in row if name not in self._kinds]:
                raise InputError(
                    f"the method has no argument {unknown[0]!r}; {hint(unknown[0], self._kinds)}; "
                    "--column ARGUMENT=COLUMN chooses columns"
                )
            return list(row.items())
        if not isinstance(row, Mapping):
            raise InputError(f"expected an object with {self._picked[0][1]!r}")
        return [(path, row.get(column)) for path, column in self._picked]


def _kind(annotation: Any, batched: bool) -> Kind:
    from .._schema.declared.mismatches import stream_item

    kind = kind_of(stream_item(annotation))
    return kind.items[0] if batched and kind.name == "list" else kind


def value_of_json(kind: Kind, value: Any) -> Any:
    """Return what JSON has as text: bytes are base64, times ISO 8601, the keys of maps numbers.

    Values that do not fit their kind stay what they are: the method's own check says what it expects.

    Raises:
        ValueError: a text is not what it should be.
    """
    if isinstance(value, str):
        return _TEXTS[kind.name](value) if kind.name in _TEXTS else value
    if isinstance(value, list) and kind.name == "list":
        return [value_of_json(kind.items[0], item) for item in value]
    if not isinstance(value, dict):
        return value
    if kind.name == "map":
        key, item = kind.items
        return {
            (int(name) if key.name == "integer" else name): value_of_json(item, each) for name, each in value.items()
        }
    fields = kind.fields
    return {name: value_of_json(fields[name][1] if name in fields else JSON, each) for name, each in value.items()}


def value_of_text(kind: Kind, text: str) -> Any:
    """Return a cell of CSV as a value: JSON, unless the argument is a text or the cell is no JSON.

    Raises:
        ValueError: as `value_of_json`, or the text is neither true nor false.
    """
    if kind.name == "text":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if kind.name == "boolean" and isinstance(value, str):
        raise ValueError("expected true or false")
    return value_of_json(kind, value)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("expected base64") from None


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected a time as ISO 8601 writes it") from None


_TEXTS: dict[str, Value] = {"bytes": _bytes, "time": _time}
