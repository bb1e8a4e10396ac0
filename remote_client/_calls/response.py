"""An answer with its circumstances, which `with_response()` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .._objects.exports import exported_from
from .attempts import UNKNOWN, Circumstances

T = TypeVar("T")


@exported_from("remote_client")
@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """An answer with its circumstances.

    Attributes:
        value: the answer.
        metadata: the answer's initial metadata, or its headers; texts of one key are joined by commas.
        trailing_metadata: the answer's trailing metadata; empty over HTTP.
        target: the server that answered.
        attempts: the number of attempts.
        seconds: the duration of the call, with all attempts and pauses, until the answer had arrived.
        request_id: the id that all attempts sent as `x-request-id`.
    """

    value: T
    metadata: Mapping[str, str | bytes] = field(repr=False)
    trailing_metadata: Mapping[str, str | bytes] = field(repr=False)
    target: str
    attempts: int
    seconds: float
    request_id: str


class ResponseMaker:
    """Takes the circumstances of a call that succeeded."""

    def __init__(self) -> None:
        self._circumstances: Circumstances = UNKNOWN
        self._seconds = 0.0

    def take(self, circumstances: Circumstances, seconds: float) -> None:
        """Take those of the last attempt, and the duration of the call."""
        self._circumstances, self._seconds = circumstances, seconds

    def made(self, value: Any) -> Response[Any]:
        """Return the answer with them."""
        answer, target, attempts, id = self._circumstances
        return Response(
            value,
            answer.metadata or {},
            answer.trailing_metadata or {},
            target or "",
            attempts,
            self._seconds,
            id or "",
        )
