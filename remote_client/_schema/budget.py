"""What a server's description of itself may cost. It is counted while types are made of it; no I/O.

A server is not trusted: a few kilobytes of a schema can stand for years of work. Reading and making ask one budget,
which both a limit and the caller's leaving end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
"""How much a description may have: bytes of descriptors or of a document; parts of protobuf's messages, of which each
becomes an object; files; services, methods and routes; messages, enums and objects; fields, members of enums and of
unions, and schemas inside of schemas."""
MAX_DEPTH = 500
"""Types and schemas inside of each other."""
MAX_NAME = 1_000
"""Letters of a name."""
SECONDS = 60.0
"""How long types may be made where no deadline of a call is known, as in another process."""


class LateDescriptionError(SchemaError, DeadlineExceededError):
    """The server did not describe itself in time."""


class Budget:
    """Counts what one description costs.

    Any of its methods may raise SchemaError: a limit, which it names, is reached. Only `cancel` is for other threads.

    Args:
        seconds: until the deadline of all of discovery.
        limits: how much there may be of each kind.
        max_depth: how deep types and schemas may be nested.
        clock: tells the time in seconds.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        *,
        limits: dict[Kind, int] | None = None,
        max_depth: int = MAX_DEPTH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = LIMITS if limits is None else {**LIMITS, **limits}
        self._spent = dict.fromkeys(self._limits, 0)
        self._max_depth = max_depth
        self._depth = 0
        self._clock = clock
        self._seconds = seconds
        self._deadline = clock() + seconds
        self._cancelled = False

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, below 0 after it."""
        return self._deadline - self._clock()

    def left(self, kind: Kind) -> int:
        """Return how many more of a kind there may be."""
        return max(self._limits[kind] - self._spent[kind], 0)

    def spend(self, kind: Kind, amount: int = 1) -> None:
        """Count so many more of a kind."""
        self._spent[kind] += amount
        if self._spent[kind] > self._limits[kind]:
            raise SchemaError(f"the description is too large: more than {self._limits[kind]:,} {kind}")
        self.check()

    def check(self) -> None:
        """Raise where nobody waits any more, or too long."""
        if self._cancelled:
            raise SchemaError("reading the description was cancelled: no call waits for it")
        if self._clock() > self._deadline:
            raise self.timeout_error()

    def timeout_error(self) -> LateDescriptionError:
        """Return the error of a description that took too long."""
        return LateDescriptionError(f"reading the description took more than {self._seconds:g} seconds")

    @contextmanager
    def level(self) -> Iterator[None]:
        """Count what is done inside as one level deeper."""
        self._depth += 1
        try:
            if self._depth > self._max_depth:
                raise SchemaError(f"the types are nested too deeply: more than {self._max_depth} levels")
            yield
        finally:
            self._depth -= 1

    def check_name(self, name: str) -> str:
        """Return a name from a server, unless it is too long."""
        if len(name) > MAX_NAME:
            raise SchemaError(f"a name has {len(name):,} letters; the limit is {MAX_NAME:,}")
        return name

    def cancel(self) -> None:
        """Let whoever works on this budget end soon. For any thread."""
        self._cancelled = True
