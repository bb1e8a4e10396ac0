"""The types of answers as columns have them, and how answers become cells. No library of tables is imported here."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from .._schema.declared.types import core, fields_of, is_union
from .._schema.plain_values import aliases_of, json_text, text_of
from ..errors import InputError

Name = Literal["boolean", "integer", "float", "text", "bytes", "time", "list", "map", "message", "json"]
_SCALARS: tuple[tuple[type, Name], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "float"),
    (str, "text"),
    (bytes, "bytes"),
    (datetime, "time"),
)
Cell = Callable[[Any], Any]


@dataclass(frozen=True)
class Kind:
    """A type of values.

    Attributes:
        name: what it is; `"json"` is a value without a fixed type.
        items: of a list the kind of its items; of a map those of its keys and values.
        fields: of a message, its fields by their names on the wire: the attribute, and the kind.
    """

    name: Name
    items: tuple[Kind, ...] = ()
    fields: Mapping[str, tuple[str, Kind]] = field(default_factory=dict)


JSON = Kind("json")


def answer_kind(signature: inspect.Signature) -> Kind:
    """Return the kind of a method's answers."""
    kind = signature.return_annotation
    return kind_of(get_args(kind)[0] if get_origin(kind) is AsyncIterator else kind)


def kind_of(annotation: Any, outer: tuple[Any, ...] = ()) -> Kind:
    """Return the kind of a type; of a message inside of itself, JSON."""
    kind = core(annotation)
    if is_union(kind):
        return _union([kind_of(member, outer) for member in get_args(kind) if member is not NoneType])
    origin = get_origin(kind)
    if origin is list:
        return Kind("list", (kind_of(get_args(kind)[0], outer),))
    if origin is dict:
        key, value = (kind_of(each, outer) for each in get_args(kind))
        return JSON if value == JSON else Kind("map", (key, value))
    if not isinstance(kind, type) or kind in outer:
        return JSON
    if issubclass(kind, Enum):
        return Kind("text")
    fields = fields_of(kind)
    if fields:
        aliases = aliases_of(kind)
        return Kind(
            "message",
            fields={aliases.get(name, name): (name, kind_of(each, (*outer, kind))) for name, each in fields.items()},
        )
    return next((Kind(name) for scalar, name in _SCALARS if issubclass(kind, scalar)), JSON)


def _union(members: list[Kind]) -> Kind:
    """Return the kind of a union: that of its members if they are alike, as caikit's sequences of floats are."""
    if all(member == members[0] for member in members):
        return members[0]
    names = sorted(member.name for member in members)
    if names == ["integer", "text"]:  # over HTTP, an enum
        return Kind("text")
    return Kind("float") if names == ["float", "integer"] else JSON


# -- parts of answers -------------------------------------------------------------------------------------------------


def kind_at(kind: Kind, path: str) -> Kind:
    """Return the kind of a part of an answer.

    Raises:
        InputError: the answer has no such field.
    """
    for name in path.split("."):
        if kind.name == "json":
            break
        found = [each for wire, (attribute, each) in kind.fields.items() if name in (wire, attribute)]
        if not found:
            known = f"its fields are {', '.join(kind.fields)}" if kind.fields else f"it is a {kind.name}"
            raise InputError(f"{path}: the answer has no field {name!r}; {known}")
        kind = found[0]
    return kind


def value_at(value: Any, path: str) -> Any:
    """Return a part of an answer; None if one of its outer messages is unset."""
    for name in path.split("."):
        if value is None:
            return None
        if isinstance(value, Mapping):
            value = value.get(name)
        else:
            attributes = {wire: attribute for attribute, wire in aliases_of(type(value)).items()}
            value = getattr(value, attributes.get(name, name), None)
    return value


# -- cells ------------------------------------------------------------------------------------------------------------


def cell_of(kind: Kind) -> Cell:
    """Return the function that makes of an answer what columns with types take: a map becomes a list of entries."""
    make = _cell(kind)
    return lambda value: None if value is None else make(value)


def _cell(kind: Kind) -> Cell:
    if kind.name == "list":
        return _list(cell_of(kind.items[0]))
    if kind.name == "map":
        return _map(*map(cell_of, kind.items))
    if kind.name == "message":
        return _message([(wire, attribute, cell_of(each)) for wire, (attribute, each) in kind.fields.items()])
    return _SIMPLE.get(kind.name, _same)


def _list(item: Cell) -> Cell:
    return lambda value: [item(each) for each in (value.tolist() if hasattr(value, "tolist") else value)]


def _map(key: Cell, item: Cell) -> Cell:
    return lambda value: [{"key": key(name), "value": item(each)} for name, each in value.items()]


def _message(fields: list[tuple[str, str, Cell]]) -> Cell:
    def make(value: Any) -> dict[str, Any]:
        if isinstance(value, Mapping):
            return {wire: cell(value.get(wire)) for wire, _, cell in fields}
        return {wire: cell(getattr(value, attribute, None)) for wire, attribute, cell in fields}

    return make


def _same(value: Any) -> Any:
    return value


_SIMPLE: dict[str, Cell] = {"text": text_of, "json": json_text, "float": float}
