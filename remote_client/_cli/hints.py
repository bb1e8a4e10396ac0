"""What a user may have meant by a word that is none of the known ones."""

from __future__ import annotations

from collections.abc import Collection

from .._text.closest import closest


def hint(wanted: str, known: Collection[str]) -> str:
    """Return the most similar name as a question, or else all names."""
    close = closest(wanted, known)
    return f"did you mean {close}?" if close else f"it has {', '.join(known) or 'none'}"
