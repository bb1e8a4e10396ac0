"""The name that may have been meant, for error messages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_MOST = 10_000
"""Names that are looked at."""
_ALIKE = 0.6
"""How alike names must be; `difflib`'s own measure."""
WORK = 100_000
"""Comparisons of letters: at worst 50 ms."""


def closest(wanted: str, names: Iterable[str], work: int = WORK) -> str | None:
    """Return the name that is most like the wanted one; None if none is like it.

    Comparing takes the product of two names' letters, and a server may have any number of names of any length: only the
    first ones are compared, as long as `work` lasts.
    """
    likely = []
    for each in islice(names, _MOST):
        # Of names whose lengths differ that much no letters need be compared.
        if 2 * min(len(each), len(wanted)) < _ALIKE * (len(each) + len(wanted)):
            continue
        work -= len(each) * len(wanted)
        if work < 0:
            break
        likely.append(each)
    import difflib

    close = difflib.get_close_matches(wanted, likely, n=1, cutoff=_ALIKE)
    return close[0] if close else None
