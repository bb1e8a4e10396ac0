"""The transport interface: a call, its stream of answers, and the connection that carries both."""

from __future__ import annotations

import asyncio
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from random import getrandbits
from typing import Any, Literal

from .._concurrency import fork as _fork
from .._settings.durations import lasting
from .._text.redaction import redacted
from ..errors import DeadlineExceededError, InvalidResponseError, RemoteCallError, RemoteClientError
from .deadlines import Deadlines
from .metadata import REQUEST_ID, RawMetadata, joined

RAISE_LIMIT = (
    "this is the client's limit: raise max_response_size, which overrides the option grpc.max_receive_message_length"
)
"""Advice for a response over the limit."""
RUNTIMES_LIMIT = "this is the runtime's limit: raise grpc.max_receive_message_length in its runtime.grpc.options"
"""Advice for a request over the runtime's limit."""


_NO_SECRETS = frozenset([REQUEST_ID, "traceparent"])
"""Keys of metadata that identify a call, and are of use in its errors."""


class Answer:
    """The metadata of a call's answer, as far as it has arrived. Transports set it, in every attempt anew.

    Attributes:
        status: the status over HTTP; None over gRPC, and before it has arrived.
    """

    __slots__ = ("_head", "_trailers", "status")

    def __init__(self) -> None:
        self.status: int | None = None
        self._head: Callable[[], RawMetadata] | None = None
        self._trailers: Callable[[], RawMetadata] | None = None

    def begin(self, head: Callable[[], RawMetadata], status: int | None = None) -> None:
        """Take the initial metadata, or the headers and the status; `head` is called if somebody asks for them."""
        self._head, self.status = head, status

    def end(self, trailers: Callable[[], RawMetadata]) -> None:
        """Take the trailing metadata."""
        self._trailers = trailers

    def without(self, secrets: RawMetadata) -> Answer:
        """Return a copy in which nothing repeats the secrets of the call, for what an error's traceback shows."""
        copy, parts = Answer(), []
        for part in (self._head, self._trailers):
            pairs = None if part is None else tuple(redacted(joined(part()), secrets).items())
            parts.append(None if pairs is None else partial(tuple[tuple[str, str | bytes], ...], pairs))
        copy._head, copy._trailers = parts
        return copy

    def reset(self) -> None:
        """Forget the answer of an attempt that failed."""
        self._head = self._trailers = self.status = None

    @property
    def metadata(self) -> dict[str, str | bytes] | None:
        """The initial metadata, or the headers; None before they have arrived."""
        return None if self._head is None else joined(self._head())

    @property
    def trailing_metadata(self) -> dict[str, str | bytes] | None:
        """The trailing metadata; None before the end."""
        return None if self._trailers is None else joined(self._trailers())


@dataclass(slots=True, eq=False)
class Call:
    """One call, as transports see it. It is never changed: a frozen class takes a microsecond more for each call.

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
        request_id: the id of the call, the same in all of its attempts.
        sends_id: whether transports add the id to the metadata, as it is not among it.
        answer: takes the metadata of the answer; None if nobody wants it.
    """

    path: str
    metadata: RawMetadata = field(default=(), repr=False)
    timeout: float | None = 60
    total_timeout: float | None = None
    idempotent: bool = True
    pages: bool = False
    max_size: int | None = None
    model_key: str = ""
    request_id: str = ""
    sends_id: bool = False
    answer: Answer | None = None

    def numbered(self, answer: Answer | None = None) -> Call:
        """Return the call with an id, and with `answer`: the id is made up unless the metadata has one."""
        id = self.request_id or new_request_id()
        return Call(
            self.path,
            self.metadata,
            self.timeout,
            self.total_timeout,
            self.idempotent,
            self.pages,
            self.max_size,
            self.model_key,
            id,
            not self.request_id,
            answer,
        )

    @property
    def secrets(self) -> RawMetadata:
        """The metadata that errors must not repeat."""
        return tuple(pair for pair in self.metadata if pair[0] != self.model_key and pair[0] not in _NO_SECRETS)

    @property
    def method(self) -> str:
        """The method as error messages show it, without a query, which may hold secrets."""
        return self.path.removeprefix("/").partition("?")[0]

    @property
    def protocol(self) -> Literal["grpc", "http"]:
        """The protocol, which the path shows."""
        return "grpc" if self.path.startswith("/") else "http"


def new_request_id() -> str:
    """Return a random UUID (version 4), which Envoy keeps for its traces; `uuid.uuid4` takes three times as long."""
    digits = getrandbits(128).to_bytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


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
    async def until_head(self) -> None:
        """Wait until the answer's metadata has arrived.

        Raises:
            RemoteCallError: the call failed before its first item. What fails later is raised by `read`.
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


_fork.at_fork(after_in_child=_after_fork)


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


def sent_metadata(call: Call) -> RawMetadata:
    """Return the metadata of a call with its id."""
    return (*call.metadata, (REQUEST_ID, call.request_id)) if call.sends_id else call.metadata


def add_metadata(
    failure: RemoteCallError, call: Call, metadata: RawMetadata, trailing_metadata: RawMetadata = ()
) -> None:
    """Add the metadata of an answer to its error, without the call's own secrets, which servers may repeat."""
    for name, pairs in (("metadata", metadata), ("trailing_metadata", trailing_metadata)):
        if pairs:
            setattr(failure, name, redacted(joined(pairs), call.secrets))


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
