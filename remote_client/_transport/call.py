"""What a transport is: the abstract classes carry the documentation, `grpc.py` and `http.py` the deeds."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from .._concurrency import fork as _fork
from ..auth import Credentials, Fetch
from ..errors import InputError, RemoteClientError
from ..hooks import name_of
from ..settings import MetadataSource

RawMetadata = tuple[tuple[str, str | bytes], ...]

MAX_RESPONSE_SIZE = 64 * 1024 * 1024
"""Bytes of the largest answer accepted, after decompression; the option `grpc.max_receive_message_length` overrides it,
over HTTP too."""
RAISE_LIMIT = "this is the client's limit: raise the option grpc.max_receive_message_length of its ConnectionInfo"
"""What to do about an answer that is larger."""
RUNTIMES_LIMIT = "this is the runtime's limit: raise grpc.max_receive_message_length in its runtime.grpc.options"
"""What to do about a request that is larger than the runtime takes."""

_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_OURS = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers that frame a call: a value from outside would break it, or smuggle another one in."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as a transport sees it.

    Attributes:
        path: `/package.Service/Method`; over HTTP the verb and the route, `POST /api/v1/task/sample`.
        metadata: checked pairs, see `resolve_metadata`.
        timeout: seconds. For an answer that is one message and a request that is one, the whole call's limit;
            otherwise the limit between two items, in either direction. None for no limit.
        total_timeout: seconds for a whole stream; None for no limit.
        idempotent: whether it may be sent once more where a kept connection turns out to be dead.
        pages: whether its answer over HTTP may be HTML, which is no runtime's.
        max_size: bytes of its one answer over HTTP, where that may have fewer than others; None for the usual limit.
        model_key: the key of the metadata that names the model: no secret.
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
        """The metadata that no error may tell."""
        return tuple(each for each in self.metadata if each[0] != self.model_key)


Answered = Callable[[], None]
"""Called once, as soon as the answer's head or first message arrives, or, for a streamed input, after its first message
was sent: the call no longer waits for the server to begin. A call that fails before that never calls it."""


class ByteStream(ABC):
    """The answers of one call, one by one. It is owned by one reader, which ends it with `aclose` or `cancel`."""

    __slots__ = ()

    def take(self) -> bytes | None:
        """Return the next answer if it is here already; None says nothing: `read` waits, and tells the end."""
        return None

    @abstractmethod
    async def read(self) -> bytes | None:
        """The next answer, or None after the last one.

        Raises:
            RemoteCallError: the call failed.
            Exception: whatever the iterator of the request raised, unchanged.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the call if it is still running. Idempotent, never blocks, must be called in the loop's thread."""

    @abstractmethod
    async def aclose(self) -> None:
        """Cancel the call if it is still running, and wait until nothing of it is left. Idempotent."""


class Transport(ABC):
    """One connection to one server, in the running event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        _alive.add(self)

    def own(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that `aclose` ends and waits for, and whose exception whoever started it looks at."""
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
        """Send one message, or a stream of them, and return the single answer.

        Args:
            call: the call; its `timeout` counts from now.
            body: the message, or an iterator of messages.
            answered: see `Answered`.

        Raises:
            RemoteCallError: the call failed.
            Exception: whatever the iterator raised, unchanged; the call is cancelled.
        """

    @abstractmethod
    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        """Start a call with any number of answers; see `unary`."""

    @abstractmethod
    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        """End the connection; calls still in flight raise what `reason` makes. Idempotent."""


_alive: weakref.WeakSet[Transport] = weakref.WeakSet()


def _after_fork() -> None:
    """Keep for ever, in a forked child, what the parent was doing: its loop does not go on here."""
    for transport in list(_alive):
        _fork.keep(transport, *asyncio.all_tasks(transport.loop))
    _alive.clear()  # so that a child's child keeps nothing twice


os.register_at_fork(after_in_child=_after_fork)


async def resolve_metadata(
    sources: tuple[MetadataSource, ...], reserved: str | None = None, fetch: Fetch | None = None
) -> RawMetadata:
    """Ask the sources, in order, and merge what they give; keys are sent in lower case.

    Args:
        sources: what the options have.
        reserved: a key that is not theirs.
        fetch: sends the requests of credentials.

    Raises:
        InputError: a source gives no mapping, a key or value that gRPC cannot send, or the key `reserved` for the
            model's name. Values are never repeated in the message: they may be secret.
    """
    merged: dict[str, str | bytes] = {}
    for source in sources:
        if isinstance(source, Credentials):
            given: Any = await _given_by(partial(source, cast("Fetch", fetch)))
        else:
            given = await _given_by(source) if callable(source) else source
        if not isinstance(given, Mapping):
            told = f"{name_of(source)} must return a mapping, not {type(given).__name__}"
            del sources, source, given, merged  # a traceback shows a frame's variables, where it is asked to
            raise InputError(f"metadata: {told}")
        for name, value in given.items():
            key = name.lower() if isinstance(name, str) else ""
            wrong = _wrong(name, key, value, reserved)
            if wrong is not None:
                del sources, source, given, value, merged  # as above
                raise InputError(f"metadata: {wrong}")
            merged[key] = value
    return tuple(merged.items())


async def _given_by(source: Callable[[], Any]) -> Any:
    try:
        given = source()
        return await given if inspect.isawaitable(given) else given
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled this call: it would end as if somebody had, and a task group would not even tell.
        raise InputError(f"metadata: {name_of(source)} raised CancelledError") from None


def _wrong(name: object, key: str, value: object, reserved: str | None) -> str | None:
    if not _KEY.fullmatch(key) or key.startswith("grpc-") or key in _OURS or key == reserved:
        return f"the key {name!r} cannot be used"
    if key.endswith("-bin"):
        return None if isinstance(value, bytes) else f"{name!r} ends in -bin, so its value must be bytes"
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        return f"the value of {name!r} must be a str of printable ASCII characters"
    return None


async def close_input(items: AsyncIterator[bytes]) -> None:
    """Close a streamed input that can be closed, in the task that read it."""
    aclose = getattr(items, "aclose", None)
    if aclose is not None:
        await aclose()
