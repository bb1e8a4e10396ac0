"""What a server tells of itself, read over its own protocol."""

from __future__ import annotations

import asyncio
import copy
import copyreg
import hashlib
import math
import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from .._calls.caller import Caller
from .._concurrency import threads as _threads
from .._schema.budget import Budget, LateDescriptionError
from .._schema.late_methods import LateMethods, LateTypes
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._schema.schema_file import Schema, SchemaFile
from ..errors import (
    ClosedError,
    DeadlineExceededError,
    PicklingError,
    RemoteCallError,
    SchemaError,
    SchemaUnavailableError,
    UnimplementedError,
)
from ..settings import CallOptions, ConnectionInfo, Protocol
from .schema_refusals import raise_refusal

if TYPE_CHECKING:
    from .._schema.protobuf.reflection import ReflectionReader

_descriptions: WeakValueDictionary[bytes, ServiceDescription] = WeakValueDictionary()
"""The descriptions in use, by what they were made of. Their types are most of a client's memory, and take most of the
time until its first call: clients of servers that describe themselves alike share them."""
_on_file: WeakValueDictionary[SchemaFile, ServiceDescription] = WeakValueDictionary()
"""The descriptions in use of files: `client.model` asks for them each time."""
_methods: WeakValueDictionary[bytes, LateMethods] = WeakValueDictionary()
"""The methods in use of such descriptions, as the descriptions."""
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
        SchemaUnavailableError: the server refuses to describe itself.
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
    """Read the description within one deadline, the timeout of a call, whatever it takes: attempts, files, types."""
    timeout = caller.options.timeout
    budget = Budget(math.inf if timeout is None else timeout)
    try:
        return await (_read_openapi(caller, budget) if protocol == "http" else _read_files(caller, budget))
    except SchemaError as error:
        caller.hide(error)  # the server's names may repeat what it was sent
        raise
    finally:
        budget.cancel()  # for a thread that reads files: nobody waits for it any more


def _hurried(caller: Caller, budget: Budget) -> Caller:
    """Return the caller with the time that is left."""
    left = budget.remaining
    if left <= 0:
        raise budget.late()
    limit = None if left == math.inf else left
    return caller.replace(timeout=limit, total_timeout=limit)


def usual_method(protocol: Protocol, name: str) -> RemoteRPCDescriptor | None:
    """Return one of the runtime's own methods that can be called without the server's description; None for others."""
    if protocol != "http":
        return None
    from .._schema.openapi import document as openapi

    return openapi.usual(name)


async def _read_openapi(caller: Caller, budget: Budget) -> ServiceDescription:
    from .._schema.openapi import document as openapi

    path = openapi.DOCUMENT
    try:
        document = await _hurried(caller, budget).send(path, b"", max_size=budget.left("bytes"))
    except RemoteCallError as error:
        raise_refusal(error, path, f"{caller.target} does not give its OpenAPI document ({path})")
    return await _described(f"{caller.target} ({path})", (openapi.describe, document), budget)


async def _read_files(caller: Caller, budget: Budget) -> ServiceDescription:
    from .._schema.protobuf import reflection
    from .._schema.protobuf import services as reflected  # here, because it loads protobuf

    newest, older = reflection.PATHS
    try:
        reader = await _reflect(caller, newest, budget)
    except SchemaUnavailableError as refused:
        if not isinstance(refused.error, UnimplementedError):
            raise
        reader = await _reflect(caller, older, budget)
    told = (reflected.describe_told, tuple(reader.files.values()), tuple(reader.services))
    return await _described(caller.target, told, budget)


async def description_of(schema: Schema) -> ServiceDescription:
    """What a schema on file tells. It is parsed once for any number of clients.

    Raises:
        SchemaError: it cannot be used.
    """
    if isinstance(schema, ServiceDescription):
        return schema
    found = _on_file.get(schema)
    if found is None:
        found = _on_file[schema] = await _described(schema.name, schema.source, Budget(math.inf))
    if isinstance(found.types, LateTypes):
        found.types.methods.origin = schema.name  # of files of equal bytes the one that was given last
    return found


_Source = tuple[Any, ...]
"""What makes a description, and what the server told."""


async def _described(who: str, source: _Source, budget: Budget) -> ServiceDescription:
    """As `_shared`. Errors name who told: a server, or a file."""
    try:
        return await _shared(source, budget)
    except LateDescriptionError as error:
        raise LateDescriptionError(f"{who}: {error}") from error
    except SchemaError as error:
        raise SchemaError(f"{who}: {error}") from error


