"""Lines of source as ruff formats them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

WIDTH = 120


def call(
    indent: str, start: str, parts: Sequence[str], end: str, comments: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Lines of a definition or a call: what is too long for one line has a line for all its parts, or one for each.

    Args:
        indent: the spaces in front.
        start: what stands in front of the parts, with the opening bracket.
        parts: parameters or arguments.
        end: what follows, from the closing bracket on.
        comments: what is said of a part, in a line of its own.
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
