"""The JSON schemas of an OpenAPI document: references, unions, null. Which types they are is not told here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SchemaError


class Schemas:
    """The shared schemas of one document, and what refers to them.

    Args:
        components: the schemas by their names.
    """

    def __init__(self, components: Mapping[str, Any]) -> None:
        self.unknown: set[str] = set()
        """References that lead nowhere: what they stand for is open."""
        self._components = components

    def resolve(self, schema: Any) -> tuple[str, Mapping[str, Any] | None]:
        """A schema, or what it refers to, and the name it goes by; None where that is unknown."""
        name = ""
        for _ in range(32):
            if not isinstance(schema, Mapping):
                return name, None
            only = schema.get("allOf")
            if isinstance(only, list) and len(only) == 1:
                schema = only[0]  # as pydantic before 2.9 writes a reference that has a title beside it
                continue
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return name, schema
            name = reference.rpartition("/")[2]
            schema = self._components.get(name)
            if schema is None:
                self.unknown.add(name)
        raise SchemaError(f"the schema {name} refers to itself")

    def beside_null(self, schema: Any) -> tuple[str, Mapping[str, Any] | None]:
        """As `resolve`, of the only type that an optional value may have."""
        name, resolved = self.resolve(schema)
        others = [each for each in members_of(resolved) if not is_null(each)]
        return self.resolve(others[0]) if len(others) == 1 else (name, resolved)

    def allows_null(self, schema: Any) -> bool:
        """Whether None is a value of the schema's type."""
        _, resolved = self.resolve(schema)
        if resolved is None:
            return False
        kind = resolved.get("type")
        return "null" in kind if isinstance(kind, list) else any(map(is_null, (resolved, *members_of(resolved))))


def members_of(schema: Mapping[str, Any] | None) -> list[Any]:
    """The schemas of a union's members; none of anything else."""
    members = (schema.get("anyOf") or schema.get("oneOf")) if schema else None
    return members if isinstance(members, list) else []


def is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def is_any_object(schema: Any) -> bool:
    """Whether the schema is an object's of which nothing is known. Older pydantics leave out what is true."""
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "object"
        and "properties" not in schema
        and schema.get("additionalProperties", True) is True
    )


def outline_of(schema: Any) -> Any:
    """What makes a type another one: not its words, nor where it is, nor how a version of FastAPI spells bytes."""
    if isinstance(schema, Mapping):
        told = {key: outline_of(each) for key, each in schema.items() if key not in ("title", "description")}
        if isinstance(told.get("$ref"), str):
            told["$ref"] = told["$ref"].rpartition("/")[2]
        if told.pop("contentMediaType", None) is not None:
            told["format"] = "binary"
        return told
    return [outline_of(each) for each in schema] if isinstance(schema, list) else schema
