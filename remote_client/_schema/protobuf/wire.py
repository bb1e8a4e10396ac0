"""protobuf's wire format, looked at before protobuf makes objects of it."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor

from ..budget import Budget
from .fields import is_repeated


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a varint, and where it ends.

    Raises:
        IndexError: the data ends before it does.
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
    """Spend the `parts` of a message that protobuf would make objects of: of 2 bytes each may take 120.

    Data that is no message is counted until it is wrong: protobuf reads no further either.

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
    looked_at = found = 0
    while position < end or outer:
        if position >= end:
            end, parts = outer.pop()
            continue
        looked_at += 1
        if not looked_at % 1024:  # what is no part takes its time as well
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
            break  # protobuf refuses it
        else:
            outer.append((end, parts))
            end, parts = position + size, _parts_of(inner)
    budget.spend("parts", found)


_MAX_LEVELS = 100
"""Messages inside of each other that protobuf reads."""
_SIZES = {1: 8, 5: 4, 3: 0, 4: 0}
"""Bytes of a value by its wire type. The fields of a group, which nothing here has, count as the message's own."""


@cache
def _parts_of(descriptor: Descriptor) -> dict[int, Descriptor | None]:
    """Return the fields, by number, that become objects: the type of messages, None for texts and bytes in a list."""
    return {
        each.number: each.message_type
        for each in descriptor.fields
        if each.message_type is not None or (is_repeated(each) and each.type in (each.TYPE_STRING, each.TYPE_BYTES))
    }
