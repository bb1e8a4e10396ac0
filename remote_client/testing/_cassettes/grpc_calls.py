"""gRPC of cassettes: calls passed on to a server as they are, and calls answered from a file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from .differences import not_recorded
from .format import RecordedCall
from .matching import Playing, Shelf
from .secrets import Pairs
from .taking import PARTIAL, Taking

Context = grpc.aio.ServicerContext[bytes, bytes]
_LEAVES_WITHIN, _AT_ONCE = 0.02, 0.005
"""Seconds: to grpc.aio a client that leaves ends its input first, and is gone a moment later. The end of a unary call's
input comes with its message."""
Serve = Callable[[str, AsyncIterator[bytes], Context], Awaitable[None]]
_NOT_PASSED_ON = ("user-agent", "te", "content-type", "host")


if TYPE_CHECKING:
    _Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    _Handler = grpc.GenericRpcHandler  # not generic when the program runs


class AnyMethod(_Handler):
    """Serves all methods alike, as streams of bytes in both directions."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return the handler of a method."""
        method = handler_call_details.method

        async def serve(requests: AsyncIterator[bytes], context: Context) -> None:
            await self._serve(method, requests, context)

        return grpc.stream_stream_rpc_method_handler(serve)


def sent_metadata(context: Context) -> Pairs:
    """Return the metadata that the client sent, without that of its connection."""
    pairs = ((str(name), value) for name, value in context.invocation_metadata() or ())
    return tuple(
        (name, value) for name, value in pairs if not name.startswith((":", "grpc-")) and name not in _NOT_PASSED_ON
    )


# -- answered from a file ---------------------------------------------------------------------------------------------


async def answer(shelf: Shelf, method: str, requests: AsyncIterator[bytes], context: Context) -> None:
    """Answer a call as it was when it was recorded."""
    playing = shelf.playing(method, sent_metadata(context))
    async for data in requests:
        if await _go_on(shelf, playing, data, context):
            return
    await _go_on(shelf, playing, None, context)


async def _go_on(shelf: Shelf, playing: Playing, data: bytes | None, context: Context) -> bool:
    """Send what is due after a message; return whether the call has ended."""
    step = playing.receive(data)
    if step is None:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, not_recorded(shelf, playing))
    assert step is not None
    if step.head is not None and step.head.headers:
        await context.send_initial_metadata(step.head.headers)
    for message in step.answers:
        await context.write(message)
    if step.ended is not None:
        await _end(step.ended, context)
    return step.ended is not None


async def _end(call: RecordedCall, context: Context) -> None:
    if not call.is_whole:
        await context.abort(grpc.StatusCode.DATA_LOSS, PARTIAL)
    await end(str(call.status), call.details, call.trailers, context)


async def end(status: str, details: str, trailers: Pairs, context: Context) -> None:
    """End a call with a status by its name."""
    if status != "OK":
        await context.abort(grpc.StatusCode[status], details, trailers)
    context.set_trailing_metadata(trailers)


# -- passed on --------------------------------------------------------------------------------------------------------


class PassedOn:
    """A call that is passed on to a server.

    Args:
        channel: to the server.
        taking: notes what passes.
    """

    def __init__(self, channel: grpc.aio.Channel, taking: Taking) -> None:
        self._channel = channel
        self._taking = taking
        self._status: tuple[grpc.StatusCode, str] | None = None

    async def run(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Pass on what either side sends, until the server ends the call; it is cancelled if this is."""
        taking = self._taking
        method: Any = self._channel.stream_stream(taking.method, None, None)
        call = method(metadata=taking.metadata, timeout=context.time_remaining())
        call.add_done_callback(self._done)
        sending = asyncio.create_task(self._send(requests, call))
        try:
            with contextlib.suppress(grpc.aio.AioRpcError):  # its status is known below
                await self._pass_back(call, context)
            taking.trailers = _pairs(await call.trailing_metadata())
            code, taking.details = self._status or (await call.code(), await call.details() or "")
            taking.status = code.name
        finally:
            sending.cancel()
            await asyncio.wait((sending,))
            call.cancel()

    async def _pass_back(self, call: Any, context: Context) -> None:
        self._taking.headers = _pairs(await call.initial_metadata())
        if self._taking.headers:
            await context.send_initial_metadata(self._taking.headers)
        while isinstance(data := await call.read(), bytes):
            self._taking.came(data)
            await context.write(data)

    async def _send(self, requests: AsyncIterator[bytes], call: Any) -> None:
        loop, sent_at = asyncio.get_running_loop(), 0.0
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call is over
            async for data in requests:
                self._taking.sent(data)
                await call.write(data)
                sent_at = loop.time()
            if not self._taking.is_unary or loop.time() - sent_at > _AT_ONCE:
                await asyncio.sleep(_LEAVES_WITHIN)
            self._taking.sent(None)
            await call.done_writing()

    def _done(self, call: Any) -> None:
        """Keep the server's status: a write that fails later replaces it (https://github.com/grpc/grpc/issues/36066)."""
        self._status = _result(call.code()), _result(call.details()) or ""


def _result(finished: Any) -> Any:
    """Return the result of a coroutine that has nothing to wait for."""
    try:
        finished.send(None)
    except StopIteration as done:
        return done.value
    finished.close()
    raise RuntimeError("the call is not over")


def _pairs(metadata: Any) -> Pairs:
    return tuple((str(name), value) for name, value in metadata or ())
