"""The methods that a user's own generated classes define, found by a message of theirs."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from ...errors import InputError, InvalidResponseError


class GeneratedMethod(NamedTuple):
    """A method of a service in a `.proto` file whose generated code is imported.

    Attributes:
        request: the full name of the request's type.
        answer: the class of the answer.
        input_streaming: whether the request is a stream.
        output_streaming: whether the answer is a stream.
    """

    request: str
    answer: type[Message]
    input_streaming: bool
    output_streaming: bool


def is_message(value: object) -> bool:
    """Return whether a value is a protobuf message."""
    return isinstance(value, Message)


def generated_method(message: Message, path: str) -> GeneratedMethod | None:
    """Return the method of a path in the pool of a message's type; None if its service was not generated."""
    service, _, name = path.removeprefix("/").rpartition("/")
    try:
        found = message.DESCRIPTOR.file.pool.FindServiceByName(service).methods_by_name[name]
    except KeyError:
        return None
    answer: Any = found.output_type  # its class depends on protobuf's implementation
    kind = GetMessageClass(answer)
    return GeneratedMethod(found.input_type.full_name, kind, found.client_streaming, found.server_streaming)


def to_bytes(message: Message, name: str, expected: str) -> bytes:
    """Return a request's bytes.

    Raises:
        InputError: it is of another type than expected, or lacks a required field.
    """
    given = message.DESCRIPTOR.full_name
    if given != expected:
        raise InputError(f"{name}(): expected a message of {expected}, not of {given}")
    try:
        data: bytes = message.SerializeToString()
    except EncodeError as error:
        raise InputError(f"{name}(): {error}") from None
    return data


def from_bytes(data: bytes, kind: type[Message]) -> Message:
    """Return an answer. Raises an InvalidResponseError for bytes that are not of its type."""
    try:
        return kind.FromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise InvalidResponseError(f"the answer is not a valid {kind.DESCRIPTOR.full_name}: {error}") from error
