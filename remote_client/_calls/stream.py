"""The answers of one call as an async iterator."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any, Self, TypeVar

from .._concurrency import fork as _fork
from .._concurrency.time_limits import LATE, within
from .._objects.exports import exported_from
from .._schema.rpc import RemoteRPCDescriptor
from .._settings.durations import lasting
from .._text.redaction import clear_frames
from .._transport.call import ByteStream, Call
from .._transport.pending import Place
from ..errors import (
    CallCancelledError,
    ClosedError,
    DeadlineExceededError,
    PicklingError,
    RemoteCallError,
    WrongLoopError,
)
from .answers import Answers
from .attempts import UNKNOWN, Attempts, Circumstances
from .caller import LARGE, Body, Caller
from .lost_reads import STREAM_CLOSED, lost_message
from .middleware import GRACE, through
from .sent import Sent, abandon, take_exception, turn

T = TypeVar("T")
Prepare = Callable[[], Coroutine[Any, Any, tuple[RemoteRPCDescriptor, Body]]]
"""Returns the method as the server describes it, and the request."""


class State(Enum):
    """Where a stream is. It moves forward only:

    - NOT_STARTED -> OPEN at `async with` or the first read. The call may still wait for metadata or for its turn.
    - OPEN -> OPEN when an attempt fails before the first answer and another one follows.
    - OPEN -> OVER after the last answer, and NOT_STARTED or OPEN -> OVER at `aclose`: reads give nothing more.
    - OPEN -> OVER at an error, or a read that is cancelled: reads raise a ClosedError with the reason.

    The finalizer of a stream that was dropped cancels its call.
    """

    NOT_STARTED = "not started"
    OPEN = "running"
    OVER = "over"


async def _send_weakly(ref: weakref.ref[RemoteStream[Any]], attempts: Attempts, call: Call) -> None:
    """Send an attempt from the task of the middleware, which must not keep a stream that nobody reads."""
    place, call = await turn(attempts, call)
    stream = ref()
    sent = None if stream is None else stream._send(attempts, call, place)
    del stream
    if sent is None:
        place.free()
        raise ClosedError(STREAM_CLOSED)
    try:
        await sent.stream.until_head()
    except BaseException:
        place.free()  # for others, while the middleware handles the error
        raise


@exported_from("remote_client")
class RemoteStream(Answers[T]):
    """The answers of one call: an async iterator, and an async context manager.

    The call starts at `async with` or at the first item. It ends with the last item, an error, `aclose()`, the end of
    `async with`, or when the stream is garbage, as after a `break`; unless it was over, it is then cancelled on the
    server. A stream is read once: iterating it again gives nothing and sends nothing. A read that is broken off, by a
    timeout or by cancelling its task, ends the call too: reads after it, or after one that failed, raise a ClosedError.
    """

    def __init__(self, caller: Caller, descriptor: RemoteRPCDescriptor, body: Body | Prepare) -> None:
        self._caller = caller
        self._descriptor = descriptor
        self._body: Any = body
        """The request, as long as it may be sent."""
        self._state = State.NOT_STARTED
        self._reason = ""
        """Why a stream is over that is not complete."""
        self._attempts: Attempts | None = None
        self._observed: Attempts | None = None
        """The attempts, if somebody observes the call and its answers are counted."""
        self._opening: asyncio.Task[None] | None = None
        """Sends an attempt through the middleware, until its answer has begun."""
        self._sent: Sent | None = None
        self._finalizers: list[Any] = []
        self._take: Callable[[], bytes | None] | None = None
        """Returns an answer that is here already, from the second on."""
        self._busy = self._left = False
        self._seconds: float | None = None
        self._circumstances = UNKNOWN
        self._born = _fork.count
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __anext__(self) -> T:
        take = self._take
        if take is None or self._busy or self._born != _fork.count or self._loop is not asyncio.get_running_loop():
            self._check()
        try:
            data = None if take is None else take()
            if data is None:
                self._busy = True
                data = await (self._first() if take is None or self._sent is None else self._sent.stream.read())
                self._busy = False
            if data is not None and self._observed is not None:
                self._observed.responses += 1
            if data is not None and len(data) < LARGE:
                answer: T = self._caller.decode(self._descriptor, data)
                return answer
            if data is not None:
                self._busy = True
                answer = await self._caller.decode_large(self._descriptor, data)
                self._busy = False
                return answer
        except BaseException as error:
            take, data = None, b""
            await self._end(error)
            raise
        was_closed = self._state is State.OVER
        await self._end()
        raise ClosedError(STREAM_CLOSED) if was_closed else StopAsyncIteration

    def _check(self) -> None:
        """Raise the error of a read that is not possible."""
        if self._sent is not None:
            self._sent.lease.check()
            if self._loop is not asyncio.get_running_loop():
                raise WrongLoopError("the stream was begun in another event loop; read it there")
        if self._busy:
            raise RuntimeError("the stream is already being read by another task")
        if self._state is State.OVER:
            raise ClosedError(self._reason) if self._reason else StopAsyncIteration

    async def _first(self) -> bytes | None:
        """Return the first answer, or None for the end. Until then the call may be sent again."""
        await self._start()
        attempts, body, limit = self._attempts, self._body, None
        middleware = self._caller.options.middleware
        while attempts is not None:
            if middleware and isinstance(body, bytes) and attempts.call.timeout is not None:
                limit = attempts.call.timeout + GRACE
            try:
                data = await (self._read_first() if limit is None else within(limit, self._read_first()))
                if data is LATE:
                    message = f"no answer within {lasting(self._caller.options.timeout)}"
                    raise DeadlineExceededError(message, method=attempts.call.method, target=attempts.server.target)
            except RemoteCallError as error:
                if self._sent is not None:
                    if error.shed:
                        self._sent.place.shed()
                    self._sent.place.free()  # for others, while this call waits for its next attempt
                    self._sent.stream.cancel()  # middleware may have failed an attempt that still runs
                if not await self._caller.next_attempt(attempts, error, body):
                    raise
            else:
                self._body = None
                if (sent := self._sent) is not None:  # else another task closed it meanwhile
                    self._take = sent.stream.take
                    if sent.health.ailing:
                        sent.health.succeeded()
                return data
            if self._state is State.OPEN:
                self._release()
                limit = attempts.call.timeout
                await self._open(attempts)
        return None

    async def _start(self) -> None:
        if self._state is not State.NOT_STARTED:
            return
        self._state = State.OPEN
        if not isinstance(self._body, (bytes, AsyncIterator)):
            self._descriptor, self._body = await self._body()
        begun = monotonic()
        call = await self._caller.record(self._descriptor.path)
        if self._state is State.OPEN:  # else another task closed it meanwhile
            task, body = self._descriptor.task, self._body
            self._attempts = self._caller.start_attempts(call, begun, task, body)
            self._observed = None if self._attempts.context is None else self._attempts
            await self._open(self._attempts)

    async def _open(self, attempts: Attempts) -> None:
        """Send an attempt, through the middleware if there is any."""
        middleware = self._caller.options.middleware
        if not middleware:
            place, call = await turn(attempts, attempts.call)
            self._send(attempts, call, place)
            return
        # In a task: the middleware waits for the answer, while `async with` and a streamed input go on.
        send = partial(_send_weakly, weakref.ref(self), attempts)
        work = through(middleware, attempts, attempts.call, send, streams=True)
        # In a copy of the context: middleware may close the stream, and hooks are called in the context itself.
        context = None if attempts.context is None else attempts.context.copy()
        self._opening = opening = asyncio.create_task(work, context=context)
        opening.add_done_callback(take_exception)
        self._when_garbage(opening.cancel, attempts)

    async def _read_first(self) -> bytes | None:
        """Return an attempt's first answer, once the middleware lets it go on; None for the end."""
        if self._opening is not None:
            await asyncio.wait((self._opening,))
            # Else another task closed the stream meanwhile. A variable would be in a cycle with the exception.
            if self._opening is not None:
                try:
                    if self._opening.cancelled() and self._opening.cancelling():
                        raise CallCancelledError("something in this process cancelled its middleware")
                    self._opening.result()
                finally:
                    self._opening = None
        return None if self._sent is None else await self._sent.stream.read()

    def _send(self, attempts: Attempts, call: Call, place: Place) -> Sent | None:
        """Send an attempt whose turn has come; None if another task closed the stream meanwhile."""
        if self._state is State.OVER:
            place.free()
            return None
        attempts.sent, lease = call, None
        self._caller.take_secrets(call)
        try:
            lease = attempts.server.lease()
            start = partial(lease.transport.stream, call, self._body, place.answered)
            # Middleware runs in a copy of that context.
            is_within = self._opening is not None
            stream = start() if is_within or attempts.context is None else attempts.context.run(start)
        except BaseException:
            place.free()
            if lease is not None:
                lease.release()
            raise
        health = attempts.server.health
        health.in_flight += 1
        self._sent = sent = Sent(stream, lease, place, health)
        self._born, self._loop = _fork.count, asyncio.get_running_loop()
        # grpc.aio never cancels a call that is dropped (#43462).
        self._when_garbage(sent.drop, attempts)
        return sent

    def _when_garbage(self, drop: Callable[[], object], attempts: Attempts) -> None:
        """Let `drop` end the call in its loop if the stream is collected."""
        loop = asyncio.get_running_loop()
        finalizer = weakref.finalize(self, abandon, loop, _fork.count, drop, self._caller, attempts)
        finalizer.atexit = False
        self._finalizers.append(finalizer)

    def _release(self) -> ByteStream | None:
        """Drop the attempt that was sent, if there is one, and return its stream."""
        sent, self._sent, self._take = self._sent, None, None
        while self._finalizers:
            self._finalizers.pop().detach()
        if sent is None:
            return None
        sent.drop()
        return sent.stream

    async def _end(self, error: BaseException | None = None) -> None:
        """Go to OVER: release the attempt, call the hooks, and wait until nothing of the call is left."""
        if isinstance(error, RemoteCallError):
            error.model = self._caller.model
        if self._state is not State.OVER:
            self._state, self._reason = State.OVER, "" if error is None else lost_message(error)
        stream, attempts, opening = self._release(), self._attempts, self._opening
        told = None if self._left and isinstance(error, asyncio.CancelledError) else error
        if attempts is not None:
            # Without the call, whose metadata may be secret: tools show the variables of a traceback's frames.
            known = attempts.circumstances
            answer = known.answer if error is None else known.answer.without((attempts.sent or attempts.call).secrets)
            self._circumstances = known._replace(answer=answer)
        self._body = self._attempts = self._observed = self._opening = None
        if attempts is not None and (event := attempts.ended(told, monotonic())) is not None:
            self._seconds = event.seconds
            self._caller.notify_hooks(attempts, event)
        if opening is not None:
            opening.cancel()
            await asyncio.wait((opening,))
        if error is not None:
            self._busy = False
            clear_frames(error)
            if not self._descriptor.input_streaming:
                return  # nothing is left that takes time
        if stream is not None:
            await stream.aclose()

    # -- circumstances ------------------------------------------------------------------------------------------------

    @property
    def _known(self) -> Circumstances:
        attempts = self._attempts  # once: threads of a blocking client read it while the call ends
        return self._circumstances if attempts is None else attempts.circumstances

    @property
    def metadata(self) -> Mapping[str, str | bytes] | None:
        """The answer's initial metadata, or its headers, of the newest attempt; None before they have arrived."""
        return self._known.answer.metadata

    @property
    def trailing_metadata(self) -> Mapping[str, str | bytes] | None:
        """The answer's trailing metadata; None before the server ended the call. Empty over HTTP."""
        return self._known.answer.trailing_metadata

    @property
    def target(self) -> str | None:
        """The server of the newest attempt; None before the call started."""
        return self._known.target

    @property
    def attempts(self) -> int:
        """The number of attempts so far."""
        return self._known.attempts

    @property
    def seconds(self) -> float | None:
        """The duration of the call, with all attempts, pauses and the reader's own time; None before its end."""
        return self._seconds

    @property
    def request_id(self) -> str | None:
        """The id that all attempts send as `x-request-id`; None before the call started."""
        return self._known.request_id

    # -- the end ------------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Let the call end well for hooks though its read is cancelled next: its reader has had enough."""
        self._left = True

    async def aclose(self) -> None:
        """Cancel the call if it still runs, and wait until nothing of it is left. Idempotent."""
        if self._sent is not None:
            self._sent.lease.check()
        await self._end()

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> Any:
        raise PicklingError("a stream belongs to its process: give the other one the method, or a list of the answers")

    def __repr__(self) -> str:
        return f"<RemoteStream of {self._descriptor.name} of {self._caller.model!r}: {self._state.value}>"
