"""The requests and answers of a remote method, as data objects and as bytes of either protocol. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature
from itertools import zip_longest
from typing import Any, get_origin

from caikit.core.data_model import DataBase, DataStream
from caikit.core.signature_parsing import CaikitMethodSignature
from caikit.interfaces.runtime.data_model import PredictionJob, TrainingJob
from caikit.runtime.names import (
    MODEL_ID,
    OPTIONAL_INPUTS_KEY,
    REQUIRED_INPUTS_KEY,
    ServiceType,
    get_grpc_route_name,
    get_http_prediction_job_route_name,
    get_http_route_name,
    get_task_predict_rpc_name,
)

from ..errors import InputError, UnsupportedError
from ..settings import Protocol
from ._checks import checked
from ._config import RemoteRPCDescriptor, answer_type, is_data_object
from ._data_objects import as_json, data_object, from_http, from_json, from_proto, is_unreadable_file

_ENDED = object()
_PREDICT = "Predict"
_JOBS = {ServiceType.TRAINING: TrainingJob, ServiceType.JOB_INFERENCE: PredictionJob}
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_INFERENCE = (ServiceType.INFERENCE, ServiceType.JOB_INFERENCE)


@dataclass(frozen=True)
class RemoteMethod:
    """How a remote method is called.

    Attributes:
        path: the path of a call; see `Call`.
        encode: returns the request: bytes, or an iterable of messages, of a model, and arguments.
        decode: returns the data object of an answer.
    """

    path: str
    encode: Callable[[str, tuple[Any, ...], dict[str, Any]], bytes | Iterable[bytes]]
    decode: Callable[[bytes], Any]


def remote_method(method: RemoteRPCDescriptor, service: ServiceType, protocol: Protocol) -> RemoteMethod:
    """Return how a method is called. Made once; a descriptor whose fields were replaced has another.

    Raises:
        ConfigurationError: caikit has no data objects for it.
        UnsupportedError: the protocol has no such method.
    """
    known: dict[Any, RemoteMethod] = vars(method).setdefault("_remote_methods", {})
    key = (
        service,
        protocol,
        method.request_dm_name,
        method.response_dm_name,
        method.rpc_name,
        method.input_streaming,
        method.output_streaming,
    )
    return known.get(key) or known.setdefault(key, _make(method, service, protocol))


def _make(method: RemoteRPCDescriptor, service: ServiceType, protocol: Protocol) -> RemoteMethod:
    answer = _answer(method, service)
    if service is ServiceType.JOB_INFERENCE and (method.input_streaming or method.output_streaming):
        raise _unsupported(method, "a server has no jobs of methods with streams")
    if protocol == "grpc":
        encode = _GrpcRequests(method, service).encode
        return RemoteMethod(_path(method, service), encode, lambda data: from_proto(answer, data))
    if method.input_streaming:
        raise _unsupported(method, "HTTP has no streamed inputs; connect to the runtime's gRPC port")
    if not method.output_streaming and is_unreadable_file(answer):
        raise _unsupported(
            method,
            f"HTTP answers with {answer.__name__} as a file, and its from_file is not implemented; connect to the "
            "runtime's gRPC port",
        )
    read = from_json if method.output_streaming else from_http
    encode_json = _HttpRequests(method, service).encode
    return RemoteMethod(f"POST {_route(method, service)}", encode_json, lambda data: read(answer, data))


def _unsupported(method: RemoteRPCDescriptor, reason: str) -> UnsupportedError:
    return UnsupportedError(f"{method.signature.method_name}(): {reason}")


def _path(method: RemoteRPCDescriptor, service: ServiceType) -> str:
    name = method.rpc_name
    if service is ServiceType.JOB_INFERENCE and name.endswith(_PREDICT):
        name = f"{name.removesuffix(_PREDICT)}StartPredictionJob"
    return str(get_grpc_route_name(service, name))


def _route(method: RemoteRPCDescriptor, service: ServiceType) -> str:
    if service is ServiceType.JOB_INFERENCE:
        return str(get_http_prediction_job_route_name(method.rpc_name))
    return str(get_http_route_name(method.rpc_name))


def _answer(method: RemoteRPCDescriptor, service: ServiceType) -> Any:
    """Return the data object of an answer: the signature's own, as another library may have one of the same name."""
    if service in _JOBS:  # the signature has the result of the job
        return _JOBS[service]
    is_call = service is ServiceType.INFERENCE
    declared: Any = answer_type(method.signature, method.output_streaming) if is_call else None
    if is_data_object(declared) and declared.__name__ == method.response_dm_name:
        return declared
    return data_object(method.response_dm_name, service)


