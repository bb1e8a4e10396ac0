"""What a server tells of itself, read over its own protocol."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from . import _threads
from ._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .calls import Caller
from .errors import DeadlineExceededError, RemoteCallError, SchemaError, UnimplementedError
from .settings import Protocol

if TYPE_CHECKING:
    from ._schema.reflection import ReflectionReader

_descriptions: WeakValueDictionary[bytes, ServiceDescription] = WeakValueDictionary()
"""The descriptions in use, by what they were made of. Their types are most of a client's memory, and take most of the
time until its first call: clients of servers that describe themselves alike share them."""
_builds: dict[bytes, Future[ServiceDescription]] = {}
"""The descriptions that are being made."""
_lock = threading.Lock()


async def read_schema(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """Everything the caller's server offers: by reflection over gRPC, of its OpenAPI document over HTTP.

    Raises:
        SchemaError: the server's description of itself cannot be used.
        RemoteCallError: the server could not be asked.
    """
    return await (_read_openapi(caller) if protocol == "http" else _read_files(caller))


def usual_method(protocol: Protocol, name: str) -> RemoteRPCDescriptor | None:
    """Return one of the runtime's own methods that can be called without the server's description; None for others."""
    if protocol != "http":
        return None
    from ._schema import openapi

    return openapi.usual(name)


class LateDescriptionError(SchemaError, DeadlineExceededError):
    """The server did not describe itself in time."""


def reached(error: RemoteCallError) -> bool:
    """Whether a call that failed may have reached the server."""
    return error.http_status is not None or not error.outcome_known


async def _read_openapi(caller: Caller) -> ServiceDescription:
    from ._schema import openapi

    try:
        document = await caller.send(openapi.DOCUMENT, b"")
    except RemoteCallError as error:
        if not reached(error):
            raise
        kind = LateDescriptionError if isinstance(error, DeadlineExceededError) else SchemaError
        raise kind(f"{caller.target} does not give its OpenAPI document ({openapi.DOCUMENT}): {error}") from error
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
    """Return the description that is made of these parts, or make it; once for any number of clients, in any loop."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    key = digest.digest()
    found = _descriptions.get(key)
    return found if found is not None else await asyncio.wrap_future(_building(key, describe))


def _building(key: bytes, describe: Callable[[], ServiceDescription]) -> Future[ServiceDescription]:
    """Return the making of a description, begun if need be. It takes milliseconds: not in a loop."""

    def make() -> ServiceDescription:
        try:
            return _descriptions.setdefault(key, describe())
        finally:
            with _lock:
                del _builds[key]

    with _lock:
        if key not in _builds:
            _builds[key] = _threads.start(make)
        return _builds[key]


def _after_fork() -> None:
    """Forget in a child what its parent's threads were making."""
    global _lock
    _lock = threading.Lock()
    _builds.clear()


os.register_at_fork(after_in_child=_after_fork)


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
