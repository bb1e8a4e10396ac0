"""A call of grpc.aio with a stream of messages or responses: reading, writing, and how it ends; see `grpcio`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from ..call import Answered, ByteStream, Call, close_input
from ..deadlines import Deadlines
from ..metadata import RawMetadata

if TYPE_CHECKING:
    from .grpcio import GrpcioTransport

WIND_UP = 1.0
"""Seconds that a cancelled stream may take to end: an interceptor's iterator may never do so."""
_WRITE_FAILED = "Internal error from Core"
"""grpc.aio's message in place of the server's status, if that arrived before the last message was written (#36066)."""


async def outcome_of(awaited: Awaitable[Any]) -> Any:
    """Return the awaited result, or its exception: raised through a task, that would make a reference cycle."""
    try:
        return await awaited
    except (Exception, asyncio.CancelledError) as error:
        return error


def raw_metadata(metadata: Any) -> RawMetadata:
    """Return grpc.aio's metadata without the keys of gRPC itself."""
    pairs: Iterable[tuple[str, str | bytes]] = () if metadata is None else metadata
    return tuple((key, value) for key, value in pairs if not key.startswith("grpc-"))


async def metadata_of(rpc: Any) -> tuple[RawMetadata, RawMetadata]:
    """Return the initial and the trailing metadata of a call that is over; empty where an interceptor hides them."""
    try:
        return raw_metadata(await rpc.initial_metadata()), raw_metadata(await rpc.trailing_metadata())
    except Exception:
        return (), ()


class Once:
    """Calls a function the first time it is called."""

    __slots__ = ("_function",)

    def __init__(self, function: Answered | None) -> None:
        self._function = function

    def __call__(self) -> None:
        if self._function is not None:
            function, self._function = self._function, None
            function()


class Idle:
    """Cancels a call, and the task that waits for it, when a wait lasts longer than its timeout."""

    __slots__ = ("_deadlines", "_key", "_rpc", "_task", "_timeout", "expired")

    def __init__(self, deadlines: Deadlines, timeout: float | None, rpc: Any) -> None:
        self._deadlines = deadlines
        self._timeout = timeout
        self._rpc = rpc
        self._key: float | None = None
        self._task: asyncio.Task[Any] | None = None
        self.expired = False

    def start(self, task: asyncio.Task[Any] | None = None) -> None:
        """Begin a wait, in a task of this package."""
        self._task = task
        if self._timeout is not None:
            self._key = self._deadlines.add(self._timeout, self)

    def stop(self) -> None:
        """End the wait."""
        if self._key is not None:
            self._deadlines.discard(self._key, self)
            self._key = None
        self._task = None

    def progress(self) -> None:
        """Restart the time of a wait, if there is one."""
        if self._key is not None:
            task = self._task
            self.stop()
            self.start(task)

    def expire(self) -> None:
        self.expired = True
        cancel(self._rpc)
        if self._task is not None:
            self._task.cancel()


