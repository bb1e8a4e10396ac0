"""A server's values and text as Python source. What leaves this module is a literal, or text that ends no docstring."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

_MAX_BITS = 1_000
"""Of an integer: Python reads no literals of more than a few thousand digits."""
_MAX_DEPTH = 50
"""Of lists and dicts: Python reads no more than 200 brackets inside of each other."""


def literal(value: Any, name: Callable[[str], str] = str, depth: int = 0) -> str | None:
    """Return the source of a value, as ruff writes it; None for a value that no literal stands for.

    None, bool, int, float, str, bytes, and lists and dicts of these have one. Subclasses have none.

    Args:
        value: the value.
        name: returns the name by which the file knows a builtin: no literal stands for NaN and infinity.
        depth: how many lists and dicts the value is in.
    """
    kind = type(value)
    if value is None or kind is bool:
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() <= _MAX_BITS else None
    if kind is float:
        return repr(value).replace("e+", "e") if math.isfinite(value) else f'{name("float")}("{value!r}")'
    if kind in (str, bytes):
        return _quoted(repr(value))
    if depth >= _MAX_DEPTH or kind not in (list, dict):
        return None
    parts = [value] if kind is list else [value.keys(), value.values()]
    columns = [[literal(each, name, depth + 1) for each in part] for part in parts]
    if any(None in column for column in columns):
        return None
    if kind is list:
        return f"[{', '.join(map(str, columns[0]))}]"
    return f"{{{', '.join(f'{key}: {each}' for key, each in zip(*columns, strict=True))}}}"


def words(text: str, limit: int) -> str:
    """Return text for a docstring: one line of printable letters, without quotes that end it and without backslashes.

    Args:
        text: anything.
        limit: how many letters are left.
    """
    line = " ".join(text.split())[:limit]
    printable = "".join(letter if letter.isprintable() else "?" for letter in line)
    return printable.replace("\\", "/").replace('"', "'").strip()


def _quoted(source: str) -> str:
    """What `repr` says of text or bytes, in double quotes if there are no quotes inside."""
    start = source[: source.index(source[-1]) + 1]
    inside = source[len(start) : -1]
    return source if "'" in inside or '"' in inside else f'{start[:-1]}"{inside}"'
