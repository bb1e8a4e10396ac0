"""Calls of the servers of modules, whose messages are bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from inspect import Signature
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary, ref

from caikit.interfaces.common.data_model import ConnectionInfo as CaikitConnectionInfo

from .._calls.caller import Caller
from .._calls.inputs import request_messages
from .._calls.stream import RemoteStream as AsyncStream
from .._concurrency import fork as _fork
from .._schema.codec import BaseCodec
from .._schema.rpc import RemoteRPCDescriptor
from .._settings.connection import check_protocol
from .._transport.engine import open_connections
from .._transport.manager import ConnectionManager
from .._transport.metadata import name_problem
from ..errors import InputError
from ..settings import ConnectionInfo, Output, Protocol
from ..sync import RemoteStream
from ..sync._inputs import threaded
from ..sync._loop_thread import closers, run
from ._server_calls import ServerCall
from ._settings import call_options, settings_of

T = TypeVar("T")


class OfProcess(Generic[T]):
    """An object with connections, which belong to the process that made them: a forked process makes one of its own.

    Args:
        make: makes the object.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made, self._born = make(), _fork.count

    def get(self) -> T:
        """Return the object of this process."""
        if self._born != _fork.count:
            self._made, self._born = self._make(), _fork.count
        return self._made


class RemoteModel:
    """Calls a model on a server. All models with equal settings share the connections.

    Args:
        connection: the server.
        protocol: `grpc` or `http`.
        model_key: the metadata key that names the model.
        model: the model's name there; None for calls that name none.

    Raises:
        ConfigurationError: a setting is invalid, or the protocol does not support it.
        InputError: gRPC cannot send the model's name.
    """

    def __init__(
        self, connection: CaikitConnectionInfo | ConnectionInfo, protocol: Protocol, model_key: str, model: str | None
    ) -> None:
        settings = settings_of(connection)
        check_protocol(settings, protocol)
        if model is not None and (problem := name_problem(model)) is not None:
            if protocol == "grpc":
                raise InputError(f"model: {problem}")
            model = None  # the request's body names it
        options = call_options(settings)
        self._caller = OfProcess(lambda: Caller(_connections(settings, protocol), model_key, model, options))

    @property
    def caller(self) -> Caller:
        """Makes the calls, in the loop's thread."""
        return self._caller.get()

    def call(self, path: str, body: bytes | Iterable[bytes], inbound: ServerCall | None = None) -> bytes:
        """Call a method with one answer, and return it."""
        answer: bytes = run(self._send, self._limited(inbound), path, _request(body), inbound)
        return answer

    async def _send(self, caller: Caller, path: str, body: Any, inbound: ServerCall | None) -> bytes:
        task = asyncio.current_task()
        if inbound is not None and task is not None:
            inbound.on_end(partial(_cancel_task, asyncio.get_running_loop(), task))
        answer: bytes = await caller.send(path, body)
        return answer

    def start(self, name: str, path: str, body: bytes, model_name: str | None = None) -> bytes:
        """Call a method that must not be called twice, such as the start of a job.

        Args:
            name: the method, for errors.
            path: its path.
            body: the request.
            model_name: the model that a training makes.

        Raises:
            OutcomeUnknownError: the call was lost on the way, and may have been executed.
        """
        return run(self.caller.send_bytes_once, name, path, body, model_name)

    def stream(
        self, path: str, body: bytes | Iterable[bytes], inbound: ServerCall | None = None
    ) -> RemoteStream[bytes]:
        """Return the answers of a method, which is called when the first one is read."""
        twin: Any = AsyncStream(self._limited(inbound), _method(path), _request(body))
        stream: RemoteStream[bytes] = RemoteStream._of(twin)
        if inbound is not None:
            inbound.on_end(partial(_cancel_stream, ref(stream)))
        return stream

    def _limited(self, inbound: ServerCall | None) -> Caller:
        """Return the caller with what is left of the time of the call that this one serves."""
        seconds = None if inbound is None else inbound.seconds_left()
        if seconds is None:
            return self.caller
        limit = self.caller.options.timeout
        return self.caller.replace(timeout=seconds if limit is None else min(limit, seconds), total_timeout=seconds)


_shared: WeakValueDictionary[tuple[ConnectionInfo, Protocol, int], ConnectionManager] = WeakValueDictionary()
"""By settings, protocol, and the process as the number of forks before it."""


def _connections(settings: ConnectionInfo, protocol: Protocol) -> ConnectionManager:
    key = (settings, protocol, _fork.count)
    found = _shared.get(key)
    if found is None:
        # Threads that come here at once may get a manager each, and open a connection more: no lock is worth that.
        found = _shared.setdefault(key, open_connections(settings, protocol))
        closers.add(found)
    return found


class _BytesCodec(BaseCodec):
    """Leaves messages as they are: the caller's thread encodes and decodes them."""

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        message: bytes = items["messages"]
        return message

    def decode(self, data: bytes, output: Output) -> bytes:
        return data


_CODEC = _BytesCodec("", Signature())


def _method(path: str) -> RemoteRPCDescriptor:
    return RemoteRPCDescriptor(Signature(), "", "", path, True, True, path=path, codec=_CODEC)


def _request(body: bytes | Iterable[bytes]) -> Any:
    """Return a request as calls take it: a thread reads the messages of a streamed input."""
    if isinstance(body, bytes):
        return body
    return request_messages(_method(""), b"", {"messages": threaded(body)})


def _cancel_task(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    with suppress(RuntimeError):  # the loop was closed at exit
        loop.call_soon_threadsafe(task.cancel)


def _cancel_stream(stream: ref[RemoteStream[bytes]]) -> None:
    if (found := stream()) is not None:
        found._cancel()
