"""Descriptions of servers' tasks and types: read by reflection or from OpenAPI documents, built once, and shared."""

from __future__ import annotations

import asyncio
import copy
import copyreg
import hashlib
import math
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from .._calls.caller import Caller
from .._concurrency import fork as _fork
from .._concurrency import threads as _threads
from .._schema.budget import Budget, LateDescriptionError
from .._schema.lazy_methods import LazyMethods, LazyTypes
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
from .schema_errors import raise_refusal

if TYPE_CHECKING:
    from .._schema.protobuf.reflection import ReflectionReader

_descriptions: WeakValueDictionary[bytes, ServiceDescription] = WeakValueDictionary()
"""The descriptions in use, by the digests of their sources. Types take most of a client's memory and of the time until
its first call: clients of servers with equal descriptions share them."""
_on_file: WeakValueDictionary[SchemaFile, ServiceDescription] = WeakValueDictionary()
"""The descriptions in use of files: `client.model` looks them up at every call."""
_methods: WeakValueDictionary[bytes, LazyMethods] = WeakValueDictionary()
"""The methods of the descriptions in use, by the same digests."""
_lock = threading.Lock()


class _SharedQuestion(NamedTuple):
    """The key under which clients of one loop share a running introspection: same server, options and user."""

    loop: asyncio.AbstractEventLoop
    connection: ConnectionInfo
    protocol: Protocol
    options: CallOptions

    def __hash__(self) -> int:
        return hash((self.loop, self.connection.target))


_running: WeakValueDictionary[_SharedQuestion, asyncio.Task[ServiceDescription]] = WeakValueDictionary()


