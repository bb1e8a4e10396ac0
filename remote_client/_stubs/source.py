"""Pieces of Python source as ruff formats them: literals, docstrings and calls. No server can break out of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

WIDTH = 120
_MAX_BITS = 1_000
"""The size of an integer: Python reads no literals of more than a few thousand digits."""
_MAX_DEPTH = 50
"""The nesting of lists and dicts: Python reads no more than 200 nested brackets."""


def literal(value: Any, name: Callable[[str], str] = str, depth: int = 0) -> str | None:
    """Return the literal of a value, or None if it has none.

    None, bool, int, float, str, bytes, and lists and dicts of these have one. Instances of subclasses have none.

    Args:
        value: the value.
        name: returns the file's name of a builtin: NaN and infinity are written as calls of `float`.
        depth: the number of lists and dicts around the value.
    """
    kind = type(value)
    if value is None or kind is bool:
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() <= _MAX_BITS else None
    if kind is float:
        return repr(value).replace("e+", "e") if math.isfinite(value) else f'{name("float")}("{value!r}")'
    if kind in (str, bytes):
        return _double_quoted(repr(value))
    if depth >= _MAX_DEPTH or kind not in (list, dict):
        return None
    parts = [value] if kind is list else [value.keys(), value.values()]
    columns = [[literal(item, name, depth + 1) for item in part] for part in parts]
    if any(None in column for column in columns):
        return None
    if kind is list:
        return f"[{', '.join(map(str, columns[0]))}]"
    return f"{{{', '.join(f'{key}: {item}' for key, item in zip(*columns, strict=True))}}}"


def _double_quoted(source: str) -> str:
    """Return the `repr` of text or bytes with double quotes, unless there are quotes inside."""
    start = source[: source.index(source[-1]) + 1]
    inside = source[len(start) : -1]
    return source if "'" in inside or '"' in inside else f'{start[:-1]}"{inside}"'


def docstring_text(text: str, limit: int) -> str:
    """Return the first `limit` characters of text on one printable line, without double quotes and backslashes."""
    line = " ".join(text.split())[:limit]
    printable = "".join(char if char.isprintable() else "?" for char in line)
    return printable.replace("\\", "/").replace('"', "'").strip()


def call(
    indent: str, start: str, parts: Sequence[str], end: str, comments: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yield the lines of a call or a function's head: one if it fits, else all parts on a line, else a line per part.

    Args:
        indent: the spaces in front.
        start: the source up to the opening bracket.
        parts: the arguments or parameters.
        end: the source from the closing bracket on.
        comments: comments on parts, by part. With comments, every part has its own line.
    """
    inner = ", ".join(parts)
    if not comments and len(indent + start + inner + end) <= WIDTH:
        yield f"{indent}{start}{inner}{end}"
        return
    yield indent + start
    if not comments and len(indent + inner) + 4 <= WIDTH:
        yield f"{indent}    {inner}"
    else:
        for part in parts:
            comment = f"  # {comments[part]}" if comments and part in comments else ""
            yield f"{indent}    {part},{comment}"
    yield indent + end