class Arguments:
    """Binds the arguments of a module's method to its parameters."""

    def __init__(self, signature: CaikitMethodSignature) -> None:
        self._name = signature.method_name
        given = signature.method_signature.parameters.values()
        hidden = {"self", signature.context_arg}
        self._signature = Signature([parameter for parameter in given if parameter.name not in hidden])
        self._extra = [parameter.name for parameter in given if parameter.kind is Parameter.VAR_KEYWORD]
        parameters = self._signature.parameters.values()
        plain = all(parameter.kind is Parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
        self._known = {parameter.name for parameter in parameters} if plain else set()
        self._needed = {parameter.name for parameter in parameters if parameter.default is Parameter.empty}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the given arguments by name. Raises an InputError."""
        if not args and self._needed <= kwargs.keys() <= self._known:  # as caikit's servers call: no need to bind
            return {name: value for name, value in kwargs.items() if value is not None}
        try:
            values = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InputError(f"{self._name}(): {error}") from None
        for name in self._extra:
            values |= values.pop(name, {})
        return {name: value for name, value in values.items() if value is not None}


arguments_of = cache(Arguments)


class _Requests:
    def __init__(self, method: RemoteRPCDescriptor, service: ServiceType) -> None:
        self._method = method
        self._name = method.signature.method_name
        self._kind = data_object(method.request_dm_name, service)
        self._arguments = arguments_of(method.signature) if service in _INFERENCE else None

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self._arguments is not None:
            return self._arguments.bind(args, kwargs)
        return {name: value for name, value in kwargs.items() if value is not None}

    def _message(self, values: dict[str, Any]) -> Any:
        try:
            return checked(self._name, self._kind, values)
        except InputError:
            parameters = values.get("parameters")
            if self._arguments is None and isinstance(parameters, DataBase):  # tell the argument of `train`
                checked(self._name, type(parameters), parameters.to_kwargs())
            raise


class _GrpcRequests(_Requests):
    def __init__(self, method: RemoteRPCDescriptor, service: ServiceType) -> None:
        super().__init__(method, service)
        kinds = method.signature.parameters or {}
        self._streamed = {name for name, kind in kinds.items() if get_origin(kind) in (DataStream, Iterable)}

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | Iterable[bytes]:
        values = self._bind(args, kwargs)
        if not self._method.input_streaming:
            return self._bytes(values)
        streams = {name: values.pop(name) for name in list(values) if self._is_stream(name, values[name])}
        return self._messages(streams, self._bytes(values))

    def _is_stream(self, name: str, value: Any) -> bool:
        return isinstance(value, (DataStream, Iterator)) or (name in self._streamed and isinstance(value, Iterable))

    def _messages(self, streams: Mapping[str, Iterable[Any]], constants: bytes) -> Iterator[bytes]:
        """Yield a message for the items of every step. Messages that are joined are merged: each has all constants."""
        for items in zip_longest(*streams.values(), fillvalue=_ENDED):
            ended = [name for name, item in zip(streams, items, strict=True) if item is _ENDED]
            if ended:
                raise InputError(f"{self._name}(): streams must be of equal length: {', '.join(ended)} ended first")
            yield self._bytes(dict(zip(streams, items, strict=True))) + constants

    def _bytes(self, values: dict[str, Any]) -> bytes:
        data: bytes = self._message(values).SerializeToString()
        return data


class _HttpRequests(_Requests):
    def __init__(self, method: RemoteRPCDescriptor, service: ServiceType) -> None:
        super().__init__(method, service)
        self._required = _required(method) if service in _INFERENCE else None

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        arguments = self._bind(args, kwargs)
        self._message(arguments)  # what does not fit fails here, as over gRPC
        values = {name: as_json(value) for name, value in arguments.items()}
        if self._required is None:
            return json.dumps(values).encode()
        inputs = {name: values.pop(name) for name in self._required if name in values}
        request: dict[str, Any] = {MODEL_ID: model}
        if inputs:
            request[REQUIRED_INPUTS_KEY] = inputs if len(self._required) > 1 else next(iter(inputs.values()))
        if values:
            request[OPTIONAL_INPUTS_KEY] = values
        return json.dumps(request).encode()


def _required(method: RemoteRPCDescriptor) -> list[str]:
    """Return the required inputs of a method's task, which caikit's HTTP server takes apart from the others."""
    signature = method.signature
    for task in getattr(signature.module, "tasks", ()):
        if get_task_predict_rpc_name(task, method.input_streaming, method.output_streaming) == method.rpc_name:
            return [*task.get_required_parameters(method.input_streaming)]
    hidden = {signature.context_arg, *signature.default_parameters}
    return [name for name in signature.parameters or {} if name not in hidden]
