"""The methods that gRPC's interoperability cases need beyond those of `wire_server`, and a module with both."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import grpc

from remote_client._transport.call import ByteStream, Call
from remote_client._transport.metadata import RawMetadata
from remote_client.settings import CallOptions, ConnectionInfo
from tests.support.wire import RawCodec, module_of, raw_method
from tests.support.wire_server import PLAIN, count

Context = Any
"""grpc.aio's, or the strict server's."""
LARGE_REQUEST, LARGE_ANSWER = 271828, 314159
"""Bytes of gRPC's case `large_unary`."""
ECHO_INITIAL, ECHO_TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
"""The metadata that gRPC's case `custom_metadata` gets back."""


async def large(request: bytes, context: Context) -> bytes:
    assert len(request) == LARGE_REQUEST
    return bytes(LARGE_ANSWER)


async def meta(request: bytes, context: Context) -> bytes:
    """The metadata that came in; what gRPC's case wants back goes back."""
    pairs = list(context.invocation_metadata() or ())
    await context.send_initial_metadata(tuple(pair for pair in pairs if pair[0] == ECHO_INITIAL))
    context.set_trailing_metadata(tuple(pair for pair in pairs if pair[0] == ECHO_TRAILING))
    return as_json(pairs)


async def packed(request: bytes, context: Context) -> None:
    """As `count`, with each message compressed."""
    context.set_compression(grpc.Compression.Gzip)
    await count(request, context)


async def left(request: bytes, context: Context) -> bytes:
    """Seconds until the call's deadline."""
    return json.dumps(context.time_remaining()).encode()


def as_json(pairs: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Metadata as JSON: pairs in their order, bytes by base64."""
    made = [[key, value if isinstance(value, str) else base64.b64encode(value).decode()] for key, value in pairs]
    return json.dumps(made).encode()


HANDLERS: dict[str, tuple[Any, tuple[bool, bool]]] = PLAIN | {
    "Large": (large, (False, False)),
    "Meta": (meta, (False, False)),
    "Packed": (packed, (False, True)),
    "Left": (left, (False, False)),
}
KINDS = {name: kind for name, (_, kind) in HANDLERS.items()}
"""Whether a method's input, and its output, are streams."""


def interop_module(info: ConnectionInfo, *, options: CallOptions | None = None) -> Any:
    """A module with the methods of `wire_server` and of this file, and two that no server has."""
    paths = {name.lower(): (f"/test.Test/{name}", kind) for name, kind in KINDS.items()}
    paths["unimplemented_method"] = ("/test.Test/Nothing", (False, False))
    paths["unimplemented_service"] = ("/test.Nobody/Echo", (False, False))
    methods = [raw_method(name, path, kind, RawCodec()) for name, (path, kind) in paths.items()]
    return module_of(methods, info, "grpc", None, options)


async def send_raw(module: Any, path: str, body: bytes, metadata: RawMetadata) -> bytes:
    """A unary call below all that checks metadata: with the same key more than once, say."""
    lease = module._caller.connections.lease()
    try:
        answer: bytes = await lease.transport.unary(Call(path, metadata, 20), body)
    finally:
        lease.release()
    return answer


async def read_all(stream: ByteStream) -> list[bytes]:
    """All answers of a stream."""
    found = []
    while (item := await stream.read()) is not None:
        found.append(item)
    return found
