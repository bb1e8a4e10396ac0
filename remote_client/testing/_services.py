"""The services of a runtime that serves declared modules: their RPCs, and the messages that these take."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Any, get_args, get_origin

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from .._schema import caikit_names
from .._schema.declaration import Declaration, DeclaredMethod, members_of
from .._schema.declared.types import type_text
from .._schema.openapi.operations import task_of_route
from .._schema.training_data import DATA_STREAM
from ..errors import ConfigurationError
from ._builder import STREAMS, add_field, new_file
from ._caikit_files import COMMON, RUNTIME, caikit_files
from ._messages import DeclaredMessages

_PREFIXES = {streams: prefix for prefix, streams in STREAMS.items()}
_JOB_METHODS = {
    "GetPredictionJobStatus": f"{RUNTIME}.PredictionJobStatusResponse",
    "CancelPredictionJob": f"{RUNTIME}.PredictionJobStatusResponse",
    "GetPredictionJobResult": "",  # of the task
}
_SOURCES = {"file": "FileReference", "list_of_files": "ListOfFileReferences", "directory": "Directory"}
_ROWS = (Iterable, Iterator, AsyncIterable)
"""The types of a training's data."""
NOT_SENT = ("model_name", "output_path", "module")
"""Parameters of `train` that are not among those that are sent to a module."""


def services_of(declarations: Iterable[Declaration], library: str) -> dict[str, FileDescriptorProto]:
    """Return the files of a runtime's services by name.

    Args:
        declarations: the modules of the runtime's library. Modules of one task share its RPCs, which take the
            parameters of all.
        library: the library's name in camel case, such as `SampleLib`.

    Raises:
        ConfigurationError: a type has no equal in gRPC, or two modules declare a parameter of a task differently.
    """
    return _Services([*declarations], library).files()


def task_class(task: str) -> str:
    """Return the class of a declared task, which a declaration may name by an RPC's full name or its route."""
    if not task.startswith("/") and "/" in task:
        name = task.rpartition("/")[2]
        return next(filter(None, (caikit_names.task_name(name, *streams) for streams in _PREFIXES)), name)
    return task_of_route(task) if "/" in task else task


def stem_of(method: DeclaredMethod) -> str:
    """Return the start of a method's RPC, such as `ServerStreamingSampleTask`."""
    return _PREFIXES[method.input_streaming, method.output_streaming] + task_class(method.task)


def rows_of(kind: Any) -> Any:
    """Return the type of a training's rows, or None for other parameters."""
    streams = (member for member in members_of(kind) if get_origin(member) in _ROWS)
    return next((get_args(stream)[0] for stream in streams), None)


