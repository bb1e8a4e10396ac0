"""What the failure of a row is about: the row, the pace, the server, or the map. Pure."""

from __future__ import annotations

from enum import Enum

from ..errors import (
    CallCancelledError,
    ClosedError,
    ForkedError,
    RemoteCallError,
    ResourceExhaustedError,
    ResponseTooLargeError,
    UnavailableError,
    WrongLoopError,
)

_AWAY = (502, 503, 504)


class CheckpointError(OSError):
    """The file of a checkpoint cannot be written or read, as on a full disk. It ends the map."""


class Failure(Enum):
    """What a failure is about."""

    ROW = "the row"
    OVERLOAD = "the pace"
    OUTAGE = "the server"
    MAP = "the map"


def failure_of(error: Exception) -> Failure:
    """Return what an error is about.

    gRPC says RESOURCE_EXHAUSTED of a message that is too large, too; HTTP has a status of its own for that. A CANCELLED
    that the client did not cause is how an overloaded runtime drops calls.
    """
    if isinstance(error, (CheckpointError, ClosedError, ForkedError, WrongLoopError)):
        return Failure.MAP  # the client was closed, for one: all other rows would fail, too
    if isinstance(error, UnavailableError) or (isinstance(error, RemoteCallError) and error.http_status in _AWAY):
        return Failure.OUTAGE
    if isinstance(error, ResponseTooLargeError) or not isinstance(error, (ResourceExhaustedError, CallCancelledError)):
        return Failure.ROW
    is_large = error.http_status == 413 or "larger than max" in error.details
    return Failure.ROW if is_large else Failure.OVERLOAD
