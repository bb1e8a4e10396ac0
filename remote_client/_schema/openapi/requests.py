"""Where an OpenAPI document of caikit has the schemas of a method's request and answer. No types are made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .schemas import Schemas

ANY: Mapping[str, Any] = {}
"""The schema of any JSON value."""
FILE: Mapping[str, Any] = {"type": "file"}
"""What stands for the schema of an answer that is a file."""


def properties_of(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The properties of an object's schema; none of anything else."""
    properties = schema.get("properties") if schema else None
    return properties if isinstance(properties, Mapping) else {}


def request_of(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a request's JSON body."""
    schema: Any = operation
    for step in ("requestBody", "content", "application/json", "schema"):
        schema = schema.get(step) if isinstance(schema, Mapping) else None
    return schema if isinstance(schema, Mapping) else {}


def answer_of(operation: Mapping[str, Any]) -> Any:
    """The schema of an answer; None where the document has none, `FILE` for a file."""
    responses = operation.get("responses")
    success = responses.get("200") if isinstance(responses, Mapping) else None
    content = success.get("content") if isinstance(success, Mapping) else None
    if not isinstance(content, Mapping):
        return None
    if "application/json" not in content:
        return FILE
    media = content["application/json"]
    # caikit 0.26 leaves out the step `schema`.
    return media.get("schema", media) if isinstance(media, Mapping) else None


def inputs_of(schemas: Schemas, request: Mapping[str, Any], rpc_name: str) -> tuple[Any, bool]:
    """The schema of a task's required inputs, None where it has none, and whether it is caikit's own around several.

    A route may show the one of the task's other method.
    """
    schema = properties_of(request).get("inputs")
    name, resolved = schemas.beside_null(schema)
    if name.endswith("RequestInputs"):
        own = f"{rpc_name}RequestInputs"
        if own in schemas:
            return {"$ref": own}, True
        if resolved is not None:
            return {"$ref": name}, True
    return schema, False


def parameters_of(schemas: Schemas, request: Mapping[str, Any], rpc_name: str) -> Any:
    """The schema of a task's optional parameters; None where it has none, `ANY` where they are unknown.

    All routes of a task with OpenAPI metadata of its own show the schemas of its methods merged into one; the
    component's name then tells which method it belongs to.
    """
    own = f"{rpc_name}RequestParameters"
    if own in schemas:
        return {"$ref": own}
    schema = properties_of(request).get("parameters")
    if schema is None:
        return None
    name, resolved = schemas.beside_null(schema)
    title = request.get("title")
    merged = not (isinstance(title, str) and title.endswith(f".{rpc_name}RequestHttpRequest"))
    if (merged or name.startswith("ServerStreaming")) and name != own:
        return ANY if schemas.unknown else None
    return ANY if resolved is None else schema
