"""Calls of one server's methods, and the streams of answers that some of them return."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar

from ._schema.rpc import RemoteRPCDescriptor
from ._transport.base import ByteStream, Call, RawMetadata, resolve_metadata
from ._transport.manager import ConnectionManager, Lease
from .errors import InputError, RemoteCallError
from .settings import CallOptions

T = TypeVar("T")
Prepared = tuple[RemoteRPCDescriptor, bytes | AsyncIterator[bytes]]
_END = object()


class Caller:
    """Calls the methods of one server, for one model or for none, with one set of options.

    Args:
        connections: the server's connections.
        target: how errors name the server.
        model_key: the metadata key that names the model.
        model: the model's name; None for what belongs to no model.
        options: timeouts, metadata, and the form of answers.
    """

    def __init__(
        self, connections: ConnectionManager, *, target: str, model_key: str, model: str | None, options: CallOptions
    ) -> None:
        self.connections = connections
        self.target = target
        self.model = model
        self.options = options
        self._model_key = model_key
        self._metadata: RawMetadata | None = None

    def replace(self, **changes: Any) -> Caller:
        """A caller with other options, on the same connections."""
        options = replace(self.options, **changes)
        return Caller(
            self.connections, target=self.target, model_key=self._model_key, model=self.model, options=options
        )

    def for_model(self, name: str | None) -> Caller:
        """A caller for another model or none, on the same connections."""
        return Caller(self.connections, target=self.target, model_key=self._model_key, model=name, options=self.options)

    async def call(self, path: str, *, idempotent: bool = True) -> Call:
        """The record of a call that is to be made."""
        metadata = self._metadata
        if metadata is None:
            sources = self.options.metadata
            metadata = await resolve_metadata(sources, reserved=self._model_key)
            if self.model is not None:
                metadata = ((self._model_key, self.model), *metadata)
            if not any(map(callable, sources)):
                self._metadata = metadata
        return Call(path, metadata, self.options.timeout, self.options.total_timeout, idempotent)

    async def send(self, path: str, body: bytes | AsyncIterator[bytes], *, idempotent: bool = True) -> bytes:
        """Make a call of one answer, bytes out and in.

        Raises:
            RemoteCallError: the call failed.
        """
        call = await self.call(path, idempotent=idempotent)
        lease = self.connections.lease()
        try:
            return await lease.transport.unary(call, body)
        except RemoteCallError as error:
            error.model = self.model
            raise
        finally:
            lease.release()

    async def unary(self, descriptor: RemoteRPCDescriptor, body: bytes | AsyncIterator[bytes]) -> Any:
        """Make a call of one answer."""
        return self.decode(descriptor, await self.send(descriptor.path, body))

    def decode(self, descriptor: RemoteRPCDescriptor, data: bytes) -> Any:
        """An answer, in the form that the options want."""
        try:
            return descriptor.codec.decode(data, self.options.output)
        except RemoteCallError as error:
            error.method, error.target, error.model = descriptor.path.removeprefix("/"), self.target, self.model
            raise


class RemoteStream(AsyncIterator[T], Generic[T]):
    """The answers of one call: an async iterator, and an async context manager.

    The call starts at `async with` or at the first item. It ends with the last item, an error, `aclose()`, the end of
    `async with`, or when the stream is garbage, as after a `break`; unless it was over, it is then cancelled on the
    server. A stream is read once: iterating it again gives nothing and sends nothing.
    """

    def __init__(
        self,
        caller: Caller,
        descriptor: RemoteRPCDescriptor,
        body: bytes | AsyncIterator[bytes] | Callable[[], Coroutine[Any, Any, Prepared]],
    ) -> None:
        self._caller = caller
        self._descriptor = descriptor
        self._body: bytes | AsyncIterator[bytes] | Callable[[], Coroutine[Any, Any, Prepared]] | None = body
        self._stream: ByteStream | None = None
        self._lease: Lease | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._busy = False

    async def _start(self) -> None:
        body, self._body = self._body, None
        if body is None:
            return
        if not isinstance(body, (bytes, AsyncIterator)):  # the server has to be asked first how it is sent
            self._descriptor, body = await body()
        call = await self._caller.call(self._descriptor.path)
        lease = self._caller.connections.lease()
        try:
            stream = lease.transport.stream(call, body)
        except BaseException:
            lease.release()
            raise
        self._stream, self._lease = stream, lease
        # grpc.aio never cancels a call that is dropped (#43462).
        self._finalizer = weakref.finalize(self, _abandon, asyncio.get_running_loop(), stream, lease)
        self._finalizer.atexit = False

    async def __anext__(self) -> T:
        if self._busy:
            raise RuntimeError("the stream is already being read by another task")
        self._busy = True
        try:
            if self._stream is None:
                await self._start()
            stream = self._stream
            data = None if stream is None else await stream.read()
            if data is None:
                await self.aclose()
                raise StopAsyncIteration
            answer: T = self._caller.decode(self._descriptor, data)
            return answer
        except StopAsyncIteration:
            raise
        except BaseException as error:
            if isinstance(error, RemoteCallError):
                error.model = self._caller.model
            self._end()
            raise
        finally:
            self._busy = False

    def __aiter__(self) -> Self:
        return self

    def _end(self) -> ByteStream | None:
        """Cancel what still runs, and give the connection back."""
        stream, lease, self._body = self._stream, self._lease, None
        if stream is None or lease is None:
            return None
        self._stream = self._lease = None
        if self._finalizer is not None:
            self._finalizer.detach()
        stream.cancel()
        lease.release()
        return stream

    async def aclose(self) -> None:
        """Cancel the call if it still runs, and wait until nothing of it is left. Idempotent."""
        stream = self._end()
        if stream is not None:
            await stream.aclose()

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "not started" if self._body is not None else "over" if self._stream is None else "running"
        return f"<RemoteStream of {self._descriptor.name} of {self._caller.model!r}: {state}>"


def _abandon(loop: asyncio.AbstractEventLoop, stream: ByteStream, lease: Lease) -> None:
    """End a call nobody reads any more. Garbage may be found in any thread."""
    try:
        loop.call_soon_threadsafe(_drop, stream, lease)
    except RuntimeError:  # the loop is closed, and the call with it
        return


def _drop(stream: ByteStream, lease: Lease) -> None:
    stream.cancel()
    lease.release()


def frames(descriptor: RemoteRPCDescriptor, constants: bytes, streams: dict[str, Any]) -> AsyncIterator[bytes]:
    """The messages of a streamed input. Lists are encoded at once: what does not fit is told before the call."""
    if not all(isinstance(stream, (list, tuple)) for stream in streams.values()):
        return _Frames(descriptor, constants, streams)
    lengths = {name: len(stream) for name, stream in streams.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length} items" for name, length in lengths.items())
        raise InputError(f"{descriptor.name}(): streams must be of equal length: {told}")
    rows = zip(*streams.values(), strict=True)
    frame = descriptor.codec.frame
    return _Ready([frame(constants, dict(zip(streams, row, strict=True)), index) for index, row in enumerate(rows)])


class _Ready(AsyncIterator[bytes]):
    def __init__(self, frames: list[bytes]) -> None:
        self._frames = iter(frames)

    async def __anext__(self) -> bytes:
        frame = next(self._frames, None)
        if frame is None:
            raise StopAsyncIteration
        return frame


class _Frames(AsyncIterator[bytes]):
    """Advances several streams in step and encodes their items."""

    def __init__(self, descriptor: RemoteRPCDescriptor, constants: bytes, streams: dict[str, Any]) -> None:
        self._descriptor = descriptor
        self._constants = constants
        self._streams = streams
        self._sources: dict[str, Callable[[], Coroutine[Any, Any, Any]]] | None = None
        self._index = 0

    async def __anext__(self) -> bytes:
        if self._sources is None:
            self._sources = {name: _advancer(stream) for name, stream in self._streams.items()}
        items = {name: await advance() for name, advance in self._sources.items()}
        ended = [name for name, item in items.items() if item is _END]
        if len(ended) == len(items):
            raise StopAsyncIteration
        if ended:
            raise InputError(
                f"{self._descriptor.name}(): streams must be of equal length: {', '.join(ended)} ended after "
                f"{self._index} items, {', '.join(items.keys() - set(ended))} did not"
            )
        frame = self._descriptor.codec.frame(self._constants, items, self._index)
        self._index += 1
        return frame


def _advancer(stream: Iterable[Any] | AsyncIterable[Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    """A function that gives the stream's next item, or `_END`."""
    if isinstance(stream, AsyncIterable):
        asynchronous = aiter(stream)

        async def advance() -> Any:
            return await anext(asynchronous, _END)
    else:
        iterator = iter(stream)

        async def advance() -> Any:
            try:
                return next(iterator, _END)
            except StopAsyncIteration as error:  # of a synchronous iterator it is no end
                raise RuntimeError("the iterator raised StopAsyncIteration") from error

    return advance
