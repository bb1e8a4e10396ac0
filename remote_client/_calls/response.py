"""An answer with its circumstances, which `with_response()` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .._objects.exports import exported_from
from .attempts import Attempts

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
        self._circumstances: dict[str, Any] = {}

    def take(self, attempts: Attempts, now: float) -> None:
        """Take them from a call's last attempt."""
        answer = attempts.call.answer
        assert answer is not None
        self._circumstances = {
            "metadata": answer.metadata or {},
            "trailing_metadata": answer.trailing_metadata or {},
            "target": attempts.server.target,
            "attempts": attempts.number,
            "seconds": now - attempts.begun,
            "request_id": attempts.call.request_id,
        }

    def made(self, value: Any) -> Response[Any]:
        """Return the answer with them."""
        return Response(value, **self._circumstances)
