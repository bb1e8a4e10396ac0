"""The parts of an OpenAPI document: what an object's type needs to be made elsewhere, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..budget import Budget
from ..dynamic_types import Part, Recipe
from ..type_order import Groups

_DATA = frozenset({"const", "default", "enum", "example", "examples"})
"""What of a schema holds values, and no schemas."""


@dataclass(frozen=True, slots=True)
class _Component:
    """A shared schema, and the names of those that it refers to."""

    part: Part
    references: Collection[str]


class Parts:
    """The parts of one document's types.

    Args:
        components: the document's shared schemas.
        budget: asked before each part.
        make: see `Recipe.make`.
    """

    def __init__(
        self, components: Mapping[str, Any], budget: Budget, make: Callable[[str, tuple[Part, ...]], type[Any]]
    ) -> None:
        self._schemas = components
        self._budget = budget
        self._make = make
        self._components: dict[str, _Component] = {}
        self._digests: dict[str, str] = {}
        """The digest of each component and of all that it refers to."""
        self._groups = Groups(self._add)
        self._objects: dict[int, tuple[Any, str]] = {}
        """As `_digests`, by the ids of the schemas of objects inside of others. What has an id is kept alive."""

    def recipe(self, name: str, base: str, schema: Mapping[str, Any]) -> Recipe:
        """What the class of an object is made of.

        Args:
            name: the component's name; empty for a schema inside of another.
            base: the type's full name, as long as no other type has it.
            schema: the object's schema.
        """
        is_component = self._schemas.get(name) is schema
        told = self._digest_of(name) if is_component else self._digest_of_object(schema)
        collect = partial(_closure, self._components, name if is_component else schema)
        return Recipe(self._make, name, collect, _hash(["OpenAPI", base, told]).digest())

    def _digest_of(self, name: str) -> str:
        if name not in self._digests:
            for group in self._groups.of(name):
                self._digest(group)
        return self._digests[name]

    def _digest(self, group: list[str]) -> None:
        """Digest components that refer to each other. All else that they refer to has a digest."""
        if len(group) == 1 and group[0] not in self._components[group[0]].references:
            self._digests[group[0]] = self._digest_of_object(self._schemas[group[0]])
            return
        told = [[name, self._told(self._schemas[name], group)] for name in sorted(group)]
        whole = _hash(told).hexdigest()
        self._digests |= {name: f"{whole}:{name}" for name in group}

    def _digest_of_object(self, schema: Mapping[str, Any]) -> str:
        known = self._objects.get(id(schema))
        if known is None:
            known = self._objects[id(schema)] = schema, _hash(self._told(schema)).hexdigest()
        return known[1]

    def _add(self, name: str) -> Collection[str]:
        """Make the part of a component, and return the names of those that it refers to."""
        self._budget.check()
        schema = self._schemas[name]
        data = json.dumps(schema, default=str).encode()
        part = Part(name, data).shared(hashlib.sha256(b"%s:%s" % (name.encode("utf-8", "replace"), data)).digest())
        known = dict.fromkeys(each for each in _references(schema) if each in self._schemas)
        self._components[name] = _Component(part, known)
        return known

    def _told(self, schema: Any, circle: Collection[str] = (), *, inside: bool = False) -> Any:
        """What makes a type another one: not its words, nor where it is, nor how a version of FastAPI spells bytes.

        References are the digests of what they refer to; inside of a circle of components they are names.
        """
        if isinstance(schema, list):
            return [self._told(each, circle, inside=True) for each in schema]
        if not isinstance(schema, Mapping):
            return schema
        properties = schema.get("properties")
        is_object = isinstance(properties, Mapping)
        if inside and is_object and not circle:
            return self._digest_of_object(schema)
        told: dict[str, Any] = {}
        for key, value in schema.items():
            if key == "description" or (key == "title" and not is_object):
                continue
            if key == "$ref" and isinstance(value, str):
                told[key] = self._referred(value.rpartition("/")[2], circle)
            elif key == "contentMediaType":
                told["format"] = "binary"
            elif key == "properties" and is_object:
                told[key] = [[name, self._told(each, circle, inside=True)] for name, each in value.items()]
            else:
                told[key] = value if key in _DATA else self._told(value, circle, inside=True)
        return told

    def _referred(self, name: str, circle: Collection[str]) -> str:
        return name if name in circle or name not in self._schemas else self._digest_of(name)


def _hash(told: Any) -> Any:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())


def _references(schema: Any) -> Iterator[str]:
    """The names of all components that a schema refers to, wherever it does."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            reference = each.get("$ref")
            if isinstance(reference, str):
                yield reference.rpartition("/")[2]
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _closure(components: Mapping[str, _Component], start: str | Mapping[str, Any]) -> tuple[Part, ...]:
    """The parts that a component, or an object that is none, needs. An object's own part has no name."""
    own = () if isinstance(start, str) else (Part("", json.dumps(start, default=str).encode()),)
    waiting = [start] if isinstance(start, str) else [*_references(start)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in components and name not in found:
            found.add(name)
            waiting += components[name].references
    return (*own, *(components[name].part for name in sorted(found)))
