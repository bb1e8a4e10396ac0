"""Compares two OpenAPI documents: what changed for callers of the old one at a server of the new one.

JSON goes by names, and caikit refuses unknown fields: a renamed field is a removed and an added one. The type of a
request may widen, the type of an answer may narrow. Null is not compared: callers omit None and read absent fields as
None.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Container, Hashable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from ..._text.cleaning import listed
from .. import caikit_names
from ..budget import MAX_NAME, Budget
from ..differences import Difference, Differences, Method, MethodMatcher, methods_of
from ..rpc import ServiceDescription
from .operations import answer_of, inputs_of, operations_of, parameters_of, request_of, sections_of
from .schemas import ANY_NODE, ANY_SCHEMA, FILE_SCHEMA, SchemaNode, Schemas, is_null, object_name, properties_of
from .value_types import FORMATS, SCALARS

_MAX_OPTIONALS = 20
"""The nesting of optional types that is followed."""
_MAX_DEPTH = 3
"""The nesting of lists and maps up to which the members of a union are distinguished."""


def compare(old: ServiceDescription, new: ServiceDescription, budget: Budget) -> list[Difference]:
    """Return the differences; see `_schema.comparison.compare`."""
    found = Differences(budget)
    before, after = _Document(old, budget), _Document(new, budget)
    types = _TypeComparison(before.schemas, after.schemas, found, budget)
    # The results of jobs have routes that the document may not list.
    unlisted = {method.rpc.path for method in methods_of(old)} - before.operations.keys()
    for method in MethodMatcher(old, new, unlisted | after.operations.keys(), found).common():
        path = method.rpc.path
        if path in before.operations and path in after.operations:
            types.compare(method, before.operations[path], after.operations[path])
    return found.all()


class _Document:
    """A document's shared schemas, and its operations by HTTP verb and route."""

    def __init__(self, description: ServiceDescription, budget: Budget) -> None:
        assert description.source is not None
        paths, schemas = sections_of(from_json(description.source[1]))
        self.schemas = Schemas(schemas, budget)
        operations = operations_of(paths, budget)
        self.operations = {f"{verb.upper()} {route}": operation for route, verb, operation in operations}


class _Place(NamedTuple):
    """A place where a type is used.

    Attributes:
        path: the path in differences.
        is_request: whether callers send values of the type.
        role: which properties of an object are required: all `inputs`; of a `training` those without a default.
    """

    path: str
    is_request: bool
    role: Literal["", "inputs", "training"] = ""

    def inside(self, name: str) -> _Place:
        """Return the place of a property."""
        return _Place(self.path if len(self.path) > MAX_NAME else f"{self.path}.{name}", self.is_request)


