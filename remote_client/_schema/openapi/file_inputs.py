"""Where the requests of an OpenAPI document have values that can be sent as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ..budget import Budget
from ..identifiers import attributes_of
from .multipart import Path
from .types import FILE, JsonTypes
from .value_types import BYTES

_MAX_DEPTH = 8
"""How deep inside of a request values are looked for that can be sent as files."""
_MOST_FILES = 100
"""Values of a request that are sent as files; more are sent as base64. Each call looks at all of them."""


class Files:
    """Finds the values of requests that can be sent as files.

    Args:
        types: the document's types.
        budget: asked for each value.
    """

    def __init__(self, types: JsonTypes, budget: Budget) -> None:
        self._types = types
        self._budget = budget
        self._known: dict[tuple[int, int], list[Path]] = {}

    def paths(self, properties: Mapping[str, Any]) -> list[Path]:
        """Return the ways to them in a request of these properties."""
        return [*islice(self._found(properties, _MAX_DEPTH), _MOST_FILES)]

    def _found(self, properties: Mapping[str, Any], levels: int) -> Iterator[Path]:
        attributes: dict[str, str] = {}
        for name, schema in properties.items():
            self._budget.check()
            for inner in self._inside(schema, levels):
                attributes = attributes or attributes_of(properties)
                yield (name, attributes[name]), *inner

    def _inside(self, schema: Any, levels: int) -> list[Path]:
        """Return the ways from a property to files, of which the property itself may be one."""
        _, resolved = self._types.beside_null(schema)
        if resolved is None or not levels:
            return []
        if resolved.get("type") == "array":
            _, item = self._types.beside_null(resolved.get("items"))
            return [()] if item is not None and item.get("title") == FILE else []
        if resolved.get("title") == FILE or (resolved.get("type") == "string" and self._types.of(resolved) is BYTES):
            return [()]
        properties = resolved.get("properties")
        if not isinstance(properties, Mapping):
            return []
        # Once for each object and depth: objects may have each other on more ways than can be gone.
        key = (id(properties), levels)  # of the document, which stays alive
        if key not in self._known:
            self._known[key] = [*islice(self._found(properties, levels - 1), _MOST_FILES)]
        return self._known[key]
