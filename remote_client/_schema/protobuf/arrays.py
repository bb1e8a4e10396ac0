"""Repeated numbers as arrays, and large bytes: buffers go out as they are in memory, and arrays come in as numpy's, not
number by number.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .fields import INTEGERS, Field, is_packed, is_repeated
from .wire import read_varint

_T = FieldDescriptor
ARRAYS: dict[int, str] = {
    # field type -> numpy's type of the items
    **INTEGERS,
    _T.TYPE_DOUBLE: "float64",
    _T.TYPE_FLOAT: "float32",
    _T.TYPE_BOOL: "bool",
}
BUFFERS = {_T.TYPE_DOUBLE: "d", _T.TYPE_FLOAT: "f"} if sys.byteorder == "little" else {}
"""Field types that are on the wire as they are in memory -> the code of a buffer's items (`struct`)."""
BYTES = "B"
"""The code of a buffer that is a field of bytes."""
_LARGE = 4096
"""Bytes that protobuf copies faster than their head is made here."""
_MOST_FIELDS = 64
"""A message of more is left to protobuf, as looking at each would take longer than what it saves."""


def buffer_fields(fields: Iterable[Field]) -> dict[str, tuple[int, str]]:
    """Return the fields that `packed_parts` may take: name -> the tag on the wire, and the code of the items."""
    found: dict[str, tuple[int, str]] = {}
    for field in fields:
        member = field.members[0]
        if is_repeated(member) and is_packed(member) and member.type in BUFFERS:
            found[field.name] = (member.number << 3 | 2, BUFFERS[member.type])
        elif member.type == _T.TYPE_BYTES and not is_repeated(member) and not field.is_oneof:
            found[field.name] = (member.number << 3 | 2, BYTES)
    return found


def packed_parts(value: Any, tag: int, code: str) -> tuple[bytes, Any] | None:
    """A field on the wire, its head and its content: from the buffer of an array, such as numpy's, or from many bytes.
    None where the value has no such buffer.
    """
    if code == BYTES and (not isinstance(value, (bytes, bytearray)) or len(value) < _LARGE):
        return None
    try:
        view = memoryview(value)
    except TypeError:
        return None
    if view.format != code or view.ndim != 1 or not view.c_contiguous:
        return None
    return _varint(tag) + _varint(view.nbytes), view


def pack(message: Message, value: Any, tag: int, code: str) -> bool:
    """Fill a repeated field from an array; whether that was possible.

    protobuf takes the packed form without looking at the items one by one: `extend` with an array costs 30 times that.
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
    """A repeated field as an array of its own memory."""
    import numpy  # optional, and slow to load

    return numpy.array(numbers, kind)


def array_fields(fields: Iterable[Field]) -> dict[int, tuple[str, str]]:
    """The fields of a message that `extract_arrays` can take out: the tag on the wire -> its name and numpy's type."""
    members = [field.members[0] for field in fields if not field.is_oneof]
    return {
        each.number << 3 | 2: (each.name, ARRAYS[each.type])
        for each in members
        if is_repeated(each) and is_packed(each) and each.type in BUFFERS
    }


def extract_arrays(data: bytes, packed: Mapping[int, tuple[str, str]]) -> tuple[bytes, dict[str, Any]]:
    """Take packed numbers out of a message: what is left of it, and the arrays by the names of their fields.

    They are copied once, not twice as by way of protobuf. Whatever is unusual stays in the message, for protobuf.
    """
    import numpy

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
                    break  # a number by itself
            if tag in packed:
                name, kind = packed[tag]
                if name in found:
                    break  # numbers in parts
                found[name] = numpy.frombuffer(memoryview(data)[position : position + size], kind).copy()
                kept.append(data[mark:start])
                mark = position + size
            position += size
            if position > len(data):
                break
    except (IndexError, KeyError, ValueError):
        pass
    return data, {}
