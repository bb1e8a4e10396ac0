"""The parts of an OpenAPI document that other processes need to make an object's type."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..budget import Budget
from ..dynamic_types import Part, Recipe
from ..type_order import Groups

_DATA = frozenset({"const", "default", "enum", "example", "examples"})
"""The keys of a schema whose values are data, not schemas."""


class _Component(NamedTuple):
    """A shared schema, and the names of the components that it refers to."""

    part: Part
    references: Collection[str]


class Parts:
    """Makes the recipes of one document's types, with `make` as their function."""

    def __init__(
        self, components: Mapping[str, Any], budget: Budget, make: Callable[[str, tuple[Part, ...]], type[Any]]
    ) -> None:
        self._schemas = components
        self._budget = budget
        self._make = make
        self._components: dict[str, _Component] = {}
        self._digests: dict[str, str] = {}
        """Component -> the digest of it and all it refers to."""
        self._groups = Groups(self._add)
        self._objects: dict[int, tuple[Any, str]] = {}
        """Id of an inner object's schema -> the schema, which keeps the id valid, and its digest."""

    def recipe(self, name: str, base: str, schema: Mapping[str, Any]) -> Recipe:
        """Return the recipe of an object's class.

        Args:
            name: the component's name; empty for a schema inside another.
            base: the type's full name, without the suffix that makes it unique.
            schema: the object's schema.
        """
        is_component = self._schemas.get(name) is schema
        digest = self._digest_of(name) if is_component else self._digest_of_object(schema)
        collect = partial(_closure, self._components, name if is_component else schema)
        return Recipe(self._make, name, collect, _hash(["OpenAPI", base, digest]).digest())

    def _digest_of(self, name: str) -> str:
        if name not in self._digests:
            for group in self._groups.of(name):
                self._digest(group)
        return self._digests[name]

    def _digest(self, group: list[str]) -> None:
        """Digest components that refer to one another. Everything else they refer to has a digest."""
        if len(group) == 1 and group[0] not in self._components[group[0]].references:
            self._digests[group[0]] = self._digest_of_object(self._schemas[group[0]])
            return
        whole = _hash([[name, self._canonical(self._schemas[name], group)] for name in sorted(group)]).hexdigest()
        self._digests |= {name: f"{whole}:{name}" for name in group}

    def _digest_of_object(self, schema: Mapping[str, Any]) -> str:
        if id(schema) not in self._objects:
            self._objects[id(schema)] = schema, _hash(self._canonical(schema)).hexdigest()
        return self._objects[id(schema)][1]

    def _add(self, name: str) -> Collection[str]:
        """Make a component's part, and return the names of the components that it refers to."""
        self._budget.check()
        schema = self._schemas[name]
        data = json.dumps(schema, default=str).encode()
        part = Part(name, data).shared(hashlib.sha256(b"%s:%s" % (name.encode("utf-8", "replace"), data)).digest())
        references = dict.fromkeys(reference for reference in _references(schema) if reference in self._schemas)
        self._components[name] = _Component(part, references)
        return references

    def _canonical(self, schema: Any, cycle: Collection[str] = (), *, inside: bool = False) -> Any:
        """Return a schema without what does not change its type: descriptions, titles, spellings of bytes.

        References are replaced by digests; inside a cycle of components they are names.
        """
        if isinstance(schema, list):
            return [self._canonical(item, cycle, inside=True) for item in schema]
        if not isinstance(schema, Mapping):
            return schema
        properties = schema.get("properties")
        is_object = isinstance(properties, Mapping)
        if inside and is_object and not cycle:
            return self._digest_of_object(schema)
        canonical: dict[str, Any] = {}
        for key, value in schema.items():
            if key == "description" or (key == "title" and not is_object):
                continue
            if key == "$ref" and isinstance(value, str):
                canonical[key] = self._reference(value.rpartition("/")[2], cycle)
            elif key == "contentMediaType":
                canonical["format"] = "binary"
            elif key == "properties" and is_object:
                canonical[key] = [[name, self._canonical(inner, cycle, inside=True)] for name, inner in value.items()]
            else:
                canonical[key] = value if key in _DATA else self._canonical(value, cycle, inside=True)
        return canonical

    def _reference(self, name: str, cycle: Collection[str]) -> str:
        return name if name in cycle or name not in self._schemas else self._digest_of(name)


def _hash(value: Any) -> Any:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode())


def _references(schema: Any) -> Iterator[str]:
    """Yield the names of all components that a schema refers to at any depth."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            reference = value.get("$ref")
            if isinstance(reference, str):
                yield reference.rpartition("/")[2]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _closure(components: Mapping[str, _Component], start: str | Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the parts that a component or an inner object needs. An inner object's own part has no name."""
    own = () if isinstance(start, str) else (Part("", json.dumps(start, default=str).encode()),)
    waiting = [start] if isinstance(start, str) else [*_references(start)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in components and name not in found:
            found.add(name)
            waiting += components[name].references
    return (*own, *(components[name].part for name in sorted(found)))
