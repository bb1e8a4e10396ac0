"""Calls of the blocking client that its threads make themselves: one gRPC server, bytes in, nobody to be asked or told.

What fails is handed to the engine in the loop (`calls`), which alone knows when there is another attempt. All other
calls are made there from the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from time import monotonic
from typing import Any

from ._mirror import END, LoopThread
from ._schema.rpc import RemoteRPCDescriptor
from ._transport.base import Call
from ._transport.direct import DirectLease, DirectStream
from .calls import Attempts, Caller, RemoteStream, shown_stream
from .errors import ClosedError, DeadlineExceededError, RemoteCallError


def unary(thread: LoopThread, caller: Caller, descriptor: RemoteRPCDescriptor, body: bytes) -> Any:
    """Make a call of one answer."""
    call, direct = caller.direct_call(descriptor.path), caller.connections.direct
    if call is None or direct is None:
        return thread.call(caller.unary(descriptor, body))
    few = direct.enter()
    try:
        data = _sent(thread, caller, direct.lease(), call, body) if few else thread.call(caller.send(call.path, body))
    finally:
        direct.leave()
    return _decoded(thread, caller, descriptor, data)


def _sent(thread: LoopThread, caller: Caller, lease: DirectLease, call: Call, body: bytes) -> bytes:
    begun = monotonic()
    try:
        data = lease.transport.unary(call, body)
        caller.connections.budget.calls += 1
        return data
    except RemoteCallError as error:
        failed = error
    except ClosedError:
        thread.hold_at_exit()
        raise
    finally:
        lease.release()
    try:
        return thread.call(caller.send(call.path, body, failed=(failed, begun)))
    finally:
        del failed  # no reference leads from an exception back to it


def _decoded(thread: LoopThread, caller: Caller, descriptor: RemoteRPCDescriptor, data: bytes) -> Any:
    try:
        return descriptor.codec.decode(data, caller.options.output)
    except RemoteCallError as error:
        thread.call(_blamed(caller, error, descriptor))
        raise


async def _blamed(caller: Caller, error: RemoteCallError, descriptor: RemoteRPCDescriptor) -> None:
    caller.blame(error, descriptor)


def reader(thread: LoopThread, stream: RemoteStream[Any]) -> StreamReader | None:
    """What reads a stream in the threads that want its answers; None where that is the loop's to do."""
    given = stream._as_direct()
    return None if given is None else StreamReader(thread, *given)


class StreamReader:
    """See `_mirror.Reader`."""

    def __init__(
        self, thread: LoopThread, caller: Caller, descriptor: RemoteRPCDescriptor, call: Call, body: bytes
    ) -> None:
        self.thread = thread
        self._caller = caller
        self._descriptor = descriptor
        self._call = call
        self._body = body
        self._attempts: Attempts | None = None
        """Until there was an answer: before it the call may be made again."""
        self._lease: DirectLease | None = None
        self._stream: DirectStream | None = None
        self._idle: _Idle | None = None
        self._ending = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin the call."""
        connections = self._caller.connections
        connections.budget.calls += 1
        self._attempts = Attempts(self._caller, self._call, connections, monotonic())
        self._open()

    def _open(self) -> None:
        direct, call = self._caller.connections.direct, self._call
        assert direct is not None
        lease = direct.lease()
        try:
            stream = lease.transport.stream(call, self._body)
        except BaseException:
            lease.release()
            raise
        idle = None if call.timeout is None else _Idle(self.thread, call.timeout, stream)
        self._lease, self._stream, self._idle = lease, stream, idle

    def take(self) -> tuple[Any, BaseException | None]:
        """The next answer, or `END` and why it ended."""
        try:
            data = self._read()
            if data is not None:
                return _decoded(self.thread, self._caller, self._descriptor, data), None
        except Exception as error:
            if isinstance(error, RemoteCallError):
                error.model = self._caller.model
            elif isinstance(error, ClosedError):
                self.thread.hold_at_exit()
            self._end()
            return END, error
        self._end()
        return END, None

    def _read(self) -> bytes | None:
        while (stream := self._stream) is not None:
            try:
                data = self._wait(stream)
            except RemoteCallError as error:
                # Before the first answer the call may be made again.
                attempts = self._attempts
                if self._stream is not stream:
                    raise ClosedError("the stream was closed") from None
                again = attempts and self.thread.call(attempts.again(error, self._call, self._body))
                if not again:
                    raise
                if not self._give_back():
                    raise ClosedError("the stream was closed") from None
                self._call = again
                self._open()
            else:
                self._attempts = None
                return data
        return None

    def _wait(self, stream: DirectStream) -> bytes | None:
        idle = self._idle
        if idle is None:
            return stream.read()
        if self._attempts is None:  # the limit between two answers; the first is inside of the whole call's
            idle.limit = self._caller.options.timeout or idle.limit
        idle.since = monotonic()
        try:
            return stream.read()
        except RemoteCallError as error:
            if not idle.expired:
                raise
            told = f"no progress for {idle.limit} seconds"
            raise DeadlineExceededError(told, method=error.method, target=error.target) from None
        finally:
            idle.since = None

    def cancel(self) -> None:
        """Break the call off. From any thread."""
        try:
            # Not here: garbage may be found where gRPC holds its locks.
            self.thread.loop.call_soon_threadsafe(self._end)
        except RuntimeError:  # the loop is closed, and the call with it
            self._ended.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing of the call is left."""
        self._ended.wait(timeout)

    def __repr__(self) -> str:
        return shown_stream(self._caller, self._descriptor, "over" if self._stream is None else "running")

    def _end(self) -> None:
        self._give_back()
        self._ended.set()

    def _give_back(self) -> bool:
        """Cancel what still runs, and give the connection back; whether there was anything."""
        with self._ending:
            stream, lease, idle = self._stream, self._lease, self._idle
            self._stream = self._lease = self._idle = None
        if stream is None or lease is None:
            return False
        if idle is not None:
            idle.stop()
        try:
            stream.cancel()
            stream.finish()
        finally:
            lease.release()
        return True


class _Idle:
    """Cancels a call whose reader has waited for longer than `limit` seconds, since `since`.

    The loop looks now and then: answers come too fast for a timer each.
    """

    def __init__(self, thread: LoopThread, limit: float, stream: DirectStream) -> None:
        self.limit = limit
        self.since: float | None = None
        self.expired = False
        self._loop = thread.loop
        self._stream = stream
        self._handle: asyncio.TimerHandle | None = None
        self._over = False
        with contextlib.suppress(RuntimeError):  # at the process's end: its call ends too
            self._loop.call_soon_threadsafe(self._check)

    def _check(self) -> None:
        if self._over:
            return
        since = self.since
        left = self.limit if since is None else since + self.limit - monotonic()
        if left > 0:
            self._handle = self._loop.call_later(left, self._check)
        else:
            self.expired = True
            self._stream.cancel()

    def stop(self) -> None:
        """No wait will follow."""
        self._over = True
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._disarm)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
