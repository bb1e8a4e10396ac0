"""gRPC on its blocking calls, which wait in the caller's own thread for the network itself.

No thread of gRPC's and no loop stands between: a unary call takes two thirds of the time of one through grpc.aio, and
the answers of a stream a quarter.
"""

from __future__ import annotations

import threading
from typing import Any, cast

import grpc
import grpc.experimental

from ..errors import ClosedError, InvalidResponseError, RemoteClientError
from ..settings import ConnectionInfo
from .base import Call
from .direct import DirectStream, DirectTransport
from .engines.grpcio import failure_of, open_channel

_READ_BY_ONE_THREAD = {grpc.experimental.ChannelOptions.SingleThreadedUnaryStream: 1}


class GrpcDirectTransport(DirectTransport):
    """One channel of blocking gRPC, which connects at its first call. See `DirectTransport`."""

    def __init__(self, connection: ConnectionInfo) -> None:
        self.target = connection.target
        self.closed = False
        self._channel = open_channel(connection, grpc, **_READ_BY_ONE_THREAD)
        self._methods: dict[tuple[str, str], Any] = {}

    def unary(self, call: Call, body: bytes) -> bytes:
        try:
            answer: bytes | None = self._invoke("unary_unary", call, body, call.timeout)
        except grpc.RpcError as error:
            failure = self.failure(call, error)
        else:
            if answer is not None:
                return answer
            told = "no answer to a unary call"  # with the status OK
            failure = InvalidResponseError(told, method=call.path[1:], target=self.target)
        try:
            raise failure
        finally:
            del failure  # no reference leads from an exception back to it

    def stream(self, call: Call, body: bytes) -> DirectStream:
        return _GrpcDirectStream(self, self._invoke("unary_stream", call, body, call.total_timeout), call)

    def _invoke(self, kind: str, call: Call, body: bytes, timeout: float | None) -> Any:
        method = self._methods.get((kind, call.path))
        if method is None:
            method = self._methods[kind, call.path] = getattr(self._channel, kind)(call.path)
        try:
            return method(body, timeout=timeout, metadata=call.metadata)
        except ValueError:
            if not self.closed:
                raise
            raise ClosedError("it was closed; make a new client") from None  # by another thread, just now

    def failure(self, call: Call, error: Any) -> RemoteClientError:
        """The typed error for what gRPC reports."""
        if self.closed:
            return ClosedError("it was closed while the call was in flight")
        error.__traceback__ = None  # it knows these frames, and they the error
        return failure_of(call, error, self.target)

    def close(self) -> None:
        self.closed = True
        self._channel.close()


class _GrpcDirectStream(DirectStream):
    """See `DirectStream`."""

    def __init__(self, transport: GrpcDirectTransport, rpc: Any, call: Call) -> None:
        self._transport = transport
        self._rpc = rpc
        self._call = call
        self._reading = threading.Lock()
        self._over = False
        self._broken = False
        """Whether Ctrl-C broke into gRPC's own code: that has ended the call then, and must not be asked any more."""

    def read(self) -> bytes | None:
        with self._reading:
            if self._over:
                return None
            self._over = self._broken = True
            try:
                data = cast(bytes, next(self._rpc))
                self._over = self._broken = False
                return data
            except StopIteration:
                self._broken = False
                return None
            except grpc.RpcError as error:
                self._broken = False
                failure = self._transport.failure(self._call, error)
        try:
            raise failure
        finally:
            del failure

    def cancel(self) -> None:
        self._rpc.cancel()

    def finish(self) -> None:
        # What gRPC still has to tell of a call it keeps until somebody asks, and all of the call with it.
        with self._reading:
            self._over = True
            while not self._broken and self._rpc._state.due:
                self._broken = True
                self._rpc._consume_next_event()
                self._broken = False
