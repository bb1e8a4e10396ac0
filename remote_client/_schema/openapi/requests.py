"""The schemas of requests and answers in caikit's OpenAPI documents. Makes no types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SchemaError
from .schemas import Schemas

ANY_SCHEMA: Mapping[str, Any] = {}
"""The schema of any JSON value."""
FILE_SCHEMA: Mapping[str, Any] = {"type": "file"}
"""Stands for the schema of an answer that is a file."""


def sections_of(document: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a document's paths and its shared schemas. Raises a SchemaError for a document without paths."""
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        raise SchemaError("the OpenAPI document has no paths")
    components = document.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    return paths, schemas if isinstance(schemas, dict) else {}


def properties_of(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the properties of an object's schema; none if it is no object's."""
    properties = schema.get("properties") if schema else None
    return properties if isinstance(properties, Mapping) else {}


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
    title = request.get("title")
    merged = not (isinstance(title, str) and title.endswith(f".{rpc_name}RequestHttpRequest"))
    if (merged or name.startswith("ServerStreaming")) and name != own:
        return ANY_SCHEMA if schemas.unknown else None
    return ANY_SCHEMA if resolved is None else schema


def is_optional(schemas: Schemas, schema: Any) -> bool:
    """Return whether a training runs without a parameter. The document shows a default of None as a type with null."""
    return (isinstance(schema, Mapping) and "default" in schema) or schemas.allows_null(schema)
