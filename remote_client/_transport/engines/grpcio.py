"""gRPC on grpc.aio: channels and the four kinds of call, bytes in and bytes out.

Bytes only, because grpc.aio swallows what a serializer raises (grpc/grpc#34894, #33955). A caller's task never awaits a
task of grpc.aio's: cancellation would pass through it and come back changed, and anyio would not know it (#43502).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
from collections.abc import AsyncIterator, Callable
from functools import lru_cache, partial
from pathlib import Path
from time import monotonic
from typing import Any, cast

import grpc
import grpc.aio

from ...errors import (
    ConfigurationError,
    DeadlineExceededError,
    ForkedError,
    InvalidResponseError,
    RemoteCallError,
    RemoteClientError,
    ResponseTooLargeError,
    TlsError,
    because,
    error_class,
    redacted,
)
from ...settings import ConnectionInfo, ConnectionTlsInfo
from ..base import MAX_RESPONSE_SIZE, ByteStream, Call, Transport
from ..retry import pushback_ms

_OPTIONS: dict[str, str | int] = {
    # Without it channels with equal arguments share one connection, and rotation opens none (#20985).
    "grpc.use_local_subchannel_pool": 1,
    # One engine retries, for both protocols; gRPC's own would multiply with it.
    "grpc.enable_retries": 0,
    # As over HTTP: no proxy from the environment gets to see the calls.
    "grpc.enable_http_proxy": 0,
    "grpc.max_receive_message_length": MAX_RESPONSE_SIZE,
    # A server that comes back is found in half a second instead of more than three. The minimum is also the time
    # a connection may take to be made, so it must not be as short as the other two.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 5_000,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # Finds a dead peer; a caikit runtime ends connections that ping more often ("Too many pings"). The time to wait
    # for the answer is this option's, grpc.keepalive_timeout_ms has no effect (#39239).
    "grpc.keepalive_time_ms": 60_000,
    "grpc.http2.ping_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 0,
}
_UNSENT = ("failed to connect", "connections to all backends failing", "DNS resolution failed")
"""How gRPC begins to tell that there was no connection to send a call on."""
_TLS_FAILURE = re.compile(
    r"(?is)(failed to connect|all backends failing)"
    r".*(handshake failed|verification check failed|SSL_ERROR|security handshaker)"
)

_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

_used = False
_hangs = False


def _after_fork() -> None:
    global _hangs
    _hangs = _used


os.register_at_fork(after_in_child=_after_fork)


class GrpcioTransport(Transport):
    """One gRPC channel, made lazily by gRPC at its first call. See `Transport`."""

    def __init__(self, connection: ConnectionInfo) -> None:
        super().__init__()
        self._target = connection.target
        self._channel = open_channel(connection)
        self._methods: dict[tuple[str, str], Any] = {}
        self._running: set[grpc.aio.Call] = set()
        self._reason: Callable[[], RemoteClientError] | None = None

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes]) -> bytes:
        if not isinstance(body, bytes):
            return await self._stream_unary(call, body)
        rpc = self._method("unary_unary", call.path)(body, timeout=call.timeout, metadata=call.metadata)
        done = self.watch(rpc)
        try:
            await done
        except asyncio.CancelledError:
            _cancel(rpc)
            raise
        return await self._answer(call, rpc)

    async def _stream_unary(self, call: Call, body: AsyncIterator[bytes]) -> bytes:
        # On the wire it is a stream of one answer; read as one, an early answer survives the writes it cuts short.
        stream = self.stream(call, body)
        try:
            answer = await stream.read()
            extra = None if answer is None else await stream.read()
        finally:
            await stream.aclose()
        if answer is None or extra is not None:
            raise self._not_one(call, "no answer" if answer is None else "more than one answer")
        return answer

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes]) -> ByteStream:
        if isinstance(body, bytes):
            method = self._method("unary_stream", call.path)
            return _GrpcStream(self, method(body, timeout=call.total_timeout, metadata=call.metadata), call, None)
        method = self._method("stream_stream", call.path)
        return _GrpcStream(self, method(timeout=call.total_timeout, metadata=call.metadata), call, body)

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        # A call made in this very turn of the loop has not begun yet, and would end without telling anyone.
        await asyncio.sleep(0)
        for rpc in list(self._running):
            _cancel(rpc)
        # Closing while cancelled calls still wind up leaks the socket (#42125).
        for _ in range(100):
            if not self._running and not self._tasks:
                break
            for task in list(self._tasks):
                task.cancel()
            await asyncio.sleep(0 if self._running or self._tasks else 0.01)
        await self._channel.close(None)

    def _method(self, kind: str, path: str) -> Any:
        try:
            return self._methods[kind, path]
        except KeyError:
            if self._reason is not None:
                raise self._reason() from None
            method = self._methods[kind, path] = getattr(self._channel, kind)(path)
            return method

    def watch(self, rpc: grpc.aio.Call) -> asyncio.Future[None]:
        """A future of our own that is done when the rpc is."""
        done: asyncio.Future[None] = self.loop.create_future()
        self._running.add(rpc)
        rpc.add_done_callback(partial(self._settle, done))
        return done

    def _settle(self, done: asyncio.Future[None], rpc: grpc.aio.Call) -> None:
        self._running.discard(rpc)
        if not done.done():
            done.set_result(None)

    async def _answer(self, call: Call, rpc: Any) -> bytes:
        try:
            answer: bytes | None = await rpc
        except grpc.aio.AioRpcError as error:
            failure: RemoteClientError = self.failure(call, error)
        except asyncio.CancelledError:
            # The rpc was cancelled, not this task: it did not wait for anything.
            reason = self.cut(call)
            if reason is None:
                raise
            failure = reason
            del reason
        else:
            if answer is not None:
                return answer
            failure = self._not_one(call, "no answer")  # with the status OK
        try:
            raise failure
        finally:
            del failure  # no reference leads from an exception back to it

    def _not_one(self, call: Call, told: str) -> InvalidResponseError:
        return InvalidResponseError(f"{told} to a unary call", method=call.path[1:], target=self._target)

    def cut(self, call: Call, expired: bool = False) -> RemoteClientError | None:
        """Why a call was cancelled that nobody gave up; None if somebody did."""
        if self._reason is not None:
            return self._reason()
        if not expired:
            return None
        return DeadlineExceededError(
            f"no progress for {call.timeout} seconds", method=call.path[1:], target=self._target
        )

    def failure(self, call: Call, error: grpc.aio.AioRpcError) -> RemoteCallError:
        """The typed error for what gRPC reports."""
        return failure_of(call, error, self._target)


def failure_of(call: Call, error: Any, target: str) -> RemoteCallError:
    """The typed error for what gRPC reports, awaited or not."""
    status, details = error.code().name, redacted(error.details() or "", call.metadata)
    kind = error_class(status)
    if status == "UNAVAILABLE" and _TLS_FAILURE.search(details):
        kind = TlsError
    elif status == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        if "CLIENT:" in details:
            kind = ResponseTooLargeError
        else:
            details += (
                "; this is the runtime's limit: raise grpc.max_receive_message_length in its runtime.grpc.options"
            )
    failure = kind(details, method=call.path[1:], target=target)
    failure.outcome_known = kind is TlsError or not _is_lost(status, details)
    trailers: Any = error.trailing_metadata() or ()
    failure.pushback = pushback_ms(dict(trailers).get("grpc-retry-pushback-ms"))
    return because(failure, error, call.metadata, str(trailers))


def _is_lost(status: str, details: str) -> bool:
    """Whether a call may have reached the server though this end made the status: the server's own look the same."""
    if status == "UNAVAILABLE":
        return not details.startswith(_UNSENT)
    return status in ("CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN") or "RST_STREAM" in details


