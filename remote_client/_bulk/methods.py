"""The method of a map: rows as requests, their digests, and answers as bytes that a checkpoint can keep."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import blake2b
from time import monotonic
from typing import Any

from .._calls.caller import LARGE
from .._calls.stream import RemoteStream
from .._client.module import RemoteModuleBase
from .._objects.content import Body
from .._schema.codec import UnboundCodec
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import RemoteClientError
from .failures import Failure, failure_of
from .gate import Gate
from .rows import arguments_of


class RowMethod:
    """A unary method of a model, called row by row.

    Attributes:
        rpc: the method, as the server describes it once `prepare` was awaited.
    """

    def __init__(self, module: RemoteModuleBase, rpc: RemoteRPCDescriptor) -> None:
        self._module = module
        self._caller = module._caller
        self._model = module.config.model_path
        self._is_http = module.config.protocol == "http"
        self.rpc: RemoteRPCDescriptor = rpc

    async def prepare(self, outage: float | None) -> None:
        """Bind a declared or unpickled method to the server's description, which may be away for `outage` seconds."""
        gate = Gate(outage)
        while isinstance(self.rpc.codec, UnboundCodec):
            try:
                self.rpc = await self._module._completion.method(self.rpc, self._caller)
                return
            except RemoteClientError as error:
                if failure_of(error) is not Failure.OUTAGE or gate.failed(monotonic(), probed=True):
                    raise
            await asyncio.sleep(gate.wait(monotonic()) or 0.0)

    async def call(self, row: Any) -> Any:
        """Return the answer of a row."""
        args, kwargs = arguments_of(row)
        return await self._module.remote_method_request(self.rpc, *args, **kwargs)

    def encode(self, row: Any) -> bytes:
        """Return the request of a row. Raises an InputError."""
        args, kwargs = arguments_of(row)
        return self.rpc.codec.encode(self._model, args, kwargs)

    def frame(self, row: Any, index: int) -> bytes:
        """Return the message of a row on a stream. Raises an InputError."""
        args, kwargs = arguments_of(row)
        codec = self.rpc.codec
        constants, streams = codec.split(tuple([value] for value in args), {name: [kwargs[name]] for name in kwargs})
        return codec.frame(constants, {name: items[0] for name, items in streams.items()}, index)

    def stream(self, messages: AsyncIterator[bytes]) -> RemoteStream[Any]:
        """Return the answers of a method that streams both ways."""
        return RemoteStream(self._caller, self.rpc, messages)

    def digest(self, body: bytes) -> int:
        """Return a 64-bit digest of a request, its method and its model. Every process computes the same one."""
        key = f"{self.rpc.path}\0{self._model}\0".encode()
        return int.from_bytes(
            blake2b(key + (_canonical(body) if self._is_http else body), digest_size=8).digest(), "big"
        )

    async def send(self, body: bytes) -> bytes:
        """Return the answer of a request as it came."""
        data: bytes = await self._caller.send(self.rpc.path, body)
        return data

    async def decode(self, data: bytes) -> Any:
        """Return an answer in the form that the module's options ask for."""
        if len(data) < LARGE:
            return self._caller.decode(self.rpc, data)
        return await self._caller.decode_large(self.rpc, data)


def _canonical(body: bytes) -> bytes:
    """Return the body of an HTTP request as all equal requests have it: keys in order, no random boundary."""
    if isinstance(body, Body):
        _, _, boundary = body.content_type.partition("boundary=")
        return body.replace(boundary.encode(), b"") if boundary else body
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except (ValueError, RecursionError):  # a query
        return body
