"""Finds the inputs of HTTP requests that can be sent as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ..budget import Budget
from ..identifiers import attributes_of
from .multipart import Path
from .types import FILE_TYPE, JsonTypes
from .value_types import BYTES

_MAX_DEPTH = 8
"""The depth in a request up to which values are sent as files."""
_MAX_FILES = 100
"""The values of a request that are sent as files; more are sent as base64. Every call looks at all of them."""


class FileFinder:
    """Finds the values of requests that can be sent as files.

    Args:
        types: the document's types.
        budget: checked for every value.
    """

    def __init__(self, types: JsonTypes, budget: Budget) -> None:
        self._types = types
        self._budget = budget
        self._known: dict[tuple[int, int], list[Path]] = {}

    def paths(self, properties: Mapping[str, Any]) -> list[Path]:
        """Return the paths to these values in a request with these properties."""
        return [*islice(self._paths(properties, _MAX_DEPTH), _MAX_FILES)]

    def _paths(self, properties: Mapping[str, Any], levels: int) -> Iterator[Path]:
        attributes: dict[str, str] = {}
        for name, schema in properties.items():
            self._budget.check()
            for inner in self._inside(schema, levels):
                attributes = attributes or attributes_of(properties)
                yield (name, attributes[name]), *inner

    def _inside(self, schema: Any, levels: int) -> list[Path]:
        """Return the paths from a property to files; the empty path if the property is a file itself."""
        _, resolved = self._types.without_null(schema)
        if resolved is None or not levels:
            return []
        if resolved.get("type") == "array":
            _, item = self._types.without_null(resolved.get("items"))
            return [()] if item is not None and item.get("title") == FILE_TYPE else []
        is_bytes = resolved.get("type") == "string" and self._types.of(resolved) is BYTES
        if is_bytes or resolved.get("title") == FILE_TYPE:
            return [()]
        properties = resolved.get("properties")
        if not isinstance(properties, Mapping):
            return []
        # Objects that refer to one another have exponentially many paths.
        key = (id(properties), levels)  # the document, which stays alive, holds the properties
        if key not in self._known:
            self._known[key] = [*islice(self._paths(properties, levels - 1), _MAX_FILES)]
        return self._known[key]