async def _shared(source: _Source, budget: Budget) -> ServiceDescription:
    """Return the description of what a server told, or make it; once for any number of clients, in any loop."""
    key = await _threads.aside(_key_of, source)
    return _descriptions.get(key) or await _Build.join(key, source).wait(budget)


def _key_of(source: _Source) -> bytes:
    describe, *told = source
    digest = hashlib.sha256(describe.__name__.encode())
    for part in told:
        for each in (part,) if isinstance(part, bytes) else part:
            data = each if isinstance(each, bytes) else each.encode()
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.digest()


def _make(key: bytes, source: _Source, budget: Budget) -> ServiceDescription:
    describe, *told = source
    description = _descriptions.setdefault(key, replace(describe(*told, budget), source=source))
    if isinstance(description.types, LateTypes):
        methods = description.types.methods
        _methods[key], methods.source = methods, source
    return description


def _unpickled(source: _Source) -> ServiceDescription:
    """A description that comes from another process."""
    key = _key_of(source)
    return _descriptions.get(key) or _make(key, source, Budget())


def _reduce(description: ServiceDescription) -> Any:
    if description.source is None:
        raise PicklingError("only what a server told of itself can be pickled")
    return _unpickled, (description.source,)


copyreg.pickle(ServiceDescription, _reduce)


def _methods_of(source: _Source) -> LateMethods:
    """As `_unpickled`, of the methods alone: who has some of them need not have the description."""
    key = _key_of(source)
    found = _methods.get(key)
    if found is None:
        types = _make(key, source, Budget()).types
        assert isinstance(types, LateTypes)
        found = types.methods
    return found


def _reduce_methods(methods: LateMethods) -> Any:
    return _methods_of, (methods.source,)


copyreg.pickle(LateMethods, _reduce_methods)


class _Build:
    """The making of a description in a thread. It takes milliseconds, of a hostile one for ever: who waits has a
    deadline, and when the last one leaves it ends. What it makes may be wanted again: then it is begun anew.
    """

    def __init__(self, key: bytes, source: _Source) -> None:
        self._key = key
        self._budget = Budget(math.inf)
        self._waiting = 0
        self._result: Future[ServiceDescription] = _threads.start(self._run, source)

    @classmethod
    def join(cls, key: bytes, source: _Source) -> _Build:
        """Return the build of a description, begun if need be. The caller waits for it."""
        with _lock:
            build = _builds.get(key)
            if build is None:
                build = _builds[key] = cls(key, source)
            build._waiting += 1
            return build

    def _run(self, source: _Source) -> ServiceDescription:
        try:
            return _make(self._key, source, self._budget)
        finally:
            with _lock:
                self._forget()

    def _forget(self) -> None:
        if _builds.get(self._key) is self:
            del _builds[self._key]

    async def wait(self, budget: Budget) -> ServiceDescription:
        """Return the description.

        Raises:
            SchemaError: there is none, or not in time.
        """
        arrived = asyncio.wrap_future(self._result)
        try:
            await asyncio.wait((arrived,), timeout=None if budget.remaining == math.inf else budget.remaining)
            if not arrived.done():
                raise budget.late()
            failure = arrived.exception()
            if failure is not None:
                raise _again(failure)
            return arrived.result()
        finally:
            arrived.cancel()
            self._leave()

    def _leave(self) -> None:
        with _lock:
            self._waiting -= 1
            if not self._waiting:
                self._forget()  # whoever comes now begins anew
                self._budget.cancel()


_builds: dict[bytes, _Build] = {}
"""The descriptions that are being made."""


def _after_fork() -> None:
    """Forget in a child what its parent's threads were making."""
    global _lock
    _lock = threading.Lock()
    _builds.clear()


os.register_at_fork(after_in_child=_after_fork)


async def _reflect(caller: Caller, path: str, budget: Budget) -> ReflectionReader:
    from .._schema.protobuf.reflection import ReflectionReader

    reader = ReflectionReader(budget)
    requests = reader.requests()
    while requests:
        try:
            answers = await _hurried(caller, budget).exchange(path, requests, budget.left("bytes"))
        except RemoteCallError as error:
            if isinstance(error, DeadlineExceededError) and reader.services:
                raise budget.late() from error
            raise_refusal(error, path, f"{caller.target} does not describe itself")
        # Megabytes of descriptors, and tens of thousands of names, would hold up the loop.
        requests, asked = await _threads.aside(_feed, reader, answers), len(requests)
        if len(answers) < asked:
            raise SchemaError(f"{caller.target} ended its reflection too early")
    return reader


def _feed(reader: ReflectionReader, answers: Iterable[bytes]) -> list[bytes]:
    """Give a reader what was answered, and return what is to be asked next."""
    for each in answers:
        reader.feed(each)
    return reader.requests()
