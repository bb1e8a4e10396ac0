"""Writes the OpenAPI document that a declared module's runtime would have: HTTP needs no schema from the server.

Routes and schemas are those of caikit 0.29 (`caikit.runtime.http_server`), with its default prefixes.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, get_args, get_origin
from weakref import WeakKeyDictionary

from pydantic.errors import PydanticUserError

from .. import caikit_names
from ..declaration import Declaration, DeclaredMethod, members_of
from ..openapi.document import describe_parsed
from ..openapi.operations import STREAMING, task_of_route
from ..rpc import ServiceDescription
from ..training_data import DATA_STREAM
from .types import UnusableTypeError, adapter, type_text

Schema = dict[str, Any]

_TASKS, _TRAININGS = "/api/v1/task", "/api/v1"
_TEXT: Schema = {"type": "string"}


def description_of(declaration: Declaration) -> ServiceDescription:
    """Return the description of a declared module's runtime. Asks no server.

    Raises:
        SchemaError: JSON cannot express a type.
    """
    description = _descriptions.get(declaration.module)
    if description is None:
        description = _descriptions[declaration.module] = describe_parsed(_Document().of(declaration))
    return description


_descriptions: WeakKeyDictionary[type, ServiceDescription] = WeakKeyDictionary()
"""Declared class -> description. Modules with equal configurations share the methods, and so their class."""


class _Document:
    def __init__(self) -> None:
        self._components: dict[str, Schema] = {}

    def of(self, declaration: Declaration) -> Schema:
        paths: dict[str, Schema] = {
            "/management/trainings": {"get": {}, "delete": {}},
            "/info/models": {"get": {}},
        }
        for method in declaration.methods:
            if method.input_streaming:
                continue
            route = _route(method)
            paths[route] = {"post": self._operation(self._request(method), self._schema(method.result))}
            if not method.output_streaming:
                started = self._operation(self._request(method), {"type": "object"})
                paths[f"{route}/job"] = {"post": started, "get": {}, "delete": {}}
        if declaration.train is not None:
            for task in declaration.tasks:
                request = self._training(declaration.train)
                route = f"{_TRAININGS}/{_training_of(declaration, _class_of(task))}"
                paths[route] = {"post": self._operation(request, {"type": "object"})}
        return {"paths": paths, "components": {"schemas": self._components}}

    def _operation(self, request: Schema, answer: Schema) -> Schema:
        return {
            "requestBody": {"content": {"application/json": {"schema": request}}},
            "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
        }

    def _request(self, method: DeclaredMethod) -> Schema:
        task = _class_of(method.task)
        rpc = caikit_names.rpc_name(task, method.output_streaming)
        required: dict[str, Schema] = {}
        optional: dict[str, Schema] = {}
        for name, parameter in method.signature.parameters.items():
            is_required = parameter.default is inspect.Parameter.empty
            (required if is_required else optional)[name] = self._schema(parameter.annotation)
        properties: dict[str, Schema] = {"model_id": _TEXT}
        if len(required) == 1:  # caikit's request does not have its name
            (properties["inputs"],) = required.values()
        elif required:
            properties["inputs"] = self._component(f"{rpc}RequestInputs", _closed(required))
        if optional:
            properties["parameters"] = self._component(f"{rpc}RequestParameters", _closed(optional))
        return {**_closed(properties), "title": f"caikit.http.{task}.{rpc}RequestHttpRequest"}

    def _training(self, train: DeclaredMethod) -> Schema:
        parameters: dict[str, Schema] = {}
        for name, parameter in train.signature.parameters.items():
            if name in ("model_name", "output_path", "module"):
                continue
            rows = _rows(parameter.annotation)
            schema = self._schema(parameter.annotation) if rows is None else self._source(rows)
            default = parameter.default
            parameters[name] = schema if default is inspect.Parameter.empty else {**schema, "default": default}
        return _closed({"model_name": _TEXT, "output_path": {}, "parameters": _closed(parameters)})

    def _source(self, rows: Any) -> Schema:
        """Return the schema of caikit's `DataStreamSource`: rows, or the paths of files."""
        files = {"type": "array", "items": _TEXT}
        members: list[Mapping[str, Schema]] = [
            {"data": {"type": "array", "items": self._schema(rows)}},
            {"filename": _TEXT},
            {"files": files},
            {"dirname": _TEXT, "extension": _TEXT},
        ]
        return _closed({DATA_STREAM: {"anyOf": [_closed(member) for member in members]}})

    def _component(self, name: str, schema: Schema) -> Schema:
        self._components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def _schema(self, kind: Any) -> Schema:
        try:
            schema: Schema = adapter(kind).json_schema(ref_template="#/components/schemas/{model}")
        except (PydanticUserError, TypeError):
            raise UnusableTypeError(f"{type_text(kind)} cannot be expressed in JSON, which HTTP uses") from None
        self._components |= schema.pop("$defs", {})
        return schema


def _class_of(task: str) -> str:
    """Return the class of a declared task, which the declaration may name by its route."""
    return task_of_route(task) if "/" in task else task


def _training_of(declaration: Declaration, task: str) -> str:
    """Return the name of a training. It has the name of the module's class, which stubs use as the module's name."""
    written = declaration.name.rpartition("/")[2]  # the key of the training if several modules share a name
    name = written if declaration.schema is not None and written.isidentifier() else declaration.module.__name__
    return name if name.startswith(task) and name.endswith("Train") else f"{task}{name}Train"


def _route(method: DeclaredMethod) -> str:
    """Return a method's route."""
    start, is_route, name = method.task.rpartition("/")
    if is_route:
        name = name.removeprefix(STREAMING)
    else:
        start, name = _TASKS, caikit_names.snake_case(name.removesuffix("Task") or name).replace("_", "-")
    return f"{start}/{STREAMING if method.output_streaming else ''}{name}"


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _rows(kind: Any) -> Any:
    """Return the type of a training's rows, or None for other parameters."""
    streams = (member for member in members_of(kind) if get_origin(member) in (Iterable, AsyncIterable))
    return next((get_args(stream)[0] for stream in streams), None)