class _Services:
    def __init__(self, declarations: list[Declaration], library: str) -> None:
        package = f"caikit.runtime.{library}"
        self._declarations = declarations
        self._package = package
        self._types = DeclaredMessages(f"caikit_data_model.{caikit_names.snake_case(library)}")
        dependencies = [self._types.file.name, f"{COMMON}.proto", f"{RUNTIME}.proto", *self._types.file.dependency[1:]]
        self._requests = new_file(f"{package}.requests.proto", package, dependencies)
        self._file = new_file(f"{package}.services.proto", package, [*dependencies, self._requests.name])
        self._service, self._jobs, self._trainings = (
            self._file.service.add(name=f"{library}{kind}") for kind in ("Service", "JobService", "TrainingService")
        )
        self._sources: dict[Any, str] = {}

    def files(self) -> dict[str, FileDescriptorProto]:
        groups: dict[str, list[DeclaredMethod]] = {}
        for declaration in self._declarations:
            for method in declaration.methods:
                groups.setdefault(stem_of(method), []).append(method)
        for stem, methods in sorted(groups.items()):
            self._add_task(stem, methods)
        for declaration in self._declarations:
            if declaration.train is not None:
                for task in declaration.tasks:
                    self._add_training(f"{task_class(task)}{declaration.module.__name__}Train", declaration.train)
        own = (self._types.file, self._requests, self._file)
        return caikit_files() | {file.name: file for file in own}

    def _add_task(self, stem: str, methods: list[DeclaredMethod]) -> None:
        first = methods[0]
        results = {self._types.message(method.result, method.name) for method in methods}
        if len(results) > 1:
            raise ConfigurationError(f"{first.task}: its modules answer with different types: {', '.join(results)}")
        request, answer = self._request(stem, methods), results.pop()
        self._service.method.add(
            name=f"{stem}Predict",
            input_type=f".{request}",
            output_type=f".{answer}",
            client_streaming=first.input_streaming,
            server_streaming=first.output_streaming,
        )
        if not first.input_streaming and not first.output_streaming:
            self._jobs.method.add(
                name=f"{stem}StartPredictionJob", input_type=f".{request}", output_type=f".{RUNTIME}.PredictionJob"
            )
            for name, kind in _JOB_METHODS.items():
                asked = f".{RUNTIME}.PredictionJobInfoRequest"
                self._jobs.method.add(name=f"{stem}{name}", input_type=asked, output_type=f".{kind or answer}")

    def _message(self, name: str) -> tuple[DescriptorProto, str]:
        return self._requests.message_type.add(name=name), f"{self._package}.{name}"

    def _request(self, stem: str, methods: list[DeclaredMethod]) -> str:
        """Add the request of a task's modules, which has the parameters of all."""
        message, full_name = self._message(f"{stem}Request")
        known: dict[str, Any] = {}
        for method in methods:
            for name, parameter in method.signature.parameters.items():
                kind = method.streams.get(name, parameter.annotation)
                if name not in known:
                    known[name] = kind
                elif known[name] != kind:
                    kinds = f"{type_text(known[name])} and {type_text(kind)}"
                    raise ConfigurationError(f"{method.task}: {name} is declared as {kinds}")
        required = required_parameters(methods)
        for name in sorted(known, key=lambda name: name not in required):
            self._types.add(message, full_name, name, known[name], optional=name not in required)
        return full_name

    def _add_training(self, rpc: str, train: DeclaredMethod) -> None:
        message, full_name = self._message(f"{rpc}Request")
        parameters, inner_name = self._message(f"{rpc}Parameters")
        add_field(message, "model_name", "string")
        add_field(message, "output_path", f"{COMMON}.S3Path")
        add_field(message, "parameters", inner_name)
        for name, parameter in train.signature.parameters.items():
            if name in NOT_SENT:
                continue
            kind, rows = parameter.annotation, rows_of(parameter.annotation)
            if rows is not None:
                add_field(parameters, name, self._source(rows))
            else:
                optional = parameter.default is not inspect.Parameter.empty
                self._types.add(parameters, inner_name, name, kind, optional=optional)
        self._trainings.method.add(name=rpc, input_type=f".{full_name}", output_type=f".{RUNTIME}.TrainingJob")

    def _source(self, rows: Any) -> str:
        """Return the message of a training's data: rows, or files."""
        if rows not in self._sources:
            kind = getattr(rows, "__name__", "") or str(len(self._sources))
            name = f"DataStreamSource{kind[0].upper()}{kind[1:]}"
            message, self._sources[rows] = self._message(name)
            data, data_name = self._message(f"{name}JsonData")
            self._types.add(data, data_name, "data", list[rows])
            add_field(message, "jsondata", data_name, oneof=DATA_STREAM)
            for member, kind in _SOURCES.items():
                add_field(message, member, f"{COMMON}.{kind}", oneof=DATA_STREAM)
        return self._sources[rows]


def required_parameters(methods: Iterable[DeclaredMethod]) -> list[str]:
    """Return the parameters that all modules of a task need: without a default, and never None; in their order."""
    methods = [*methods]
    names = dict.fromkeys(name for method in methods for name in method.signature.parameters)
    return [name for name in names if all(_requires(method, name) for method in methods)]


def _requires(method: DeclaredMethod, name: str) -> bool:
    parameter = method.signature.parameters.get(name)
    if parameter is None or parameter.default is not parameter.empty:
        return False
    return type(None) not in members_of(parameter.annotation)
