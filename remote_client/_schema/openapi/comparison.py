"""What a caller of one OpenAPI document meets at an HTTP server that has another.

In JSON names are what counts, and caikit refuses fields it does not know: a renamed field is a removed one and a new
one. A request's type may take more than before, an answer's may give less. Whether a value may be null is not compared:
callers leave out what is None, and read what is left out as None.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Container, Hashable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from ..._text.cleaning import listed
from .. import names
from ..budget import MAX_NAME, Budget
from ..differences import Difference, Differences, Method, MethodMatcher, methods_of
from ..rpc import ServiceDescription
from .requests import ANY, FILE, answer_of, inputs_of, parameters_of, properties_of, request_of
from .schemas import OPEN_FORM, Form, Schemas, is_null
from .value_types import FORMATS, SCALARS

_MOST_STEPS = 20
"""Optional types inside of each other, of which the one that is meant is looked for."""
_MOST_LEVELS = 3
"""Lists and maps inside of each other that the members of a union are told apart by."""


def compare(old: ServiceDescription, new: ServiceDescription, budget: Budget) -> list[Difference]:
    """See `comparison.compare`."""
    found = Differences(budget)
    before, after = _Document(old, budget), _Document(new, budget)
    types = _Types(before.schemas, after.schemas, found, budget)
    # Whatever the document says of a task's jobs, their results have a route.
    untold = {each.rpc.path for each in methods_of(old)} - before.operations.keys()
    for each in MethodMatcher(old, new, untold | after.operations.keys(), found).common():
        path = each.rpc.path
        if path in before.operations and path in after.operations:
            types.compare(each, before.operations[path], after.operations[path])
    return found.all()


class _Document:
    """A document: its shared schemas, and its operations by what the transport calls."""

    def __init__(self, description: ServiceDescription, budget: Budget) -> None:
        assert description.source is not None
        told = from_json(description.source[1])
        components = told.get("components")
        schemas = components.get("schemas") if isinstance(components, dict) else None
        self.schemas = Schemas(schemas if isinstance(schemas, dict) else {}, budget)
        self.operations: dict[str, Mapping[str, Any]] = {}
        for route, operations in told["paths"].items():
            budget.spend("names")
            for verb, operation in operations.items() if isinstance(operations, dict) else ():
                if isinstance(operation, dict):
                    self.operations[f"{verb.upper()} {route}"] = operation


class _Place(NamedTuple):
    """Where a type is used.

    Attributes:
        path: the path in differences.
        is_request: whether callers send it.
        role: `inputs` of an object of which all properties are required; `training` of a training's parameters, which
            are if they have no default.
    """

    path: str
    is_request: bool
    role: Literal["", "inputs", "training"] = ""

    def inside(self, name: str) -> _Place:
        """The place of a property of the type."""
        return _Place(self.path if len(self.path) > MAX_NAME else f"{self.path}.{name}", self.is_request)


class _Types:
    """Compares schemas, each pair once for requests and once for answers: they may refer to themselves.

    Args:
        old: the caller's shared schemas.
        new: the server's.
        found: takes the differences.
        budget: counts properties, members and values.
    """

    def __init__(self, old: Schemas, new: Schemas, found: Differences, budget: Budget) -> None:
        self._old = old
        self._new = new
        self._found = found
        self._spend = budget.spend
        self._at: Hashable = None
        """What is compared: a method's request or answer, or two schemas."""
        self._done: set[Hashable] = set()
        self._keys: dict[Form, tuple[Any, ...]] = {}
        self._waiting: deque[tuple[Form, Form, _Place, Hashable]] = deque()

    def compare(self, method: Method, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Compare a method's request and answer."""
        self._at = self._found.uses.add_method(method.task, method.path)
        self._requests(method, request_of(old), request_of(new))
        if not method.path.endswith("().result"):  # which is the task's answer; the document has another
            place = _Place(method.path if method.takes_job else f"{method.path}()", False)
            self._at = self._found.uses.add_method(method.task, place.path)
            self._answers(answer_of(old), answer_of(new), place)
        while self._waiting:
            known, told, place, self._at = self._waiting.popleft()
            self._compare(known, told, place)

    def _add(self, path: str, text: str, *, breaking: bool = False) -> None:
        """Add a difference of what is compared."""
        self._found.add(path, text, breaking=breaking, of=self._at)

    def _requests(self, method: Method, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        place = _Place(method.path, True)
        if method.task and not method.takes_job:
            stem = names.rpc_name(method.rpc.task, method.rpc.output_streaming)
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
        if old is not FILE and new is not FILE:
            self._visit(old, new, place)
        elif old is not new:
            self._add(place.path, "a file now" if new is FILE else "no longer a file", breaking=True)

    def _visit(self, old: Any, new: Any, place: _Place) -> None:
        """Have two schemas compared, unless they were."""
        self._later(_form(self._old, old), _form(self._new, new), place)

    def _later(self, old: Form, new: Form, place: _Place) -> None:
        key = (old, new, place.is_request, place.role)
        self._found.uses.add(self._at, key)
        if key not in self._done:
            self._done.add(key)
            self._waiting.append((old, new, place, key))

    def _compare(self, old: Form, new: Form, place: _Place) -> None:
        self._spend("nodes")
        if _is_open(old) or _is_open(new):
            self._compare_open(old, new, place)
        elif old.kind == new.kind == "object":
            self._compare_objects(old, new, place)
        elif old.kind == new.kind and old.kind in ("list", "map"):
            self._visit(old.inner[0], new.inner[0], place)
        elif old.kind == new.kind == "choice":
            self._compare_choices(old, new, place)
        elif "union" in (old.kind, new.kind):
            self._compare_unions(old, new, place)
        elif (kinds := (_words(old), _words(new)))[0] != kinds[1] or old.kind != new.kind:
            sent, read = (old, new) if place.is_request else (new, old)
            fits = _kinds(sent) <= _taken([read])
            change = f"type changed from {kinds[0]} to {kinds[1]}"
            self._add(place.path, f"{change}: all values fit" if fits else change, breaking=not fits)

    def _compare_open(self, old: Form, new: Form, place: _Place) -> None:
        if (_is_open(old) and _is_open(new)) or old is _UNKNOWN:
            return
        if new is _UNKNOWN:  # newer versions of FastAPI lose definitions
            self._add(place.path, f"{_words(old)} before, and no longer described: it cannot be compared")
        else:
            change = f"type changed from {_words(old)} to {_words(new)}"
            self._add(place.path, change, breaking=_is_open(old) == place.is_request)

    def _compare_objects(self, old: Form, new: Form, place: _Place) -> None:
        before, after = properties_of(old.schema), properties_of(new.schema)
        needed = self._needed(self._old, old, place.role), self._needed(self._new, new, place.role)
        for name, schema in before.items():
            self._spend("nodes")
            here = place.inside(name)
            if name not in after:
                self._add(here.path, "removed", breaking=True)
                continue
            if (name in needed[0]) != (name in needed[1]):
                is_now = name in needed[1]
                self._add(here.path, "required now" if is_now else "optional now", breaking=is_now and here.is_request)
            self._visit(schema, after[name], here)
        for name in after:
            if name not in before:
                self._spend("nodes")
                is_needed = place.is_request and name in needed[1]
                what = "parameter" if place.role else "field"
                self._add(
                    place.inside(name).path, f"a new required {what}" if is_needed else "added", breaking=is_needed
                )

    def _needed(self, schemas: Schemas, form: Form, role: str) -> Container[str]:
        """The properties of an object that may not be left out."""
        properties = properties_of(form.schema)
        if role == "inputs":
            return properties
        if role == "training":
            return {name for name, each in properties.items() if not _is_optional(schemas, each)}
        required = form.schema.get("required") if form.schema else None
        return {each for each in required if isinstance(each, str)} if isinstance(required, list) else ()

    def _compare_choices(self, old: Form, new: Form, place: _Place) -> None:
        before, after = _values(old), _values(new)
        self._spend("nodes", len(before) + len(after))
        for each in before:
            if each not in after:
                self._add(place.path, f"the value {each} was removed", breaking=True)
        for each in after:
            if each not in before:
                self._add(place.path, f"the value {each} was added")

    def _compare_unions(self, old: Form, new: Form, place: _Place) -> None:
        """Compare types of which one at least is a union."""
        before, after = self._members(self._old, old), self._members(self._new, new)
        for key in before:
            if key in after:
                self._later(before[key], after[key], place)
        self._spend("nodes", sum(len(_enum(each)) for each in (*before.values(), *after.values())))
        lost = [each for key, each in before.items() if key not in after]
        gained = [each for key, each in after.items() if key not in before]
        if len(lost) == len(gained) == 1 and lost[0].kind == gained[0].kind and lost[0].kind in _NAMED:
            self._later(lost[0], gained[0], place)
            return
        taken = _taken((after if place.is_request else before).values())
        for each in lost:
            change = f"it takes {_words(each)} no more" if place.is_request else f"it is {_words(each)} no more"
            self._add(place.path, change, breaking=place.is_request and not _kinds(each) <= taken)
        for each in gained:
            change = f"it takes {_words(each)} too" if place.is_request else f"it may be {_words(each)} too"
            self._add(place.path, change, breaking=not place.is_request and not _kinds(each) <= taken)

    def _members(self, schemas: Schemas, form: Form) -> dict[Any, Form]:
        """The members of a union by what tells them apart; of any other type the type itself."""
        inner = [_form(schemas, each) for each in form.inner if not is_null(each)] if form.kind == "union" else [form]
        self._spend("nodes", len(inner))
        for each in inner:
            if each not in self._keys:
                self._keys[each] = _key(schemas, each, _MOST_LEVELS)
        return {self._keys[each]: each for each in inner}


_NAMED = ("object", "list", "map")
_UNKNOWN = Form("open")
"""The form of what a document does not describe."""
_NONE: Mapping[str, Any] = {"type": "object", "properties": {}}


def _inputs(schemas: Schemas, request: Mapping[str, Any], stem: str) -> Any:
    """The object of a task's required inputs; None where they are unknown."""
    schema, is_around_several = inputs_of(schemas, request, stem)
    if schema is None:
        return _NONE
    if is_around_several or _form(schemas, schema) is _UNKNOWN:  # which may be that of several
        return schema
    return _object({"inputs": schema})  # the name of a single one is not in the document


def _parameters(schemas: Schemas, request: Mapping[str, Any], stem: str) -> Any:
    """The object of a task's optional parameters; None where they are unknown."""
    schema = parameters_of(schemas, request, stem)
    return None if schema is ANY else _NONE if schema is None else schema


def _object(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object", "properties": properties}


def _form(schemas: Schemas, schema: Any) -> Form:
    """The form of a schema without null, which any value may be."""
    for _ in range(_MOST_STEPS):
        name, resolved = schemas.beside_null(schema)
        if resolved is None:
            return _UNKNOWN
        form = schemas.form_of(name, resolved)
        others = [each for each in form.inner if not is_null(each)]
        if form.kind != "union" or len(others) != 1:
            return form
        schema = others[0]
    return OPEN_FORM


def _is_open(form: Form) -> bool:
    """Whether a value may be any JSON."""
    return form.kind == "open" or (form.kind == "scalar" and _kind(form) not in SCALARS)


def _kind(form: Form) -> str:
    kind = form.schema.get("type") if form.schema else None
    return kind if isinstance(kind, str) else ""


def _words(form: Form) -> str:
    """A type in words."""
    if _is_open(form):
        return "any JSON"
    if form.kind == "object":
        return _name(form).rpartition(".")[2] or "an object"
    if form.kind == "scalar":
        told = form.schema or {}
        if told.get("contentMediaType") == "application/octet-stream":  # as newer FastAPI spells `format: binary`
            return "string (binary)"
        known = isinstance(told.get("format"), str) and told["format"] in FORMATS and _kind(form) == "string"
        return f"string ({told['format']})" if known else _kind(form)
    values = [*_values(form)] if form.kind == "choice" else []
    return f"one of {listed(values, len(values))}" if values else f"a {form.kind}"


def _name(form: Form) -> str:
    """The name of an object's type: caikit gives it as the schema's title."""
    title = form.schema.get("title") if form.schema else None
    told = title if isinstance(title, str) else ""
    return told if "." in told else form.name or told


def _key(schemas: Schemas, form: Form, levels: int) -> tuple[Any, ...]:
    if form.kind == "object":
        return "object", _name(form) or tuple(sorted(properties_of(form.schema)))
    if form.kind in ("list", "map") and levels:
        return form.kind, *_key(schemas, _form(schemas, form.inner[0]), levels - 1)
    return form.kind, _words(form) if form.kind == "scalar" else ""


_SUBTYPES: dict[str, set[str]] = {
    # a scalar type -> other ones whose values it takes
    "number": {"integer"},
    "string": {f"string ({each})" for each in FORMATS if each != "binary"},
}
_JSON = {int: "integer", float: "number", str: "string", bool: "boolean"}


def _kinds(form: Form) -> set[str]:
    """The scalar types of a type's values; of what is no scalar a name that no scalar has."""
    return {_JSON.get(type(each), "") for each in _enum(form)} if form.kind == "choice" else {_words(form)}


def _taken(members: Iterable[Form]) -> set[str]:
    """The scalar types whose values are among those of the members, whichever they are."""
    own = {_words(each) for each in members if each.kind == "scalar"}
    return own.union(*(_SUBTYPES.get(each, ()) for each in own))


def _enum(form: Form) -> list[Any]:
    """The values of a choice; none of anything else."""
    values: list[Any] = form.schema["enum"] if form.schema and form.kind == "choice" else []
    return values


def _values(form: Form) -> dict[str, None]:
    """The values of a choice as JSON, in their order."""
    return dict.fromkeys(json.dumps(each) for each in _enum(form) if each is not None)


def _is_optional(schemas: Schemas, schema: Any) -> bool:
    """Whether a training runs without a parameter."""
    return (isinstance(schema, Mapping) and "default" in schema) or schemas.allows_null(schema)
