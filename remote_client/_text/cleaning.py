"""Texts and values for error messages: without control characters, and of limited length."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

_TEXT_LIMIT, _LINES_LIMIT = 4096, 16_384
_MOST_LISTED, _LISTED_LIMIT = 20, 300
_BREAKS = re.compile("\r\n?|[\x85\u2028\u2029]")
"""Line breaks of all kinds but a newline."""


def clean(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Return a server's text without control characters and line breaks, cut to `limit` characters: safe to log."""
    shown = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return shown if shown.isprintable() else "".join(char if char.isprintable() else " " for char in shown)


def clean_lines(text: str, limit: int = _LINES_LIMIT) -> str:
    """Return a server's text with its line breaks but without other control characters: safe to print.

    In a log the server could forge lines with it: log its `repr`, or use `clean`. A longer text is cut in the middle,
    as a traceback's last line says most.
    """
    lines = _BREAKS.sub("\n", text).rstrip("\n")
    if len(lines) > limit:
        half = limit // 2 - 20  # leaves room for the note, so that cutting twice changes nothing
        lines = f"{lines[:half]}\n... ({len(lines)} characters)\n{lines[-half:]}"
    return "".join(char if char.isprintable() or char == "\n" else " " for char in lines)


def listed(texts: Iterable[str], number: int) -> str:
    """Return the first of `number` texts, separated by commas. A server may have chosen them."""
    more = f", ... ({number:,} in all)" if number > _MOST_LISTED else ""
    return clean(", ".join(islice(texts, _MOST_LISTED)), _LISTED_LIMIT) + more


def type_name(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__


def short_repr(value: object) -> str:
    """Return the first 80 characters of a value's `repr`, or its type's name if `repr` fails, as for a huge integer."""
    try:
        return f"{value!r:.80}"
    except Exception:
        return type_name(value)
