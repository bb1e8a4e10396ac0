"""The JSON schemas of an OpenAPI document: references, unions, null. Which types they are is not told here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..._text.cleaning import clean
from ...errors import SchemaError
from ..budget import Budget

_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A schema by how its type is made.

    Attributes:
        kind: what it is; `open` of which nothing is known.
        name: the component that it is; empty for a schema inside of another.
        schema: the schema itself.
        inner: the schemas of a union's members, of a list's items, of a map's values, or of an object's properties.
    """

    kind: Literal["open", "scalar", "choice", "union", "list", "map", "object"]
    name: str = ""
    schema: Mapping[str, Any] | None = None
    inner: Sequence[Any] = ()


OPEN_FORM = Form("open")


class Schemas:
    """The shared schemas of one document, and what refers to them.

    Args:
        components: the schemas by their names.
        budget: asked while schemas are read.
    """

    def __init__(self, components: Mapping[str, Any], budget: Budget) -> None:
        self.unknown: set[str] = set()
        """References that lead nowhere: what they stand for is open."""
        self._components = components
        self._budget = budget
        self._resolved: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
        self._only: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
        self._nullable: dict[str, bool] = {}
        self._forms: dict[tuple[str, int], Form] = {}

    def __contains__(self, name: str) -> bool:
        """Whether there is a component of a name."""
        return name in self._components

    def resolve(self, schema: Any) -> tuple[str, Mapping[str, Any] | None]:
        """A schema, or what it refers to, and the name it goes by; None where that is unknown."""
        name = ""
        begun: dict[str, None] = {}
        while isinstance(schema, Mapping) and name not in self._resolved:
            only = schema.get("allOf")
            if isinstance(only, list) and len(only) == 1:
                schema = only[0]  # as pydantic before 2.9 writes a reference that has a title beside it
                continue
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            name = reference.rpartition("/")[2]
            if name in begun:
                raise SchemaError(f"the schema {clean(name, 100)} refers to itself")
            self._budget.check()
            begun[name] = None
            schema = self._components.get(name)
            if schema is None:
                self.unknown.add(name)
        found = self._resolved.get(name, (name, schema if isinstance(schema, Mapping) else None))
        if begun:
            self._resolved |= dict.fromkeys(begun, found)
        return found

    def beside_null(self, schema: Any) -> tuple[str, Mapping[str, Any] | None]:
        """As `resolve`, of the only type that an optional value may have."""
        name, resolved = self.resolve(schema)
        if name not in self._only:
            others = [each for each in members_of(resolved) if not is_null(each)]
            found = self.resolve(others[0]) if len(others) == 1 else (name, resolved)
            if not name:
                return found
            self._only[name] = found
        return self._only[name]

    def allows_null(self, schema: Any) -> bool:
        """Whether None is a value of the schema's type."""
        name, resolved = self.resolve(schema)
        if name not in self._nullable:
            found = resolved is not None and _allows_null(resolved)
            if not name:
                return found
            self._nullable[name] = found
        return self._nullable[name]

    def form(self, schema: Any) -> Form:
        """The form of a schema, or of what it refers to; for the same one each time."""
        name, resolved = self.resolve(schema)
        return OPEN_FORM if resolved is None else self.form_of(name, resolved)

    def form_of(self, name: str, schema: Mapping[str, Any]) -> Form:
        """As `form`, of a schema that refers to no other, and the name it goes by."""
        key = (name, id(schema))
        found = self._forms.get(key)
        if found is None or found.schema is not schema:  # an id comes again where the schema is gone
            found = self._forms[key] = _form(name, schema)
        return found


def _form(name: str, schema: Mapping[str, Any]) -> Form:
    members = members_of(schema) or schema.get("allOf")
    if isinstance(members, list):
        # caikit's JSON values are a list of what one level of them may be.
        return OPEN_FORM if any(map(is_any_object, members)) else Form("union", name, schema, members)
    if isinstance(schema.get("enum"), list):
        return Form("choice", name, schema)
    kind = schema.get("type")
    if isinstance(kind, list):
        types = dict.fromkeys(each if isinstance(each, str) else "" for each in kind)
        is_known = types.keys() <= {*_TYPES}
        return Form("union", name, schema, [{**schema, "type": each} for each in types]) if is_known else OPEN_FORM
    if kind == "object":
        properties, values = schema.get("properties"), schema.get("additionalProperties")
        if isinstance(properties, Mapping):
            return Form("object", name, schema, [*properties.values()])
        return Form("map", name, schema, [values if isinstance(values, Mapping) else {}])
    if kind == "array":
        return Form("list", name, schema, [schema.get("items")])
    return Form("scalar", name, schema)


def _allows_null(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return "null" in kind if isinstance(kind, list) else any(map(is_null, (schema, *members_of(schema))))


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