class _TypeComparison:
    """Compares schemas, every pair once for requests and once for answers: they may refer to themselves."""

    def __init__(self, old: Schemas, new: Schemas, found: Differences, budget: Budget) -> None:
        self._old = old
        self._new = new
        self._found = found
        self._spend = budget.spend
        self._at: Hashable = None
        """What is compared now: a method's request or answer, or two schemas."""
        self._done: set[Hashable] = set()
        self._keys: dict[SchemaNode, tuple[Any, ...]] = {}
        self._waiting: deque[tuple[SchemaNode, SchemaNode, _Place, Hashable]] = deque()

    def compare(self, method: Method, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Compare a method's request and answer."""
        self._at = self._found.uses.add_method(method.task, method.path)
        self._requests(method, request_of(old), request_of(new))
        if not method.path.endswith("().result"):  # a job's result is the task's answer
            place = _Place(method.path if method.takes_job else f"{method.path}()", False)
            self._at = self._found.uses.add_method(method.task, place.path)
            self._answers(answer_of(old), answer_of(new), place)
        while self._waiting:
            before, after, place, self._at = self._waiting.popleft()
            self._compare(before, after, place)

    def _add(self, path: str, text: str, *, breaking: bool = False) -> None:
        """Add a difference of the types that are compared now."""
        self._found.add(path, text, breaking=breaking, of=self._at)

    def _requests(self, method: Method, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        place = _Place(method.path, True)
        if method.task and not method.takes_job:
            stem = caikit_names.rpc_name(method.rpc.task, method.rpc.output_streaming)
            inputs = _inputs(self._old, old, stem), _inputs(self._new, new, stem)
            self._visit(*inputs, place._replace(role="inputs"))
            self._visit(_parameters(self._old, old, stem), _parameters(self._new, new, stem), place)
        elif method.rpc.module:
            before, after = dict(properties_of(old)), dict(properties_of(new))
            self._visit(before.pop("parameters"), after.pop("parameters", _NONE), place._replace(role="training"))
            self._visit(_object(before), _object(after), place)
        else:
            self._visit(old or _NONE, new or _NONE, place)

    def _answers(self, old: Any, new: Any, place: _Place) -> None:
        if old is not FILE_SCHEMA and new is not FILE_SCHEMA:
            self._visit(old, new, place)
        elif old is not new:
            self._add(place.path, "a file now" if new is FILE_SCHEMA else "no longer a file", breaking=True)

    def _visit(self, old: Any, new: Any, place: _Place) -> None:
        """Queue two schemas, unless they were queued before."""
        self._later(_node(self._old, old), _node(self._new, new), place)

    def _later(self, old: SchemaNode, new: SchemaNode, place: _Place) -> None:
        key = (old, new, place.is_request, place.role)
        self._found.uses.add(self._at, key)
        if key not in self._done:
            self._done.add(key)
            self._waiting.append((old, new, place, key))

    def _compare(self, old: SchemaNode, new: SchemaNode, place: _Place) -> None:
        self._spend("nodes")
        if _is_any(old) or _is_any(new):
            self._compare_any(old, new, place)
        elif old.kind == new.kind == "object":
            self._compare_objects(old, new, place)
        elif old.kind == new.kind and old.kind in ("list", "map"):
            self._visit(old.inner[0], new.inner[0], place)
        elif old.kind == new.kind == "enum":
            self._compare_enums(old, new, place)
        elif "union" in (old.kind, new.kind):
            self._compare_unions(old, new, place)
        elif (texts := (_type_text(old), _type_text(new)))[0] != texts[1] or old.kind != new.kind:
            sent, read = (old, new) if place.is_request else (new, old)
            fits = _scalar_types(sent) <= _accepted([read])
            change = f"type changed from {texts[0]} to {texts[1]}"
            self._add(place.path, f"{change}: all values fit" if fits else change, breaking=not fits)

    def _compare_any(self, old: SchemaNode, new: SchemaNode, place: _Place) -> None:
        if (_is_any(old) and _is_any(new)) or old is _UNKNOWN:
            return
        if new is _UNKNOWN:  # newer versions of FastAPI lose definitions
            self._add(place.path, f"{_type_text(old)} before, and no longer described: it cannot be compared")
        else:
            change = f"type changed from {_type_text(old)} to {_type_text(new)}"
            self._add(place.path, change, breaking=_is_any(old) == place.is_request)

    def _compare_objects(self, old: SchemaNode, new: SchemaNode, place: _Place) -> None:
        before, after = properties_of(old.schema), properties_of(new.schema)
        required = self._required(self._old, old, place.role), self._required(self._new, new, place.role)
        for name, schema in before.items():
            self._spend("nodes")
            here = place.inside(name)
            if name not in after:
                self._add(here.path, "removed", breaking=True)
                continue
            if (name in required[0]) != (name in required[1]):
                is_now = name in required[1]
                self._add(here.path, "required now" if is_now else "optional now", breaking=is_now and here.is_request)
            self._visit(schema, after[name], here)
        for name in after:
            if name not in before:
                self._spend("nodes")
                is_required = place.is_request and name in required[1]
                text = f"a new required {'parameter' if place.role else 'field'}" if is_required else "added"
                self._add(place.inside(name).path, text, breaking=is_required)

    def _required(self, schemas: Schemas, node: SchemaNode, role: str) -> Container[str]:
        """Return the properties of an object that must not be omitted."""
        properties = properties_of(node.schema)
        if role == "inputs":
            return properties
        if role == "training":
            return {name for name, schema in properties.items() if not schemas.is_optional(schema)}
        required = node.schema.get("required") if node.schema else None
        return {name for name in required if isinstance(name, str)} if isinstance(required, list) else ()

    def _compare_enums(self, old: SchemaNode, new: SchemaNode, place: _Place) -> None:
        before, after = _values(old), _values(new)
        self._spend("nodes", len(before) + len(after))
        for value in before:
            if value not in after:
                self._add(place.path, f"the value {value} was removed", breaking=True)
        for value in after:
            if value not in before:
                self._add(place.path, f"the value {value} was added")

    def _compare_unions(self, old: SchemaNode, new: SchemaNode, place: _Place) -> None:
        """Compare two types of which at least one is a union."""
        before, after = self._members(self._old, old), self._members(self._new, new)
        for key in before:
            if key in after:
                self._later(before[key], after[key], place)
        self._spend("nodes", sum(len(_enum(member)) for member in (*before.values(), *after.values())))
        removed = [member for key, member in before.items() if key not in after]
        added = [member for key, member in after.items() if key not in before]
        if len(removed) == len(added) == 1 and removed[0].kind == added[0].kind and removed[0].kind in _STRUCTURED:
            self._later(removed[0], added[0], place)
            return
        accepted = _accepted((after if place.is_request else before).values())
        verb = "no longer accepts" if place.is_request else "is no longer"
        for member in removed:
            breaking = place.is_request and not _scalar_types(member) <= accepted
            self._add(place.path, f"{verb} {_type_text(member)}", breaking=breaking)
        verb = "also accepts" if place.is_request else "may also be"
        for member in added:
            breaking = not place.is_request and not _scalar_types(member) <= accepted
            self._add(place.path, f"{verb} {_type_text(member)}", breaking=breaking)

    def _members(self, schemas: Schemas, node: SchemaNode) -> dict[Any, SchemaNode]:
        """Return the members of a union by what distinguishes them. The only member of another type is itself."""
        inner = [member for member in node.inner if not is_null(member)]
        members = [_node(schemas, member) for member in inner] if node.kind == "union" else [node]
        self._spend("nodes", len(members))
        for member in members:
            if member not in self._keys:
                self._keys[member] = _key(schemas, member, _MAX_DEPTH)
        return {self._keys[member]: member for member in members}


_STRUCTURED = ("object", "list", "map")
_UNKNOWN = SchemaNode("any")
"""The node of a schema that the document does not define."""
_NONE: Mapping[str, Any] = {"type": "object", "properties": {}}


def _inputs(schemas: Schemas, request: Mapping[str, Any], stem: str) -> Any:
    """Return the schema of an object of a task's required inputs, or an unknown one."""
    schema, has_several = inputs_of(schemas, request, stem)
    if schema is None:
        return _NONE
    if has_several or _node(schemas, schema) is _UNKNOWN:  # an unknown one may be an object of several
        return schema
    return _object({"inputs": schema})  # the document does not have the name of a single input


def _parameters(schemas: Schemas, request: Mapping[str, Any], stem: str) -> Any:
    """Return the schema of an object of a task's optional parameters, or None if they are unknown."""
    schema = parameters_of(schemas, request, stem)
    return None if schema is ANY_SCHEMA else _NONE if schema is None else schema


def _object(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object", "properties": properties}


def _node(schemas: Schemas, schema: Any) -> SchemaNode:
    """Return the node of a schema without null."""
    for _ in range(_MAX_OPTIONALS):
        name, resolved = schemas.without_null(schema)
        if resolved is None:
            return _UNKNOWN
        node = schemas.node_of(name, resolved)
        others = [member for member in node.inner if not is_null(member)]
        if node.kind != "union" or len(others) != 1:
            return node
        schema = others[0]
    return ANY_NODE


def _is_any(node: SchemaNode) -> bool:
    """Return whether any JSON value is valid."""
    return node.kind == "any" or (node.kind == "scalar" and _kind(node) not in SCALARS)


def _kind(node: SchemaNode) -> str:
    kind = node.schema.get("type") if node.schema else None
    return kind if isinstance(kind, str) else ""


def _type_text(node: SchemaNode) -> str:
    """Return a type as text."""
    if _is_any(node):
        return "any JSON"
    if node.kind == "object":
        return _name(node).rpartition(".")[2] or "an object"
    if node.kind == "scalar":
        schema = node.schema or {}
        if schema.get("contentMediaType") == "application/octet-stream":  # `format: binary` in newer FastAPI
            return "string (binary)"
        known = isinstance(schema.get("format"), str) and schema["format"] in FORMATS and _kind(node) == "string"
        return f"string ({schema['format']})" if known else _kind(node)
    values = [*_values(node)] if node.kind == "enum" else []
    return f"one of {listed(values, len(values))}" if values else f"a {node.kind}"


def _name(node: SchemaNode) -> str:
    return object_name(node.name, node.schema or {})


def _key(schemas: Schemas, node: SchemaNode, levels: int) -> tuple[Any, ...]:
    if node.kind == "object":
        return "object", _name(node) or tuple(sorted(properties_of(node.schema)))
    if node.kind in ("list", "map") and levels:
        return node.kind, *_key(schemas, _node(schemas, node.inner[0]), levels - 1)
    return node.kind, _type_text(node) if node.kind == "scalar" else ""


_SUBTYPES: dict[str, set[str]] = {
    # scalar type -> other types whose values it accepts
    "number": {"integer"},
    "string": {f"string ({name})" for name in FORMATS if name != "binary"},
}
_JSON = {int: "integer", float: "number", str: "string", bool: "boolean"}


def _scalar_types(node: SchemaNode) -> set[str]:
    """Return the scalar types of a type's values; a text that is no scalar type for other types."""
    return {_JSON.get(type(value), "") for value in _enum(node)} if node.kind == "enum" else {_type_text(node)}


def _accepted(members: Iterable[SchemaNode]) -> set[str]:
    """Return the scalar types of which a union accepts all values."""
    own = {_type_text(member) for member in members if member.kind == "scalar"}
    return own.union(*(_SUBTYPES.get(kind, ()) for kind in own))


def _enum(node: SchemaNode) -> list[Any]:
    """Return the values of an enum; none for other types."""
    values: list[Any] = node.schema["enum"] if node.schema and node.kind == "enum" else []
    return values


def _values(node: SchemaNode) -> dict[str, None]:
    """Return the values of an enum as JSON, in order."""
    return dict.fromkeys(json.dumps(value) for value in _enum(node) if value is not None)
