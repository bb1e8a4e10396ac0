"""Modules of 0.1 under their old names, such as `remote_client.client`: `remote_client.__path__` has this folder.

They go away with 1.0. Type checkers do not find them, and so report imports of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any


def moved(module: str, *names: str, **internal: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module that moved.

    Args:
        module: the old name of the module.
        names: names that `remote_client` exports.
        internal: the new places of internal names.
    """

    def get(name: str) -> Any:
        if name not in names and name not in internal:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        advice = f"use remote_client.{name}" if name in names else "it is internal and goes away with 1.0"
        warnings.warn(f"{module}.{name} is deprecated: {advice}", DeprecationWarning, stacklevel=2)
        place, _, attribute = internal.get(name, f"remote_client.{name}").rpartition(".")
        return getattr(import_module(place), attribute)

    return get
