"""The calls that a fake runtime got, and the faults that the next ones meet."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._objects.exports import exported_from
from ..errors import InputError, RemoteCallError
from ..settings import Protocol


@exported_from("remote_client.testing")
@dataclass(frozen=True)
class Call:
    """A call of a model's method that a fake runtime got, or of its training.

    Attributes:
        model: the model's name; of a training, the name of the new model.
        method: the name of the declared method.
        arguments: the arguments that were sent, by name, as mappings, lists and plain values. A streamed argument is
            the list of the items that have been read so far.
        metadata: gRPC's metadata, or HTTP's headers; names in lower case.
        protocol: what carried it.
    """

    model: str
    method: str
    arguments: Mapping[str, Any]
    metadata: Mapping[str, str | bytes]
    protocol: Protocol


class Faults:
    """The errors and the delay of the next calls. Any thread may set them."""

    def __init__(self) -> None:
        self._errors: deque[RemoteCallError] = deque()
        self._lock = threading.Lock()
        self._delay = 0.0

    def fail(self, error: RemoteCallError, times: int) -> None:
        """Let the next calls fail."""
        if not isinstance(error, RemoteCallError):
            raise InputError(f"error: expected a RemoteCallError, such as UnavailableError('down'), not {error!r}")
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise InputError(f"times: expected a number of calls, at least 1, not {times!r}")
        with self._lock:
            self._errors.extend([error] * times)

    def delay(self, seconds: float) -> None:
        """Let all calls from now on take longer."""
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
            raise InputError(f"seconds: expected a number of seconds, not {seconds!r}")
        self._delay = seconds

    async def meet(self) -> None:
        """Wait, and raise the next error if there is one."""
        if self._delay:
            await asyncio.sleep(self._delay)
        with self._lock:
            error = self._errors.popleft() if self._errors else None
        if error is not None:
            raise error
