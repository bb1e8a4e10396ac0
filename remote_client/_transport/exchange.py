"""One call in flight, as far as both protocols share it: how it waits, its deadlines, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from ..errors import RemoteCallError
from .call import Answered, ByteStream, Call, Transport, add_metadata, total_exceeded
from .http_errors import PATIENCE
from .metadata import RawMetadata

T = TypeVar("T", bound=Transport)


class Exchange(Generic[T]):
    """The state of one call from its request for a connection to its end. The protocols' classes set its attributes.

    Attributes:
        over: whether it has ended, for whatever reason.
        failure: the error it ended with, until that was raised.
    """

    # Those of streams are here, too: two bases with slots of their own cannot be combined.
    __slots__ = (
        "__weakref__",
        "_answered",
        "_due",
        "_moved",
        "_total",
        "_total_due",
        "_waiter",
        "_waits_for_head",
        "call",
        "failure",
        "over",
        "transport",
    )

    transport: T
    call: Call
    over: bool
    failure: BaseException | None
    _answered: Answered | None
    _due: float
    """The key of its deadline; 0 without one."""

    def answered(self) -> None:
        """Tell the caller that the server has begun to answer."""
        answered, self._answered = self._answered, None
        if answered is not None:
            answered()

    def fail(self, failure: BaseException) -> None:
        """End the call with an error; a request that still runs is cancelled."""
        if not self.over:
            self.failure = failure
            self.finish()

    def cancel(self) -> None:
        """End the call without an error: nobody waits for its result."""
        if not self.over:
            self.finish()

    def finish(self) -> None:
        """Release everything the call holds."""
        raise NotImplementedError

    def expire(self) -> None:
        """End the call: its deadline has passed."""
        self._due = 0.0
        if self.over:
            return
        if self._reads_error():
            self._end_with_error()
        else:
            self._end_late()

    def _reads_error(self) -> bool:
        """Return whether the call only waits for the body of an error response."""
        raise NotImplementedError

    def _end_with_error(self) -> None:
        """End the call with the error response, as far as it has arrived."""
        raise NotImplementedError

    def _end_late(self) -> None:
        """End the call: no response arrived in time."""
        raise NotImplementedError

    def _limit_error_body(self) -> bool:
        """Wait for the body of an error response for a moment only; return whether that moves the deadline."""
        deadlines, latest = self.transport.deadlines, self.transport.loop.time() + PATIENCE
        if self._due and self._due <= latest:
            return False
        deadlines.discard(self._due, self)
        self._due = deadlines.add(PATIENCE, self)
        return True

    def answer_metadata(self) -> tuple[RawMetadata, RawMetadata]:
        """Return the metadata of the answer, before and after its body, as far as it has arrived."""
        raise NotImplementedError

    def _raise_failure(self) -> None:
        """Raise the failure, if there is one."""
        failure, self.failure = self.failure, None
        if failure is not None:
            if isinstance(failure, RemoteCallError):
                add_metadata(failure, self.call, *self.answer_metadata())
            try:
                raise failure
            finally:
                del failure  # else the exception's traceback refers to the frame, and the frame to the exception


class _TotalTimeout:
    """The deadline of a whole stream."""

    __slots__ = ("_stream",)

    def __init__(self, stream: StreamingExchange[Any]) -> None:
        self._stream = stream

    def expire(self) -> None:
        self._stream.expire_total()


class StreamingExchange(Exchange[T], ByteStream):
    """What both protocols' streams share: waiting for the next item, and the time limits on that and on all items."""

    __slots__ = ()

    _waiter: asyncio.Future[None] | None
    _waits_for_head: bool
    _moved: float
    """The time of the latest progress."""
    _total: _TotalTimeout | None
    _total_due: float

    def _limit_total(self) -> None:
        self._total = None
        if self.call.total_timeout is not None:
            self._total = _TotalTimeout(self)
            self._total_due = self.transport.deadlines.add(self.call.total_timeout, self._total)

    def expire_total(self) -> None:
        """End the stream: its total timeout has passed."""
        self.fail(total_exceeded(self.call, self.transport.target))

    def _wait(self) -> asyncio.Future[None]:
        """Return a future for the next item, and limit the wait for it."""
        timeout, loop = self.call.timeout, self.transport.loop
        if timeout is not None:
            self._moved = loop.time()
            if not self._due:
                self._due = self.transport.deadlines.add(timeout, self)
        return loop.create_future()

    async def until_head(self) -> None:
        self._waits_for_head = True
        try:
            while not self.has_begun and not self.over:
                self._waiter = self._wait()
                await self._waiter
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._waiter, self._waits_for_head = None, False
        if self.over and not self.has_items():
            self._raise_failure()

    @property
    def has_begun(self) -> bool:
        """Whether the head of the answer has arrived, and is not that of an error."""
        raise NotImplementedError

    def has_items(self) -> bool:
        """Return whether items wait to be read."""
        raise NotImplementedError

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def expire(self) -> None:
        if self._reads_error():
            super().expire()
            return
        # Moving the deadline with every item would cost time; whether one has come is checked here.
        self._due = 0.0
        timeout = self.call.timeout
        if self.over or timeout is None or self._waiter is None:
            return
        left = self._moved + timeout - self.transport.loop.time()
        if left > 0:
            self._due = self.transport.deadlines.add(left, self)
        else:
            self._end_late()

    def _forget_total(self) -> None:
        if self._total is not None:
            self.transport.deadlines.discard(self._total_due, self._total)
            self._total = None
