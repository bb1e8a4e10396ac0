"""What is told and breaks nobody: all values that one side can send arrive at the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from remote_client._schema.protobuf.descriptor_pools import pool_of
from remote_client._schema.protobuf.fields import INTEGERS, is_repeated
from tests.support.contracts import set_of

from .library import INTEGERS as BOUNDS
from .test_differences import CASES

TOLD = [name for name, case in CASES.items() if case.expected and not any(breaking for _, breaking, _ in case.expected)]
_DEPTH = 3


def methods(files: Any) -> dict[str, tuple[Descriptor, Descriptor]]:
    """The types of all methods by their paths."""
    described = FileDescriptorSet.FromString(set_of(dict(files))).file
    pool = pool_of({each.name: each for each in described})
    services = [f"{file.package}.{each.name}" for file in described for each in file.service]
    return {
        f"/{name}/{each.name}": (each.input_type, each.output_type)
        for name in services
        for each in pool.FindServiceByName(name).methods
    }


def messages(kind: Descriptor, depth: int = _DEPTH) -> Iterator[Message]:
    """Two messages with all fields set, to the smallest values and to the largest; of a union its last member is."""
    for end in (0, -1):
        message = GetMessageClass(kind)()
        for field in kind.fields:
            value = _value(field, end, depth)
            if value is None:
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                message.MergeFromString(_entry(field, value))
            elif is_repeated(field):
                getattr(message, field.name).extend([value, value])
            elif field.message_type is not None:
                getattr(message, field.name).CopyFrom(value)
            else:
                setattr(message, field.name, value)
        yield message


def _value(field: FieldDescriptor, end: int, depth: int) -> Any:
    if field.message_type is not None:
        return None if depth == 0 else [*messages(field.message_type, depth - 1)][end]
    if field.enum_type is not None:
        return sorted(each.number for each in field.enum_type.values)[end]
    if field.type in INTEGERS:
        return BOUNDS[INTEGERS[field.type]][end]
    values: dict[int, list[Any]] = {
        FieldDescriptor.TYPE_STRING: ["a", "\u00e9"],
        FieldDescriptor.TYPE_BYTES: [b"\x00", b"\xff"],
        FieldDescriptor.TYPE_BOOL: [False, True],
    }
    return values.get(field.type, [-0.5, 1e300])[end]


def _entry(field: FieldDescriptor, entry: Message) -> bytes:
    data = entry.SerializeToString()
    return bytes([field.number << 3 | 2, len(data)]) + data


def check(sent: Message, read: Message) -> None:
    """Check that all fields have arrived that both sides have. Names do not count."""
    for field in read.DESCRIPTOR.fields:
        other = sent.DESCRIPTOR.fields_by_number.get(field.number)
        if other is None:
            continue
        before, after = getattr(sent, other.name), getattr(read, field.name)
        if field.message_type is not None and not is_repeated(field):
            assert sent.HasField(other.name) == read.HasField(field.name)
            if read.HasField(field.name):
                check(before, after)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            assert len(before) == len(after)
            for each in zip(before, after, strict=True):
                check(*each)
        else:
            assert _plain(before) == _plain(after), field.full_name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Message):  # of a pool of its own
        return value.SerializeToString()
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("name", TOLD)
def test_what_either_side_sends_arrives(name: str) -> None:
    before, after = methods(CASES[name].before), methods(CASES[name].files)
    for path in before.keys() & after.keys():
        for sender, receiver in ((before[path][0], after[path][0]), (after[path][1], before[path][1])):
            for sent in messages(sender):
                check(sent, GetMessageClass(receiver).FromString(sent.SerializeToString()))


@pytest.mark.parametrize(
    "name",
    [
        "an integer of a request without its sign",
        "an integer of a request narrower",
        "an integer of an answer wider",
        "an integer encoded otherwise",
        "a fixed integer with a sign",
        "bytes where text was answered",
        "text where bytes were sent",
        "a list where a value was",
        "another scalar type",
    ],
)
def test_what_breaks_does(name: str) -> None:
    with pytest.raises((AssertionError, DecodeError, UnicodeDecodeError)):
        test_what_either_side_sends_arrives(name)
