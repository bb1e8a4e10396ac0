"""What commands write to standard output: tables on a terminal, else JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from .._text.cleaning import clean
from .options import Options

_CELL = 100
"""The most characters of a cell."""


def wants_json(options: Options) -> bool:
    """Return whether to write JSON: with `--json`, or if standard output is no terminal."""
    return options.json or not sys.stdout.isatty()


def write_json(value: Any) -> None:
    """Write a value as JSON, indented on a terminal: bytes as base64, times as ISO 8601, enums by their names."""
    from .._schema.plain_values import json_text  # here, as it loads pydantic

    write_line(json_text(value, indent=2 if sys.stdout.isatty() else None))


def write_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows in aligned columns, numbers at the right."""
    values = [list(row) for row in rows]
    texts = [[name.upper() for name in header], *(list(map(_cell, row)) for row in values)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [all(map(_is_number, column)) for column in zip(*values, strict=True)] or [False] * len(header)
    for row in texts:
        columns = zip(row, widths, right, strict=True)
        write_line("  ".join(text.rjust(width) if end else text.ljust(width) for text, width, end in columns).rstrip())


def write_line(text: str) -> None:
    """Write a line at once, so that the reader of a pipe has it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_number(value):
        return f"{value:,}"
    return "" if value is None else clean(str(value), _CELL)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
