"""Forked processes: how to detect them, and how to leave the parent's objects alone in them."""

from __future__ import annotations

import os
from collections.abc import Callable

count = 0
"""The number of forks between this process and the one that imported this module.

An object that saw another number belongs to a parent: its event loop does not run here, and its sockets are shared.
"""


def _count() -> None:
    global count
    count += 1


def at_fork(**functions: Callable[..., object]) -> None:
    """Register functions as `os.register_at_fork` does, where processes can fork: Windows has neither."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**functions)


at_fork(after_in_child=_count)


def leak(*objects: object) -> None:
    """Keep the parent's objects for ever, in a forked child.

    Otherwise a collected loop unregisters its sockets from the selector that both processes share, collected tasks run
    their `finally` blocks without a loop, and collected calls of grpcio crash.
    """
    import ctypes  # a reference in Python would be dropped at exit

    for leaked in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))
