"""Requests with files in them, as multipart/form-data (RFC 7578) in the form a caikit runtime reads.

A key is the path to a value, with dots; a message is one part of JSON text, whose files are parts of their own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from ..._objects.content import Body

LARGE = 64 * 1024
"""Bytes from which a bytes value is sent as a file of its own, and not as base64."""
_MAX_TEXT = 1_000_000
"""Bytes of the largest part that is no file: the runtime's form parser (Starlette) refuses more than 1 MiB."""
_SAFE_NAME = re.compile(r'[^"\\%;\x00-\x1f\x7f]+')
_SAFE_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.+-]+)*", re.ASCII)

Path = tuple[tuple[str, str], ...]
"""The way to a value: at each step its name on the wire and its attribute."""


class Multipart:
    """Which values of a method's requests are sent as files.

    Args:
        paths: the ways to them, and to lists of files. What is inside of unions, maps and lists of messages is sent as
            base64: a form has no way there.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def body(self, request: BaseModel) -> Body | None:
        """The request with its files; None where it has none, or a form cannot say the same as JSON."""
        files: list[bytes] = []
        without: dict[str, Any] = {}
        for path in self._paths:
            value = _follow(request, path)
            key = ".".join(name for name, _ in path)
            parts = [_file_part(key, each) for each in (value if isinstance(value, list) else [value])]
            if parts and None not in parts:
                files += [each for each in parts if each is not None]
                _exclude(without, [attribute for _, attribute in path])
        if not files:
            return None
        texts: list[bytes] = []
        for name, value in _texts(request, without):
            if not value or len(value) > _MAX_TEXT:
                return None
            texts.append(b'form-data; name="%s"\r\n\r\n%s' % (name.encode(), value))
        boundary = secrets.token_hex(16)
        mark = f"--{boundary}\r\nContent-Disposition: ".encode()
        data = b"".join(mark + each + b"\r\n" for each in (*texts, *files)) + f"--{boundary}--\r\n".encode()
        return Body(data, f"multipart/form-data; boundary={boundary}")


def to_json(value: Any, exclude: Any = None) -> bytes:
    """A model's JSON, without what is not set. Raises a ValueError for text that has no UTF-8 form."""
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
    """The head and content of a part; None where JSON must say it."""
    data: Any = value
    filename, kind = "bytes" if isinstance(value, bytes) and len(value) >= LARGE else None, None
    if isinstance(value, BaseModel):
        data, filename, kind = (getattr(value, each, None) for each in ("data", "filename", "type"))
    if data is None or not filename or not _SAFE_NAME.fullmatch(filename):
        return None
    if kind is not None and not _SAFE_TYPE.fullmatch(kind):
        return None
    head = f'form-data; name="{key}"; filename="{filename}"'
    if kind is not None:
        head += f"\r\nContent-Type: {kind}"
    return b"%s\r\n\r\n%s" % (head.encode(), data)


def _texts(request: BaseModel, without: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The parts that are no files: their names and what they hold. Empty for what a form cannot say."""
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
