"""Remote modules: a class with one method per remote method, and what a call of one returns."""

from __future__ import annotations

import asyncio
import copy
import difflib
import inspect
import re
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar

from ._schema.rpc import RemoteRPCDescriptor
from ._transport.base import ByteStream, Call, RawMetadata, resolve_metadata
from ._transport.manager import ConnectionManager, Lease, open_connections
from .errors import InputError, RemoteCallError, UnsupportedError
from .module_config import RemoteModuleConfig
from .settings import CallOptions, MetadataSource, Output

T = TypeVar("T")
_END = object()
_STREAMED_INPUT = re.compile(r"run_(\w+_)?(stream_in|bidi_stream)")


class RemoteModuleBase:
    """A model on a server. Subclasses, made by `construct_remote_module_class`, have its methods.

    A method of one answer returns a coroutine; a method of many returns a `RemoteStream`. Arguments are checked and
    encoded when the method is called: an `InputError` comes from there, and nothing was sent.

    Args:
        model_config: the model.
        connections: connections to share. Without them the module opens its own, and `aclose` closes them.
        options: what calls use unless `with_options` says otherwise.
    """

    _rpcs: tuple[RemoteRPCDescriptor, ...] = ()

    def __init__(
        self,
        model_config: RemoteModuleConfig,
        *,
        connections: ConnectionManager | None = None,
        options: CallOptions | None = None,
    ) -> None:
        name = model_config.model_path
        if not name or not name.isascii() or not name.isprintable():
            raise InputError(f"model: {name!r} cannot be sent: metadata takes printable ASCII names only")
        self._config = model_config
        self._owned = connections is None
        self._connections = connections or open_connections(model_config.connection, model_config.protocol)
        self._options = options or CallOptions(timeout=model_config.connection.timeout)
        self._metadata: RawMetadata | None = None

    @property
    def config(self) -> RemoteModuleConfig:
        """The configuration this module was made from."""
        return self._config

    def with_options(
        self,
        *,
        timeout: float | object | None = _END,
        total_timeout: float | object | None = _END,
        metadata: MetadataSource | None = None,
        output: Output | None = None,
    ) -> Self:
        """A cheap copy with other options; it shares the connection.

        Args:
            timeout: seconds for a unary call, and between two items of a stream; None for no limit.
            total_timeout: seconds for a whole stream; None for no limit.
            metadata: sent in addition to what is sent already; the same key overrides.
            output: `"pydantic"`, `"dict"`, or `"proto"` for the protobuf messages themselves.

        Raises:
            ConfigurationError: an option has no sense.
            UnsupportedError: `output="proto"` over HTTP, which has no protobuf messages.
        """
        if output == "proto" and self._config.protocol == "http":
            raise UnsupportedError('output="proto": HTTP has no protobuf messages; connect to the runtime\'s gRPC port')
        changes: dict[str, Any] = {}
        if timeout is not _END:
            changes["timeout"] = timeout
        if total_timeout is not _END:
            changes["total_timeout"] = total_timeout
        if metadata is not None:
            changes["metadata"] = (*self._options.metadata, metadata)
        if output is not None:
            changes["output"] = output
        other = copy.copy(self)
        other._options = replace(self._options, **changes)
        other._metadata = None
        return other

    def remote_method_request(self, descriptor: RemoteRPCDescriptor, /, *args: Any, **kwargs: Any) -> Any:
        """Call one remote method. All methods of the class come through here.

        Returns:
            A coroutine of the answer, or a `RemoteStream` of the answers.

        Raises:
            InputError: the arguments do not fit the method's signature. Nothing was sent.
        """
        codec = descriptor.codec
        if descriptor.input_streaming:
            constants, streams = codec.split(args, kwargs)
            body: bytes | AsyncIterator[bytes] = _frames(descriptor, constants, streams)
        else:
            body = codec.encode(self._config.model_path, args, kwargs)
        if descriptor.output_streaming:
            return RemoteStream(self, descriptor, body)
        return self._unary(descriptor, body)

    async def _unary(self, descriptor: RemoteRPCDescriptor, body: bytes | AsyncIterator[bytes]) -> Any:
        call = await self._call(descriptor)
        lease = self._connections.lease()
        try:
            data = await lease.transport.unary(call, body)
        except RemoteCallError as error:
            error.model = self._config.model_path
            raise
        finally:
            lease.release()
        return self._decode(descriptor, data)

    async def _call(self, descriptor: RemoteRPCDescriptor) -> Call:
        metadata = self._metadata
        if metadata is None:
            config, sources = self._config, self._options.metadata
            metadata = await resolve_metadata(sources, reserved=config.model_key)
            metadata = ((config.model_key, config.model_path), *metadata)
            if not any(map(callable, sources)):
                self._metadata = metadata
        return Call(descriptor.path, metadata, self._options.timeout, self._options.total_timeout)

    def _decode(self, descriptor: RemoteRPCDescriptor, data: bytes) -> Any:
        try:
            return descriptor.codec.decode(data, self._options.output)
        except RemoteCallError as error:
            error.method, error.target = descriptor.path.removeprefix("/"), self._config.connection.target
            error.model = self._config.model_path
            raise

    async def aclose(self) -> None:
        """Close the connection, if it is the module's own. Calls still in flight raise a ClosedError. Idempotent."""
        if self._owned:
            await self._connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        if self._config.protocol == "http" and _STREAMED_INPUT.fullmatch(name):
            raise _NoStreamedInputError(
                f"{name}: HTTP has no streamed inputs; connect to the runtime's gRPC port", name=name, obj=self
            )
        methods = [each for each in dir(type(self)) if each.startswith("run")]
        close = difflib.get_close_matches(name, methods, n=1)
        hint = f"did you mean {close[0]}?" if close else f"its methods are {', '.join(methods) or 'none'}"
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; {hint}", name=name, obj=self)

    def __repr__(self) -> str:
        config = self._config
        tasks = ", ".join(task for task, _ in config.task_methods)
        return f"<{type(self).__name__} {config.model_path!r} at {config.connection.target}: {tasks}>"


