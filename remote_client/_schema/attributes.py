"""Names on the wire -> names that Python allows."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

from pydantic import BaseModel


def attributes_of(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """For each name the one its attribute and parameter have: the same, unless Python or pydantic uses it.

    `taken` are more names that must not be used for another.
    """
    names = list(names)
    used = {*names, *taken}
    attributes: dict[str, str] = {}
    for name in names:
        attribute = name
        if name.startswith("_") or not _is_free(name):
            attribute = name.lstrip("_") or "field"
            if not attribute.isidentifier():
                attribute = "field"
            while attribute in used or not _is_free(attribute):
                attribute += "_"
            used.add(attribute)
        attributes[name] = attribute
    return attributes


def _is_free(name: str) -> bool:
    """Whether a pydantic model's field and a method's parameter may have the name."""
    return name.isidentifier() and name != "self" and not keyword.iskeyword(name) and not hasattr(BaseModel, name)
