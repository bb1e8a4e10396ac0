"""What a server tells of itself, read over its own protocol."""

from __future__ import annotations

import asyncio
import copy
import copyreg
import hashlib
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from . import _threads
from ._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .calls import Caller
from .errors import (
    ClosedError,
    DeadlineExceededError,
    PicklingError,
    RemoteCallError,
    SchemaError,
    UnavailableError,
    UnimplementedError,
)
from .settings import CallOptions, ConnectionInfo, Protocol

if TYPE_CHECKING:
    from ._schema.reflection import ReflectionReader

_descriptions: WeakValueDictionary[bytes, ServiceDescription] = WeakValueDictionary()
"""The descriptions in use, by what they were made of. Their types are most of a client's memory, and take most of the
time until its first call: clients of servers that describe themselves alike share them."""
_builds: dict[bytes, Future[ServiceDescription]] = {}
"""The descriptions that are being made."""
_lock = threading.Lock()


@dataclass(frozen=True)
class _Question:
    """Two clients that ask the same server for its description, in one loop, in the same way and as the same user."""

    loop: asyncio.AbstractEventLoop
    connection: ConnectionInfo
    protocol: Protocol
    options: CallOptions

    def __hash__(self) -> int:
        return hash((self.loop, self.connection.target))


_readings: WeakValueDictionary[_Question, asyncio.Task[ServiceDescription]] = WeakValueDictionary()
"""What is being read."""


async def read_schema(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """Everything the caller's server offers: by reflection over gRPC, of its OpenAPI document over HTTP.

    Clients that ask the same at the same time ask once.

    Raises:
        SchemaError: the server's description of itself cannot be used.
        RemoteCallError: the server could not be asked.
    """
    question = _question_of(caller)
    if question is None:
        return await _read(caller, protocol)
    while (other := _readings.get(question)) is not None:
        await asyncio.wait((other,))
        caller.connections.check()
        failure = None if other.cancelled() else other.exception()
        if not other.cancelled() and not isinstance(failure, ClosedError):  # else the other client was closed
            if failure is not None:
                raise _again(failure)
            return other.result()
    reading = _readings[question] = asyncio.create_task(_read(caller, protocol))
    reading.add_done_callback(lambda _: _readings.pop(question, None))
    return await reading


def _again(failure: BaseException) -> BaseException:
    """Return an error once more: raised by all clients, one would collect the tracebacks of all."""
    again = copy.copy(failure)
    again.__cause__ = failure.__cause__
    return again.with_traceback(failure.__traceback__)


def _question_of(caller: Caller) -> _Question | None:
    """Return what another client may ask as well; None where hooks, functions or a user's transport take part."""
    options, opened_with = caller.options, caller.connections.opened_with
    if options.hooks or opened_with is None or not all(isinstance(each, Mapping) for each in options.metadata):
        return None
    connection, protocol, transport, interceptors = opened_with
    return None if transport or interceptors else _Question(asyncio.get_running_loop(), connection, protocol, options)


async def _read(caller: Caller, protocol: Protocol) -> ServiceDescription:
    return await (_read_openapi(caller) if protocol == "http" else _read_files(caller))


def usual_method(protocol: Protocol, name: str) -> RemoteRPCDescriptor | None:
    """Return one of the runtime's own methods that can be called without the server's description; None for others."""
    if protocol != "http":
        return None
    from ._schema import openapi

    return openapi.usual(name)


class LateDescriptionError(SchemaError, DeadlineExceededError):
    """The server did not describe itself in time."""


class AbsentDescriptionError(SchemaError, UnavailableError):
    """The server could not be asked what it can do, or a proxy answered that it is away."""


_KINDS: dict[type[RemoteCallError], type[SchemaError]] = {
    DeadlineExceededError: LateDescriptionError,
    UnavailableError: AbsentDescriptionError,
}


def _is_answer(error: RemoteCallError) -> bool:
    """Whether it is the server that does not tell; else it was not reached, or the target is another one."""
    if error.http_status is not None:
        return not 300 <= error.http_status < 400
    return not error.outcome_known


async def _read_openapi(caller: Caller) -> ServiceDescription:
    from ._schema import openapi

    try:
        document = await caller.send(openapi.DOCUMENT, b"")
    except RemoteCallError as error:
        if not _is_answer(error):
            raise
        kind = next((kind for cause, kind in _KINDS.items() if isinstance(error, cause)), SchemaError)
        raise kind(f"{caller.target} does not give its OpenAPI document ({openapi.DOCUMENT}): {error}") from error
    return await _shared((openapi.describe, document))


async def _read_files(caller: Caller) -> ServiceDescription:
    from ._schema import reflected, reflection  # here, because it loads protobuf

    newest, older = reflection.PATHS
    try:
        reader = await _reflect(caller, newest)
    except UnimplementedError:
        reader = await _reflect(caller, older)
    files, services = reader.files, reader.services
    told = tuple(file.SerializeToString() for file in files.values())
    return await _shared((reflected.describe_told, told, tuple(services)))


_Source = tuple[Any, ...]
"""What makes a description, and what the server told."""


async def _shared(source: _Source) -> ServiceDescription:
    """Return the description of what a server told, or make it; once for any number of clients, in any loop."""
    key = _key_of(source)
    found = _descriptions.get(key)
    return found if found is not None else await asyncio.wrap_future(_building(key, source))


def _key_of(source: _Source) -> bytes:
    describe, *told = source
    digest = hashlib.sha256(describe.__name__.encode())
    for part in told:
        for each in (part,) if isinstance(part, bytes) else part:
            data = each if isinstance(each, bytes) else each.encode()
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.digest()


def _make(key: bytes, source: _Source) -> ServiceDescription:
    describe, *told = source
    return _descriptions.setdefault(key, replace(describe(*told), source=source))


def _unpickled(source: _Source) -> ServiceDescription:
    """A description that comes from another process."""
    key = _key_of(source)
    return _descriptions.get(key) or _make(key, source)


def _reduce(description: ServiceDescription) -> Any:
    if description.source is None:
        raise PicklingError("only what a server told of itself can be pickled")
    return _unpickled, (description.source,)


copyreg.pickle(ServiceDescription, _reduce)


def _building(key: bytes, source: _Source) -> Future[ServiceDescription]:
    """Return the making of a description, begun if need be. It takes milliseconds: not in a loop."""

    def make() -> ServiceDescription:
        try:
            return _make(key, source)
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
