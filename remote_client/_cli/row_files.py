"""The files of `map`: rows from JSON Lines, CSV and Parquet; answers to JSON Lines and Parquet."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from .._bulk.kinds import Kind
from .._bulk.map import Done, Failed
from .._schema.plain_values import json_text
from ..errors import InputError
from .arguments import Arguments
from .output import STANDARD_OUTPUT, writing
from .usage import UsageError

STANDARD = "-"
"""Standard input, or standard output."""
_LINES = (".jsonl", ".ndjson")


class Row(dict[str, Any]):
    """The arguments of a row.

    Attributes:
        line: the number of its line in the file, from 1; None if the file has none.
    """

    line: int | None = None


class UnreadableRow(Mapping[str, Any]):
    """A row that could not be read: it fails when it is called, as other rows do that cannot be sent."""

    def __init__(self, line: int | None, problem: str) -> None:
        self.line = line
        self._problem = problem

    def _fail(self, *_: object) -> NoReturn:
        raise InputError(self._problem)

    __getitem__ = __iter__ = __len__ = keys = _fail


class Rows(Protocol):
    """The rows of a file."""

    total: int | None
    """Their number, if the file tells."""

    def read(self, arguments: Arguments) -> Iterator[Row | UnreadableRow]:
        """Yield the rows, one by one."""
        ...

    def close(self) -> None:
        """Close the file, unless it is read: then the iterator does."""
        ...


class Answers(Protocol):
    """The file of answers."""

    def write(self, rows: list[Done]) -> None:
        """Write finished rows."""
        ...

    def close(self) -> None:
        """Write what is missing."""
        ...


def open_rows(name: str) -> Rows:
    """Open a file of rows. Raises a UsageError."""
    suffix = ".jsonl" if name == STANDARD else Path(name).suffix
    if suffix == ".parquet":
        return _ParquetRows(_parquet(f"--input {name}"), name)
    if suffix not in (".csv", *_LINES):
        raise UsageError(f"--input {name}: name a .jsonl, .csv or .parquet file, or - for JSON Lines from a pipe")
    # Not `sys.stdin`: Python waits at its exit for the lock of a thread that reads from it.
    file = open(0, "rb", closefd=False) if name == STANDARD else _open(name)  # noqa: SIM115
    return _CsvRows(file) if suffix == ".csv" else _JsonRows(file)


def check_answers(name: str) -> None:
    """Look whether answers can be written to a file, and leave it as it is. Raises a UsageError."""
    suffix = ".jsonl" if name == STANDARD else Path(name).suffix
    if suffix not in (".parquet", *_LINES):
        raise UsageError(f"--output {name}: name a .jsonl or .parquet file, or - for JSON Lines to a pipe")
    if suffix == ".parquet":
        _parquet(f"--output {name}")
    if name != STANDARD:
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o666))
        except OSError as error:
            raise UsageError(f"--output {name}: {error.strerror}") from None


def open_answers(name: str, kind: Kind | None) -> Answers:
    """Open the file for answers of a kind. Raises an OSError."""
    if Path(name).suffix == ".parquet":
        return _ParquetAnswers(name, kind)
    if name == STANDARD:
        return _JsonAnswers(1, STANDARD_OUTPUT)
    return _JsonAnswers(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), name)


def _open(name: str) -> IO[bytes]:
    try:
        return open(name, "rb")
    except OSError as error:
        raise UsageError(f"--input {name}: {error.strerror}") from None


def _parquet(option: str) -> Any:
    try:
        importlib.import_module("narwhals")
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(f"{option}: Parquet needs: pip install pyarrow 'remote-client[frames]'") from None


# -- rows -------------------------------------------------------------------------------------------------------------


class _FileRows(ABC):
    """Reads rows from a file. The thread that reads closes it: closing it elsewhere would wait for a blocked read."""

    total: int | None = None

    def __init__(self, file: Any) -> None:
        self._file = file
        self._begun = False

    def read(self, arguments: Arguments) -> Iterator[Row | UnreadableRow]:
        self._begun = True
        with self._file:
            yield from self._rows(arguments)

    @abstractmethod
    def _rows(self, arguments: Arguments) -> Iterator[Row | UnreadableRow]: ...

    def close(self) -> None:
        if not self._begun:
            self._file.close()


class _JsonRows(_FileRows):
    def _rows(self, arguments: Arguments) -> Iterator[Row | UnreadableRow]:
        for line, data in enumerate(self._file, 1):
            if data.strip():
                yield _row(line, partial(_from_json, arguments, data))


def _from_json(arguments: Arguments, data: bytes) -> dict[str, Any]:
    try:
        row = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from None
    return arguments.from_json(row)


class _CsvRows(_FileRows):
    def _rows(self, arguments: Arguments) -> Iterator[Row | UnreadableRow]:
        csv.field_size_limit(sys.maxsize)
        with io.TextIOWrapper(self._file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            rows = csv.reader(text, strict=True)
            header = next(rows, [])
            while (cells := _cells(rows)) is not None:
                line = rows.line_num
                if isinstance(cells, str):
                    yield UnreadableRow(line, cells)
                elif cells:
                    yield _row(line, partial(_from_cells, arguments, header, cells))


def _cells(rows: Iterator[list[str]]) -> list[str] | str | None:
    """Return the next row of CSV, or what is wrong with it; None after the last one."""
    try:
        return next(rows, None)
    except csv.Error as error:
        return f"not CSV: {error}"


def _from_cells(arguments: Arguments, header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        raise InputError(f"{len(cells)} cells for {len(header)} columns")
    return arguments.from_text(dict(zip(header, cells, strict=True)))


class _ParquetRows(_FileRows):
    def __init__(self, parquet: Any, name: str) -> None:
        try:
            super().__init__(parquet.ParquetFile(name))
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise UsageError(f"--input {name}: {getattr(error, 'strerror', None) or error}") from None
        self.total = self._file.metadata.num_rows

    def _rows(self, arguments: Arguments) -> Iterator[Row | UnreadableRow]:
        for batch in self._file.iter_batches(256):
            for values in batch.to_pylist():
                yield _row(None, partial(arguments.from_values, values))


def _row(line: int | None, arguments: Callable[[], dict[str, Any]]) -> Row | UnreadableRow:
    try:
        row = Row(arguments())
    except InputError as error:
        return UnreadableRow(line, str(error))
    row.line = line
    return row


# -- answers ----------------------------------------------------------------------------------------------------------


class _JsonAnswers:
    """Writes to a descriptor: Python would wait at its exit for a thread that waits in a buffered write to a pipe."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def write(self, rows: list[Done]) -> None:
        data = memoryview("".join(map(_line, rows)).encode("utf-8", "backslashreplace"))
        with writing(self._name):
            while data:
                data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        if self._descriptor != 1:
            os.close(self._descriptor)


def _line(done: Done) -> str:
    if isinstance(done.value, Failed):
        return f'{{"index":{done.index},"error":{json.dumps(str(done.value.error))}}}\n'
    return f'{{"index":{done.index},"answer":{json_text(done.value)}}}\n'


class _ParquetAnswers:
    """Writes columns `index`, `answer` and `error`, a row group for every thousand rows."""

    def __init__(self, name: str, kind: Kind | None) -> None:
        self._arrow = importlib.import_module("pyarrow")
        self._kind = kind
        self._rows: list[Done] = []
        self._writer = _parquet("").ParquetWriter(name, self._table([]).schema)

    def _table(self, rows: list[Done]) -> Any:
        from .._bulk.columns import narwhals
        from .._bulk.frames import Output

        table = self._arrow.table({"index": self._arrow.array([row.index for row in rows], "int64")})
        columns = Output(narwhals().from_native(table), "answer", "error", self._kind)
        columns.extend(rows)
        return columns.add_to(table)

    def write(self, rows: list[Done]) -> None:
        self._rows += rows
        if len(self._rows) >= 1024:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._writer.write_table(self._table(rows))

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()
