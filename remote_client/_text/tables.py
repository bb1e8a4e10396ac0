"""HTML tables for notebooks, returned by every `_repr_html_` of this package.

Servers choose the contents: everything is escaped, and long values are cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from html import escape
from itertools import islice
from typing import Any

TEXT, ROWS, ITEMS, DEPTH = 500, 100, 10, 3
"""Limits: characters of a text, rows of a table, items of a nested value, nested tables."""
LINES = 4000
"""Characters of a text with several lines, such as a traceback."""
_LEFT = 'style="text-align: left; vertical-align: top; white-space: pre-wrap"'


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
    return escape("".join(char if char.isprintable() or char == "\n" else " " for char in shown))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _cut_lines(text: str) -> str:
    """Cut a text in the middle, as a traceback's last line says most."""
    return text if len(text) <= LINES else f"{_cut(text, LINES // 2)}\n{text[-LINES // 2 :]}"
