"""The requests of `raw_calls`: of methods and routes by their paths, for what this client does not know."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from .._calls.caller import LARGE, Caller
from .._concurrency.threads import run_in_thread
from .._objects.content import Body
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._settings.connection import parse_target
from .._settings.durations import Duration
from .._text.cleaning import type_name
from .._transport.metadata import name_problem
from ..errors import InputError, RemoteCallError, UnsupportedError
from ..settings import MetadataSource, Protocol

if TYPE_CHECKING:
    from .._schema.protobuf.generated_messages import GeneratedMethod
    from .finder_group import FinderGroup
    from .servers import Server

_RPC = re.compile(r"/?([\w.]+/\w+)", re.ASCII)
_ROUTE = re.compile(r"/[^\s#\x00-\x1f\x7f]*")
_SAFE, _WITH_BODY = ("GET", "HEAD", "OPTIONS"), ("POST", "PUT", "PATCH")
"""The verbs of requests that may be sent again, and of those that have a body even if it is empty."""
_VERBS = (*_SAFE, *_WITH_BODY, "DELETE")
_UNKNOWN = "give the request as bytes, or as a message of generated code that has the service"
_methods: WeakKeyDictionary[ServiceDescription, dict[str, RemoteRPCDescriptor | None]] = WeakKeyDictionary()
"""The methods that were called, by their paths."""


@dataclass(eq=False, repr=False)
class Options:
    """What calls and requests have in common; see `RemoteClient.call`."""

    target: str | None
    timeout: Duration | EllipsisType | None
    metadata: MetadataSource | None
    idempotent: bool

    def server(self, servers: Sequence[Server], protocol: Protocol) -> Server:
        """Return the server to call: that of the target, else the first."""
        if self.target is None:
            return servers[0]
        if not isinstance(self.target, str):
            raise InputError(f"target: expected one of the client's targets as text, not {type_name(self.target)}")
        wanted = parse_target(self.target, protocol)[0].target
        for server in servers:
            if server.connection.target == wanted:
                return server
        known = ", ".join(server.connection.target for server in servers)
        raise InputError(f"target: {wanted} is none of the client's servers: {known}")

    def caller(self, caller: Caller, model: str | None = None) -> Caller:
        """Return a caller with these options. A new one, as callers keep the records of calls by their paths."""
        changes: dict[str, Any] = {}
        if not isinstance(self.timeout, EllipsisType):
            changes["timeout"] = self.timeout
        if self.metadata is not None:
            changes["metadata"] = (*caller.options.metadata, self.metadata)
        return caller.replace(**changes).for_model(model)

    async def send(self, caller: Caller, name: str, path: str, body: bytes) -> bytes:
        """Send a request, once unless it may be sent again, and return the answer."""
        try:
            if not self.idempotent:
                return await caller.send_bytes_once(name, path, body, pages=True)
            data: bytes = await caller.send(path, body, pages=True)
            return data
        except RemoteCallError as error:
            error.method = path.removeprefix("/").partition("?")[0]  # a query may hold secrets
            raise


# -- gRPC -------------------------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class _Form:
    """A request's bytes, and what makes an answer of bytes."""

    body: bytes
    read: Callable[[bytes], Any] = bytes


async def call(finders: FinderGroup, path: str, message: Any, model: str | None, options: Options) -> Any:
    """See `RemoteClient.call`."""
    match = _RPC.fullmatch(path) if isinstance(path, str) else None
    if match is None:
        raise InputError(f"path: expected '/package.Service/Method', not {path!r:.80}")
    path = f"/{match[1]}"
    if model is not None and not isinstance(model, str):
        raise InputError(f"model: expected a model's name, not {type_name(model)}")
    if model is not None and (problem := name_problem(model)) is not None:
        raise InputError(f"model: {problem}")
    servers = _of_protocol(finders, finders.candidates([] if model is None else [model]), "grpc")
    if not servers:
        raise UnsupportedError("call(): HTTP has no gRPC methods; connect to the runtime's gRPC port, or use request()")
    server = options.server(servers, "grpc")
    caller = options.caller(server.caller, model)
    form = await _form(finders, server, caller, path, message)
    data = await options.send(caller, path.rpartition("/")[2], path, form.body)
    try:
        return form.read(data) if len(data) < LARGE else await caller.connections.worker.run(form.read, data)
    except RemoteCallError as error:
        error.method, error.target, error.model = path.removeprefix("/"), caller.target, model
        raise


