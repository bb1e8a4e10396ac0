"""Types that refer to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


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
