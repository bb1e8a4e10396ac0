"""A runtime's OpenAPI document -> a `ServiceDescription` with pydantic types.

Nothing is assumed of how routes begin: a task's ends in `/task/<name>`. The titles of caikit's schemas tell the names
that routes only have in kebab case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from ..errors import SchemaError
from . import names
from .attributes import attributes_of
from .json_codec import FileResponse, JsonCodec, PlainCodec, fields_of
from .json_types import BYTES, FILE, OPEN, JsonTypes
from .multipart import Multipart, Path
from .rpc import RemoteRPCDescriptor, ServiceDescription, TaskDescription

DOCUMENT = "GET /openapi.json"
"""Where a runtime has its document."""

_TITLE = re.compile(r"caikit\.http\.(?P<task>\w+)\.(?P<request>\w+)HttpRequest")
_MANAGEMENT = {"/info/models": "GetModelsInfo", "/info/version": "GetRuntimeInfo"}
"""How the routes of the runtime's own methods end, and the methods' names over gRPC."""
_MAX_DEPTH = 8
"""How deep inside of a request values are looked for that can be sent as files."""


def describe(document: bytes) -> ServiceDescription:
    """What the document's server offers, with all types built. Takes milliseconds: use a thread.

    Raises:
        SchemaError: it is no OpenAPI document, or holds what cannot be a Python type.
    """
    try:
        told = from_json(document)
    except ValueError as error:
        raise SchemaError(f"the server's OpenAPI document is no JSON: {error}") from None
    paths = told.get("paths") if isinstance(told, dict) else None
    if not isinstance(paths, dict):
        raise SchemaError("the server's /openapi.json is no OpenAPI document")
    components = told.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    try:
        return _Reader(schemas if isinstance(schemas, dict) else {}).read(paths)
    except RecursionError:
        raise SchemaError("the server's types are nested too deeply") from None


class _Reader:
    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._types = JsonTypes(schemas)

    def read(self, paths: Mapping[str, Any]) -> ServiceDescription:
        tasks: dict[str, list[tuple[bool, str, Any]]] = {}
        management: dict[str, RemoteRPCDescriptor] = {}
        for route, operations in paths.items():
            if not isinstance(operations, dict) or not route.startswith("/") or not route.isprintable():
                continue
            for ending, name in _MANAGEMENT.items():
                if route.endswith(ending) and "get" in operations:
                    management[name] = _management(name, f"GET {route}")
            *_, section, name = route.split("/")
            operation = operations.get("post")
            if section == "task" and isinstance(operation, dict):
                task, streaming = _task_of(name, _request(operation))
                tasks.setdefault(task, []).append((streaming, route, operation))
        described = {
            task: TaskDescription(
                task,
                tuple(
                    self._method(task, route, operation, streaming, _is_ambiguous(task, tasks))
                    for streaming, route, operation in sorted(methods, key=lambda each: each[:2])
                ),
            )
            for task, methods in sorted(tasks.items())
        }
        return ServiceDescription(described, self._types.by_name, management, self._notes())

    def _notes(self) -> tuple[str, ...]:
        unknown = ", ".join(sorted(self._types.unknown))
        if not unknown:
            return ()
        told = (
            f"the server's OpenAPI document does not define {unknown}: what has these types takes and gives any JSON "
        )
        return (told + "value, unchecked. FastAPI from 0.116 on loses them; over gRPC all are known.",)

    def _method(self, task: str, route: str, operation: Any, streaming: bool, whole: bool) -> RemoteRPCDescriptor:
        name = names.method_name(task, False, streaming, whole=whole)
        request = _request(operation)
        properties = request.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        rpc_name = names.rpc_name(task, streaming)
        inputs, several = self._inputs(properties.get("inputs"), rpc_name)
        parameters = self._parameters(properties.get("parameters"), rpc_name, request)
        answer = self._answer(operation)
        shapes = {"inputs": properties.get("inputs"), "parameters": properties.get("parameters")}
        codec = JsonCodec(
            name,
            inputs=inputs,
            several=several,
            parameters=parameters,
            answer=answer,
            streaming=streaming,
            multipart=Multipart(list(self._file_paths(shapes, ()))),
        )
        return RemoteRPCDescriptor(
            signature=codec.signature,
            request_dm_name=_text(request.get("title")),
            response_dm_name=_full_name(answer),
            rpc_name=f"{rpc_name}Predict",
            output_streaming=streaming,
            task=task,
            name=name,
            path=f"POST {route}",
            codec=codec,
        )

    def _inputs(self, schema: Any, rpc_name: str) -> tuple[Any, Mapping[str, Any]]:
        """The type of the required inputs, and each of them where they are several."""
        if schema is None:
            return None, {}
        name, resolved = self._types.resolve(schema)
        if name.endswith("RequestInputs"):
            # caikit's own message around several inputs. A route may show the one of the task's other method.
            name = self._component(f"{rpc_name}RequestInputs") or name
            resolved = self._schemas.get(name, resolved)
            if resolved is not None:
                model = self._types.of({"$ref": name})
                return model, fields_of(model)
        return self._types.of(schema), {}

    def _parameters(self, schema: Any, rpc_name: str, request: Mapping[str, Any]) -> Any:
        """The model of the optional parameters; None where the method has none, OPEN where they are unknown.

        All routes of a task with OpenAPI metadata of its own show the schemas of its methods merged into one; the
        component's name then tells which method it belongs to.
        """
        own = f"{rpc_name}RequestParameters"
        if self._component(own):
            return self._types.of({"$ref": own})
        if schema is None:
            return None
        name, resolved = self._types.resolve(schema)
        merged = not _text(request.get("title")).endswith(f".{rpc_name}RequestHttpRequest")
        if (merged or name.startswith("ServerStreaming")) and name != own:
            return OPEN if self._types.unknown else None
        return self._types.of(schema) if resolved is not None else OPEN

    def _component(self, name: str) -> str | None:
        return name if name in self._schemas else None

    def _answer(self, operation: Mapping[str, Any]) -> Any:
        """The model of an answer; None for a file."""
        responses = operation.get("responses")
        success = responses.get("200") if isinstance(responses, Mapping) else None
        content = success.get("content") if isinstance(success, Mapping) else None
        if not isinstance(content, Mapping):
            return OPEN
        if "application/json" not in content:
            return None
        media = content["application/json"]
        return self._types.of(media.get("schema") if isinstance(media, Mapping) else None)

    def _file_paths(self, properties: Mapping[str, Any], path: Path) -> Iterator[Path]:
        attributes = attributes_of(properties)
        for name, schema in properties.items():
            here: Path = (*path, (name, attributes[name]))
            _, resolved = self._types.resolve(schema)
            if resolved is None or len(here) > _MAX_DEPTH:
                continue
            inner = resolved.get("properties")
            if resolved.get("title") == FILE or self._is_bytes(resolved):
                yield here
            elif isinstance(inner, Mapping):
                yield from self._file_paths(inner, here)

    def _is_bytes(self, schema: Mapping[str, Any]) -> bool:
        return schema.get("type") == "string" and self._types.of(schema) is BYTES


def _management(name: str, path: str) -> RemoteRPCDescriptor:
    codec = PlainCodec()
    return RemoteRPCDescriptor(codec.signature, "", "", name, name=name, path=path, codec=codec)


def _request(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a request's JSON body."""
    schema: Any = operation
    for step in ("requestBody", "content", "application/json", "schema"):
        schema = schema.get(step) if isinstance(schema, Mapping) else None
    return schema if isinstance(schema, Mapping) else {}


def _task_of(route_name: str, request: Mapping[str, Any]) -> tuple[str, bool]:
    """The task that a route belongs to, and whether it streams its answers.

    A task may itself be called `ServerStreamingTask`: what is not the task's own name is the prefix.
    """
    match = _TITLE.fullmatch(_text(request.get("title")))
    if match is not None:
        task = match["task"]
        kebab = names.snake_case(task.removesuffix("Task") or task).replace("_", "-")
        if route_name in (kebab, f"server-streaming-{kebab}"):
            return task, route_name != kebab
    stem = route_name.removeprefix("server-streaming-")
    return "".join(word[:1].upper() + word[1:] for word in stem.split("-")) + "Task", stem != route_name


def _is_ambiguous(task: str, tasks: Mapping[str, Any]) -> bool:
    return task.endswith("Task") and task.removesuffix("Task") in tasks


def _full_name(answer: Any) -> str:
    if answer is None:
        return FileResponse.__name__
    return f"{answer.__module__}.{answer.__name__}" if isinstance(answer, type) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
