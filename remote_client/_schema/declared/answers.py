"""Converts answers before pydantic validates them as a declared type: enums to members, wrapped lists to lists.

The converter is made once from the declared type and the server's.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from functools import partial
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel

from ..declaration import stripped
from .types import core, fields_of, is_typed_dict, is_union, item_of, shape

Converter = Callable[[Any], Any]


def as_builtins(value: Any) -> Any:
    """Convert the server's models in an answer to dicts, without unset fields."""
    if isinstance(value, BaseModel):
        return {name: as_builtins(item) for name, item in vars(value).items() if item is not None}
    if isinstance(value, list):
        return [as_builtins(item) for item in value]
    if isinstance(value, dict):
        return {key: as_builtins(item) for key, item in value.items()}
    return value


def converter_to(own: Any, served: Any) -> Converter | None:
    """Return the converter of an answer, after `as_builtins`, to a declared type; None if there is nothing to do."""
    return _Converters().of(own, served)


class _Converters:
    """The converters of one declared type and of all types inside it."""

    def __init__(self) -> None:
        self._begun: dict[Any, Converter] = {}

    def of(self, own: Any, served: Any) -> Converter | None:
        own, served = core(own), core(served)
        if isinstance(own, type) and issubclass(own, enum.Enum):
            return partial(_member, own)
        if is_union(own):
            return self._union(own, served)
        fields, own_shape = fields_of(own), shape(own)
        if fields is not None:
            return self._message(own, fields, fields_of(served) or {})
        if own_shape == "text":
            return _name if isinstance(served, type) and issubclass(served, enum.Enum) else None
        if own_shape == "list":
            return self._list(own, served)
        if own_shape == "mapping":
            convert = self.of(item_of(own), item_of(served) if shape(served) == "mapping" else Any)
            return partial(_convert_values, convert) if convert else None
        return None

    def _list(self, own: Any, served: Any) -> Converter | None:
        fields = fields_of(served)
        is_wrapped = fields is not None and [*fields] == ["values"]
        served = fields["values"] if fields is not None and is_wrapped else served
        convert = self.of(item_of(own), item_of(served) if shape(core(served)) == "list" else Any)
        return partial(_convert_items, convert) if convert or is_wrapped else None

    def _message(self, own: Any, fields: Mapping[str, Any], served: Mapping[str, Any]) -> Converter | None:
        if own in self._begun:
            return self._begun[own]
        converters: dict[str, Converter] = {}
        nullable = frozenset(_required_nullable(own, fields))
        self._begun[own] = made = partial(_convert_fields, converters, nullable)  # a field may have the same type
        for name, kind in fields.items():
            if (convert := self.of(kind, served.get(name, Any))) is not None:
                converters[name] = convert
        return made if converters or nullable else None

    def _union(self, own: Any, served: Any) -> Converter | None:
        """Return a converter that looks at the value: a dict is the first message that has its fields."""
        members = [core(member) for member in get_args(own)]
        served_members = [core(member) for member in get_args(served)] if is_union(served) else [served]
        served_fields = next(filter(None, map(fields_of, served_members)), {})
        enums = [member for member in members if isinstance(member, type) and issubclass(member, enum.Enum)]
        messages = [
            (frozenset(fields), self._message(member, fields, served_fields))
            for member in members
            if (fields := fields_of(member)) is not None
        ]
        has_list = any(shape(member) == "list" for member in members)
        if not enums and not has_list and not any(convert for _, convert in messages):
            return None
        return partial(_convert_union, enums, messages, has_list)


def _required_nullable(kind: Any, fields: Mapping[str, Any]) -> list[str]:
    """Return the required fields that may be None: `as_builtins` drops them, and pydantic would miss them."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        required = {name for name, field in kind.model_fields.items() if field.is_required()}
    elif is_typed_dict(kind):
        required = set(kind.__required_keys__)
    else:
        missing = dataclasses.MISSING
        declared: Any = kind
        required = {
            field.name
            for field in dataclasses.fields(declared)
            if field.default is missing and field.default_factory is missing
        }
    return [name for name in fields if name in required and NoneType in get_args(stripped(fields[name]))]


def _member(kind: type[enum.Enum], value: Any) -> Any:
    """Return the member with the name of the server's, or else the one whose value is its name or number."""
    name = value.name if isinstance(value, enum.Enum) else value
    if isinstance(name, str) and name in kind.__members__:
        return kind[name]
    for wanted in (name, value):
        for member in kind:
            if type(member.value) is not bool and member.value == wanted:
                return member
    return value


def _name(value: Any) -> Any:
    return value.name if isinstance(value, enum.Enum) else value


def _convert_items(convert: Converter | None, value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"values"}:
        value = value["values"]
    return [convert(item) for item in value] if convert and isinstance(value, list) else value


def _convert_values(convert: Converter, value: Any) -> Any:
    return {key: convert(item) for key, item in value.items()} if isinstance(value, dict) else value


def _convert_fields(converters: Mapping[str, Converter], nullable: frozenset[str], value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields = {name: converters[name](item) if name in converters else item for name, item in value.items()}
    return dict.fromkeys(nullable - fields.keys()) | fields


def _convert_union(
    enums: list[type[enum.Enum]], messages: list[tuple[frozenset[str], Converter | None]], has_list: bool, value: Any
) -> Any:
    if isinstance(value, dict):
        if has_list and value.keys() == {"values"}:
            return value["values"]
        convert = next((convert for fields, convert in messages if convert and value.keys() <= fields), None)
        return convert(value) if convert else value
    for kind in enums:
        if isinstance(member := _member(kind, value), kind):
            return member
    return value
