"""Repeated numbers and large bytes: copied whole from and to the wire instead of item by item."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from operator import countOf
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .fields import INTEGERS, Field, is_packed, is_repeated
from .wire import read_varint

_T = FieldDescriptor
ARRAYS: dict[int, str] = {
    # field type -> numpy's type of its items
    **INTEGERS,
    _T.TYPE_DOUBLE: "float64",
    _T.TYPE_FLOAT: "float32",
    _T.TYPE_BOOL: "bool",
}
BUFFERS = {_T.TYPE_DOUBLE: "d", _T.TYPE_FLOAT: "f"} if sys.byteorder == "little" else {}
"""Field types whose form on the wire is that in memory -> the format of a buffer's items (see `struct`)."""
BYTES = "B"
"""The format that stands for a field of bytes."""
_LARGE = 4096
"""Protobuf copies fewer bytes faster than Python makes their header."""
_MANY = 128
"""Protobuf takes fewer numbers of a list faster."""
_AT_ONCE = 4096
"""Numbers of a list that are looked at twice: as many as a core's cache holds."""
_MOST_FIELDS = 64
"""Protobuf decodes messages of more fields, as looking at all of them here would take longer than it saves."""


def buffer_fields(fields: Iterable[Field]) -> dict[str, tuple[int, str]]:
    """Return the fields that `packed_parts` takes: name -> the tag on the wire, and the format of the items."""
    found: dict[str, tuple[int, str]] = {}
    for field in fields:
        member = field.members[0]
        if is_repeated(member) and is_packed(member) and member.type in BUFFERS:
            found[field.name] = (member.number << 3 | 2, BUFFERS[member.type])
        elif member.type == _T.TYPE_BYTES and not is_repeated(member) and not field.is_oneof:
            found[field.name] = (member.number << 3 | 2, BYTES)
    return found


def packed_parts(value: Any, tag: int, code: str) -> tuple[bytes, Any] | None:
    """Return a field's header and content on the wire, of an array's buffer, many floats or large bytes; else None."""
    if code == BYTES and (not isinstance(value, (bytes, bytearray)) or len(value) < _LARGE):
        return None
    if value.__class__ is list:
        content = _packed_floats(value, code) if len(value) >= _MANY else None
        return None if content is None else (_varint(tag) + _varint(len(content)), content)
    try:
        view = memoryview(value)
    except TypeError:
        return None
    if view.format != code or view.ndim != 1 or not view.c_contiguous:
        return None
    return _varint(tag) + _varint(view.nbytes), view


def _packed_floats(numbers: Sequence[Any], code: str) -> bytes | None:
    """Return a list's numbers as on the wire; None unless all are floats, and in the range of the format."""
    parts = []
    order = "<" if code == "f" else ""  # by native order, which is faster, 1e39 becomes infinity
    for start in range(0, len(numbers), _AT_ONCE):
        part = numbers[start : start + _AT_ONCE]
        if countOf(map(type, part), float) != len(part):
            return None
        try:
            parts.append(struct.pack(f"{order}{len(part)}{code}", *part))
        except OverflowError:
            return None
    return b"".join(parts)


def pack(message: Message, value: Any, tag: int, code: str) -> bool:
    """Fill a repeated field by its packed form. Return whether the value has one, see `packed_parts`.

    Protobuf parses the packed form at once. `extend` with an array takes 30 times as long.
    """
    parts = packed_parts(value, tag, code)
    if parts is None:
        return False
    type(message).MergeFromString(message, b"".join(parts))
    return True


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def as_array(numbers: Any, kind: str) -> Any:
    """Return a repeated field as an array with its own memory."""
    import numpy  # here, because it is optional and slow to load

    return numpy.array(numbers, kind)


def array_fields(fields: Iterable[Field]) -> dict[int, tuple[str, str]]:
    """Return the fields that `extract_arrays` can extract: the tag on the wire -> name and numpy's type."""
    members = [field.members[0] for field in fields if not field.is_oneof]
    return {
        member.number << 3 | 2: (member.name, ARRAYS[member.type])
        for member in members
        if is_repeated(member) and is_packed(member) and member.type in BUFFERS
    }


def extract_arrays(data: bytes, packed: Mapping[int, tuple[str, str]]) -> tuple[bytes, dict[str, Any]]:
    """Return a message without its packed numbers, and these as arrays by the names of their fields.

    Numbers are copied once; by way of protobuf it would be twice. Messages with anything unusual are left to protobuf.
    """
    import numpy  # here, because it is optional and slow to load

    found: dict[str, Any] = {}
    kept: list[bytes] = []
    position = mark = 0
    try:
        for _ in range(_MOST_FIELDS):
            if position == len(data):
                return b"".join((*kept, data[mark:])), found
            start = position
            tag, position = read_varint(data, position)
            if tag & 7 == 2:
                size, position = read_varint(data, position)
            elif tag & 7 == 0:
                _, position = read_varint(data, position)
                continue
            else:
                size = {1: 8, 5: 4}[tag & 7]
                if tag & ~7 | 2 in packed:
                    break  # an unpacked number of the field
            if tag in packed:
                name, kind = packed[tag]
                if name in found:
                    break  # the field's numbers come in several parts
                found[name] = numpy.frombuffer(memoryview(data)[position : position + size], kind).copy()
                kept.append(data[mark:start])
                mark = position + size
            position += size
            if position > len(data):
                break
    except (IndexError, KeyError, ValueError):
        pass
    return data, {}
