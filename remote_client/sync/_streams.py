"""Streams of answers for threads: a task in the loop reads ahead, and the caller's thread takes the answers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import threading
import weakref
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .._calls.lost_reads import STREAM_CLOSED, lost_message
from .._concurrency import fork as _fork
from .._objects.exports import exported_from
from ..errors import ClosedError, ForkedError
from ._answers import Answers
from ._facade import TWINS, Blocking
from ._loop_thread import END_TIME, PAUSE, LoopThread, loop_thread, run

if TYPE_CHECKING:
    from .._calls.stream import RemoteStream as _RemoteStream

T = TypeVar("T")

_HIGH_WATER, _LOW_WATER = 16, 8
"""Unread answers at which the pump pauses, and at which it goes on."""
_END = object()


class _Pump:
    """A task in the loop that reads a stream into a queue, at most 16 answers ahead of the caller's thread."""

    def __init__(self, thread: LoopThread, stream: Any) -> None:
        self.items: SimpleQueue[Any] = SimpleQueue()
        self.stream = stream
        self.paused = False
        self.thread = thread
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading = self._cancelled = False
        self._ended = threading.Event()
        self.failure: BaseException | None = None
        """The error of the stream's `aclose`."""

    def start(self) -> None:
        """Begin the call. Called once."""
        self.thread.waiting.add(self)
        self.thread.post(functools.partial(self._begin, contextvars.copy_context()))

    def _begin(self, context: contextvars.Context) -> None:
        self._task = self.thread.spawn(self._run(), context)

    async def _run(self) -> None:
        await self._read()
        await self._close()

    async def _read(self) -> None:
        items = self.items
        self._reading = True
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            async for item in self.stream:
                items.put((item, None))
                if items.qsize() >= _HIGH_WATER:
                    await self._pause()
            items.put((_END, None))
        except BaseException as error:
            item = None  # else the traceback would keep it
            if isinstance(error, asyncio.CancelledError):
                error.__traceback__ = None  # leads to this frame: a cycle, which only the collector frees
            if not self.thread.ending:  # else a daemon thread would wake up and print a traceback at exit
                items.put((_END, error))
        finally:
            self._reading = False

    async def _close(self) -> None:
        try:
            with contextlib.suppress(ForkedError):  # the reader got the same error
                await self.stream.aclose()
        except BaseException as error:
            self.failure = error
        self.thread.waiting.discard(self)
        self._ended.set()

    def fail(self, error: BaseException) -> None:
        """Raise an error in the reading thread, as the loop has ended."""
        self.items.put((_END, error))
        self._ended.set()

    async def _pause(self) -> None:
        self._room = self.thread.loop.create_future()
        self.paused = True
        if self.items.qsize() >= _HIGH_WATER:  # answers taken before `paused` was set do not resume the pump
            await self._room
        self.paused = False

    def take(self) -> tuple[Any, BaseException | None]:
        """Return the next answer and None, or `_END` and the error that ended the stream, if any."""
        item = self._next()
        if item[0] is _END:
            self.items.put((_END, _for_other_threads(item[1])))
        if self.paused and self.items.qsize() <= _LOW_WATER:
            self.paused = False
            self.thread.post(self._resume)
        return item

    def _next(self) -> tuple[Any, BaseException | None]:
        while True:
            try:
                item: tuple[Any, BaseException | None] = self.items.get(True, PAUSE)
                return item
            except Empty:
                # A thread that an exception met between taking the end and passing it on left none for the others.
                if self._ended.is_set() and self.items.empty() and not self.thread.ending:
                    return _END, asyncio.CancelledError()

    def _resume(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def leave(self) -> None:
        """Cancel a call whose reader has had enough: for hooks it ends well. From any thread, and from finalizers."""
        self._post(self._leave)

    def cancel(self) -> None:
        """Cancel the call. From any thread."""
        self._post(self._cancel)

    def _post(self, callback: Callable[[], None]) -> None:
        try:
            self.thread.post(callback)
        except (ClosedError, ForkedError):  # the loop has ended, and the call with it; or both are the parent's
            self._ended.set()

    def _leave(self) -> None:
        self.stream._leave()
        self._cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is None:  # an exception came before `start` had posted it
            self.thread.waiting.discard(self)
            self._ended.set()
        # A task that is cancelled before it reads never runs, and one that is cancelled later would not close.
        if self._task is not None and self._reading:
            self._task.cancel()

    def wait(self) -> None:
        """Wait until the stream is closed."""
        while not self._ended.wait(PAUSE):
            pass

    def wait_briefly(self) -> None:
        """Wait until the stream is closed, or for `END_TIME`."""
        self._ended.wait(END_TIME)


def _for_other_threads(error: BaseException | None) -> BaseException | None:
    """Return the error for the other threads that read the stream, after one thread raised the original."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return error
    return ClosedError(lost_message(error))


_lock = threading.Lock()
"""Lets one of several threads that use a stream begin the call."""


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


_fork.at_fork(after_in_child=_after_fork)


@exported_from("remote_client.sync")
class RemoteStream(Blocking, Answers[T]):
    """The answers of one call: an iterator and a context manager. See `remote_client.RemoteStream`.

    The call starts at `with` or at the first item. `close()`, the end of `with`, and an exception such as Ctrl-C cancel
    it, and so does dropping the iterator, as after a `break`. The loop reads at most 16 answers ahead.
    """

    _twin: _RemoteStream[T]
    _pump: _Pump | None = None
    _over = False
    _lost = ""
    """Why the stream ended before it was complete."""
    _finalizer: weakref.finalize[Any, Any] | None = None

    def __reduce__(self) -> Any:
        return self._twin.__reduce__()  # raises

    def __iter__(self) -> RemoteStream[T]:
        return self

    def __next__(self) -> T:
        if self._over:
            self._raise_over()
        pump = self._pump
        if pump is None:
            pump = self._start()
        elif threading.get_ident() == pump.thread.ident or pump.thread.forked:
            pump.thread.check()  # raises
        try:
            item, error = pump.take()
        except BaseException as interrupt:
            pump.thread.park_daemon()
            pump.cancel()
            pump.wait_briefly()
            self._lost, self._over = lost_message(interrupt), True
            raise
        if item is not _END:
            result: T = item
            return result
        if isinstance(error, asyncio.CancelledError):
            self._over = True
            raise ClosedError(STREAM_CLOSED)
        if error is not None:
            self._lost = self._lost or lost_message(error)
        self._over = True
        try:
            raise StopIteration if error is None else error
        finally:
            error = None  # its traceback holds this frame

    def _start(self) -> _Pump:
        thread = loop_thread()
        try:
            with _lock:
                if self._over:
                    self._raise_over()
                return self._pump or self._begin(_Pump(thread, self._twin))
        except ClosedError:
            thread.park_daemon()
            raise

    def _begin(self, pump: _Pump) -> _Pump:
        try:
            pump.start()
            self._finalizer = weakref.finalize(self, pump.leave)
            self._finalizer.atexit = False
            self._pump = pump  # last, as other threads take from it without the lock
            return pump
        except (ClosedError, ForkedError):  # raised by `start`
            raise
        except BaseException as interrupt:  # nobody would read, nor cancel, what has begun
            pump.cancel()
            self._lost, self._over = lost_message(interrupt), True
            raise

    def _raise_over(self) -> NoReturn:
        raise ClosedError(self._lost) if self._lost else StopIteration

    @property
    def metadata(self) -> Mapping[str, str | bytes] | None:
        """The answer's initial metadata, or its headers; see `remote_client.RemoteStream.metadata`."""
        return self._twin.metadata

    @property
    def trailing_metadata(self) -> Mapping[str, str | bytes] | None:
        """The answer's trailing metadata; see `remote_client.RemoteStream.trailing_metadata`."""
        return self._twin.trailing_metadata

    @property
    def target(self) -> str | None:
        """The server of the newest attempt; None before the call started."""
        return self._twin.target

    @property
    def attempts(self) -> int:
        """The number of attempts so far."""
        return self._twin.attempts

    @property
    def seconds(self) -> float | None:
        """The duration of the call; see `remote_client.RemoteStream.seconds`."""
        return self._twin.seconds

    @property
    def request_id(self) -> str | None:
        """The id that all attempts send as `x-request-id`; None before the call started."""
        return self._twin.request_id

    def aclose(self) -> None:
        """Cancel the call if it still runs, and wait until the stream is closed. Idempotent."""
        with _lock:
            self._over = True
        pump = self._pump
        if pump is None:
            run(self._twin.aclose)
            return
        pump.thread.check()
        pump.leave()
        pump.wait()
        failure, pump.failure = pump.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            failure = None  # its traceback holds this frame

    close = aclose

    def _cancel(self) -> None:
        """Cancel the call without waiting, from any thread: one that waits for an answer gets a ClosedError."""
        with _lock:
            pump = self._pump
            self._over = self._over or pump is None
        if pump is not None:
            pump.leave()

    def __enter__(self) -> RemoteStream[T]:
        if self._pump is None and not self._over:
            run(self._twin.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.aclose()


TWINS["RemoteStream"] = RemoteStream
