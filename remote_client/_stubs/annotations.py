"""Annotations of a written file, from the types of a description."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from .._schema.openapi.file_response import FileResponse
from .._schema.training_data import DATA_STREAM

_MAX_DEPTH = 30
"""The nesting of generic types: Python reads no more than 200 nested brackets."""
_MAX_LENGTH = 200_000
"""The length of an annotation: types that share parts are small in the schema and may be endless in writing."""
_MAX_CHAIN = 50
"""The members of a union that is written with `|`: Python's parser nests them."""
_MAX_MEMBERS = 1_000
"""The members of a union: type checkers need minutes for more."""
_PLAIN = (bool, int, float, str, bytes, datetime, date, time, timedelta, FileResponse, PurePath)
_GENERIC = (list, dict, Iterable, AsyncIterable, Mapping)


class Annotations:
    """Writes types as annotations.

    Args:
        name: returns the file's name of something it imports.
        classes: returns the name of a model or an enum, or None if the annotation must not use it.
        blocking: whether the file is for `remote_client.sync`, which takes no `AsyncIterable`.
    """

    def __init__(self, name: Callable[[str], str], classes: Callable[[type], str | None], blocking: bool) -> None:
        self._name = name
        self._classes = classes
        self._blocking = blocking
        self._written: dict[tuple[int, int], tuple[str, Any]] = {}

    def of(self, kind: Any, depth: int = 0) -> str:
        """Return a type's annotation, or `Any` if it would be too large."""
        key = id(kind), depth  # types that share parts would take exponential time
        if key not in self._written:
            self._written[key] = self._of(kind, depth), kind
        return self._written[key][0]

    def _of(self, kind: Any, depth: int) -> str:
        kind = _stripped(kind)
        members = members_of(kind)
        if len(members) > 1:
            return self._union(members, depth)
        origin = get_origin(kind)
        if origin is AsyncIterator:
            return self._generic("RemoteStream", get_args(kind), depth)
        if origin in _GENERIC:
            return self._generic(origin.__name__, get_args(kind), depth)
        if kind in (None, NoneType):
            return "None"
        if kind in _PLAIN:
            return self._name(kind.__name__)
        name = self._classes(kind) if isinstance(kind, type) else None
        return self._name("Any") if name is None else name

    def _union(self, members: list[Any], depth: int) -> str:
        if self._blocking:
            members = [member for member in members if get_origin(member) is not AsyncIterable]
        if len(members) > _MAX_MEMBERS:
            return self._name("Any")
        annotations = list(dict.fromkeys(self.of(member, depth) for member in members))
        if len(annotations) <= _MAX_CHAIN:
            return self._short(" | ".join, annotations)
        return self._bracketed("Union", annotations)

    def _generic(self, name: str, arguments: tuple[Any, ...], depth: int) -> str:
        if depth >= _MAX_DEPTH:
            return self._name("Any")
        return self._bracketed(name, [self.of(argument, depth + 1) for argument in arguments])

    def _bracketed(self, name: str, arguments: list[str]) -> str:
        return self._short(lambda parts: f"{self._name(name)}[{', '.join(parts)}]", arguments)

    def _short(self, join: Callable[[list[str]], str], parts: list[str]) -> str:
        return join(parts) if sum(map(len, parts)) <= _MAX_LENGTH else self._name("Any")


def members_of(kind: Any) -> list[Any]:
    """Return the members of a union and of the unions inside it. The only member of another type is the type itself."""
    members: dict[int, Any] = {}
    waiting = [kind]
    while waiting:
        member = _stripped(waiting.pop())
        if get_origin(member) in (Union, UnionType):
            waiting += reversed(get_args(member))
        else:
            members.setdefault(id(member), member)
    return list(members.values())


def _stripped(kind: Any) -> Any:
    """Return a type without its `Annotated` metadata."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def reached(kinds: Iterable[Any]) -> dict[type, list[type]]:
    """Return the models and enums that types use directly or through fields: type -> the types its fields name."""
    found: dict[type, list[type]] = {}
    waiting = _named(kinds)
    while waiting:
        kind: Any = waiting.pop()
        if kind not in found:
            fields = kind.model_fields.values() if is_model(kind) else ()
            found[kind] = _named(field.annotation for field in fields)
            waiting += found[kind]
    return found


def _named(kinds: Iterable[Any]) -> list[type]:
    """Return the models and enums among types and their type arguments."""
    found: dict[type, None] = {}
    seen: dict[int, Any] = {}
    waiting = list(kinds)
    while waiting:
        kind = _stripped(waiting.pop())
        if id(kind) not in seen:  # types that share parts would take exponential time
            seen[id(kind)] = kind
            waiting += get_args(kind)
            if is_enum(kind) or is_model(kind):
                found[kind] = None
    return list(found)


def is_enum(kind: Any) -> bool:
    """Return whether a type is an enum."""
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def is_model(kind: Any) -> bool:
    """Return whether a type is a pydantic model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def fits(value: Any, kind: Any, known: dict[tuple[int, int], bool] | None = None) -> bool:
    """Return whether type checkers accept a literal where a type is expected.

    Args:
        value: the literal's value.
        kind: the type.
        known: results for the value's parts.
    """
    known = {} if known is None else known
    key = id(value), id(kind)  # unions whose members share parts would take exponential time
    if key not in known:
        known[key] = any(_fits_one(value, member, known) for member in members_of(kind))
    return known[key]


def _fits_one(value: Any, kind: Any, known: dict[tuple[int, int], bool]) -> bool:
    if kind is Any:
        return True
    if kind in (None, NoneType):
        return value is None
    inner = get_args(kind)
    if get_origin(kind) is list:
        return type(value) is list and all(fits(item, inner[0], known) for item in value)
    if get_origin(kind) is dict:
        items = value.items() if type(value) is dict else [(None, None)]
        return all(fits(key, inner[0], known) and fits(item, inner[1], known) for key, item in items)
    return type(value) is kind or (kind is float and type(value) is int)


def is_stream(kind: Any) -> bool:
    """Return whether a parameter's type is that of a streamed input."""
    return any(get_origin(member) is AsyncIterable for member in members_of(kind))


def stream_of(kind: Any) -> Any:
    """Return the type of a parameter that takes a stream, or one value for all messages."""
    return Union[Iterable[kind], AsyncIterable[kind], kind]  # noqa: UP007 - `kind` may be None


def source_of(kind: Any) -> Any:
    """Return the type of a training's data parameter as callers pass it. Return any other type unchanged."""
    for member in members_of(kind):
        if is_model(member) and list(member.model_fields) == [DATA_STREAM]:
            row: Any = next(_rows(member.model_fields[DATA_STREAM].annotation), Any)
            return Iterable[row] | AsyncIterable[row] | PurePath | Mapping[str, Any]
    return kind


def _rows(kind: Any) -> Iterator[Any]:
    """Yield the row types of a data stream's message."""
    for member in members_of(kind):
        if is_model(member) and list(member.model_fields) == ["data"]:
            lists = members_of(member.model_fields["data"].annotation)
            yield from (get_args(rows)[0] for rows in lists if get_origin(rows) is list)
