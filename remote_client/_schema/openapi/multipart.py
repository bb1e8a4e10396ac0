"""Encodes requests with files as multipart/form-data (RFC 7578), as caikit runtimes read it.

The name of a part is the dotted path of its value. A message is one part of JSON text, and its files are parts of their
own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import BaseModel

from ..._objects.content import Body
from ..budget import Budget
from ..identifiers import attributes_of
from .types import FILE_TYPE, JsonTypes
from .value_types import BYTES

LARGE = 64 * 1024
"""The size in bytes from which a bytes value is sent as a file instead of base64."""
_MAX_TEXT = 1_000_000
"""The largest part in bytes that is no file: the runtime's form parser (Starlette) refuses more than 1 MiB."""
_SAFE_NAME = re.compile(r'[^"\\%;\x00-\x1f\x7f]+')
_SAFE_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.+-]+)*", re.ASCII)

_MAX_DEPTH = 8
"""The depth in a request up to which values are sent as files."""
_MAX_FILES = 100
"""The values of a request that are sent as files; more are sent as base64. Every call looks at all of them."""
Path = tuple[tuple[str, str], ...]
"""The path to a value: the field's name on the wire and its attribute at every step."""


class FileFinder:
    """Finds the values of requests that can be sent as files."""

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


class Multipart:
    """Sends some values of a method's requests as files.

    Args:
        paths: the paths of files and lists of files. Values inside unions, maps and lists of messages are sent as
            base64, as the names of parts cannot express their paths.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def body(self, request: BaseModel) -> Body | None:
        """Return the multipart body, or None if the request has no files or a form cannot express it."""
        files: list[bytes] = []
        without: dict[str, Any] = {}
        for path in self._paths:
            value = _follow(request, path)
            key = ".".join(name for name, _ in path)
            parts = [_file_part(key, item) for item in (value if isinstance(value, list) else [value])]
            if parts and None not in parts:
                files += [part for part in parts if part is not None]
                _exclude(without, [attribute for _, attribute in path])
        if not files:
            return None
        texts: list[bytes] = []
        for name, value in _texts(request, without):
            if not value or len(value) > _MAX_TEXT:
                return None
            texts.append(b'form-data; name="%s"\r\n\r\n%s' % (name.encode(), value))
        boundary = secrets.token_hex(16)
        start = f"--{boundary}\r\nContent-Disposition: ".encode()
        data = b"".join(start + part + b"\r\n" for part in (*texts, *files)) + f"--{boundary}--\r\n".encode()
        return Body(data, f"multipart/form-data; boundary={boundary}")


def to_json(value: Any, exclude: Any = None) -> bytes:
    """Return a model's JSON without unset fields. Raise a ValueError for text that UTF-8 cannot encode."""
    data: bytes = value.__pydantic_serializer__.to_json(
        value, exclude_none=True, exclude_unset=True, by_alias=True, exclude=exclude
    )
    return data


def _follow(value: Any, path: Path) -> Any:
    for _, attribute in path:
        value = getattr(value, attribute, None)
    return value


def _exclude(tree: dict[str, Any], attributes: list[str]) -> None:
    for attribute in attributes[:-1]:
        tree = tree.setdefault(attribute, {})
    tree[attributes[-1]] = True


def _file_part(key: str, value: Any) -> bytes | None:
    """Return a file's part without the boundary, or None if the value must be sent as JSON."""
    data: Any = value
    filename, kind = "bytes" if isinstance(value, bytes) and len(value) >= LARGE else None, None
    if isinstance(value, BaseModel):
        data, filename, kind = (getattr(value, name, None) for name in ("data", "filename", "type"))
    if data is None or not filename or not _SAFE_NAME.fullmatch(filename):
        return None
    if kind is not None and not _SAFE_TYPE.fullmatch(kind):
        return None
    head = f'form-data; name="{key}"; filename="{filename}"'
    if kind is not None:
        head += f"\r\nContent-Type: {kind}"
    return b"%s\r\n\r\n%s" % (head.encode(), data)


def _texts(request: BaseModel, without: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the parts that are no files. Content that a form cannot express is empty."""
    for name, value in vars(request).items():
        if value is None or without.get(name) is True:
            continue
        if isinstance(value, str):
            yield name, value.encode()
        elif isinstance(value, BaseModel):
            text = to_json(value, without.get(name))
            if text != b"{}":
                yield name, text
        else:
            yield name, b""
