"""gRPC over grpc.aio, for what only that supports, through its public names.

It carries bytes only, as grpc.aio swallows the exceptions of serializers (grpc/grpc#34894, #33955). A caller's task
never awaits a task of grpc.aio: that would replace a cancellation by another, which anyio does not recognize (#43502).
Interceptors and tracing agents wrap channels and calls, so it relies only on the documented ways to await, iterate and
write.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import grpc
import grpc.aio

from ..._text.redaction import redacted, with_cause
from ...errors import (
    CallCancelledError,
    RemoteCallError,
    RemoteClientError,
    ResourceExhaustedError,
    ResponseTooLargeError,
    StreamTruncatedError,
    TlsError,
    UnavailableError,
)
from ...hooks import foreign_calls
from ...settings import ConnectionInfo
from ..call import (
    RAISE_LIMIT,
    RUNTIMES_LIMIT,
    Answered,
    ByteStream,
    Call,
    Transport,
    add_metadata,
    no_progress,
    not_single,
    read_single,
    sent_metadata,
)
from ..http_errors import RUNTIMES_OWN, SILENCED, Answer, answer_error, explained_status, reset_reason
from ..net.connect import proxy_refusal
from ..net.diagnosis import closed_early, closed_in_handshake, http1_error, tls_message
from ..net.proxy import hint
from ..net.sockets import close_with_loop
from ..retry import pushback_ms
from ..status_codes import error_class
from .grpcio_channel import open_channel
from .grpcio_interceptors import inner_calls, innermost
from .grpcio_stream import WIND_UP, GrpcStream, Idle, Once, cancel, metadata_of, outcome_of, raw_metadata

_UNSENT = (
    "failed to connect",
    "connections to all backends failing",
    "DNS resolution failed",
    "errors resolving",
    "empty address list",
    "Failed to create XdsClient",
)
"""The beginnings of gRPC's messages about a call that had no connection."""
_FOREIGN = re.compile(r"http2 header with status: (\d{1,3})")
_RESET = re.compile(r"RST_STREAM with error code (\d{1,10})")
_CUT = re.compile(r"Stream removed(?: \(.*END_STREAM flag received.*)?")
"""gRPC's message about a response without a status; version 1.66 omits the reason."""
_LOST = re.compile(r"Socket closed|recvmsg|sendmsg")
"""The causes, besides `Stream removed`, in gRPC's message about a connection that ended in the middle of a stream."""
_OWN = re.compile(r"CLIENT:|Stream removed|RST_STREAM|http2 header|Internal error from Core")
"""gRPC's messages that no server sent."""
_PROXY_ANSWER = re.compile(r"HTTP proxy returned response code (\d{3})")
_HTTP1 = re.compile(r"Trying to connect an http1\.x server(?: \(HTTP status (\d{3})\))?|got frame type (?:79|109)\b")
"""gRPC's messages about HTTP/1.1: about a status line, or about the fourth letter of `<!DOCTYPE` or `<html`."""
_CLOSED = re.compile(r"Socket closed|Connection reset by peer|before receiving SETTINGS")
_UNCONNECTED = re.compile(r"(?i)failed to connect|all backends failing")
_TLS_FAILURE = re.compile(
    r"(?i)handshake failed|verification check failed|SSL_ERROR|security handshaker|Cannot check peer"
    r"|not in peer certificate|Unwrap failed"
)


