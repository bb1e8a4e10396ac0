"""Tables: text for terminals, and HTML for notebooks, which every `_repr_html_` of this package returns.

Servers choose the contents: control characters are replaced, HTML is escaped, and long values are cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import islice, zip_longest
from typing import Any, TypeGuard

from .cleaning import clean

TEXT, ROWS, ITEMS, DEPTH = 500, 100, 10, 3
"""Limits: characters of a text, rows of a table, items of a nested value, nested tables."""
LINES = 4000
"""Characters of a text with several lines, such as a traceback."""
_LEFT = 'style="text-align: left; vertical-align: top; white-space: pre-wrap"'
_GAP = "  "
_NARROWEST = 8
"""Characters that a column keeps, however narrow the terminal is."""


# -- text -------------------------------------------------------------------------------------------------------------


def text_table(
    rows: Iterable[Sequence[object]], header: Sequence[str] = (), *, whole: int = 0, width: int | None = None
) -> str:
    """Return an aligned table, a line a row. Numbers stand at the right, booleans are yes or no, None is an empty cell.

    Args:
        rows: the cells; missing ones at a row's end are empty.
        header: the columns' names; without it the table has none.
        whole: how many columns at the left are not cut as long as others can be.
        width: characters of a line, by default the terminal's: the widest columns are cut to it. Without a terminal,
            only values of more than 500 characters are cut.
    """
    columns = list(zip_longest(*([header] if header else ()), *rows))
    texts = [list(map(_cell, column)) for column in columns]
    widths = _fitted([max(map(columns_of, column)) for column in texts], whole, width or terminal_width())
    right = [all(map(_is_number, column[bool(header) :])) for column in columns]
    lines = zip(*map(_aligned, texts, widths, right), strict=True)
    return "\n".join(_GAP.join(line).rstrip() for line in lines)


def terminal_width() -> int | None:
    """Return the characters of a line of standard output: `COLUMNS`, or the terminal's; None if it is no terminal."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (AttributeError, ValueError, OSError):  # none, as under pythonw; a closed one; a file, or a notebook's
        return None


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese, Japanese and Korean characters take two."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # here, because few tables need it

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_number(value):
        return f"{value:,}"
    from datetime import datetime  # here, as few programs show tables: errors import this module

    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    text = value.name if isinstance(value, Enum) else ", ".join(map(str, value)) if _is_list(value) else str(value)
    return clean(text, TEXT)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, (list, tuple))


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, (bool, Enum)))


def _fitted(widths: list[int], whole: int, limit: int | None) -> list[int]:
    """Return the columns' widths, the widest of them reduced until they and their gaps fit a line."""
    room = sum(widths) if limit is None else limit - len(_GAP) * (len(widths) - 1)
    for first in (whole, 0):
        while sum(widths) > room and (widest := max(widths[first:], default=0)) > _NARROWEST:
            widths[widths.index(widest, first)] -= 1
    return widths


def _aligned(texts: list[str], width: int, right: bool) -> list[str]:
    cut = [text if columns_of(text) <= width else f"{_start(text, width - 3)}..." for text in texts]
    spaces = (" " * (width - columns_of(text)) for text in cut)
    return [space + text if right else text + space for text, space in zip(cut, spaces, strict=True)]


def _start(text: str, width: int) -> str:
    start = text[:width]
    while columns_of(start) > width:
        start = start[:-1]
    return start


class ShownAsTable:
    """The base of objects whose `str()` is a table, which IPython shows in place of their `repr()`."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


# -- HTML -------------------------------------------------------------------------------------------------------------


def html_table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> str:
    """Return a table with a line a row, of the first hundred rows."""
    lines = [[_cell(value) for value in row] for row in islice(rows, ROWS + 1)]
    head = "".join(f"<th {_LEFT}>{_text(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td {_LEFT}>{_text(text)}</td>' for text in line)}</tr>" for line in lines[:ROWS])
    rest = f'<tr><td colspan="{len(header)}">…</td></tr>' if len(lines) > ROWS else ""
    return f"<table><tr>{head}</tr>{body}{rest}</table>"


def table(title: str, rows: Iterable[tuple[object, Any]], *, depth: int = 1) -> str:
    """Return a table of names and values. Messages, mappings and lists of them become nested tables."""
    limit = ROWS if depth == 1 else ITEMS
    shown = list(islice(rows, limit + 1))
    head = f'<tr><th colspan="2" {_LEFT}>{_text(title)}</th></tr>' if title else ""
    body = "".join(
        f"<tr><th {_LEFT}>{_text(str(name))}</th><td {_LEFT}>{_value(value, depth)}</td></tr>"
        for name, value in shown[:limit]
    )
    rest = '<tr><td colspan="2">…</td></tr>' if len(shown) > limit else ""
    return f"<table>{head}{body}{rest}</table>"


def _value(value: Any, depth: int) -> str:
    if isinstance(value, Enum):
        return _text(value.name)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        start = repr(bytes(value[:TEXT]))
        return _text(f"{start}… ({len(value)} bytes)" if len(value) > TEXT else start, len(start) + TEXT)
    if isinstance(value, (list, tuple, Mapping)) and not value:
        return _text(str(value))
    if isinstance(value, (list, tuple)):
        return _list(value, depth)
    rows = value.items() if isinstance(value, Mapping) else value if _is_message(value) else None
    if rows is None:
        return _text(str(value))
    title = "" if isinstance(value, Mapping) else type(value).__name__
    return _text(f"{title or 'mapping'} …") if depth == DEPTH else table(title, rows, depth=depth + 1)


def _list(values: list[Any] | tuple[Any, ...], depth: int) -> str:
    if any(isinstance(item, (list, tuple, Mapping)) or _is_message(item) for item in values[:ITEMS]):
        return f"{len(values)} items …" if depth == DEPTH else table("", enumerate(values), depth=depth + 1)
    more = f", … ({len(values)} items)" if len(values) > ITEMS else ""
    return ", ".join(_value(item, depth) for item in values[:ITEMS]) + more


def _is_message(value: Any) -> bool:
    return hasattr(type(value), "model_fields")  # a pydantic model, which iterates over its fields


def _text(text: str, limit: int = TEXT) -> str:
    shown = _cut_lines(text) if "\n" in text else _cut(text, limit)
    from html import escape  # as above

    return escape("".join(char if char.isprintable() or char == "\n" else " " for char in shown))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _cut_lines(text: str) -> str:
    """Cut a text in the middle, as a traceback's last line says most."""
    return text if len(text) <= LINES else f"{_cut(text, LINES // 2)}\n{text[-LINES // 2 :]}"
