"""Protobuf messages of a server's types: pickled with the part of the schema that they need, as models are."""

from __future__ import annotations

from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from .learned import Recipe, keep, making
from .pools import pool_of
from .protobuf_parts import Parts, files_of
from .reflection import WELL_KNOWN_FILES

_classes: WeakValueDictionary[bytes, type[Message]] = WeakValueDictionary()
"""The classes of messages. Each pool has its own: where it lives it is found by its own key, elsewhere by the digest of
its recipe."""


def let_travel(descriptor: Descriptor, parts: Parts) -> None:
    """Make messages of a type, and all that are inside of them, such that they can be pickled."""
    waiting, seen = [descriptor], set[str]()
    while waiting:
        each = waiting.pop()
        if each.full_name in seen or each.file.name in WELL_KNOWN_FILES:
            continue
        seen.add(each.full_name)
        waiting += [field.message_type for field in each.fields if field.message_type is not None]
        if not each.GetOptions().map_entry:
            _let_travel(message_factory.GetMessageClass(each), parts.recipe(each))


def _let_travel(kind: Any, recipe: Recipe) -> None:
    if "__reduce__" in vars(kind):
        return
    own = uuid4().bytes

    def reduce(message: Message) -> Any:
        return _unpickled, (recipe, own, message.SerializePartialToString())

    kind.__reduce__ = reduce
    _classes[own] = kind
    _classes.setdefault(recipe.digest, kind)


def _unpickled(recipe: Recipe, own: bytes, data: bytes) -> Message:
    kind = _classes.get(own) or _classes.get(recipe.digest)
    if kind is None:
        with making():
            kind = _made(recipe)
    message = kind()
    message.MergeFromString(data)
    return message


def _made(recipe: Recipe) -> type[Message]:
    descriptor = pool_of(files_of(recipe.parts)).FindMessageTypeByName(recipe.name)
    let_travel(descriptor, Parts())
    return keep(message_factory.GetMessageClass(descriptor))
