"""The routes of a runtime, the models of their requests, and the OpenAPI document that describes them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from .._schema import caikit_names
from .._schema.declared.answers import as_builtins
from .._schema.protobuf.fields import message_of
from .._schema.rpc import RemoteRPCDescriptor
from ._http_types import REFERENCE, HttpTypes, new_model
from ._library import Library, ServedMethod

_TASKS, _TRAININGS = "/api/v1/task", "/api/v1"
_FIXED = {
    "DeployModel": ("post", "/management/models"),
    "UndeployModel": ("delete", "/management/models"),
    "GetTrainingStatus": ("get", "/management/trainings"),
    "CancelTraining": ("delete", "/management/trainings"),
    "GetModelsInfo": ("get", "/info/models"),
    "GetRuntimeInfo": ("get", "/info/version"),
}
_OF_JOBS = {
    "GetPredictionJobStatus": ("get", "/job"),
    "CancelPredictionJob": ("delete", "/job"),
    "GetPredictionJobResult": ("get", "/job/results"),
}
_FILE = {"type": "string", "format": "binary"}


@dataclass(frozen=True)
class Route:
    """A route with a verb.

    Attributes:
        verb: in lower case.
        path: its path.
        kind: `task`, `stream`, `start`, `train`, or the name of one of the runtime's own methods over gRPC.
        method: the RPC; None for the runtime's own methods.
        request: the model of the body; None if the query has the arguments.
        answer: the model of the answer.
        required: the required inputs of a task.
        answers_file: whether the answer is a file.
    """

    verb: str
    path: str
    kind: str
    method: ServedMethod | None
    request: type[BaseModel] | None
    answer: type[BaseModel]
    required: tuple[str, ...] = ()
    answers_file: bool = False

    def given(self, body: BaseModel) -> dict[str, Any]:
        """Return a task's arguments of a body, as caikit: empty text, zero and empty lists as inputs count as none."""
        inputs, parameters = getattr(body, "inputs", None), getattr(body, "parameters", None)
        found: dict[str, Any] = {}
        if inputs:
            found |= {self.required[0]: as_builtins(inputs)} if len(self.required) == 1 else as_builtins(inputs)
        if parameters:
            found |= as_builtins(parameters)
        return found


def routes_of(library: Library) -> list[Route]:
    """Return the routes of a library: HTTP has none for streamed inputs."""
    return [*_Routes(library).all()]


class _Routes:
    def __init__(self, library: Library) -> None:
        self._library = library
        self._types = HttpTypes(library.types)

    def all(self) -> Iterator[Route]:
        for method in self._library.tasks.values():
            if not method.rpc.input_streaming:
                yield self._of_task(
                    "stream" if method.rpc.output_streaming else "task", _route(method.rpc), method, method
                )
        for start in self._library.starts.values():
            unary = self._library.unary_of(start.rpc)
            yield self._of_task("start", f"{_route(unary.rpc)}/job", start, unary)
        for training in self._library.trainings.values():
            path = f"{_TRAININGS}/{training.rpc.rpc_name}"
            yield Route("post", path, "train", training, self._training(training), self._types.model(training.answer))
        for name, rpc in self._library.management.values():
            yield self._management(name, rpc)

    def _of_task(self, kind: str, path: str, method: ServedMethod, task: ServedMethod) -> Route:
        request, answer = self._task(task), self._types.model(method.answer)
        is_file = kind == "task" and task.answers_file
        return Route("post", path, kind, method, request, answer, tuple(task.required), is_file)

    def _management(self, name: str, rpc: RemoteRPCDescriptor) -> Route:
        answer = self._types.model(self._library.message(rpc.response_dm_name))
        if name in _OF_JOBS:
            start = next(start for start in self._library.starts.values() if rpc in vars(start.rpc.job).values())
            unary = self._library.unary_of(start.rpc)
            verb, end = _OF_JOBS[name]
            is_file = name == "GetPredictionJobResult" and unary.answers_file
            return Route(verb, _route(unary.rpc) + end, name, None, None, answer, answers_file=is_file)
        verb, path = _FIXED[name]
        request = self._types.model(self._library.message(rpc.request_dm_name)) if verb == "post" else None
        return Route(verb, path, name, None, request, answer)

    def _task(self, method: ServedMethod) -> type[BaseModel]:
        """Return the model of a task's request: required inputs, optional parameters, and the model's name."""
        fields, name = self._types.fields(method.request), method.request.name
        package = f"caikit.http.{method.rpc.task}"
        required = {field: self._types.kind(fields[field]) for field in method.required if field in fields}
        optional = {field: self._types.kind(found) for field, found in fields.items() if field not in required}
        kinds: dict[str, Any] = {}
        if len(required) == 1:
            (kinds["inputs"],) = required.values()
        elif required:
            kinds["inputs"] = new_model(f"{package}.{name}Inputs", required)
        if optional:
            kinds["parameters"] = new_model(f"{package}.{name}Parameters", optional)
        return new_model(f"{package}.{name}HttpRequest", kinds | {"model_id": str})

    def _training(self, method: ServedMethod) -> type[BaseModel]:
        own = next(iter(method.own.values()), None)
        if own is not None:  # the first model of the parameters has the defaults
            signature = own.declared.signature.parameters
            defaults = {
                name: parameter.default
                for name, parameter in signature.items()
                if parameter.default is not inspect.Parameter.empty
            }
            self._types.model(message_of(method.request.fields_by_name["parameters"]), defaults)
        return self._types.model(method.request)


def _route(rpc: RemoteRPCDescriptor) -> str:
    kebab = caikit_names.snake_case(rpc.task.removesuffix("Task") or rpc.task).replace("_", "-")
    return f"{_TASKS}/{'server-streaming-' if rpc.output_streaming else ''}{kebab}"


def document_of(routes: list[Route], library: str) -> dict[str, Any]:
    """Return the OpenAPI document of routes."""
    paths: dict[str, dict[str, Any]] = {"/health": {"get": {"responses": {"200": {"description": "OK"}}}}}
    components: dict[str, Any] = {}

    def schema(model: type[BaseModel]) -> Mapping[str, Any]:
        found = model.model_json_schema(ref_template=REFERENCE)
        components.update(found.pop("$defs", {}))
        return found

    for route in routes:
        content = {"application/octet-stream": _FILE} if route.answers_file else _json(schema(route.answer))
        answer = {"description": "OK", "content": content}
        operation: dict[str, Any] = {"responses": {"200": answer}}
        if route.request is not None:
            body = schema(route.request)
            operation["requestBody"] = {
                "content": _json(body) | {"multipart/form-data": {"schema": body}},
                "required": True,
            }
        paths.setdefault(route.path, {})[route.verb] = operation
    info = {"title": library, "version": ""}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": components}}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
