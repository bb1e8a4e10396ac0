"""The gRPC side of a fake runtime: messages to values, and answers to messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor

from .._schema.declared.answers import as_builtins
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import InternalError
from ._dispatch import Dispatcher, Request
from ._errors import status_of
from ._handlers import MAKERS, health_handler, reflection_handler
from ._library import Library, ServedMethod
from ._values import plain

Context = Any
Handler = Callable[[Any, Context], Awaitable[Any]]
MODEL_KEY = "mm-model-id"
if TYPE_CHECKING:
    _GenericHandler = grpc.GenericRpcHandler[Any, Any]
else:
    _GenericHandler = grpc.GenericRpcHandler  # only its stubs are generic


def handlers(dispatcher: Dispatcher) -> Sequence[grpc.GenericRpcHandler[Any, Any]]:
    """Return the handlers of a runtime's services."""
    library = dispatcher.library
    answering = _Answering(dispatcher)
    methods = {
        **{path: answering.task(method) for path, method in library.tasks.items()},
        **{path: answering.unary(method, dispatcher.start) for path, method in library.starts.items()},
        **{path: answering.unary(method, dispatcher.train) for path, method in library.trainings.items()},
        **{path: answering.management(name, rpc) for path, (name, rpc) in library.management.items()},
    }
    return [_Methods(methods), health_handler(), reflection_handler(library.services, library.pool.pool)]


class _Methods(_GenericHandler):
    """Finds a method by its path."""

    def __init__(self, methods: Mapping[str, Any]) -> None:
        self._methods = methods

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._methods.get(handler_call_details.method)


class _Answering:
    """Makes handlers that take and give bytes."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._library = dispatcher.library

    def task(self, method: ServedMethod) -> Any:
        """Return the handler of a task's method."""
        dispatcher, library = self._dispatcher, self._library
        read, write = reader_of(library, method.request), writer_of(library, method.answer)
        if not method.rpc.input_streaming and not method.rpc.output_streaming:
            return self.unary(method, dispatcher.unary)

        async def stream_out(request: bytes, context: Context) -> None:
            await dispatcher.stream(_request(method, context), read(request), _writing(context, write))

        async def stream_in(requests: AsyncIterator[bytes], context: Context) -> bytes:
            return write(await dispatcher.unary_of_stream(_request(method, context), _frames(requests, read)))

        async def bidi(requests: AsyncIterator[bytes], context: Context) -> None:
            await context.send_initial_metadata((("acknowledgement", "ok"),))  # as the real runtime, before any answer
            frames = _frames(requests, read)
            await dispatcher.stream_of_stream(_request(method, context), frames, _writing(context, write))

        made: dict[tuple[bool, bool], Handler] = {
            (False, True): stream_out,
            (True, False): stream_in,
            (True, True): bidi,
        }
        flags = method.rpc.input_streaming, method.rpc.output_streaming
        return MAKERS[flags](_aborting(made[flags]))

    def unary(self, method: ServedMethod, answer: Callable[[Request, Any], Awaitable[Any]]) -> Any:
        """Return the handler of a method that a function answers."""
        read, write = reader_of(self._library, method.request), writer_of(self._library, method.answer)

        async def handle(request: bytes, context: Context) -> bytes:
            return write(await answer(_request(method, context), read(request)))

        return grpc.unary_unary_rpc_method_handler(_aborting(handle))

    def management(self, name: str, rpc: RemoteRPCDescriptor) -> Any:
        """Return the handler of one of the runtime's own methods."""
        library = self._library
        read = reader_of(library, library.message(rpc.request_dm_name))
        write = writer_of(library, library.message(rpc.response_dm_name))

        async def handle(request: bytes, context: Context) -> bytes:
            return write(self._dispatcher.manage(name, read(request)))

        return grpc.unary_unary_rpc_method_handler(_aborting(handle))


def reader_of(library: Library, message: Descriptor) -> Callable[[bytes], dict[str, Any]]:
    """Return the function that makes values of a message's bytes, without unset fields and empty lists."""
    parse, make = message_factory.GetMessageClass(message).FromString, library.types.maker(message)

    def read(data: bytes) -> dict[str, Any]:
        return {name: value for name, value in as_builtins(make(parse(data))).items() if value not in ([], {})}

    return read


def writer_of(library: Library, message: Descriptor) -> Callable[[Any], bytes]:
    """Return the function that makes a message's bytes of a body's answer."""
    new, fill = message_factory.GetMessageClass(message), library.types.encoder(message)

    def write(answer: Any) -> bytes:
        made = new()
        try:
            fill(made, plain(answer))
        except (TypeError, ValueError) as error:
            raise InternalError(f"the answer of the body is no {message.name}: {error}") from None
        data: bytes = made.SerializeToString()
        return data

    return write


def _request(method: ServedMethod, context: Context) -> Request:
    metadata = dict(context.invocation_metadata() or ())
    return Request(method, metadata.get(MODEL_KEY, ""), metadata, "grpc")


def _aborting(handler: Handler) -> Handler:
    """Return a handler that ends a call that raises with the status of the error."""

    async def handle(request: Any, context: Context) -> Any:
        try:
            return await handler(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            status, details = status_of(error)
            return await context.abort(grpc.StatusCode[status], details)

    return handle


def _writing(context: Context, write: Callable[[Any], bytes]) -> Callable[[Any], Awaitable[None]]:
    async def write_message(answer: Any) -> None:
        await context.write(write(answer))

    return write_message


async def _frames(
    requests: AsyncIterator[bytes], read: Callable[[bytes], dict[str, Any]]
) -> AsyncIterator[dict[str, Any]]:
    async for request in requests:
        yield read(request)