class _IdleTimer:
    """Calls `expire` when a wait lasts longer than `timeout`. Progress costs an assignment, no timer is re-armed."""

    __slots__ = ("_expire", "_handle", "_loop", "_since", "_timeout", "expired")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float | None, expire: Callable[[], None]) -> None:
        self._loop = loop
        self._timeout = timeout
        self._expire = expire
        self._since: float | None = None
        self.expired = False
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """A wait begins, or made progress."""
        if self._timeout is not None:
            self._since = monotonic()
            if self._handle is None:
                self._handle = self._loop.call_later(self._timeout, self._check)

    def pause(self) -> None:
        """The wait is over."""
        self._since = None

    def progress(self) -> None:
        """Something moved; counts only during a wait."""
        if self._since is not None:
            self._since = monotonic()

    def stop(self) -> None:
        """No wait will follow."""
        self._timeout = self._since = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        self._handle = None
        if self._timeout is None or self._since is None:
            return  # the next wait sets the timer again
        left = self._since + self._timeout - monotonic()
        if left > 0:
            self._handle = self._loop.call_later(left, self._check)
        else:
            self.expired = True
            self._expire()


class _Upload:
    """Writes the messages of an iterator to an rpc, in a task of its own, and keeps what the iterator raised.

    grpc.aio's own way of taking an iterator turns that into a bare CancelledError (#28613). And its `write` makes the
    call INTERNAL where the server ends it before the last message: the server's status is lost, and so are answers not
    read yet (#36066). So messages go to the call below it, and a write that fails leaves the verdict to the reader.
    """

    __slots__ = ("_body", "_idle", "_over", "_rpc", "_writing", "failure")

    def __init__(self, rpc: Any, body: AsyncIterator[bytes], idle: _IdleTimer) -> None:
        self._rpc = rpc
        self._body = body
        self._idle = idle
        self._over = self._writing = False
        self.failure: BaseException | None = None

    def cancel(self, task: asyncio.Task[None]) -> None:
        """End `run`, which is in that task: the call was cancelled."""
        self._over = True
        if not self._writing:  # that ends with the call, see `_cancel`
            task.cancel()

    async def run(self) -> None:
        while True:
            try:
                item = await anext(self._body)
            except StopAsyncIteration:
                break
            except BaseException as error:
                if self._keep(error):
                    return
                raise
            if not await self._send(item):
                return
            self._idle.progress()
        self._writing = True
        with contextlib.suppress(Exception):  # the call is over; its reader is told why
            await self._rpc.done_writing()

    def _keep(self, error: BaseException) -> bool:
        """Keep what the iterator raised; whether that is all. Not where it is this task that is being cancelled.

        Nothing is raised here: this frame knows the error, and both would wait for the garbage collector, and the call
        with them.
        """
        if isinstance(error, asyncio.CancelledError) and _cancelling():
            return False
        self.failure = error
        _cancel(self._rpc)
        return isinstance(error, (Exception, asyncio.CancelledError))

    async def _send(self, item: bytes) -> bool:
        """Whether the message was taken."""
        try:
            await self._rpc.wait_for_connection()
            self._writing = True
            await self._rpc._cython_call.send_serialized_message(item)
        except Exception:  # the call is over; its reader is told why
            return False
        finally:
            self._writing = False
        return not self._over


