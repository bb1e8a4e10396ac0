"""Names on the wire -> names that Python allows; and types that refer to each other."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from typing import Any

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


def complete(models: list[type[BaseModel]], aliases: Mapping[str, str], made: Mapping[str, type[Any]]) -> None:
    """Fill in the forward references of models, and keep in `models` only those that wait for more types still.

    Args:
        models: models that may be incomplete.
        aliases: full name -> how a forward reference calls the type.
        made: full name -> the type, of those that are made.
    """
    models[:] = [each for each in models if not each.__pydantic_complete__]
    if not models:
        return
    known = {alias: made[name] for name, alias in aliases.items() if name in made}
    for each in models:
        each.model_rebuild(raise_errors=False, _types_namespace=known)
    models[:] = [each for each in models if not each.__pydantic_complete__]


def _is_free(name: str) -> bool:
    """Whether a pydantic model's field and a method's parameter may have the name."""
    return name.isidentifier() and name != "self" and not keyword.iskeyword(name) and not hasattr(BaseModel, name)
