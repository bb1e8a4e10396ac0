"""What a hook is told about calls: for logs, metrics and traces of one's own. Without hooks it costs nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from .errors import RemoteClientError

logger = logging.getLogger("remote_client")


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """One attempt of a call failed.

    Attributes:
        method: `package.Service/Method`, or over HTTP the verb and the route.
        target: the server.
        model: the model's name; None for what belongs to no model.
        attempt: its number, from 1.
        error: why.
        wait: seconds until the next attempt; None where there is none.
    """

    method: str
    target: str
    model: str | None
    attempt: int
    error: RemoteClientError
    wait: float | None


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call ended: with an answer, with the last item of a stream, or with an error.

    Attributes:
        method, target, model: as of `AttemptFailed`; the target is the last one.
        attempts: how many there were.
        seconds: how long it took, all attempts and pauses together.
        error: what it ended with; None where it succeeded. `asyncio.CancelledError` for one that was given up.
    """

    method: str
    target: str
    model: str | None
    attempts: int
    seconds: float
    error: BaseException | None


Event = AttemptFailed | CallEnded
Hook = Callable[[Event], None]
"""Called in the event loop, so it must not block. What it raises is logged and goes no further."""


def tell(hooks: tuple[Hook, ...], event: Event) -> None:
    """Call all hooks."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:
            logger.exception("the hook %r failed", hook)
