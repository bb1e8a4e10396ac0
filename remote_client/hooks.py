"""Hooks and the events they get, for logs, metrics and traces. Calls without hooks pay nothing.

All events of one call come in one context of `contextvars`: a hook may set a variable at the start, and must reset it
at the end."""

from __future__ import annotations

import inspect
import logging
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from .errors import ConfigurationError, RemoteCallError, RemoteClientError

__all__ = ["AttemptFailed", "CallEnded", "CallStarted", "Event", "Hook"]

_logger = logging.getLogger("remote_client")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CallStarted:
    """A call starts: its arguments are encoded and its metadata is known; nothing was sent yet.

    Attributes:
        method: `package.Service/Method`, or over HTTP the verb and the route.
        target: the server of the first attempt.
        model: the model's name; None for calls that belong to no model.
        task: the task's class, such as `SampleTask`; None for calls that belong to no task.
        protocol: `grpc` or `http`.
        streams: whether it has a stream of answers.
        request_id: the id that all attempts send as `x-request-id`.
        streams_input: whether its input is a stream.
    """

    method: str
    target: str
    model: str | None
    task: str | None
    protocol: Literal["grpc", "http"]
    streams: bool
    request_id: str
    streams_input: bool = False


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """One attempt of a call failed.

    Attributes:
        method: `package.Service/Method`, or over HTTP the verb and the route.
        target: the server.
        model: the model's name; None for calls that belong to no model.
        attempt: the number of the attempt, from 1.
        error: the reason.
        wait: seconds until the next attempt; None after the last one.
        request_id: the call's id.
        call: the event of the call's start; the same object in all events of a call.
    """

    method: str
    target: str
    model: str | None
    attempt: int
    error: RemoteClientError
    wait: float | None
    request_id: str = ""
    call: CallStarted | None = None


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call ended: with an answer, with the last item of a stream, or with an error.

    Attributes:
        method: `package.Service/Method`, or over HTTP the verb and the route.
        target: the server of the last attempt.
        model: the model's name; None for calls that belong to no model.
        attempts: the number of attempts.
        seconds: the duration, with all attempts and pauses.
        error: the error it ended with, or None. `asyncio.CancelledError` for a cancelled call.
        requests: the number of messages sent.
        responses: the number of messages received.
        request_id: the call's id.
        call: the event of the call's start; the same object in all events of a call.
        http_status: the status of the answer over HTTP; None over gRPC, and without an answer.
    """

    method: str
    target: str
    model: str | None
    attempts: int
    seconds: float
    error: BaseException | None
    requests: int = 1
    responses: int = 0
    request_id: str = ""
    call: CallStarted | None = None
    http_status: int | None = None

    @property
    def status(self) -> str:
        """The name of the gRPC status, on both protocols.

        `OK`, that of a `RemoteCallError`, `CANCELLED` for a cancelled call, or `UNKNOWN` for any other error.
        """
        if isinstance(self.error, RemoteCallError):
            return self.error.status
        return "OK" if self.error is None else "CANCELLED" if isinstance(self.error, CancelledError) else "UNKNOWN"


Event = CallStarted | AttemptFailed | CallEnded
"""What hooks are called with: of a call the start, each failed attempt, and the end."""
Hook = Callable[[Event], None]
"""A callable of one event. It runs in the event loop, so it must not block. Its exceptions are logged.

An object may have a method `metadata(call: CallStarted) -> Mapping[str, str | bytes]` as well: called once a call,
after the event of its start, it returns metadata to send in addition, which overrides equal keys.
"""


everywhere: dict[type, Hook] = {}
"""Hooks of every client in this process, by their classes. Calls read it when they start."""

foreign_calls: ContextVar[Callable[[], AbstractContextManager[Any]]] = ContextVar("foreign_calls", default=nullcontext)
"""Entered around the functions of grpc.aio and httpx that send a call: there, and not in middleware or streamed inputs,
a hook that traces calls keeps the spans of other instrumentors away."""


_NEVER_RUN = {
    "a coroutine function": inspect.iscoroutinefunction,
    "an async generator function": inspect.isasyncgenfunction,
    "a generator function": inspect.isgeneratorfunction,
}
"""The kinds of functions whose body does not run when they are called."""


def check_hooks(hooks: Any) -> tuple[Hook, ...]:
    """Return hooks as a tuple.

    Raises:
        ConfigurationError: they are no iterable, or one of them can never run.
    """
    try:
        given = tuple(hooks)
    except TypeError:
        name = name_of(hooks)
        raise ConfigurationError(f"hooks: give a list of functions, as in hooks=[{name}], not {name}") from None
    for hook in given:
        if not callable(hook):
            raise ConfigurationError(f"hooks: {name_of(hook)} cannot be called; a hook is a function of one event")
        if isinstance(hook, type) and any("__call__" in vars(base) for base in hook.__mro__):
            raise ConfigurationError(f"hooks: {name_of(hook)} is a class: give an object, {name_of(hook)}()")
        method: Any = getattr(hook, "__call__", None)  # noqa: B004  # of an object whose class defines it
        for kind, is_kind in _NEVER_RUN.items():
            if is_kind(hook) or is_kind(method):
                raise ConfigurationError(
                    f"hooks: {name_of(hook)} is {kind}, which a hook cannot be: its body would never run. Give a plain "
                    "function; it runs in the event loop, and can create tasks or put events into a queue"
                )
            metadata: Any = getattr(hook, "metadata", None)
            if is_kind(metadata):
                raise ConfigurationError(f"hooks: `metadata` of {name_of(hook)} is {kind}: write a plain method")
        if not accepts(hook, None):
            raise ConfigurationError(f"hooks: {name_of(hook)} cannot be called with one event")
    return given


def accepts(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a callable accepts positional arguments; True if its signature is unknown."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions that are written in C
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def name_of(value: Any) -> str:
    """Return a function's name for error messages, or the start of another object's `repr`."""
    return str(getattr(value, "__qualname__", None) or f"{value!r:.80}")


def with_everywhere(own: tuple[Hook, ...]) -> tuple[Hook, ...]:
    """Return the hooks of a call: its own, and those of every client unless it has one of the same class."""
    if not everywhere:
        return own
    others = [hook for kind, hook in tuple(everywhere.items()) if not any(isinstance(each, kind) for each in own)]
    return (*own, *others)


def hook_metadata(hooks: tuple[Hook, ...], call: CallStarted) -> dict[str, str | bytes]:
    """Return what the hooks add to a call's metadata; their exceptions are logged."""
    added: dict[str, str | bytes] = {}
    for hook in hooks:
        metadata: Callable[[CallStarted], Mapping[str, str | bytes]] | None = getattr(hook, "metadata", None)
        if metadata is None:
            continue
        try:
            added |= metadata(call)
        except (Exception, CancelledError):
            _logger.exception("the hook %r failed", hook)
    return added


def call_hooks(hooks: tuple[Hook, ...], event: Event) -> None:
    """Call all hooks with an event, the last one first at the call's end, and log their exceptions."""
    # A variable that each has set at the start must be reset in reverse.
    for hook in reversed(hooks) if isinstance(event, CallEnded) else hooks:
        try:
            hook(event)
        except (Exception, CancelledError):  # a hook's own: nobody cancelled the call
            _logger.exception("the hook %r failed", hook)
