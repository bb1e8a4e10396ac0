"""Forked children: what counts them, and what leaves their parent's objects alone in them."""

from __future__ import annotations

import os

count = 0
"""Forks between this process and the one that imported this module. An object that noted another number while it was
used belongs to a parent: its event loop does not run here, and its sockets are shared."""


def _count() -> None:
    global count
    count += 1


os.register_at_fork(after_in_child=_count)


def keep(*objects: object) -> None:
    """Keep a parent's objects for ever, in a child.

    Collected or finalised at exit, a loop unregisters its sockets from the selector that both processes share, tasks
    complain and clean up without a loop, and calls of grpcio crash.
    """
    import ctypes  # no other reference outlives the interpreter's end

    for each in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