class _GrpcStream(ByteStream):
    """See `ByteStream`. No reference leads from an exception back to it, so that nothing waits for the collector."""

    __slots__ = (
        "_begun",
        "_call",
        "_cancelling",
        "_first",
        "_idle",
        "_over",
        "_rpc",
        "_transport",
        "_upload",
        "_uploading",
    )

    def __init__(self, transport: GrpcioTransport, rpc: Any, call: Call, body: AsyncIterator[bytes] | None) -> None:
        self._transport = transport
        self._rpc = rpc
        self._call = call
        # `rpc.read` goes through two more coroutines for each answer; it tells how the call ended, too.
        self._receive = rpc._cython_call.receive_serialized_message
        self._begun = False
        self._over = False
        self._first: asyncio.Task[Any] | None = None
        self._uploading: asyncio.Task[None] | None = None
        self._cancelling = _cancelling()
        self._idle = _IdleTimer(transport.loop, call.timeout, partial(_cancel, rpc))
        self._upload: _Upload | None = None
        transport.watch(rpc)
        if body is not None:
            self._upload = _Upload(rpc, body, self._idle)
            self._uploading = transport.own(self._upload.run())

    async def read(self) -> bytes | None:
        if self._over:
            return None
        self._idle.start()
        try:
            data = await self._receive() if self._begun else await self._read_first()
            if data is _EOF:
                await self._rpc.code()
                data = await self._rpc.read()
        except grpc.aio.AioRpcError as error:
            reason: BaseException = self._transport.failure(self._call, error)
        except asyncio.CancelledError:
            self.cancel()
            # grpc.aio raises this too where it was the rpc that was cancelled, for one of these reasons.
            told = self._reason()
            if told is None or _cancelling() > self._cancelling:
                raise
            reason = told
            del told
        else:
            self._idle.pause()
            if data is _EOF:
                self.cancel()
                return None
            return cast(bytes, data)
        self.cancel()
        try:
            raise reason
        finally:
            del reason

    async def _read_first(self) -> Any:
        """The first read waits for a task of grpc.aio's, which must not see who awaits it being cancelled."""
        self._begun = True
        self._first = first = self._transport.own(self._rpc.read())
        await asyncio.wait((first,))
        self._first = None
        try:
            return first.result()
        finally:
            del first

    def _reason(self) -> BaseException | None:
        """Why the rpc was cancelled, if it was not its reader who did."""
        if self._upload is not None and self._upload.failure is not None:
            failure, self._upload.failure = self._upload.failure, None
            return failure
        return self._transport.cut(self._call, expired=self._idle.expired)

    def cancel(self) -> None:
        if not self._over:
            self._over = True
            self._idle.stop()
            _cancel(self._rpc)
            if self._upload is not None and self._uploading is not None:
                self._upload.cancel(self._uploading)

    async def aclose(self) -> None:
        self.cancel()
        tasks = [each for each in (self._first, self._uploading) if each is not None]
        self._first = self._uploading = None
        if tasks:
            await asyncio.wait(tasks)


