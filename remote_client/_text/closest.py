"""Suggests the name that the user may have meant, for error messages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_MOST = 10_000
"""Names that are compared."""
_ALIKE = 0.6
"""The least similarity, as `difflib` measures it."""
WORK = 100_000
"""Comparisons of letters, which take 50 ms at worst."""


def closest(wanted: str, names: Iterable[str], work: int = WORK) -> str | None:
    """Return the name that is most similar to the wanted one, or None if none is similar.

    Comparing two names takes as many steps as the product of their lengths, and a server may have any number of names
    of any length: only the first ones are compared, in `work` steps.
    """
    import difflib  # here, as only errors need it

    candidates = []
    for name in islice(names, _MOST):
        if 2 * min(len(name), len(wanted)) < _ALIKE * (len(name) + len(wanted)):  # too short or too long to be similar
            continue
        work -= len(name) * len(wanted)
        if work < 0:
            break
        candidates.append(name)
    matches = difflib.get_close_matches(wanted, candidates, n=1, cutoff=_ALIKE)
    return matches[0] if matches else None
