"""The parts of an OpenAPI document: what an object's type needs to be made elsewhere, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .json_schemas import outline_of
from .learned import Part, Recipe


class Parts:
    """The parts of one document's types.

    Args:
        components: the document's shared schemas.
    """

    def __init__(self, components: Mapping[str, Any]) -> None:
        self._components = components
        self._parts: dict[str, Part] = {}
        self._digests: dict[str, bytes] = {}
        self._references: dict[str, set[str]] = {}

    def recipe(self, name: str, base: str, schema: Mapping[str, Any]) -> Recipe:
        """What the class of an object is made of.

        Args:
            name: the component's name; empty for a schema inside of another.
            base: the type's full name, as long as no other type has it.
            schema: the object's schema.
        """
        is_component = self._components.get(name) is schema
        names = sorted(self._closure({name} if is_component else set(_references(schema))))
        digest = hashlib.sha256(b"OpenAPI:" + json.dumps([base, outline_of(schema)]).encode())
        for each in names:
            digest.update(self._digests[each])
        parts = tuple(self._parts[each] for each in names)
        own = () if is_component else (Part("", json.dumps(schema).encode()),)
        return Recipe(make, name, own + parts, digest.digest())

    def _closure(self, waiting: set[str]) -> set[str]:
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._components:
                found.add(name)
                if name not in self._parts:
                    self._add(name)
                waiting |= self._references[name]
        return found

    def _add(self, name: str) -> None:
        schema = self._components[name]
        told = json.dumps(["component", name, outline_of(schema)])
        digest = self._digests[name] = hashlib.sha256(told.encode()).digest()
        self._parts[name] = Part(name, json.dumps(schema).encode()).shared(digest)
        self._references[name] = set(_references(schema))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].rpartition("/")[2]
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def make(name: str, parts: tuple[Part, ...]) -> type[Any]:
    """The class of an object, of its recipe."""
    from .json_types import JsonTypes  # it makes recipes

    schemas = {each.name: json.loads(each.data) for each in parts}
    own = schemas.pop("", None)
    found: type[Any] = JsonTypes(schemas).model(name, schemas[name] if own is None else own)
    return found
