"""Protobuf messages of a server's types: pickled with the part of the schema that they need, as models are."""

from __future__ import annotations

from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from google.protobuf.descriptor import Descriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from ..budget import Budget
from ..dynamic_types import Recipe, keep, making
from .parts import Parts, files_of
from .pools import pool_of
from .reflection import WELL_KNOWN_FILES

_classes: WeakValueDictionary[bytes, type[Message]] = WeakValueDictionary()
"""The classes of messages. Each pool has its own: where it lives it is found by its own key, elsewhere by the digest of
its recipe."""
_CLASS: Any = type(Empty)
"""What makes the class of a message."""


class MessageClasses:
    """The classes of one pool's messages. All are made here: protobuf itself would go as deep as types are nested.

    Args:
        parts: the parts of the pool's types.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: dict[str, type[Message]] = {}
        self._travelling: set[str] = set()

    def of(self, descriptor: Descriptor) -> type[Message]:
        """Return the class of a message."""
        waiting = [descriptor]
        while waiting:
            each = waiting.pop()
            if each.full_name not in self._made:
                self._made[each.full_name] = _CLASS(each.name, (Message,), {"DESCRIPTOR": each, "__module__": None})
                waiting += _messages_in(each)
        return self._made[descriptor.full_name]

    def make_picklable(self, descriptor: Descriptor) -> None:
        """Make messages of a type, and all that are inside of them, such that they can be pickled."""
        waiting = [descriptor]
        while waiting:
            each = waiting.pop()
            if each.full_name in self._travelling or each.file.name in WELL_KNOWN_FILES:
                continue
            self._travelling.add(each.full_name)
            waiting += _messages_in(each)
            if not each.GetOptions().map_entry:
                self._make_picklable(self.of(each), self._parts.recipe(each))

    def _make_picklable(self, kind: Any, recipe: Recipe) -> None:
        own = uuid4().bytes

        def reduce(message: Message) -> Any:
            return _unpickled, (recipe, own, message.SerializePartialToString())

        # Else the class of messages inside of others dies with the last one, and protobuf makes a plain one anew.
        reduce.__dict__["classes"] = self._made
        kind.__reduce__ = reduce
        _classes[own] = kind
        _classes.setdefault(recipe.digest, kind)


def _messages_in(descriptor: Descriptor) -> list[Descriptor]:
    return [field.message_type for field in descriptor.fields if field.message_type is not None]


def _unpickled(recipe: Recipe, own: bytes, data: bytes) -> Message:
    kind = _classes.get(own) or _classes.get(recipe.digest)
    if kind is None:
        with making():
            kind = _made(recipe)
    message = kind()
    message.MergeFromString(data)
    return message


def _made(recipe: Recipe) -> type[Message]:
    budget = Budget()
    descriptor = pool_of(files_of(recipe.parts), budget).FindMessageTypeByName(recipe.name)
    classes = MessageClasses(Parts(budget, recipe.make))
    classes.make_picklable(descriptor)
    return keep(classes.of(descriptor))
