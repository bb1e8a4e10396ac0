"""The transport interface: a call, its stream of answers, and the connection that carries both."""

from __future__ import annotations

import asyncio
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from .._concurrency import fork as _fork
from .._settings.durations import lasting
from ..errors import DeadlineExceededError, InvalidResponseError, RemoteClientError
from .deadlines import Deadlines
from .metadata import RawMetadata

RAISE_LIMIT = (
    "this is the client's limit: raise max_response_size, which overrides the option grpc.max_receive_message_length"
)
"""Advice for a response over the limit."""
RUNTIMES_LIMIT = "this is the runtime's limit: raise grpc.max_receive_message_length in its runtime.grpc.options"
"""Advice for a request over the runtime's limit."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as transports see it.

    Attributes:
        path: `/package.Service/Method`; over HTTP the verb and the route, `POST /api/v1/task/sample`.
        metadata: checked pairs, see `resolve_metadata`.
        timeout: seconds. A unary call ends within it; a stream limits the wait between two items to it, in either
            direction. None for no limit.
        total_timeout: seconds for a whole stream; None for no limit.
        idempotent: whether it may be sent again if a reused connection turns out to be dead.
        pages: whether an HTML response is accepted over HTTP; no runtime sends one.
        max_size: a lower limit than usual for the bytes of the one response over HTTP; None for the usual one.
        model_key: the metadata key that names the model, whose value is not secret.
    """

    path: str
    metadata: RawMetadata = field(default=(), repr=False)
    timeout: float | None = 60
    total_timeout: float | None = None
    idempotent: bool = True
    pages: bool = False
    max_size: int | None = None
    model_key: str = ""

    @property
    def secrets(self) -> RawMetadata:
        """The metadata that errors must not repeat."""
        return tuple(pair for pair in self.metadata if pair[0] != self.model_key)

    @property
    def method(self) -> str:
        """The method as error messages show it."""
        return self.path.removeprefix("/")


Answered = Callable[[], None]
"""Called once, when the response's headers or first message arrive, or when the first message of a streamed input was
sent: the call no longer waits for the server to begin. A call that fails before that never calls it."""


class ByteStream(ABC):
    """The responses of one call, one by one. It has one reader, which ends it with `aclose` or `cancel`."""

    __slots__ = ()

    def take(self) -> bytes | None:
        """Return the next response if it has arrived. None means that `read` must be called: it waits, and ends."""
        return None

    @abstractmethod
    async def read(self) -> bytes | None:
        """Return the next response, or None after the last one.

        Raises:
            RemoteCallError: the call failed.
            Exception: the unchanged exception of the request's iterator.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the call if it still runs. Idempotent, never blocks, must be called in the loop's thread."""

    @abstractmethod
    async def aclose(self) -> None:
        """Cancel the call if it still runs, and wait until its resources are released. Idempotent."""


class Transport(ABC):
    """The connections to one server, in the running event loop.

    Attributes:
        target: the server's address as error messages show it.
        deadlines: the deadlines of its calls.
        reason: returns the error of calls after `aclose`; None before.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.deadlines: Deadlines = Deadlines(self.loop)
        self.reason: Callable[[], RemoteClientError] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        _alive.add(self)

    def own(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that `aclose` cancels and waits for. Its exception is for whoever started it."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._disown)
        return task

    def _disown(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    @abstractmethod
    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        """Send one message, or a stream of them, and return the single response.

        Args:
            call: the call; its `timeout` counts from now.
            body: the message, or an iterator of messages.
            answered: see `Answered`.

        Raises:
            RemoteCallError: the call failed.
            Exception: the unchanged exception of the iterator; the call is cancelled.
        """

    @abstractmethod
    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        """Start a call with any number of responses; see `unary`."""

    @abstractmethod
    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        """Close the connections; calls in flight raise the error that `reason` returns. Idempotent."""


_alive: weakref.WeakSet[Transport] = weakref.WeakSet()


def _after_fork() -> None:
    """Keep the parent's transports and tasks alive in a forked child, where their loop never runs again."""
    for transport in list(_alive):
        _fork.leak(transport, *asyncio.all_tasks(transport.loop))
    _alive.clear()  # else a child's child would keep them twice


os.register_at_fork(after_in_child=_after_fork)


async def close_input(items: AsyncIterator[bytes]) -> None:
    """Close a streamed input if it can be closed, in the task that read it."""
    aclose = getattr(items, "aclose", None)
    if aclose is not None:
        await aclose()


async def read_single(stream: ByteStream, call: Call, target: str) -> bytes:
    """Return the only response of a call with a streamed input, and close the stream.

    Both engines carry such a call as a stream in both directions: a response that arrives before the input has ended
    survives the writes that it cuts short.
    """
    try:
        response = await stream.read()
        extra = None if response is None else await stream.read()
    finally:
        await stream.aclose()
    if response is None or extra is not None:
        raise not_single("no answer" if response is None else "more than one answer", call, target)
    return response


# -- errors of both protocols -----------------------------------------------------------------------------------------


def not_single(found: str, call: Call, target: str) -> InvalidResponseError:
    """Return the error of a unary call that did not get exactly one response."""
    return InvalidResponseError(f"{found} to a unary call", method=call.method, target=target)


def deadline_exceeded(call: Call, target: str) -> DeadlineExceededError:
    """Return the error of a call without a response in time."""
    return DeadlineExceededError(f"no answer within {lasting(call.timeout)}", method=call.method, target=target)


def no_progress(call: Call, target: str) -> DeadlineExceededError:
    """Return the error of a stream in which nothing moved in time."""
    message = f"no progress for {lasting(call.timeout)} (timeout)"
    return DeadlineExceededError(message, method=call.method, target=target)


def total_exceeded(call: Call, target: str) -> DeadlineExceededError:
    """Return the error of a stream that exceeded its total timeout."""
    message = f"the stream was not over within {lasting(call.total_timeout)} (total_timeout)"
    return DeadlineExceededError(message, method=call.method, target=target)