class GrpcioTransport(Transport):
    """One grpc.aio channel, which connects at its first call. See `Transport`.

    Args:
        connection: the server.
        interceptors: of grpc.aio, called around every call.

    Attributes:
        is_intercepted: whether calls pass through interceptors.
    """

    def __init__(self, connection: ConnectionInfo, interceptors: Sequence[Any] = ()) -> None:
        super().__init__(connection.target)
        self._connection = connection
        interceptors = (*interceptors, *innermost(interceptors))
        self._channel = open_channel(connection, interceptors)
        self.is_intercepted = bool(interceptors)
        self._methods: dict[tuple[str, str], Any] = {}
        self._running: dict[Any, list[Any]] = {}
        self._winding_up: set[asyncio.Task[Any]] = set()
        close_with_loop(self)  # last, once the transport is complete

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        if not isinstance(body, bytes):
            return await read_single(self.stream(call, body, answered), call, self.target)
        rpc = self._start("unary_unary", call, call.timeout, body)
        ending = self.own(outcome_of(rpc))
        # gRPC's own timeout does not end an interceptor that waits.
        limit = Idle(self.deadlines, call.timeout if self.is_intercepted else None, rpc)
        limit.start(ending)
        try:
            await asyncio.wait((ending,))
        except asyncio.CancelledError:
            self.end(rpc)
            ending.cancel()
            raise
        finally:
            limit.stop()
        self._forget(rpc)
        answer = self._answer(call, ending.result(), limit.expired)
        if call.answer is not None:
            head, trailers = await self.own(metadata_of(rpc))
            call.answer.begin(lambda: head)
            call.answer.end(lambda: trailers)
        if answered is not None:  # earlier, at the headers, it would take another task
            answered()
        return answer

    def _answer(self, call: Call, outcome: Any, expired: bool) -> bytes:
        if isinstance(outcome, bytes):
            return outcome
        try:
            raise (
                not_single("no answer", call, self.target) if outcome is None else self.failure(call, outcome, expired)
            )
        finally:
            del outcome  # else the exception refers to the frame, and the frame to the exception

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        once = Once(answered)
        if isinstance(body, bytes):
            return GrpcStream(self, self._start("unary_stream", call, call.total_timeout, body), call, once)
        rpc = self._start("stream_stream", call, call.total_timeout)
        return GrpcStream(self, rpc, call, once, body)

    def _start(self, kind: str, call: Call, timeout: float | None, *request: bytes) -> Any:
        method = self._methods.get((kind, call.path))
        if method is None:
            if self.reason is not None:
                raise self.reason()
            method = self._methods[kind, call.path] = getattr(self._channel, kind)(call.path)
        inner: list[Any] = []
        token = inner_calls.set(inner)
        try:
            with foreign_calls.get()():
                rpc = method(*request, timeout=timeout, metadata=sent_metadata(call))
        finally:
            inner_calls.reset(token)
        self._running[rpc] = inner
        return rpc

    def end(self, rpc: Any) -> None:
        """Cancel a call if it is still running, and forget it."""
        for running in (rpc, *self._running.get(rpc, ())):
            cancel(running)
        self._forget(rpc)

    def _forget(self, rpc: Any) -> None:
        # A call's tasks refer to their context, and that to the list. With the call in it, a reference cycle would keep
        # the channel's socket until the garbage collector runs.
        self._running.pop(rpc, []).clear()

    def wind_up(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with its call; `aclose` waits for it, and cancels it later than the others."""
        task = self.own(coroutine)
        self._winding_up.add(task)
        task.add_done_callback(self._winding_up.discard)
        return task

    async def wound_up(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        """Wait for the tasks of a cancelled stream, and cancel those that an interceptor keeps from ending."""
        _, left = await asyncio.wait(tasks, timeout=WIND_UP)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=WIND_UP)

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        # A call of this turn of the loop has not begun yet, and would end unnoticed.
        await asyncio.sleep(0)
        for rpc in list(self._running):
            self.end(rpc)
        self.deadlines.close()
        # Closing the channel while cancelled calls are still ending leaks the socket (#42125).
        late = self.loop.time() + WIND_UP
        while self._tasks and self.loop.time() < late + WIND_UP:
            for task in self._tasks - self._winding_up if self.loop.time() < late else self._tasks:
                task.cancel()
            await asyncio.sleep(0.01)
        await self._channel.close(None)

    def failure(
        self, call: Call, error: BaseException, expired: bool = False, within: bool = False, uploads: bool = False
    ) -> BaseException:
        """Return the typed error of a failed call; exceptions of interceptors are returned unchanged.

        Args:
            call: the call.
            error: the exception it ended with.
            expired: whether its deadline had passed.
            within: whether it was in the middle of a stream.
            uploads: whether its request is a stream.
        """
        if isinstance(error, grpc.aio.AioRpcError):
            return failure_of(call, error, self._connection, within, uploads)
        if not isinstance(error, asyncio.CancelledError):
            return error
        if self.reason is not None:
            return self.reason()
        if expired:
            return no_progress(call, self.target)
        details = "something in this process cancelled the call, such as an interceptor"
        return CallCancelledError(details, method=call.method, target=self.target)


def failure_of(
    call: Call,
    error: grpc.aio.AioRpcError,
    connection: ConnectionInfo,
    within: bool = False,
    uploads: bool = False,
) -> RemoteCallError:
    """Return the typed error of gRPC's error; see `GrpcioTransport.failure`."""
    status, details = error.code().name, redacted(error.details() or "", call.secrets)
    broken = _broken_off(call, details, connection.target, within, uploads)
    if broken is not None:
        broken.reset = _RESET.search(details) is not None
        return with_cause(broken, error, call.secrets, _heard(error))
    kind, known, pushback = error_class(status), _is_known(status, details), None
    refused = _PROXY_ANSWER.search(details) if status == "UNAVAILABLE" else None
    refusal = None if refused is None else proxy_refusal(int(refused[1]))
    explained, details = explained_status(status, details)
    kind = explained or kind
    if status == "UNAVAILABLE" and _is_of_tls(details):
        kind, details = TlsError, tls_message(details, connection, "grpc")
    elif refused is not None:
        kind = refusal or kind
        details += "; give the proxy's credentials in its URL, http://user:password@host:port" * (refused[1] == "407")
    elif status == "UNAVAILABLE" and details.startswith(_UNSENT):
        details, pushback = _unconnected(details, connection)
    elif status == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        kind, advice = _too_large(details, connection)
        details += f"; {advice}"
    trailers: Any = error.trailing_metadata() or ()  # `dict()` fails for older versions: their keys are pairs
    shed = status == "CANCELLED" and not trailers and not error.initial_metadata()
    if shed and not details:
        details = "the server is overloaded and dropped the call"
    http_status = int(refused[1]) if refused is not None and refusal is not None else None
    failure = kind(details, method=call.method, target=connection.target, http_status=http_status)
    failure.shed, failure.reset = shed, _RESET.search(details) is not None
    failure.outcome_known = kind is TlsError or known
    add_metadata(failure, call, raw_metadata(error.initial_metadata()), raw_metadata(trailers))
    failure.pushback = pushback or pushback_ms(dict(iter(trailers)).get("grpc-retry-pushback-ms"))
    return with_cause(failure, error, call.secrets, _heard(error))


def _is_of_tls(details: str) -> bool:
    """Return whether TLS failed, and not a server that ended during the handshake."""
    unconnected = _UNCONNECTED.search(details)
    cause = details[unconnected.end() :] if unconnected else ""
    return "SSL_ERROR_ZERO_RETURN" not in cause and _TLS_FAILURE.search(cause) is not None


def _heard(error: grpc.aio.AioRpcError) -> str:
    """Return everything in gRPC's error that comes from the server."""
    return f"{error.initial_metadata()} {error.trailing_metadata()} {error.debug_error_string()}"


def _too_large(details: str, connection: ConnectionInfo) -> tuple[type[RemoteCallError], str]:
    """Return the error class and the advice for a message over a limit.

    gRPC does not say whose limit a compressed message exceeds: it is the client's unless requests are compressed, too.
    """
    ours = "CLIENT:" in details
    if not ours and "SERVER:" not in details and "Decompressed" in details:
        if connection.compression or connection.options.get("grpc.default_compression_algorithm"):
            advice = f"gRPC does not tell whether a request or an answer was too large: of an answer {RAISE_LIMIT}"
            return ResourceExhaustedError, f"{advice}; of a request {RUNTIMES_LIMIT}"
        ours = True
    return (ResponseTooLargeError, RAISE_LIMIT) if ours else (ResourceExhaustedError, RUNTIMES_LIMIT)


def _unconnected(details: str, connection: ConnectionInfo) -> tuple[str, float | None]:
    """Return the message and the pushback of a failed connection attempt."""
    found = _HTTP1.search(details)
    if found is not None:
        failure = http1_error(found[1] or "", connection)
        return f"failed to connect: {failure.details} ({details})", failure.pushback
    if "Handshake read failed" in details:
        return f"{details}{closed_in_handshake(connection, 'grpc')}", None
    if _CLOSED.search(details):
        return f"{details}{closed_early(connection, 'grpc')}", None
    return f"{details}{hint(connection, 'grpc')}", None


def _broken_off(call: Call, details: str, target: str, within: bool, uploads: bool) -> RemoteCallError | None:
    """Return the error of a response that is not gRPC, or of a stream that a proxy ended; None for any other.

    gRPC does not say whether response headers arrived: before the first message, they count as missing.
    """
    method, foreign, code = call.method, _FOREIGN.search(details), _RESET.search(details)
    if foreign is not None:
        answer = Answer(int(foreign[1]))
        return answer_error(answer, call, target, wanted="gRPC", now=0.0)
    reason = None if code is None else reset_reason(int(code[1]), started=within, within=within, uploads=uploads)
    if _CUT.fullmatch(details):  # gRPC may also report a proxy's response like this
        reason = StreamTruncatedError if within else UnavailableError, SILENCED
    if reason is None and within and "Stream removed" in details and _LOST.search(details):
        reason = StreamTruncatedError, SILENCED
    return None if reason is None else reason[0](f"{details}; {reason[1]}", method=method, target=target)


def _is_known(status: str, details: str) -> bool:
    """Return whether a call was certainly not executed: it was not sent, or the server itself says so."""
    return details.startswith(_UNSENT) or (status in RUNTIMES_OWN and not _OWN.search(details))
