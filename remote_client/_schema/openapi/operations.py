"""The operations in caikit's OpenAPI documents: the tasks of routes, the schemas of requests and answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...errors import SchemaError
from .. import caikit_names
from ..budget import MAX_NAME, Budget
from .schemas import ANY_SCHEMA, FILE_SCHEMA, Schemas, properties_of, title_of

STREAMING = "server-streaming-"
"""The prefix of a route's last segment if the answers are a stream."""
_TITLE = re.compile(r"caikit\.http\.(?P<task>\w+)\.(?P<request>\w+)HttpRequest")
Operation = tuple[bool, str, Any]
"""Whether it streams its answers, its route, and its description in the document."""


def operations_of(paths: Mapping[str, Any], budget: Budget) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the route, the HTTP verb and the description of every operation. Skips routes no runtime has."""
    for route, operations in paths.items():
        budget.spend("names")
        if isinstance(operations, dict) and route.startswith("/") and len(route) <= MAX_NAME and route.isprintable():
            for verb, operation in operations.items():
                budget.check()
                if isinstance(operation, dict):
                    yield route, verb, operation


def by_prefix(operations: Iterable[Operation]) -> list[list[Operation]]:
    """Group a task's operations by the prefix of their routes. A second one of a kind belongs to another service."""
    groups: dict[tuple[str, int], list[Operation]] = {}
    count: Counter[tuple[str, bool]] = Counter()
    for streaming, route, operation in sorted(operations, key=lambda operation: operation[:2]):
        prefix = route.rpartition("/")[0]
        groups.setdefault((prefix, count[prefix, streaming]), []).append((streaming, route, operation))
        count[prefix, streaming] += 1
    return list(groups.values())


def task_of(route_name: str, request: Mapping[str, Any]) -> tuple[str, bool]:
    """Return a route's task, and whether the route streams its answers.

    A task may be named `ServerStreamingTask`: only the title of the request distinguishes this name from the prefix.
    """
    match = _TITLE.fullmatch(title_of(request))
    if match is not None:
        task = match["task"]
        kebab = caikit_names.snake_case(task.removesuffix("Task") or task).replace("_", "-")
        if route_name in (kebab, f"{STREAMING}{kebab}"):
            return task, route_name != kebab
    return task_of_route(route_name), route_name.startswith(STREAMING)


def task_of_route(route: str) -> str:
    """Return the class of a route's task, from the route alone."""
    stem = route.rpartition("/")[2].removeprefix(STREAMING)
    return "".join(word[:1].upper() + word[1:] for word in stem.split("-")) + "Task"


def sections_of(document: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a document's paths and its shared schemas. Raises a SchemaError for a document without paths."""
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        raise SchemaError("the OpenAPI document has no paths")
    components = document.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    return paths, schemas if isinstance(schemas, dict) else {}


def request_of(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a request's JSON body."""
    schema: Any = operation
    for step in ("requestBody", "content", "application/json", "schema"):
        schema = schema.get(step) if isinstance(schema, Mapping) else None
    return schema if isinstance(schema, Mapping) else {}


def answer_of(operation: Mapping[str, Any]) -> Any:
    """Return the schema of an answer: `FILE_SCHEMA` for a file, None if the document has none."""
    responses = operation.get("responses")
    success = responses.get("200") if isinstance(responses, Mapping) else None
    content = success.get("content") if isinstance(success, Mapping) else None
    if not isinstance(content, Mapping):
        return None
    if "application/json" not in content:
        return FILE_SCHEMA
    media = content["application/json"]
    # caikit 0.26 omits the key `schema`.
    return media.get("schema", media) if isinstance(media, Mapping) else None


def inputs_of(schemas: Schemas, request: Mapping[str, Any], rpc_name: str) -> tuple[Any, bool]:
    """Return the schema of a task's required inputs, None if it has none, and whether it is an object of several.

    The route may show the inputs of the task's other method.
    """
    schema = properties_of(request).get("inputs")
    name, resolved = schemas.without_null(schema)
    if name.endswith("RequestInputs"):
        own = f"{rpc_name}RequestInputs"
        if own in schemas:
            return {"$ref": own}, True
        if resolved is not None:
            return {"$ref": name}, True
    return schema, False


def parameters_of(schemas: Schemas, request: Mapping[str, Any], rpc_name: str) -> Any:
    """Return the schema of a task's optional parameters: None if it has none, `ANY_SCHEMA` if they are unknown.

    If a task has OpenAPI metadata of its own, caikit shows the merged schema of all its methods at every route. The
    component's name then tells which method it belongs to.
    """
    own = f"{rpc_name}RequestParameters"
    if own in schemas:
        return {"$ref": own}
    schema = properties_of(request).get("parameters")
    if schema is None:
        return None
    name, resolved = schemas.without_null(schema)
    merged = not title_of(request).endswith(f".{rpc_name}RequestHttpRequest")
    if (merged or name.startswith("ServerStreaming")) and name != own:
        return ANY_SCHEMA if schemas.unknown else None
    return ANY_SCHEMA if resolved is None else schema
