"""Protobuf's wire format, scanned before protobuf makes objects of it."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor

from ..budget import Budget
from .fields import is_repeated


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a varint, and the position of its end.

    Raises:
        IndexError: the data ends inside the varint.
        ValueError: it has more than 64 bits.
    """
    result = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise ValueError("a varint of more than 64 bits")


def count_parts(data: bytes, descriptor: Descriptor, budget: Budget) -> None:
    """Spend the `parts` of a message that become objects: 2 bytes of the wire may become 120 in memory.

    Invalid data is counted up to its first error, where protobuf stops too.

    Raises:
        SchemaError: there are too many.
    """
    try:
        _count(data, descriptor, budget)
    except (IndexError, KeyError, ValueError):
        return


def _count(data: bytes, descriptor: Descriptor, budget: Budget) -> None:
    position, end, parts = 0, len(data), _parts_of(descriptor)
    outer: list[tuple[int, dict[int, Descriptor | None]]] = []
    fields = found = 0
    while position < end or outer:
        if position >= end:
            end, parts = outer.pop()
            continue
        fields += 1
        if not fields % 1024:  # fields that become no objects take time as well
            budget.spend("parts", found)
            found = 0
        tag, position = read_varint(data, position)
        size = 0
        if tag & 7 == 2:
            size, position = read_varint(data, position)
        elif tag & 7 == 0:
            _, position = read_varint(data, position)
        else:
            size = _SIZES[tag & 7]
        if tag & 7 != 2 or tag >> 3 not in parts:
            position += size
            continue
        found += 1
        inner = parts[tag >> 3]
        if inner is None or not size:
            position += size
        elif len(outer) == _MAX_LEVELS or position + size > end:
            break  # protobuf refuses the message
        else:
            outer.append((end, parts))
            end, parts = position + size, _parts_of(inner)
    budget.spend("parts", found)


def most_parts(data: bytes, descriptor: Descriptor) -> int:
    """Return a number that the parts of a message do not exceed; see `count_parts`, which takes far longer."""
    return len(data) - len(data.translate(None, _tags_of(descriptor)))


@cache
def _tags_of(descriptor: Descriptor) -> bytes:
    """Return the first bytes of the tags of what becomes objects, in a message and in those inside it."""
    found: dict[Descriptor, dict[int, Descriptor | None]] = {}
    waiting = [descriptor]
    while waiting:
        if (kind := waiting.pop()) not in found:
            found[kind] = _parts_of(kind)
            waiting += filter(None, found[kind].values())
    tags = {number << 3 | 2 for parts in found.values() for number in parts}
    # A varint may have more bytes than it needs: the first one then has its highest bit set.
    return bytes({tag & 0x7F for tag in tags if tag < 0x80} | {tag & 0x7F | 0x80 for tag in tags})


_MAX_LEVELS = 100
"""The depth of nested messages that protobuf parses."""
_SIZES = {1: 8, 5: 4, 3: 0, 4: 0}
"""Bytes of a value by its wire type. Descriptors have no groups; the fields of one count as the message's."""


@cache
def _parts_of(descriptor: Descriptor) -> dict[int, Descriptor | None]:
    """Return the fields that become objects, by number: messages with their type, repeated strings as None."""
    return {
        field.number: field.message_type
        for field in descriptor.fields
        if field.message_type is not None
        or (is_repeated(field) and field.type in (field.TYPE_STRING, field.TYPE_BYTES))
    }
