"""The health of servers as it changes: gRPC's Watch where a server has it, else polls."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import weakref
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

from .._calls.caller import Caller
from .._calls.stream import RemoteStream
from .._concurrency import fork as _fork
from .._concurrency.time_limits import LATE, within
from .._objects.exports import exported_from
from .._schema.codec import BaseCodec
from .._schema.rpc import RemoteRPCDescriptor
from .._settings.retries import ONCE
from ..errors import ClosedError, DeadlineExceededError, ForkedError, PicklingError, RemoteCallError, WrongLoopError
from ..settings import Output, Protocol
from .health import SERVICE, HealthState, HealthStatus, ask_health, failed_status, quick, state_of
from .job_polling import JITTER, PollSchedule, is_transient

POLL = 5.0
"""Seconds between two polls, and the longest pause between two attempts to reach a server that is away."""


class _StateCodec(BaseCodec):
    """Decodes the answers of gRPC's Watch without protobuf."""

    def decode(self, data: bytes, output: Output) -> HealthState:
        return state_of(data, "grpc")


_WATCH = RemoteRPCDescriptor(
    inspect.Signature(),
    "grpc.health.v1.HealthCheckRequest",
    "grpc.health.v1.HealthCheckResponse",
    "Watch",
    output_streaming=True,
    name="watch",
    path=f"{SERVICE}/Watch",
    codec=_StateCodec("watch", inspect.Signature()),
)


class _News:
    """The newest status of every server that was not read yet: a slow reader misses changes, but not the last one."""

    def __init__(self) -> None:
        self._read: dict[Caller, HealthState] = {}
        self._unread: dict[Caller, HealthStatus] = {}
        self._arrived = asyncio.Event()
        self._failure: Exception | None = None
        self.over = False

    def put(self, caller: Caller, status: HealthStatus) -> None:
        """Take over what is known about a server now."""
        self._unread.pop(caller, None)
        if self._read.get(caller) is not status.state:
            self._unread[caller] = status
            self._arrived.set()

    def end(self, failure: Exception | None = None) -> None:
        """Let readers stop, or one of them raise an error."""
        self.over, self._failure = True, self._failure or failure
        self._arrived.set()

    async def take(self) -> HealthStatus | None:
        """Return the next status when there is one; None at the end."""
        while not (self._unread or self.over):
            self._arrived.clear()
            await self._arrived.wait()
        if self.over:
            self._raise_failure()
            return None
        caller = next(iter(self._unread))
        status = self._unread.pop(caller)
        self._read[caller] = status.state
        return status

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # no reference leads from an exception back to it