class _Upload:
    """Writes the messages of an iterator to a call, in a task of its own, and keeps the iterator's exception.

    Given the iterator, grpc.aio would turn that into a bare CancelledError (#28613).
    """

    __slots__ = ("_answered", "_body", "_ends_itself", "_idle", "_over", "_rpc", "failure", "half_closed", "status")

    def __init__(self, rpc: Any, body: AsyncIterator[bytes], idle: Idle, answered: Answered) -> None:
        self._rpc = rpc
        self._body = body
        self._idle = idle
        self._answered = answered
        self._over = self.half_closed = False
        self._ends_itself = False
        """Whether `run` waits for something that ends with the call, such as a write, which must not be cancelled."""
        self.failure: BaseException | None = None
        self.status: grpc.aio.AioRpcError | None = None
        """The server's status, kept before a failing write replaces it."""
        with contextlib.suppress(AttributeError, NotImplementedError):
            rpc.add_done_callback(self._done)

    def _done(self, rpc: Any) -> None:
        status = _status(rpc)
        try:
            status.send(None)  # never waits, as the call is over
        except StopIteration as done:
            if done.value.details() != _WRITE_FAILED:
                self.status = done.value
        except Exception:  # an interceptor's, which the reader gets
            return
        status.close()

    def cancel(self, task: asyncio.Task[None]) -> None:
        """End `run`, which runs in that task: the call was cancelled."""
        self._over = True
        if not self._ends_itself:
            task.cancel()

    async def run(self) -> None:
        try:
            whole = await self._write_all()
        finally:
            self._ends_itself = True
            await close_input(self._body)
        if whole:
            await self.done()

    async def _write_all(self) -> bool:
        """Write the messages; return whether all were written."""
        while True:
            try:
                item = await anext(self._body)
            except StopAsyncIteration:
                return True
            except BaseException as error:
                if self._keep(error):
                    return False
                raise
            if not await self._send(item):
                return False
            self._answered()
            self._idle.progress()

    async def done(self) -> None:
        """End the input; interceptors must learn that even if the call is over."""
        self.half_closed = True
        with contextlib.suppress(Exception):  # the call is over; its reader gets the reason
            await self._rpc.done_writing()

    def _keep(self, error: BaseException) -> bool:
        """Keep the iterator's exception, and return whether `run` ends normally, which it does unless it is cancelled.

        Raised here, the exception and this frame would make a reference cycle that keeps the call.
        """
        if isinstance(error, asyncio.CancelledError) and _cancelling():
            return False
        self.failure = error
        cancel(self._rpc)
        return isinstance(error, (Exception, asyncio.CancelledError))

    async def _send(self, item: bytes) -> bool:
        """Write a message, and return whether the call wants more."""
        try:
            await self._rpc.wait_for_connection()
            self._ends_itself = True
            await self._rpc.write(item)
        except asyncio.CancelledError:
            if _cancelling():
                raise
            return False  # the rpc was cancelled, not this task
        except Exception:  # the call is over; its reader gets the reason
            return False
        finally:
            self._ends_itself = False
        return not self._over


