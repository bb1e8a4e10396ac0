"""Protobuf messages for the types of declared methods: pydantic models, dataclasses, typed dicts and enums."""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime, timedelta
from typing import Any, get_args

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from pydantic import BaseModel

from .._schema.declaration import members_of, stripped
from .._schema.declared.types import core, fields_of, is_typed_dict, is_union, item_of, shape, type_text
from ..errors import ConfigurationError
from ._builder import add_field, add_map, new_file
from ._caikit_files import COMMON, SEQUENCES

_SCALARS = {"bool": "bool", "number": "int64", "float": "double", "text": "string", "bytes": "bytes"}
_NAMES = {"bool": "bool", "number": "int", "float": "float", "text": "str", "bytes": "bytes"}
"""The shape of a scalar -> its name in those of a union's members."""
_STRUCT, _VALUE = "google.protobuf.Struct", "google.protobuf.Value"
_FILE_FIELDS = {"data", "filename", "type"}
_ANYTHING = (Any, object)
_KEYS = {"text": "string", "number": "int64"}
_DEPENDENCIES = (
    f"{COMMON}.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
)


class DeclaredMessages:
    """The messages and enums of a library's types, made when a field first refers to them.

    Attributes:
        file: the file that has them. They share one, as files cannot depend on each other in circles.
    """

    def __init__(self, package: str) -> None:
        self.file: FileDescriptorProto = new_file(f"{package}.proto", package, _DEPENDENCIES)
        self._kinds: dict[Any, str] = {}
        self._names: set[str] = set()

    def add(self, message: DescriptorProto, full_name: str, name: str, kind: Any, *, optional: bool = False) -> None:
        """Add a field of a declared type to a message.

        Args:
            message: the message, which may be in another file.
            full_name: its full name.
            name: the field's name.
            kind: the declared type.
            optional: whether the field can be unset, besides the fields whose type has None.

        Raises:
            ConfigurationError: gRPC has no such type.
        """
        optional = optional or type(None) in members_of(kind)
        own = core(kind)
        if is_union(own):
            self._add_union(message, name, own)
            return
        own_shape = shape(own)
        if own_shape == "list":
            item = self._item(core(item_of(own)), name)
            add_field(message, name, item, repeated=True)
        elif own_shape == "mapping" and (key := self._key(own)) is not None:
            value = self._single(core(item_of(own)), name)
            add_map(message, full_name, name, key, value)
        else:
            add_field(message, name, self._single(own, name), optional=optional)

    def message(self, kind: Any, where: str) -> str:
        """Return the full name of the message of a declared type.

        Raises:
            ConfigurationError: the type is none that a message can have.
        """
        if fields_of(core(kind)) is None:
            raise ConfigurationError(
                f"{where}: {type_text(kind)} cannot be an answer: declare a pydantic model, a dataclass or a TypedDict"
            )
        return self._single(core(kind), where)

    def _single(self, kind: Any, where: str) -> str:
        """Return the type of a field that is no list, map or union."""
        if fields_of(kind) is not None:
            return self._message(kind)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            # caikit's enums are numbers; a class with texts stands for one of a server's texts.
            return "string" if all(isinstance(member.value, str) for member in kind) else self._enum(kind, where)
        own_shape = shape(kind)
        if own_shape in _SCALARS:
            return _SCALARS[own_shape]
        if own_shape == "mapping":
            return _STRUCT
        if own_shape == "time" and issubclass(kind, (datetime, timedelta)):
            return f"google.protobuf.{'Timestamp' if issubclass(kind, datetime) else 'Duration'}"
        if own_shape in ("any", "list") or kind in _ANYTHING:
            return _VALUE
        raise ConfigurationError(f"{where}: {type_text(kind)} has no type in gRPC")

    def _item(self, kind: Any, where: str) -> str:
        return _VALUE if is_union(kind) else self._single(kind, where)

    def _key(self, kind: Any) -> str | None:
        """Return the type of a map's keys, or None for a mapping of JSON values, which is a Struct."""
        arguments = get_args(kind)
        if len(arguments) != 2:
            return None
        key, value = map(core, arguments)
        is_map = shape(key) in _KEYS and not is_union(value) and shape(value) not in ("any", "list", "mapping")
        return _KEYS[shape(key)] if is_map and value not in _ANYTHING else None

    def _add_union(self, message: DescriptorProto, name: str, kind: Any) -> None:
        taken = set[str]()
        for member in map(core, members_of(kind)):
            if member is type(None):
                continue
            suffix, found = self._member(member, name)
            if suffix not in taken:
                taken.add(suffix)
                add_field(message, f"{name}_{suffix}", found, oneof=name)

    def _member(self, member: Any, where: str) -> tuple[str, str]:
        """Return the suffix of the name of a union's member, and its type: a message that holds a list, or the same."""
        if shape(member) == "list":
            item = _NAMES.get(shape(core(item_of(member))))
            if item not in SEQUENCES:
                raise ConfigurationError(f"{where}: {type_text(member)} cannot be a member of a union in gRPC")
            return f"{item}_sequence", f"{COMMON}.{SEQUENCES[item]}"
        found = self._single(member, where)
        return _NAMES.get(shape(member)) or found.rpartition(".")[2].lower(), found

    def _message(self, kind: Any) -> str:
        if kind.__name__ == "File" and {*(fields_of(kind) or {})} == _FILE_FIELDS:
            return f"{COMMON}.File"  # which clients send as a file
        if kind not in self._kinds:
            name = self._unique(kind.__name__)
            full_name = f"{self.file.package}.{name}"
            self._kinds[kind] = full_name  # a field may have the same type
            message = self.file.message_type.add(name=name)
            defaults = _with_defaults(kind)
            for field, own in (fields_of(kind) or {}).items():
                self.add(message, full_name, field, own, optional=field in defaults)
        return self._kinds[kind]

    def _enum(self, kind: type[enum.Enum], where: str) -> str:
        if not all(type(member.value) is int for member in kind):
            raise ConfigurationError(f"{where}: {kind.__name__}: the values of an enum are all numbers, or all texts")
        if kind not in self._kinds:
            name = self._unique(kind.__name__)
            # The names of an enum's members are its siblings' in protobuf: a message keeps them apart.
            holder = self.file.message_type.add(name=self._unique(f"{name}Holder"))
            self._kinds[kind] = f"enum {self.file.package}.{holder.name}.{name}"
            declared = holder.enum_type.add(name=name)
            for member, number in _numbered(kind):
                declared.value.add(name=member, number=number)
        return self._kinds[kind]

    def _unique(self, name: str) -> str:
        """Return a name that no other type has: two Python modules may have a class of one name."""
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}{count}"
        self._names.add(found)
        return found


def _numbered(kind: type[enum.Enum]) -> list[tuple[str, int]]:
    """Return the names and numbers of an enum's members, zero first, as proto3 wants it."""
    numbered = [(member.name, member.value) for member in kind]
    if all(number for _, number in numbered):
        numbered.append(("PLACEHOLDER_UNSET", 0))
    return sorted(numbered, key=lambda pair: pair[1] != 0)


def _with_defaults(kind: Any) -> set[str]:
    """Return the fields of a message that may be missing: unset they have the default of the class, not of protobuf."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name for name, field in kind.model_fields.items() if not field.is_required()}
    if is_typed_dict(kind):
        return {*(fields_of(kind) or {})} - {*kind.__required_keys__}
    missing = dataclasses.MISSING
    return {
        field.name
        for field in dataclasses.fields(stripped(kind))
        if field.default is not missing or field.default_factory is not missing
    }