class _NoStreamedInputError(UnsupportedError, AttributeError):
    """Both, so that `hasattr` is False: an OpenAPI document does not tell which streamed inputs a task has."""


class RemoteStream(AsyncIterator[T], Generic[T]):
    """The answers of one call: an async iterator, and an async context manager.

    The call starts at `async with` or at the first item. It ends with the last item, an error, `aclose()`, the end of
    `async with`, or when the stream is garbage, as after a `break`; unless it was over, it is then cancelled on the
    server. A stream is read once: iterating it again gives nothing and sends nothing.
    """

    def __init__(
        self, module: RemoteModuleBase, descriptor: RemoteRPCDescriptor, body: bytes | AsyncIterator[bytes]
    ) -> None:
        self._module = module
        self._descriptor = descriptor
        self._body: bytes | AsyncIterator[bytes] | None = body
        self._stream: ByteStream | None = None
        self._lease: Lease | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._busy = False

    async def _start(self) -> None:
        body, self._body = self._body, None
        if body is None:
            return
        call = await self._module._call(self._descriptor)
        lease = self._module._connections.lease()
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
            answer: T = self._module._decode(self._descriptor, data)
            return answer
        except StopAsyncIteration:
            raise
        except BaseException as error:
            if isinstance(error, RemoteCallError):
                error.model = self._module._config.model_path
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
        return f"<RemoteStream of {self._descriptor.name} of {self._module._config.model_path!r}: {state}>"


def _abandon(loop: asyncio.AbstractEventLoop, stream: ByteStream, lease: Lease) -> None:
    """End a call nobody reads any more. Garbage may be found in any thread."""
    try:
        loop.call_soon_threadsafe(_drop, stream, lease)
    except RuntimeError:  # the loop is closed, and the call with it
        return


def _drop(stream: ByteStream, lease: Lease) -> None:
    stream.cancel()
    lease.release()


def _frames(descriptor: RemoteRPCDescriptor, constants: bytes, streams: dict[str, Any]) -> AsyncIterator[bytes]:
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


def construct_remote_module_class(model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    """A class with the methods of the model's tasks, `run_<task>`; of a single task they have their short names too."""
    words = re.findall(r"[A-Za-z0-9]+", model_config.module_name)
    name = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789") or "RemoteModule"
    rpcs = tuple(rpc for _, methods in model_config.task_methods for rpc in methods)
    space: dict[str, Any] = {rpc.name: _method(rpc, rpc.name, name) for rpc in rpcs}
    if len(model_config.task_methods) == 1:
        space |= {rpc.short_name: _method(rpc, rpc.short_name, name) for rpc in rpcs}
    told = "\n".join(f"    {rpc}" for rpc in rpcs)
    doc = f"The model {model_config.model_path!r} at {model_config.connection.target}. Methods:\n\n{told}\n"
    return type(name, (RemoteModuleBase,), {"__doc__": doc, "__module__": __name__, "_rpcs": rpcs, **space})


def _method(rpc: RemoteRPCDescriptor, name: str, class_name: str) -> Any:
    def method(self: RemoteModuleBase, /, *args: Any, **kwargs: Any) -> Any:
        return self.remote_method_request(rpc, *args, **kwargs)

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [itself, *rpc.signature.parameters.values()]
    method.__signature__ = rpc.signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    method.__name__, method.__qualname__ = name, f"{class_name}.{name}"
    kind = "each answer is" if rpc.output_streaming else "the answer is"
    method.__doc__ = f"Calls {rpc.rpc_name} of {rpc.task}; {kind} a {rpc.response_dm_name}.\n\n{rpc}"
    return method
