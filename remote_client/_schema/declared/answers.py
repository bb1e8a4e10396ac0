"""Answers in the form that pydantic reads a declared type from: enums as members, lists without their messages.

A shaper is made once of a declared type and the server's own; it is None where there is nothing to do.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

from pydantic import BaseModel

from ..declaration import stripped
from .types import core, fields_of, is_typed_dict, is_union, item_of, shape

Shaper = Callable[[Any], Any]


def unwrapped(value: Any) -> Any:
    """An answer without the server's own types, and without what is not set."""
    if isinstance(value, BaseModel):
        return {name: unwrapped(each) for name, each in vars(value).items() if each is not None}
    if isinstance(value, list):
        return [unwrapped(each) for each in value]
    if isinstance(value, dict):
        return {key: unwrapped(each) for key, each in value.items()}
    return value


def shaper(own: Any, served: Any) -> Shaper | None:
    """What makes of an answer, once it is unwrapped, what the declared type is read from."""
    return _Shapers().of(own, served)


class _Shapers:
    """The shapers of one declared type and all that it has."""

    def __init__(self) -> None:
        self._begun: dict[Any, Shaper] = {}

    def of(self, own: Any, served: Any) -> Shaper | None:
        own, served = core(own), core(served)
        if isinstance(own, type) and issubclass(own, enum.Enum):
            return partial(_member, own)
        if is_union(own):
            return self._union(own, served)
        fields, looks = fields_of(own), shape(own)
        if fields is not None:
            return self._message(own, fields, fields_of(served) or {})
        if looks == "text":
            return _name if isinstance(served, type) and issubclass(served, enum.Enum) else None
        if looks == "list":
            return self._list(own, served)
        if looks == "mapping":
            values = self.of(item_of(own), item_of(served) if shape(served) == "mapping" else Any)
            return partial(_each_value, values) if values else None
        return None

    def _list(self, own: Any, served: Any) -> Shaper | None:
        inner = fields_of(served)
        is_sequence = inner is not None and [*inner] == ["values"]
        served = inner["values"] if inner is not None and is_sequence else served
        items = self.of(item_of(own), item_of(served) if shape(core(served)) == "list" else Any)
        return partial(_items, items) if items or is_sequence else None

    def _message(self, own: Any, fields: Mapping[str, Any], served: Mapping[str, Any]) -> Shaper | None:
        if own in self._begun:
            return self._begun[own]
        shapers: dict[str, Shaper] = {}
        nullable = frozenset(_nullable(own, fields))
        self._begun[own] = made = partial(_fields, shapers, nullable)  # it may have itself
        for name, kind in fields.items():
            if (found := self.of(kind, served.get(name, Any))) is not None:
                shapers[name] = found
        return made if shapers or nullable else None

    def _union(self, own: Any, served: Any) -> Shaper | None:
        """One that looks at the value: a mapping is the first message that has its fields."""
        members = [core(each) for each in get_args(own)]
        others = [core(each) for each in get_args(served)] if is_union(served) else [served]
        enums = [each for each in members if isinstance(each, type) and issubclass(each, enum.Enum)]
        messages = [(each, found) for each in members if (found := fields_of(each)) is not None]
        shapers = [
            (frozenset(found), self._message(each, found, next(filter(None, map(fields_of, others)), {})))
            for each, found in messages
        ]
        lists = any(shape(each) == "list" for each in members)
        if not enums and not lists and not any(each for _, each in shapers):
            return None
        return partial(_choose, enums, shapers, lists)


def _nullable(kind: Any, fields: Mapping[str, Any]) -> list[str]:
    """The fields that must be there and may be None: what is not set is left out of an unwrapped answer."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        required = {name for name, each in kind.model_fields.items() if each.is_required()}
    elif is_typed_dict(kind):
        required = set(kind.__required_keys__)
    else:
        return []  # dataclasses
    return [name for name in fields if name in required and _allows_none(fields[name])]


def _allows_none(kind: Any) -> bool:
    return any(each is type(None) for each in get_args(stripped(kind)))


def _member(kind: type[enum.Enum], value: Any) -> Any:
    """The member that has the server's name, or else its text or its number."""
    name = value.name if isinstance(value, enum.Enum) else value
    if isinstance(name, str) and name in kind.__members__:
        return kind[name]
    for each in (name, value):
        for member in kind:
            if type(member.value) is not bool and member.value == each:
                return member
    return value


def _name(value: Any) -> Any:
    return value.name if isinstance(value, enum.Enum) else value


def _items(shaped: Shaper | None, value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"values"}:
        value = value["values"]
    return [shaped(each) for each in value] if shaped and isinstance(value, list) else value


def _each_value(shaped: Shaper, value: Any) -> Any:
    return {key: shaped(each) for key, each in value.items()} if isinstance(value, dict) else value


def _fields(shapers: Mapping[str, Shaper], nullable: frozenset[str], value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    told = {name: shapers[name](each) if name in shapers else each for name, each in value.items()}
    return dict.fromkeys(nullable - told.keys()) | told


def _choose(
    enums: list[type[enum.Enum]], messages: list[tuple[frozenset[str], Shaper | None]], lists: bool, value: Any
) -> Any:
    if isinstance(value, dict):
        if lists and value.keys() == {"values"}:
            return value["values"]
        fitting = next((each for fields, each in messages if each and value.keys() <= fields), None)
        return fitting(value) if fitting else value
    for kind in enums:
        if isinstance(found := _member(kind, value), kind):
            return found
    return value
