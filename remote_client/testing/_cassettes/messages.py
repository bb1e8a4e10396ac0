"""The messages of recorded calls: compared by value, made readable, and stripped of credentials, for both protocols."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

from ...errors import SchemaError
from .format import Header
from .secrets import SECRET_FIELD

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

_LARGEST_SHOWN = 64 * 1024
"""Bytes of a message beyond which the cassette has no readable form of it."""
_CHOSEN = re.compile(r"-[0-9a-f]{16}\Z")
"""The random end of the name that `train()` gives to a model: another one in every run."""


class Messages(ABC):
    """What is known of the messages of a server's methods."""

    @abstractmethod
    def value(self, method: str, data: bytes) -> Hashable:
        """Return the value of a request: equal requests have equal ones, whatever their bytes are."""

    @abstractmethod
    def shown(self, method: str, data: bytes, is_answer: bool) -> Any:
        """Return a message as JSON has it; None if it is not known how to read it, or if it is large."""

    def without_credentials(self, method: str, data: bytes) -> bytes:
        """Return a request with asterisks in its fields for credentials."""
        return data


def messages_of(header: Header) -> Messages:
    """Return what a cassette's header tells of messages."""
    if header.protocol == "http":
        return JsonMessages()
    return ProtobufMessages(header.schema)


# -- gRPC -------------------------------------------------------------------------------------------------------------


class ProtobufMessages(Messages):
    """Messages of gRPC. Without a schema they are bytes."""

    def __init__(self, schema: bytes | None) -> None:
        self._pool = None if schema is None else _pool_of(schema)
        self._types: dict[str, tuple[Descriptor, Descriptor] | None] = {}

    def value(self, method: str, data: bytes) -> Hashable:
        message: Any = self._parsed(method, data, False)
        if isinstance(name := getattr(message, "model_name", None), str):
            message.model_name = _CHOSEN.sub("", name)
        # Maps have no order: two processes may write the same one differently.
        return data if message is None else message.SerializeToString(deterministic=True)

    def shown(self, method: str, data: bytes, is_answer: bool) -> Any:
        from google.protobuf.json_format import MessageToDict

        message = None if len(data) > _LARGEST_SHOWN else self._parsed(method, data, is_answer)
        if message is None:
            return None
        try:
            return MessageToDict(message, preserving_proto_field_name=True)
        except (ValueError, TypeError, RecursionError):  # such as a timestamp that JSON cannot have
            return None

    def without_credentials(self, method: str, data: bytes) -> bytes:
        message = self._parsed(method, data, False)
        if message is None or not _hide(message):
            return data
        return message.SerializeToString(deterministic=True)

    def _parsed(self, method: str, data: bytes, is_answer: bool) -> Message | None:
        from google.protobuf.message import DecodeError
        from google.protobuf.message_factory import GetMessageClass

        if method not in self._types:
            self._types[method] = self._find(method)
        types = self._types[method]
        if types is None:
            return None
        try:
            return GetMessageClass(types[is_answer]).FromString(data)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _find(self, method: str) -> tuple[Descriptor, Descriptor] | None:
        """Return the types of a method's request and answer; None if the schema does not have it."""
        service, _, name = method.removeprefix("/").rpartition("/")
        if self._pool is None:
            return None
        try:
            found = self._pool.FindServiceByName(service).methods_by_name[name]
        except KeyError:
            return None
        return found.input_type, found.output_type


def _pool_of(schema: bytes) -> Any:
    """Return the descriptors of a schema, or None if it cannot be used."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.message import DecodeError

    from ..._schema.protobuf.descriptor_pools import pool_of

    try:
        return pool_of({file.name: file for file in FileDescriptorSet.FromString(schema).file})
    except (DecodeError, SchemaError):
        return None


def _hide(message: Message) -> bool:
    """Write asterisks into the text fields of a message that have credentials; return whether it has any."""
    found = False
    for field, value in message.ListFields():
        if isinstance(value, str) and SECRET_FIELD.fullmatch(field.name):
            setattr(message, field.name, "*" * len(value))
            found = True
        else:
            for inner in _inner(field, value):
                found |= _hide(inner)
    return found


def _inner(field: Any, value: Any) -> Iterator[Message]:
    """Yield the messages in a field."""
    if field.message_type is None:
        return
    if hasattr(value, "ListFields"):
        yield value
    elif not field.message_type.GetOptions().map_entry:
        yield from value
    elif field.message_type.fields_by_name["value"].message_type is not None:
        yield from value.values()


# -- HTTP -------------------------------------------------------------------------------------------------------------


class JsonMessages(Messages):
    """Bodies of HTTP: JSON, forms, or anything else."""

    def value(self, method: str, data: bytes) -> Hashable:
        try:
            value = json.loads(data)
            if isinstance(value, dict) and isinstance(name := value.get("model_name"), str):
                value["model_name"] = _CHOSEN.sub("", name)
            return _hashable(value)
        except (ValueError, RecursionError):
            return _without_boundary(data)

    def shown(self, method: str, data: bytes, is_answer: bool) -> Any:
        if not data or len(data) > _LARGEST_SHOWN:
            return None
        try:
            return json.loads(data, parse_constant=str)
        except (ValueError, RecursionError):
            pass
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return None
        return None if "\0" in text else text


def _hashable(value: Any) -> Hashable:
    """Return a JSON value by which equal ones are found: objects have no order, and 1 is 1.0, but not true."""
    if isinstance(value, dict):
        return frozenset((name, _hashable(member)) for name, member in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    if isinstance(value, float) and math.isnan(value):
        return float, "NaN"
    return (type(value), value) if isinstance(value, (bool, str)) else value


def _without_boundary(data: bytes) -> bytes:
    """Return a form without the random text between its parts; anything else as it is."""
    start, line, _ = data.partition(b"\r\n")
    return data.replace(start, b"--") if line and start.startswith(b"--") and len(start) > 2 else data
