"""The classes of protobuf messages. Messages are pickled with the part of the schema they need, as models are."""

from __future__ import annotations

from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from google.protobuf.descriptor import Descriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from ..budget import Budget
from ..dynamic_types import Recipe, keep, making
from .descriptor_pools import pool_of
from .pickled_parts import Parts, files_of
from .reflection import WELL_KNOWN_FILES

_classes: WeakValueDictionary[bytes, type[Message]] = WeakValueDictionary()
"""The classes of messages by two keys: a class's own key, which finds it in its process, and its recipe's digest."""
_METACLASS: Any = type(Empty)


class MessageClasses:
    """The classes of one pool's messages. They are made without recursion, unlike protobuf's, whatever the depth."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made: dict[str, type[Message]] = {}
        self._picklable: set[str] = set()

    def of(self, descriptor: Descriptor) -> type[Message]:
        """Return the class of a message."""
        waiting = [descriptor]
        while waiting:
            found = waiting.pop()
            if found.full_name not in self._made:
                members = {"DESCRIPTOR": found, "__module__": None}
                self._made[found.full_name] = _METACLASS(found.name, (Message,), members)
                waiting += _messages_in(found)
        return self._made[descriptor.full_name]

    def make_picklable(self, descriptor: Descriptor) -> None:
        """Make messages of a type, and the messages inside them, picklable."""
        waiting = [descriptor]
        while waiting:
            found = waiting.pop()
            if found.full_name in self._picklable or found.file.name in WELL_KNOWN_FILES:
                continue
            self._picklable.add(found.full_name)
            waiting += _messages_in(found)
            if not found.GetOptions().map_entry:
                self._add_reduce(self.of(found), self._parts.recipe(found))

    def _add_reduce(self, kind: Any, recipe: Recipe) -> None:
        key = uuid4().bytes

        def reduce(message: Message) -> Any:
            return _unpickled, (recipe, key, message.SerializePartialToString())

        # Without this, the class of an inner message dies with its last message, and protobuf makes another one that
        # cannot be pickled.
        reduce.__dict__["classes"] = self._made
        kind.__reduce__ = reduce
        _classes[key] = kind
        _classes.setdefault(recipe.digest, kind)


def _messages_in(descriptor: Descriptor) -> list[Descriptor]:
    return [field.message_type for field in descriptor.fields if field.message_type is not None]


def _unpickled(recipe: Recipe, key: bytes, data: bytes) -> Message:
    kind = _classes.get(key) or _classes.get(recipe.digest)
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
