"""Descriptors with anything in any field of theirs: they are described and answers of theirs decoded, or refused."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client._schema.protobuf.services import describe
from remote_client.errors import InvalidResponseError, SchemaError

from .library import library

NUMBERS: list[Any] = [-1, 0, 1, 2, 5, 10, 11, 14, 1000, 2**29, 2**31 - 1]
TEXTS = ["", "a", "values", ".caikit.runtime.Unit.Zoo", ".caikit.runtime.Unit.Color", "Zoo", "nan", "1"]
ANSWERS = [b"", b"\x08\x01", b"\x0a\x02\x08\x01", b"\x0a\x00\x12\x00\x1a\x00"]


def parts(message: Any) -> list[Any]:
    """A message and all that are inside of it."""
    found = [message]
    for each in found:
        for field, value in each.ListFields():
            if field.message_type is not None:
                found += value if hasattr(value, "add") else [value]
    return found


def value_of(rng: random.Random, field: Any) -> Any:
    kinds: dict[int, list[Any]] = {
        field.TYPE_STRING: TEXTS,
        field.TYPE_BOOL: [True, False],
        field.TYPE_BYTES: [b"", b"a"],
    }
    return rng.choice(kinds.get(field.type, NUMBERS))


def change(rng: random.Random, file: FileDescriptorProto) -> None:
    """Change one field of the file or of what is in it. Values that an enum has not are left out."""
    part = rng.choice(parts(file))
    field = rng.choice(part.DESCRIPTOR.fields)
    value = getattr(part, field.name)
    with suppress(ValueError):
        if hasattr(value, "add"):
            _change_list(rng, value, lambda: value.add())
        elif hasattr(value, "append"):
            _change_list(rng, value, lambda: value.append(value_of(rng, field)))
        elif field.message_type is not None:
            value.SetInParent()
        elif rng.random() < 0.2:
            part.ClearField(field.name)
        else:
            setattr(part, field.name, value_of(rng, field))


def _change_list(rng: random.Random, items: Any, add: Any) -> None:
    if not items or rng.random() < 0.3:
        add()
    elif rng.random() < 0.3:
        items.extend([rng.choice(items)])
    else:
        del items[rng.randrange(len(items))]


@pytest.mark.parametrize("seed", range(60))
def test_changed_files(seed: int) -> None:
    rng = random.Random(seed)
    file = library()
    for _ in range(rng.randint(1, 3)):
        change(rng, file)
    try:
        description = describe({file.name: file}, ["caikit.runtime.Unit.UnitService"])
    except SchemaError as error:
        assert str(error).isprintable()
        return
    for method in (each for task in description.tasks.values() for each in task.methods):
        for data in ANSWERS:
            for output in ("pydantic", "dict", "numpy"):
                with suppress(InvalidResponseError):
                    method.codec.decode(data, output)
