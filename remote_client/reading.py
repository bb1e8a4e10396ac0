"""What a server tells of itself, read over its own protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from ._schema.rpc import ServiceDescription
from .calls import Caller
from .errors import SchemaError, UnimplementedError
from .settings import Protocol

if TYPE_CHECKING:
    from ._schema.reflection import ReflectionReader

_descriptions: WeakValueDictionary[bytes, ServiceDescription] = WeakValueDictionary()
"""The descriptions in use, by what they were made of. Their types are most of a client's memory, and take most of the
time until its first call: clients of servers that describe themselves alike share them."""


async def read_schema(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """Everything the caller's server offers: by reflection over gRPC, of its OpenAPI document over HTTP.

    Raises:
        SchemaError: the server's description of itself cannot be used.
        RemoteCallError: the server could not be asked.
    """
    return await (_read_openapi(caller) if protocol == "http" else _read_files(caller))


async def _read_openapi(caller: Caller) -> ServiceDescription:
    from ._schema import openapi

    document = await caller.send(openapi.DOCUMENT, b"")
    return await _shared([b"OpenAPI", document], lambda: openapi.describe(document))


async def _read_files(caller: Caller) -> ServiceDescription:
    from ._schema import reflected, reflection  # here, because it loads protobuf

    newest, older = reflection.PATHS
    try:
        reader = await _reflect(caller, newest)
    except UnimplementedError:
        reader = await _reflect(caller, older)
    files, services = reader.files, reader.services
    parts = [*(file.SerializeToString() for file in files.values()), *(name.encode() for name in services)]
    return await _shared([b"reflection", *parts], lambda: reflected.describe(files, services))


async def _shared(parts: Iterable[bytes], describe: Callable[[], ServiceDescription]) -> ServiceDescription:
    """Return the description that is made of these parts, or make it."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    found = _descriptions.get(digest.digest())
    if found is None:
        # Building types takes milliseconds: not in the loop.
        made = await anyio.to_thread.run_sync(describe)
        found = _descriptions.setdefault(digest.digest(), made)
    return found


async def _reflect(caller: Caller, path: str) -> ReflectionReader:
    from ._schema.reflection import MAX_BYTES, ReflectionReader

    reader = ReflectionReader()
    while requests := reader.requests():
        answers = await caller.exchange(path, requests, MAX_BYTES)
        for answer in answers:
            reader.feed(answer)
        if len(answers) < len(requests):
            raise SchemaError(f"{caller.target} ended its reflection too early")
    return reader