def _cancelling() -> int:
    """How often the current task is being cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _cancel(rpc: Any) -> None:
    """Cancel a call, without the tasks of grpc.aio's that wait for it: they end with it.

    `rpc.cancel()` cancels those too, and each then loses for good what it was waiting for: a kilobyte for a unary call.
    """
    if not rpc.done():
        rpc._cython_call.cancel("Locally cancelled by application!")


def open_channel(connection: ConnectionInfo, library: Any = grpc.aio, **more: int) -> Any:
    """A channel that dials exactly what the connection says: a scheme in front, so that no host name is one.

    Of grpc.aio, or with `library=grpc` one for blocking calls; `more` options are that one's.
    """
    if _hangs:
        raise ForkedError("gRPC was in use when this process was forked, and hangs: start workers with `spawn`")
    global _used
    _used = True
    policy = {"grpc.lb_policy_name": "round_robin"} if _is_name(connection.hostname) else {}
    options = list((_OPTIONS | policy | dict(connection.options) | more).items())
    target = connection.target if connection.is_unix else f"dns:///{connection.target}"
    tls = connection.tls
    if not tls.enabled:
        return library.insecure_channel(target, options=options)
    return library.secure_channel(target, _credentials(tls), options=options)


def _is_name(hostname: str) -> bool:
    """Whether it may have several addresses, which then all get calls; those that fail are left out, and probed.

    Those of localhost are one machine, and another server may listen at one of them.
    """
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return hostname != "localhost"
    return False


def _credentials(tls: ConnectionTlsInfo) -> grpc.ChannelCredentials:
    """The credentials of a TLS setting. Its files are read and checked once, until they change."""
    files = (tls.ca_file, tls.key_file, tls.cert_file)
    try:
        for _ in range(3):
            changed = _changed(files)
            made = _make_credentials(*files, changed)
            if _changed(files) == changed:
                return made
    except (OSError, ConfigurationError) as error:
        told = ", ".join(file for file in files if file)
        raise ConfigurationError(f"tls: {told}: cannot be used any more: {error}") from None
    raise ConfigurationError(f"tls: {', '.join(file for file in files if file)}: they change all the time")


def _changed(files: tuple[str | None, ...]) -> tuple[tuple[int, ...], ...]:
    """What is another where a file was written or replaced: a file may come with an old time."""
    told = [os.stat(file) for file in files if file]
    return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in told)


@lru_cache(maxsize=64)
def _make_credentials(
    ca_file: str | None, key_file: str | None, cert_file: str | None, changed: tuple[tuple[int, ...], ...]
) -> grpc.ChannelCredentials:
    # Checked anew: of a file that has become empty gRPC aborts the whole process.
    ConnectionTlsInfo(enabled=True, ca_file=ca_file, key_file=key_file, cert_file=cert_file)
    return grpc.ssl_channel_credentials(
        *(Path(file).read_bytes() if file else None for file in (ca_file, key_file, cert_file))
    )
