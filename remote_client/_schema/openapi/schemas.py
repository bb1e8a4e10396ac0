"""The JSON schemas of an OpenAPI document: resolves references, and classifies schemas. Makes no types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..._text.cleaning import clean
from ...errors import SchemaError
from ..budget import Budget

ANY_SCHEMA: Mapping[str, Any] = {}
"""The schema of any JSON value."""
FILE_SCHEMA: Mapping[str, Any] = {"type": "file"}
"""Stands for the schema of an answer that is a file."""
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True, slots=True, eq=False)
class SchemaNode:
    """A resolved schema.

    Attributes:
        kind: the kind of its type; `any` for a schema that says nothing.
        name: the component's name; empty for a schema inside another.
        schema: the JSON schema.
        inner: the schemas of a union's members, a list's items, a map's values or an object's properties.
    """

    kind: Literal["any", "scalar", "enum", "union", "list", "map", "object"]
    name: str = ""
    schema: Mapping[str, Any] | None = None
    inner: Sequence[Any] = ()


ANY_NODE = SchemaNode("any")


class Schemas:
    """The shared schemas of one document, by the names of components."""

    def __init__(self, components: Mapping[str, Any], budget: Budget) -> None:
        self.unknown: set[str] = set()
        """The references that the document does not define. They stand for any JSON value."""
        self._components = components
        self._budget = budget
        self._resolved: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
        self._without_null: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
        self._nullable: dict[str, bool] = {}
        self._nodes: dict[tuple[str, int], SchemaNode] = {}

    def __contains__(self, name: str) -> bool:
        """Return whether the document has a component of this name."""
        return name in self._components

    def resolve(self, schema: Any) -> tuple[str, Mapping[str, Any] | None]:
        """Follow a schema's references. Return the last component's name and the schema, None if it is unknown."""
        name = ""
        path: dict[str, None] = {}
        while isinstance(schema, Mapping) and name not in self._resolved:
            only = schema.get("allOf")
            if isinstance(only, list) and len(only) == 1:
                schema = only[0]  # pydantic before 2.9 writes a reference with a title beside it this way
                continue
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            name = reference.rpartition("/")[2]
            if name in path:
                raise SchemaError(f"the schema {clean(name, 100)} refers to itself")
            self._budget.check()
            path[name] = None
            schema = self._components.get(name)
            if schema is None:
                self.unknown.add(name)
        resolved = self._resolved.get(name, (name, schema if isinstance(schema, Mapping) else None))
        if path:
            self._resolved |= dict.fromkeys(path, resolved)
        return resolved

    def without_null(self, schema: Any) -> tuple[str, Mapping[str, Any] | None]:
        """Resolve a schema, and the only other member if it is a union with null."""
        name, resolved = self.resolve(schema)
        if name not in self._without_null:
            others = [member for member in members_of(resolved) if not is_null(member)]
            found = self.resolve(others[0]) if len(others) == 1 else (name, resolved)
            if not name:
                return found
            self._without_null[name] = found
        return self._without_null[name]

    def allows_null(self, schema: Any) -> bool:
        """Return whether null is valid for a schema."""
        name, resolved = self.resolve(schema)
        if name not in self._nullable:
            nullable = resolved is not None and _allows_null(resolved)
            if not name:
                return nullable
            self._nullable[name] = nullable
        return self._nullable[name]

    def is_optional(self, schema: Any) -> bool:
        """Return whether a training runs without a parameter. A default of None is shown as a type with null."""
        return (isinstance(schema, Mapping) and "default" in schema) or self.allows_null(schema)

    def node(self, schema: Any) -> SchemaNode:
        """Resolve a schema and return its node: the same object for the same schema."""
        name, resolved = self.resolve(schema)
        return ANY_NODE if resolved is None else self.node_of(name, resolved)

    def node_of(self, name: str, schema: Mapping[str, Any]) -> SchemaNode:
        """Return the node of a resolved schema; see `node`."""
        key = (name, id(schema))
        node = self._nodes.get(key)
        if node is None or node.schema is not schema:  # the id of a collected schema may be reused
            node = self._nodes[key] = _node(name, schema)
        return node


def _node(name: str, schema: Mapping[str, Any]) -> SchemaNode:
    members = members_of(schema) or schema.get("allOf")
    if isinstance(members, list):
        # caikit describes a JSON value as a union that spells out its first level.
        return ANY_NODE if any(map(is_any_object, members)) else SchemaNode("union", name, schema, members)
    if isinstance(schema.get("enum"), list):
        return SchemaNode("enum", name, schema)
    kind = schema.get("type")
    if isinstance(kind, list):
        types = dict.fromkeys(member if isinstance(member, str) else "" for member in kind)
        if not types.keys() <= {*_TYPES}:
            return ANY_NODE
        return SchemaNode("union", name, schema, [{**schema, "type": member} for member in types])
    if kind == "object":
        properties, values = schema.get("properties"), schema.get("additionalProperties")
        if isinstance(properties, Mapping):
            return SchemaNode("object", name, schema, [*properties.values()])
        return SchemaNode("map", name, schema, [values if isinstance(values, Mapping) else {}])
    if kind == "array":
        return SchemaNode("list", name, schema, [schema.get("items")])
    return SchemaNode("scalar", name, schema)


def _allows_null(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return "null" in kind if isinstance(kind, list) else any(map(is_null, (schema, *members_of(schema))))


def members_of(schema: Mapping[str, Any] | None) -> list[Any]:
    """Return the schemas of a union's members; none if the schema is no union."""
    members = (schema.get("anyOf") or schema.get("oneOf")) if schema else None
    return members if isinstance(members, list) else []


def properties_of(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the properties of an object's schema; none if it is no object's."""
    properties = schema.get("properties") if schema else None
    return properties if isinstance(properties, Mapping) else {}


def title_of(schema: Mapping[str, Any]) -> str:
    """Return a schema's title, or an empty text."""
    title = schema.get("title")
    return title if isinstance(title, str) else ""


def object_name(name: str, schema: Mapping[str, Any]) -> str:
    """Return the name of an object's type: the title if it is caikit's full name, else the component's name."""
    title = title_of(schema)
    return title if "." in title else name or title


def is_null(schema: Any) -> bool:
    """Return whether null is the schema's only valid value."""
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def is_any_object(schema: Any) -> bool:
    """Return whether any JSON object is valid. Older versions of pydantic omit `additionalProperties: true`."""
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "object"
        and "properties" not in schema
        and schema.get("additionalProperties", True) is True
    )