class _Following:
    """The tasks that follow the servers of one watch. It does not know the watch, so that this may be dropped.

    Args:
        servers: the servers, and their protocols.
        poll: seconds, see `RemoteClient.watch_health`.
        running: has it while its tasks run.
    """

    def __init__(self, servers: Mapping[Caller, Protocol], poll: float, running: set[Any]) -> None:
        self.news = _News()
        self.loop = asyncio.get_running_loop()
        self.born = _fork.count
        self._poll = poll
        self._running = running
        self._tasks = {asyncio.create_task(self._follow(*each)) for each in servers.items()}
        running.add(self)
        for task in self._tasks:
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._running.discard(self)

    def check(self) -> None:
        """Raise unless this is the process and the event loop of the first read, whose tasks it has."""
        if self.born != _fork.count:
            raise ForkedError("the watch was begun before the process forked; make a new one in the child")
        if self.loop is not asyncio.get_running_loop():
            raise WrongLoopError("the watch was begun in another event loop; read it there")

    async def _follow(self, caller: Caller, protocol: Protocol) -> None:
        """Follow one server until the client is closed."""
        try:
            if protocol == "grpc":
                await self._watch(caller)
            await self._ask(caller, protocol)
        except ClosedError:
            self.news.end()
        except Exception as error:  # such as one of the function that returns the metadata
            self.news.end(error)

    async def _watch(self, caller: Caller) -> None:
        """Watch a server, again whenever the call ends. Return if the server does not let itself be watched."""
        now, schedule = self.loop.time, self._schedule()
        quiet, patience = caller.replace(timeout=None, total_timeout=None, retry=ONCE), quick(caller).options.timeout
        while True:
            begun, answered = now(), False
            try:
                async with RemoteStream[HealthState](quiet, _WATCH, b"") as stream:
                    while (state := await _next_state(stream, None if answered else patience)) is not None:
                        answered = True
                        self.news.put(caller, HealthStatus(caller.target, state))
            except RemoteCallError as error:
                if not answered and not is_transient(error):
                    return
                # A proxy may have ended a call that was quiet for long: only the next one shows whether the server is
                # away.
                if not answered:
                    self.news.put(caller, failed_status(caller.target, error))
            if now() - begun > self._poll:
                schedule = self._schedule()
                if answered:
                    continue
            await asyncio.sleep(schedule.answered(now()))

    async def _ask(self, caller: Caller, protocol: Protocol) -> None:
        """Poll a server."""
        now, schedule, asking = self.loop.time, self._schedule(), quick(caller)
        while True:
            try:
                status = HealthStatus(caller.target, await ask_health(asking, protocol))
            except RemoteCallError as error:
                status = failed_status(caller.target, error)
            self.news.put(caller, status)
            if status.is_serving:
                schedule = self._schedule()
                pause = self._poll * (1 - JITTER * random.random())  # noqa: S311 - no secret
            else:
                pause = schedule.answered(now())
            await asyncio.sleep(pause)

    def _schedule(self) -> PollSchedule:
        """Return the pauses between attempts to reach a server that is away."""
        return PollSchedule(last=self._poll)

    def cancel(self) -> None:
        """End it. In the loop's thread."""
        self.news.end()
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """End it, and wait until the calls are cancelled. Idempotent."""
        if self.loop is asyncio.get_running_loop():  # tasks of a closed loop never end
            self.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)


async def _next_state(stream: RemoteStream[HealthState], seconds: float | None) -> HealthState | None:
    """Return the next answer, or None after the last one."""
    state = await within(seconds, anext(stream, None))
    if state is LATE:
        raise DeadlineExceededError(f"no answer within {seconds:.3g} seconds", method=_WATCH.full_name)
    return state


@exported_from("remote_client")
class HealthWatch(AsyncIterator[HealthStatus]):
    """The health of a client's servers as it changes: an async iterator, and an async context manager.

    It begins at `async with` or the first read, with a status of every server. `aclose()`, the end of `async with`, the
    client's `aclose()`, and dropping the watch, as after a `break`, cancel its calls. A read that is cancelled, as by a
    timeout, loses nothing.
    """

    def __init__(self, servers: Mapping[Caller, Protocol], poll: float, running: set[Any]) -> None:
        self._arguments = servers, poll, running
        self._following: _Following | None = None
        self._closed = False

    def _begin(self) -> _Following | None:
        """Return what follows the servers, begun by the first read; None after `aclose`."""
        following = self._following
        if following is not None:
            following.check()
        elif not self._closed:
            for caller in self._arguments[0]:
                caller.connections.check()
            self._following = following = _Following(*self._arguments)
            weakref.finalize(self, _drop, following).atexit = False
        return following

    async def __anext__(self) -> HealthStatus:
        following = self._begin()
        status = None if following is None else await following.news.take()
        if status is None:
            raise StopAsyncIteration
        return status

    async def aclose(self) -> None:
        """Cancel its calls, and wait until nothing is left of them. Reads in other tasks end. Idempotent."""
        self._closed = True
        if self._following is not None:
            self._following.check()
            await self._following.aclose()

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> Any:
        raise PicklingError("a watch belongs to its process: give the other one the client, and watch there")


def _drop(following: _Following) -> None:
    """End what follows the servers of a watch that was collected, in whatever thread the collector runs."""
    if following.born != _fork.count:
        return  # the tasks are the parent's
    with contextlib.suppress(RuntimeError):  # the loop is closed
        following.loop.call_soon_threadsafe(following.cancel)