class GrpcStream(ByteStream):
    """See `ByteStream`. No exception refers back to it, so that it needs no garbage collector."""

    def __init__(
        self,
        transport: GrpcioTransport,
        rpc: Any,
        call: Call,
        answered: Once,
        body: AsyncIterator[bytes] | None = None,
    ) -> None:
        self._transport = transport
        self._rpc = rpc
        self._call = call
        self._answered = answered
        self._answers: AsyncIterator[Any] | None = None
        self._over = self._within = False
        self._reading: asyncio.Task[Any] | None = None
        self._ending: list[asyncio.Task[Any]] = []
        self._idle = Idle(transport.deadlines, call.timeout, rpc)
        self._upload: _Upload | None = None
        if body is not None:
            self._upload = _Upload(rpc, body, self._idle, answered)
            self._ending.append(transport.own(self._upload.run()))

    async def read(self) -> bytes | None:
        if self._over:
            return None
        if not self._transport.is_intercepted:
            self._idle.start()
        try:
            outcome = await self._next()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._over:
            return None  # closed meanwhile, by another task
        if isinstance(outcome, bytes):
            self._idle.stop()
            self._answered()
            if not self._within:
                self._within = True
                if self._call.answer is not None and self._call.answer.metadata is None:
                    await self._transport.own(self._begin())
            return outcome
        if isinstance(outcome, grpc.aio.AioRpcError) and outcome.details() == _WRITE_FAILED:
            outcome = await self._verdict(self._upload)
        self.cancel()
        if isinstance(outcome, StopAsyncIteration):
            if self._call.answer is not None:
                head, trailers = await self._transport.own(metadata_of(self._rpc))
                self._call.answer.begin(lambda: head)
                self._call.answer.end(lambda: trailers)
            return None
        try:
            raise self._failure(outcome)
        finally:
            del outcome

    async def until_head(self) -> None:
        beginning = self._transport.own(self._begin())
        self._idle.start(beginning)
        try:
            await asyncio.wait((beginning,))
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._idle.stop()
        for _ in range(3):  # the status of a call that failed follows at once
            await asyncio.sleep(0)
        if not self._over and (self._idle.expired or await self._transport.own(self._has_failed())):
            await self.read()  # raises
        self._answered()

    async def _has_failed(self) -> bool:
        """Return whether the call is over, and not well; False where an interceptor hides that."""
        try:
            return self._rpc.done() and await self._rpc.code() is not grpc.StatusCode.OK
        except Exception:
            return False

    async def _begin(self) -> None:
        """Wait for the initial metadata. `read` raises the call's error."""
        with contextlib.suppress(Exception):
            head = raw_metadata(await self._rpc.initial_metadata())
            if self._call.answer is not None:
                self._call.answer.begin(lambda: head)

    async def _next(self) -> Any:
        """Return the next response, or the exception that ends the call; raise only if this task is cancelled."""
        if self._answers is None:
            # grpc.aio's `read` returns no response after a failed write; iteration does.
            self._answers = aiter(self._rpc)
            return await self._apart(self._answers)
        if self._transport.is_intercepted:
            return await self._apart(self._answers)
        before = _cancelling()
        try:
            return await anext(self._answers)
        except asyncio.CancelledError as error:
            if _cancelling() > before:
                error.__traceback__ = None  # grpc.aio's frames hold the request
                raise
            return error
        except Exception as error:
            return error

    async def _apart(self, answers: AsyncIterator[Any]) -> Any:
        """Return the next response, read in a task of this package.

        The first read waits for a task of grpc.aio, which a cancelled caller must not cancel. An interceptor may wait
        for anything before any item, and cancelling the call does not end that.
        """
        self._reading = self._transport.own(outcome_of(anext(answers)))
        if self._transport.is_intercepted:
            self._idle.start(self._reading)
        await asyncio.wait((self._reading,))
        return self._reading.result()

    async def _verdict(self, upload: _Upload | None) -> Exception:
        """Return the exception of the server's own status, which arrives soon."""
        status = (upload and upload.status) or await _status(self._rpc)
        for _ in range(100):
            if status.details() != _WRITE_FAILED:
                break
            await asyncio.sleep(0.01)
            status = await _status(self._rpc)
        return StopAsyncIteration() if status.code() is grpc.StatusCode.OK else status

    def _failure(self, outcome: BaseException) -> BaseException:
        if (
            isinstance(outcome, asyncio.CancelledError)
            and self._upload is not None
            and self._upload.failure is not None
        ):
            failure, self._upload.failure = self._upload.failure, None
            return failure
        return self._transport.failure(self._call, outcome, self._idle.expired, self._within, self._upload is not None)

    def cancel(self) -> None:
        if self._over:
            return
        self._over = True
        self._idle.stop()
        self._transport.end(self._rpc)
        if self._upload is not None:
            self._upload.cancel(self._ending[0])
        if self._answers is not None and self._reading is not None:
            if self._transport.is_intercepted:
                self._reading.cancel()
            self._ending += (self._reading, self._transport.wind_up(_drain(self._answers, self._reading)))
        if self._upload is not None and not self._upload.half_closed:
            # Else a task that grpc.aio makes for interceptors waits for the next message forever.
            self._ending.append(self._transport.wind_up(self._upload.done()))

    async def aclose(self) -> None:
        self.cancel()
        tasks, self._ending = self._ending, []
        if tasks:
            await self._transport.wound_up(tasks)


async def _drain(answers: AsyncIterator[Any], reading: asyncio.Task[Any]) -> None:
    """Read the rest: the iterator and its call make a reference cycle until it ends."""
    late = reading.get_loop().time() + WIND_UP
    await asyncio.wait((reading,))
    while reading.get_loop().time() < late:
        if not isinstance(await outcome_of(anext(answers)), bytes):
            break
        await asyncio.sleep(0)  # an interceptor's iterator may be endless, and never wait


async def _status(rpc: Any) -> grpc.aio.AioRpcError:
    """Return the status of a call that is over, as an error even for OK."""
    return grpc.aio.AioRpcError(
        await rpc.code(), grpc.aio.Metadata(), await rpc.trailing_metadata(), await rpc.details(), None
    )


def _cancelling() -> int:
    """Return the number of pending cancellations of the current task."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def cancel(rpc: Any) -> None:
    """Cancel a call. The calls that interceptors return may not support that; they end when they are dropped."""
    with contextlib.suppress(Exception):
        rpc.cancel()