async def _form(finders: FinderGroup, server: Server, caller: Caller, path: str, message: Any) -> _Form:
    if isinstance(message, (bytes, bytearray, memoryview)):
        if server.description is not None:  # nothing is asked for the sake of bytes
            _check_unary(await _described(server.description, path), path)
        return _Form(bytes(message))
    from .._schema.protobuf import generated_messages as generated  # loads protobuf

    if generated.is_message(message):
        own = generated.generated_method(message, path)
        if own is not None:
            _check_unary(own, path)
            body = generated.to_bytes(message, path, own.request)
            return _Form(body, lambda data: generated.from_bytes(data, own.answer))
    elif not isinstance(message, Mapping):
        raise InputError(f"message: expected bytes, a protobuf message or a dict, not {type_name(message)}")
    rpc = await _described(await finders.describe(server), path)
    if rpc is None:
        raise InputError(f"call(): the server at {caller.target} does not describe {path}: {_UNKNOWN}")
    _check_unary(rpc, path)
    if isinstance(message, Mapping):
        return _Form(rpc.codec.encode("", (), dict(message)), lambda data: rpc.codec.decode(data, "dict"))
    body = generated.to_bytes(message, path, rpc.request_dm_name)
    return _Form(body, lambda data: rpc.codec.decode(data, "proto"))


async def _described(description: ServiceDescription, path: str) -> RemoteRPCDescriptor | None:
    """Return a method as a description has it, with its types made."""
    known = _methods.setdefault(description, {})
    if path not in known:
        known[path] = await run_in_thread(_read, description, path)
    return known[path]


def _read(description: ServiceDescription, path: str) -> RemoteRPCDescriptor | None:
    from .._schema.protobuf.services import method_at

    rpc = method_at(description, path)
    if rpc is not None:
        _ = rpc.codec  # makes the types, which takes time
    return rpc


def _check_unary(method: RemoteRPCDescriptor | GeneratedMethod | None, path: str) -> None:
    if method is not None and (method.input_streaming or method.output_streaming):
        raise UnsupportedError(f"call(): {path} has streams, which only the methods of a model can carry: model()")


# -- HTTP -------------------------------------------------------------------------------------------------------------


async def request(
    finders: FinderGroup, method: str, path: str, json: Any, params: Mapping[str, Any] | None, options: Options
) -> Any:
    """See `RemoteClient.request`."""
    verb = method.upper() if isinstance(method, str) else method
    if verb not in _VERBS:
        raise InputError(f"method: expected one of {', '.join(_VERBS)}, not {method!r:.80}")
    if not isinstance(path, str) or not _ROUTE.fullmatch(path):
        raise InputError(f"path: expected '/path' without blanks and fragment, not {path!r:.80}")
    servers = _of_protocol(finders, finders.known, "http")
    if not servers:
        raise UnsupportedError("request(): gRPC has no routes; connect to the runtime's HTTP port, or use call()")
    server = options.server(servers, "http")
    caller = options.caller(server.caller)
    body = _body(verb, json)
    data = await options.send(caller, f"{verb} {path.partition('?')[0]}", f"{verb} {_with_query(path, params)}", body)
    return _answer(data) if len(data) < LARGE else await caller.connections.worker.run(_answer, data)


def is_safe(method: Any) -> bool:
    """Return whether a request with this verb may be sent again."""
    return isinstance(method, str) and method.upper() in _SAFE


def _with_query(path: str, params: Mapping[str, Any] | None) -> str:
    if params is None:
        return path
    if not isinstance(params, Mapping):
        raise InputError(f"params: expected a mapping, not {type_name(params)}")
    given = {name: _texts(value) for name, value in params.items() if value is not None}
    query = urlencode(given, doseq=True)
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path


def _texts(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_texts(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


def _body(verb: str, json: Any) -> bytes:
    if json is None:
        return Body(b"", "") if verb in _WITH_BODY else b""
    from pydantic_core import to_json

    from .._schema.openapi.values import to_json_types  # loads pydantic

    try:
        data = to_json(to_json_types(json, text=True), inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        reason = str(error)
    else:
        return Body(data, "application/json")
    # Raised here: the error above may hold the values, and would be this one's context.
    raise InputError(f"json: {reason}")


def _answer(data: bytes) -> Any:
    """Return the values of JSON; the bytes of anything else; None without an answer."""
    if type(data) is bytes:  # else its media type is another
        if not data:
            return None
        from pydantic_core import from_json

        try:
            return from_json(data)
        except ValueError:
            return data
    return bytes(data)


def _of_protocol(finders: FinderGroup, servers: Sequence[Server], protocol: Protocol) -> list[Server]:
    return [server for server in servers if finders.protocol_of(server) == protocol]
