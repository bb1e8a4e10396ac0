"""The types of a description, as annotations of a written file."""

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
"""Of types in brackets: Python reads no more than 200 brackets inside of each other."""
_MAX_LENGTH = 200_000
"""Of an annotation: types that share parts may be short to tell and endless to write."""
_MAX_CHAIN = 50
"""Members of a union that are written with `|`, of which Python reads each inside of the next."""
_MAX_MEMBERS = 1_000
"""Of a union: type checkers need minutes for more."""
_PLAIN = (bool, int, float, str, bytes, datetime, date, time, timedelta, FileResponse, PurePath)
_GENERIC = (list, dict, Iterable, AsyncIterable, Mapping)


class Annotations:
    """Spells types.

    Args:
        name: returns how the file calls what it imports.
        classes: returns the name of a model or an enum; None for one that must not be named.
        blocking: for `remote_client.sync`, where nothing is an `AsyncIterable`.
    """

    def __init__(self, name: Callable[[str], str], classes: Callable[[type], str | None], blocking: bool) -> None:
        self._name = name
        self._classes = classes
        self._blocking = blocking
        self._spelled: dict[tuple[int, int], tuple[str, Any]] = {}

    def of(self, kind: Any, depth: int = 0) -> str:
        """Return a type's annotation; `Any` for what no annotation of a reasonable size stands for."""
        key = id(kind), depth  # once, as types may share parts again and again
        if key not in self._spelled:
            self._spelled[key] = self._of(kind, depth), kind
        return self._spelled[key][0]

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
        known = self._classes(kind) if isinstance(kind, type) else None
        return self._name("Any") if known is None else known

    def _union(self, members: list[Any], depth: int) -> str:
        if self._blocking:
            members = [each for each in members if get_origin(each) is not AsyncIterable]
        if len(members) > _MAX_MEMBERS:
            return self._name("Any")
        spelled = list(dict.fromkeys(self.of(each, depth) for each in members))
        if len(spelled) <= _MAX_CHAIN:
            return self._short(" | ".join, spelled)
        return self._short(lambda each: f"{self._name('Union')}[{', '.join(each)}]", spelled)

    def _generic(self, name: str, arguments: tuple[Any, ...], depth: int) -> str:
        if depth >= _MAX_DEPTH:
            return self._name("Any")
        inner = [self.of(each, depth + 1) for each in arguments]
        return self._short(lambda each: f"{self._name(name)}[{', '.join(each)}]", inner)

    def _short(self, join: Callable[[list[str]], str], parts: list[str]) -> str:
        return join(parts) if sum(map(len, parts)) <= _MAX_LENGTH else self._name("Any")


def members_of(kind: Any) -> list[Any]:
    """Return the members of a union, also of those inside of it; any other type is its own only one."""
    found: dict[int, Any] = {}
    waiting = [kind]
    while waiting:
        each = _stripped(waiting.pop())
        if get_origin(each) in (Union, UnionType):
            waiting += reversed(get_args(each))
        else:
            found.setdefault(id(each), each)
    return list(found.values())


def _stripped(kind: Any) -> Any:
    """A type without the marks that check its values."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def reached(kinds: Iterable[Any]) -> dict[type, list[type]]:
    """Return the models and enums among types, their arguments and fields, each with those that its fields name."""
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
    """The models and enums among types and their arguments."""
    found: dict[type, None] = {}
    seen: dict[int, Any] = {}
    waiting = list(kinds)
    while waiting:
        kind = _stripped(waiting.pop())
        if id(kind) not in seen:  # once, as types may share parts again and again
            seen[id(kind)] = kind
            waiting += get_args(kind)
            if is_enum(kind) or is_model(kind):
                found[kind] = None
    return list(found)


def is_enum(kind: Any) -> bool:
    """Whether a type is an enum."""
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def is_model(kind: Any) -> bool:
    """Whether a type is a pydantic model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def fits(value: Any, kind: Any, known: dict[tuple[int, int], bool] | None = None) -> bool:
    """Return whether type checkers take a value for one of a type.

    Args:
        value: what a literal stands for.
        kind: the type.
        known: what was found of the value's parts.
    """
    known = {} if known is None else known
    key = id(value), id(kind)  # once, as the members of unions may share parts again and again
    if key not in known:
        known[key] = any(_fits_one(value, each, known) for each in members_of(kind))
    return known[key]


def _fits_one(value: Any, kind: Any, known: dict[tuple[int, int], bool]) -> bool:
    if kind is Any:
        return True
    if kind in (None, NoneType):
        return value is None
    inner = get_args(kind)
    if get_origin(kind) is list:
        return type(value) is list and all(fits(each, inner[0], known) for each in value)
    if get_origin(kind) is dict:
        items = value.items() if type(value) is dict else [(None, None)]
        return all(fits(key, inner[0], known) and fits(each, inner[1], known) for key, each in items)
    return type(value) is kind or (kind is float and type(value) is int)


def is_stream(kind: Any) -> bool:
    """Whether a parameter's type is that of a streamed input."""
    return any(get_origin(each) is AsyncIterable for each in members_of(kind))


def stream_of(kind: Any) -> Any:
    """Return the type of a parameter that may be a streamed input, and may be one value for all its messages."""
    return Union[Iterable[kind], AsyncIterable[kind], kind]  # noqa: UP007 - `kind` may be None


def source_of(kind: Any) -> Any:
    """Return the type of what may be given as a training's data; any other type as it is."""
    for each in members_of(kind):
        if is_model(each) and list(each.model_fields) == [DATA_STREAM]:
            row: Any = next(_rows(each.model_fields[DATA_STREAM].annotation), Any)
            return Iterable[row] | AsyncIterable[row] | PurePath | Mapping[str, Any]
    return kind


def _rows(kind: Any) -> Iterator[Any]:
    """The types of rows, of the message that holds them."""
    for each in members_of(kind):
        if is_model(each) and list(each.model_fields) == ["data"]:
            lists = members_of(each.model_fields["data"].annotation)
            yield from (get_args(one)[0] for one in lists if get_origin(one) is list)
