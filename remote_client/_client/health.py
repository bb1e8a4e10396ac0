"""The health of a server: the question, and its answer as a `HealthStatus`."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from .._calls.caller import Caller
from .._objects.exports import exported_from
from .._settings.retries import ONCE
from .._text.tables import table
from ..errors import DeadlineExceededError, RemoteCallError, TlsError, UnavailableError
from ..settings import Protocol

SERVICE = "/grpc.health.v1.Health"
PATIENCE = 10.0
"""Seconds in which a server must answer: longer than connecting may take, and shorter than most waits for a server."""


@exported_from("remote_client")
class HealthState(enum.StrEnum):
    """Whether a server serves.

    Attributes:
        SERVING: it serves.
        NOT_SERVING: it answers that it does not, as while it shuts down.
        UNREACHABLE: it does not answer.
        UNKNOWN: it does not know, or refuses the question, as with wrong credentials.
    """

    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    UNREACHABLE = "UNREACHABLE"
    UNKNOWN = "UNKNOWN"


@exported_from("remote_client")
@dataclass(frozen=True)
class HealthStatus:
    """The health of one server.

    Attributes:
        target: the server's address, as errors name it.
        state: whether it serves.
        error: why it could not be asked, or refused; None after an answer. It does not count in comparisons.
    """

    target: str
    state: HealthState
    error: RemoteCallError | None = field(default=None, compare=False)

    @property
    def is_serving(self) -> bool:
        """Whether the server serves."""
        return self.state is HealthState.SERVING

    def __str__(self) -> str:
        reason = f" ({self.error.status}: {self.error.details})" if self.error else ""
        return f"{self.target} is {self.state.value}{reason}"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, vars(self).items())


_QUESTIONS: dict[Protocol, tuple[str, dict[bytes, HealthState], HealthState]] = {
    # the method, the states of its answers, and the state of any other answer
    "grpc": (  # HealthCheckResponse{status: ...}
        f"{SERVICE}/Check",
        {b"\x08\x01": HealthState.SERVING, b"\x08\x02": HealthState.NOT_SERVING},
        HealthState.UNKNOWN,
    ),
    "http": ("GET /health", {b"OK": HealthState.SERVING}, HealthState.NOT_SERVING),
}


def quick(caller: Caller) -> Caller:
    """Return a caller for questions that are asked again and again: one attempt, in short time."""
    timeout = caller.options.timeout
    return caller.replace(timeout=PATIENCE if timeout is None else min(timeout, PATIENCE), retry=ONCE)


async def ask_health(caller: Caller, protocol: Protocol) -> HealthState:
    """Return a server's own answer.

    Raises:
        RemoteCallError: it could not be asked, or refused.
    """
    data: bytes = await caller.send(_QUESTIONS[protocol][0], b"")
    return state_of(data, protocol)


def state_of(data: bytes, protocol: Protocol) -> HealthState:
    """Return the state in an answer."""
    _, states, other = _QUESTIONS[protocol]
    return states.get(data, other)


def failed_status(target: str, error: RemoteCallError) -> HealthStatus:
    """Return the status of a server that could not be asked, or refused."""
    is_silent = isinstance(error, (UnavailableError, DeadlineExceededError, TlsError))
    state = HealthState.UNREACHABLE if is_silent else HealthState.UNKNOWN
    without_frames: Any = error.with_traceback(None)  # they hold the call
    return HealthStatus(target, state, without_frames)
