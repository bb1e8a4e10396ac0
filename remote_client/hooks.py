"""What a hook is told about calls: for logs, metrics and traces of one's own. Without hooks it costs nothing."""

from __future__ import annotations

import inspect
import logging
from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError, RemoteClientError

__all__ = ["AttemptFailed", "CallEnded", "Event", "Hook"]

_logger = logging.getLogger("remote_client")


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


_NEVER_RUN = {
    "a coroutine function": inspect.iscoroutinefunction,
    "an async generator function": inspect.isasyncgenfunction,
    "a generator function": inspect.isgeneratorfunction,
}
"""Kinds of functions whose body does not run when they are called."""


def check_hooks(hooks: Any) -> tuple[Hook, ...]:
    """Return hooks as a tuple.

    Raises:
        ConfigurationError: they are no iterable, or one of them could never run.
    """
    try:
        given = tuple(hooks)
    except TypeError:
        name = name_of(hooks)
        raise ConfigurationError(f"hooks: give a list of functions, as in hooks=[{name}], not {name}") from None
    for hook in given:
        if not callable(hook):
            raise ConfigurationError(f"hooks: {name_of(hook)} cannot be called; a hook is a function of one event")
        runs: Any = getattr(hook, "__call__", None)  # noqa: B004  # of an object, what its class defines
        for kind, recognise in _NEVER_RUN.items():
            if recognise(hook) or recognise(runs):
                raise ConfigurationError(
                    f"hooks: {name_of(hook)} is {kind}, which a hook cannot be: its body would never run. Give a plain "
                    "function; it runs in the event loop, and can create tasks or put events into a queue"
                )
        if not can_take(hook, None):
            raise ConfigurationError(f"hooks: {name_of(hook)} cannot be called with one event")
    return given


def can_take(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a callable takes these positional arguments; True where nothing tells."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some of those that are written in C
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def name_of(value: Any) -> str:
    """A function's name, for error messages, or the beginning of another object's `repr`."""
    return str(getattr(value, "__qualname__", None) or f"{value!r:.80}")


def tell(hooks: tuple[Hook, ...], event: Event) -> None:
    """Call all hooks."""
    for hook in hooks:
        try:
            hook(event)
        except (Exception, CancelledError):  # nobody cancelled the call
            _logger.exception("the hook %r failed", hook)
