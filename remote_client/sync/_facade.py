"""The base of the blocking classes: an object that holds its asyncio counterpart and runs it in the loop's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from ._loop_thread import closers, run


class Blocking:
    """A blocking object over its asyncio counterpart, `_twin`."""

    _twin: Any

    @classmethod
    def _of(cls, twin: Any) -> Self:
        self = cls.__new__(cls)
        self._twin = twin
        return self

    def _adopt(self, twin: Any) -> None:
        """Set a twin that owns connections: they are closed at exit unless they were closed before."""
        self._twin = twin
        closers.add(twin)

    def __repr__(self) -> str:
        return repr(self._twin)

    def __reduce__(self) -> Any:
        return _unpickled, (type(self), self._twin)

    def _repr_html_(self) -> str | None:
        render: Callable[[], str] | None = getattr(self._twin, "_repr_html_", None)
        return None if render is None else render()


def _unpickled(kind: type[Blocking], twin: Any) -> Any:
    return kind._of(twin)


class Closable(Blocking):
    """A blocking object that owns connections. A context manager."""

    def aclose(self) -> None:
        """Close the connections that this object owns. Calls in flight raise a ClosedError. Idempotent."""
        run(self._twin.aclose)

    close = aclose

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.aclose()


TWINS: dict[str, type[Blocking]] = {}
"""The blocking classes of asyncio classes, by the names of both: asyncio classes that nobody uses are not imported. The
modules of the blocking classes fill it."""


def twin_of(kind: type) -> type[Blocking] | None:
    """Return the blocking class of an asyncio class, or None for other classes."""
    twin = TWINS.get(kind.__name__)
    if twin is None:
        return None
    import remote_client

    return twin if getattr(remote_client, kind.__name__) is kind else None  # a server's type may have the name
