"""The budget of a server's description: how much may be read, and how long types may be made.

Servers are not trusted: a few kilobytes of a schema can cost years of computing. Parsers and type makers spend one
budget. It ends at a limit, at the deadline, or when the caller cancels it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal

from ..errors import DeadlineExceededError, SchemaError

Kind = Literal["bytes", "parts", "files", "names", "types", "nodes"]
LIMITS: dict[Kind, int] = {
    "bytes": 16 * 1024 * 1024,
    "parts": 1_000_000,
    "files": 10_000,
    "names": 20_000,
    "types": 20_000,
    "nodes": 500_000,
}
"""The most of every kind in a description.

- bytes: of descriptors, or of a document.
- parts: fields of protobuf's messages that become objects, or values of a document.
- names: services, methods and routes.
- types: messages, enums and objects.
- nodes: fields, members of enums and unions, and nested schemas.
"""
MOST_LATE_BYTES = 32 * 1024
"""The most bytes of a schema that a method's types may come from to be made on the method's first use, which holds up
the event loop: they take a tenth of a second, and hardly more than one if a hostile schema crams them."""
LATE_LIMITS: dict[Kind, int] = {"types": 2_000, "nodes": 20_000}
"""The most of a kind in the types of one method that are made so."""
MAX_NAME = 1_000
"""The most letters of a name."""
SECONDS = 60.0
"""The time limit where no call's deadline applies, as in another process."""


def may_be_late(start: Iterable[str], size: Callable[[str], int], references: Callable[[str], Iterable[str]]) -> bool:
    """Return whether the parts of a schema that a method's types come from have at most `MOST_LATE_BYTES`."""
    found, waiting, left = set[str](), [*start], MOST_LATE_BYTES
    while waiting:
        part = waiting.pop()
        if part not in found:
            found.add(part)
            left -= size(part)
            if left < 0:
                return False
            waiting += references(part)
    return True


class LateDescriptionError(SchemaError, DeadlineExceededError):
    """The description could not be read in time."""


class Budget:
    """Counts the cost of one description.

    Methods raise a SchemaError that names the limit that was reached. Only `cancel` may be called in other threads.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        *,
        limits: dict[Kind, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = LIMITS if limits is None else {**LIMITS, **limits}
        self._spent = dict.fromkeys(self._limits, 0)
        self._clock = clock
        self._seconds = seconds
        self._deadline = clock() + seconds
        self._cancelled = False

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, below 0 after it."""
        return self._deadline - self._clock()

    def left(self, kind: Kind) -> int:
        """Return how much of a kind is left."""
        return max(self._limits[kind] - self._spent[kind], 0)

    def restart(self) -> None:
        """Count anew, as for the types of another method."""
        self._spent = dict.fromkeys(self._limits, 0)

    def spend(self, kind: Kind, amount: int = 1) -> None:
        """Count an amount of a kind."""
        self._spent[kind] += amount
        if self._spent[kind] > self._limits[kind]:
            raise SchemaError(f"the description is too large: more than {self._limits[kind]:,} {kind}")
        self.check()

    def check(self) -> None:
        """Raise an error if the budget was cancelled, or is past its deadline."""
        if self._cancelled:
            raise SchemaError("reading the description was cancelled: no call waits for it")
        if self._clock() > self._deadline:
            raise self.timeout_error()

    def timeout_error(self) -> LateDescriptionError:
        """Return the error for a description that takes too long."""
        return LateDescriptionError(f"reading the description took more than {self._seconds:g} seconds")

    def check_name(self, name: str) -> str:
        """Return a name from a server. Raise an error if it is too long."""
        if len(name) > MAX_NAME:
            raise SchemaError(f"a name has {len(name):,} letters; the limit is {MAX_NAME:,}")
        return name

    def cancel(self) -> None:
        """Make `check` raise an error from now on. May be called in any thread."""
        self._cancelled = True