async def introspect(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """Read the server's description: by reflection over gRPC, from the OpenAPI document over HTTP.

    Clients with the same question at the same time share one introspection.

    Raises:
        SchemaUnavailableError: the server refuses to describe itself.
        SchemaError: the server's description of itself cannot be used.
        RemoteCallError: the server could not be asked.
    """
    question = _shared_question(caller)
    if question is None:
        return await _read(caller, protocol)
    while (other := _running.get(question)) is not None:
        await asyncio.wait((other,))
        caller.connections.check()
        failure = None if other.cancelled() else other.exception()
        if not other.cancelled() and not isinstance(failure, ClosedError):  # else the other client was closed
            if failure is not None:
                raise _copy(failure)
            return other.result()
    task = _running[question] = asyncio.create_task(_read(caller, protocol))
    task.add_done_callback(lambda _: _running.pop(question, None))
    return await task


def _copy(failure: BaseException) -> BaseException:
    """Copy an error: one object raised by all clients would collect their tracebacks."""
    copied = copy.copy(failure)
    copied.__cause__ = failure.__cause__
    return copied.with_traceback(failure.__traceback__)


def _shared_question(caller: Caller) -> _SharedQuestion | None:
    """Return the key to share an introspection by, or None with hooks, metadata callables or a user's transport."""
    options, opened_with = caller.options, caller.connections.opened_with
    if options.hooks or opened_with is None or not all(isinstance(source, Mapping) for source in options.metadata):
        return None
    connection, protocol, transport, interceptors = opened_with
    if transport or interceptors:
        return None
    return _SharedQuestion(asyncio.get_running_loop(), connection, protocol, options)


async def load_codecs(protocol: Protocol) -> None:
    """Import the codecs in a thread: they and pydantic take 0.1 s, for which the event loop would stand still."""
    module = f"remote_client._schema.{'openapi.document' if protocol == 'http' else 'protobuf.services'}"
    if module not in sys.modules:
        await _threads.run_in_thread(import_module, module)


async def _read(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """Read the description within the timeout of one call, which covers attempts, files and types."""
    async with _reading(caller) as budget:
        await load_codecs(protocol)
        return await (_read_openapi(caller, budget) if protocol == "http" else _read_files(caller, budget))


@asynccontextmanager
async def _reading(caller: Caller) -> AsyncIterator[Budget]:
    """Give the budget of reading a description: the timeout of one call."""
    timeout = caller.options.timeout
    budget = Budget(math.inf if timeout is None else timeout)
    try:
        yield budget
    except SchemaError as error:
        caller.redact(error)  # the server's names may repeat what it was sent
        raise
    finally:
        budget.cancel()  # ends a thread that still parses files: no caller waits for it


def _with_time_left(caller: Caller, budget: Budget) -> Caller:
    """Return the caller with the budget's remaining time as its timeout."""
    left = budget.remaining
    if left <= 0:
        raise budget.timeout_error()
    limit = None if left == math.inf else left
    return caller.replace(timeout=limit, total_timeout=limit)


def well_known_method(protocol: Protocol, name: str) -> RemoteRPCDescriptor | None:
    """Return a method of the runtime that can be called without the server's description, or None."""
    if protocol != "http":
        return None
    from .._schema.openapi import document as openapi

    return openapi.default_method(name)


async def _read_openapi(caller: Caller, budget: Budget) -> ServiceDescription:
    from .._schema.openapi import document as openapi

    path = openapi.DOCUMENT
    try:
        document = await _with_time_left(caller, budget).send(path, b"", max_size=budget.left("bytes"))
    except RemoteCallError as error:
        raise_refusal(error, path, f"{caller.target} does not give its OpenAPI document ({path})")
    describe = openapi.describe if caller.occurs_in([document]) else openapi.describe_lazily
    return await _described(f"{caller.target} ({path})", (describe, document), budget)


async def _read_files(caller: Caller, budget: Budget) -> ServiceDescription:
    from .._schema.protobuf import reflection
    from .._schema.protobuf import services as protobuf_services  # here, because it loads protobuf

    newest, older = reflection.PATHS
    try:
        reader = await _reflect(caller, newest, budget)
    except SchemaUnavailableError as refused:
        if not isinstance(refused.error, UnimplementedError):
            raise
        reader = await _reflect(caller, older, budget)
    files = tuple(reader.files.values())
    is_echo = caller.occurs_in(files)
    describe = protobuf_services.describe_files if is_echo else protobuf_services.describe_lazily
    return await _described(caller.target, (describe, files, tuple(reader.services)), budget)


async def parse_schema(schema: Schema) -> ServiceDescription:
    """Return the description in a schema on file, which is parsed once for all clients.

    Raises:
        SchemaError: it cannot be used.
    """
    if isinstance(schema, ServiceDescription):
        return schema
    found = _on_file.get(schema)
    if found is None:
        found = _on_file[schema] = await _described(schema.name, schema.source, Budget(math.inf))
    _name_origin(found, schema.name)
    return found


async def whole_description(caller: Caller, description: ServiceDescription) -> ServiceDescription:
    """Return the description of a caller's server with all types made, within the timeout of one call.

    Raises:
        SchemaError: a type cannot be made.
    """
    if not (isinstance(description.types, LazyTypes) and description.source) or description.types.methods.on_file:
        return description
    if description not in _wholes:
        _, *answers = description.source
        async with _reading(caller) as budget:
            _wholes[description] = await _described(caller.target, (_at_once(description), *answers), budget)
    return _wholes[description]


def _at_once(description: ServiceDescription) -> Callable[..., ServiceDescription]:
    """Return the function that makes all types of a description."""
    if description.protocol == "http":
        from .._schema.openapi.document import describe

        return describe
    from .._schema.protobuf.services import describe_files

    return describe_files


_wholes: WeakKeyDictionary[ServiceDescription, ServiceDescription] = WeakKeyDictionary()
"""Descriptions whose types are made on first use -> the same with all types made."""


def _name_origin(description: ServiceDescription, name: str) -> None:
    """Have late errors name a file or a server: of equal ones, the last."""
    if isinstance(description.types, LazyTypes):
        description.types.methods.origin = name


_Source = tuple[Any, ...]
"""The function that builds a description, and its arguments: the server's answers."""


async def _described(name: str, source: _Source, budget: Budget) -> ServiceDescription:
    """Return `_shared`'s description; errors begin with the name of the server or file."""
    try:
        description = await _shared(source, budget)
        _name_origin(description, name)
        return description
    except LateDescriptionError as error:
        raise LateDescriptionError(f"{name}: {error}") from error
    except SchemaError as error:
        raise SchemaError(f"{name}: {error}") from error


async def _shared(source: _Source, budget: Budget) -> ServiceDescription:
    """Return the description of a source, built once for all clients in all loops."""
    key = await _threads.run_in_thread(_key_of, source)
    return _descriptions.get(key) or await _Build.join(key, source).wait(budget)


def _key_of(source: _Source) -> bytes:
    describe, *answers = source
    digest = hashlib.sha256(describe.__name__.encode())
    for answer in answers:
        for item in (answer,) if isinstance(answer, bytes) else answer:
            data = item if isinstance(item, bytes) else item.encode()
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.digest()


def _make(key: bytes, source: _Source, budget: Budget) -> ServiceDescription:
    describe, *answers = source
    description = _descriptions.setdefault(key, replace(describe(*answers, budget), source=source))
    if isinstance(description.types, LazyTypes) and description.types.methods.on_file:
        methods = description.types.methods
        _methods[key], methods.source = methods, source
    return description


def _unpickled(source: _Source) -> ServiceDescription:
    """Return a description that was pickled in another process."""
    key = _key_of(source)
    return _descriptions.get(key) or _make(key, source, Budget())


def _reduce(description: ServiceDescription) -> Any:
    if description.source is None:
        raise PicklingError("only a description that came from a server or a file can be pickled")
    return _unpickled, (description.source,)


copyreg.pickle(ServiceDescription, _reduce)


def _methods_of(source: _Source) -> LazyMethods:
    """Return unpickled methods: a handle may have them without the description."""
    key = _key_of(source)
    found = _methods.get(key)
    if found is None:
        types = _make(key, source, Budget()).types
        assert isinstance(types, LazyTypes)
        found = types.methods
    return found


def _reduce_methods(methods: LazyMethods) -> Any:
    return _methods_of, (methods.source,)


copyreg.pickle(LazyMethods, _reduce_methods)


class _Build:
    """The building of a description in a thread.

    It takes milliseconds, but a hostile schema takes for ever: waiters have deadlines, and the build is cancelled when
    the last one leaves. The next waiter starts a new build.
    """

    def __init__(self, key: bytes, source: _Source) -> None:
        self._key = key
        self._budget = Budget(math.inf)
        self._waiting = 0
        self._result: Future[ServiceDescription] = _threads.start(self._run, source)

    @classmethod
    def join(cls, key: bytes, source: _Source) -> _Build:
        """Return the running build of a description, or start one, with the caller as a waiter."""
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
                raise budget.timeout_error()
            failure = arrived.exception()
            if failure is not None:
                raise _copy(failure)
            return arrived.result()
        finally:
            arrived.cancel()
            self._leave()

    def _leave(self) -> None:
        with _lock:
            self._waiting -= 1
            if not self._waiting:
                self._forget()  # the next waiter starts a new build
                self._budget.cancel()


_builds: dict[bytes, _Build] = {}
"""The running builds."""


def _after_fork() -> None:
    """Forget the builds of the parent's threads in a forked child."""
    global _lock
    _lock = threading.Lock()
    _builds.clear()


_fork.at_fork(after_in_child=_after_fork)


async def _reflect(caller: Caller, path: str, budget: Budget) -> ReflectionReader:
    from .._schema.protobuf.reflection import ReflectionReader

    reader = ReflectionReader(budget)
    requests = reader.requests()
    while requests:
        try:
            answers = await _with_time_left(caller, budget).exchange(path, requests, budget.left("bytes"))
        except RemoteCallError as error:
            if isinstance(error, DeadlineExceededError) and reader.services:
                raise budget.timeout_error() from error
            raise_refusal(error, path, f"{caller.target} does not describe itself")
        # Megabytes of descriptors, and tens of thousands of names, would hold up the loop.
        requests, asked = await _threads.run_in_thread(_feed, reader, answers), len(requests)
        if len(answers) < asked:
            raise SchemaError(f"{caller.target} ended its reflection too early")
    return reader


def _feed(reader: ReflectionReader, answers: Iterable[bytes]) -> list[bytes]:
    """Feed answers to a reader, and return the next requests."""
    for answer in answers:
        reader.feed(answer)
    return reader.requests()
