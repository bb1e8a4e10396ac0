"""Answers as plain values and as JSON, in whatever form they came."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import NoneType
from typing import Any

from pydantic import BaseModel

_PLAIN = frozenset({bool, int, float, str, bytes, datetime, NoneType})


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return an answer as JSON, on one line without `indent`: bytes are base64, times ISO 8601, an enum its name."""
    separators = (",", ":") if indent is None else None
    return json.dumps(plain(value), default=_jsonable, ensure_ascii=False, indent=indent, separators=separators)


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()  # pydantic's own is the alphabet of URLs, which caikit does not read
    return value.tolist() if hasattr(value, "tolist") else value.isoformat()


def plain(value: Any) -> Any:
    """Return an answer as dicts, lists and scalars; an enum's member as its name. Arrays stay what they are."""
    if isinstance(value, BaseModel):
        aliases = aliases_of(type(value))
        return {aliases.get(name, name): plain(item) for name, item in vars(value).items()}
    if isinstance(value, Mapping):
        return {text_of(key) if isinstance(key, Enum) else key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        is_plain = _PLAIN.issuperset(map(type, value))  # an embedding: item by item is slower than its call
        return list(value) if is_plain else [plain(item) for item in value]
    if isinstance(value, Enum):
        return text_of(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value


def text_of(value: Any) -> str:
    """Return a value as text; an enum's member as its value, if that is text, or its name."""
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    return str(value)


def aliases_of(kind: type[Any]) -> dict[str, str]:
    """Return the names on the wire of a pydantic model's renamed fields; none for other types."""
    if not issubclass(kind, BaseModel):
        return {}
    return {name: each.alias for name, each in kind.model_fields.items() if each.alias is not None}
