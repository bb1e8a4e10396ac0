"""Checks of a server's file descriptors before they are added to protobuf's pool.

protobuf relies on its compiler to refuse invalid files. Its implementation in Python, used on PyPy and musl, accepts
any text as a name, makes fields attributes of classes, and loops forever on a negative number. The one in C, which the
wheels have, crashes at the default of a repeated field, and stores the full name of everything a file defines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import NoneType
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, Edition, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty

from ..._text.cleaning import clean, short_repr
from ...errors import SchemaError
from ..budget import Budget
from ..identifiers import is_name
from .fields import INTEGERS, is_repeated

_HAS_ATTRIBUTES = "seconds" in vars(Duration)
"""Whether fields are attributes of their messages' classes, where they hide methods of the same name."""
_ATTRIBUTES = frozenset({*dir(Empty), "Extensions"})
_UNSTABLE = 9999
"""The first of the editions that protobuf keeps for its tests."""
_MAX_NUMBER, _MAX_EXTENSION = 2**29 - 1, 2**31 - 1
"""The numbers of extensions of message sets are larger."""
_NAMED: dict[int, type[Any]] = {
    FieldDescriptor.TYPE_MESSAGE: Descriptor,
    FieldDescriptor.TYPE_GROUP: Descriptor,
    FieldDescriptor.TYPE_ENUM: EnumDescriptor,
}
"""The types of fields with a type name -> what it names."""
_GROUP = FieldDescriptorProto.TYPE_GROUP
_KEYS = {*INTEGERS, FieldDescriptorProto.TYPE_BOOL, FieldDescriptorProto.TYPE_STRING}
"""The types of a map's keys."""


def check_file(file: FileDescriptorProto, budget: Budget) -> None:
    """Check the names and fields of a file, within the budget.

    Raises:
        SchemaError: a name is invalid (not `[A-Za-z_][A-Za-z0-9_]*`), too long, used twice, or used by protobuf itself;
            a field is invalid; or the budget is spent.
    """
    budget.check_name(file.name)
    try:
        if file.syntax == "editions" and not Edition.EDITION_2023 <= file.edition < _UNSTABLE:
            raise ValueError("its edition is unknown")
        _check_names(_scopes(file, budget), budget)
    except ValueError as error:
        raise SchemaError(clean(f"the file {file.name} is not valid: {error}")) from None


def _check_names(scopes: Iterator[tuple[str, list[str]]], budget: Budget) -> None:
    for scope, names in scopes:
        budget.spend("nodes", len(names))
        budget.spend("bytes", len(names) * len(budget.check_name(scope)))
        for name in names:
            if not isinstance(name, str) or not is_name(budget.check_name(name)):  # bytes are not UTF-8
                raise ValueError(f"{short_repr(name)} is not a valid name")
        if len({*names}) < len(names):
            raise ValueError(f"{short_repr(scope)} has one name twice")


def _scopes(file: FileDescriptorProto, budget: Budget) -> Iterator[tuple[str, list[str]]]:
    """Yield scopes with their names. An enum's values belong to the scope of the enum."""
    if file.package:
        yield "", list(dict.fromkeys(file.package.split(".")))
    budget.spend("types", len(file.message_type) + len(file.enum_type))
    _check_fields(file.extension, most=_MAX_EXTENSION)
    yield file.package, _names(file.message_type, file.enum_type, file.service, file.extension, *_values(file))
    for service in file.service:
        budget.spend("names", 1 + len(service.method))
        yield _join(file.package, service.name), _names(service.method)
    waiting = [(file.package, message) for message in file.message_type]
    while waiting:
        scope, message = waiting.pop()
        scope = _join(scope, message.name)
        budget.spend("types", len(message.nested_type) + len(message.enum_type))
        _check_message(message)
        members = (message.field, message.oneof_decl, message.extension)
        yield scope, _names(*members, message.nested_type, message.enum_type, *_values(message))
        waiting += [(scope, nested) for nested in message.nested_type]


def _check_message(message: DescriptorProto) -> None:
    _check_fields(message.field, len(message.oneof_decl), most=_MAX_NUMBER)
    _check_fields(message.extension, most=_MAX_EXTENSION)
    if len({field.number for field in message.field}) < len(message.field):
        raise ValueError(f"{short_repr(message.name)} has two fields of one number")
    if message.options.map_entry and not _is_map_entry(message.field):
        raise ValueError(f"{short_repr(message.name)} is not a map entry")
    for field in message.field if _HAS_ATTRIBUTES else ():
        is_special = field.name.startswith("__") and field.name.endswith("__")
        # `<FIELD>_FIELD_NUMBER` is an attribute too.
        if is_special or field.name in _ATTRIBUTES or field.name.endswith("_FIELD_NUMBER"):
            raise ValueError(f"protobuf's implementation in Python can't have a field {short_repr(field.name)}")


def _is_map_entry(fields: Sequence[FieldDescriptorProto]) -> bool:
    are_single = all(field.label != field.LABEL_REPEATED and not field.HasField("oneof_index") for field in fields)
    named = [(field.name, field.number) for field in fields]
    return named == [("key", 1), ("value", 2)] and are_single and fields[0].type in _KEYS and fields[1].type != _GROUP


def _check_fields(fields: Iterable[FieldDescriptorProto], oneofs: int = 0, *, most: int) -> None:
    for field in fields:
        if not 0 < field.number <= most:
            raise ValueError(f"the field {short_repr(field.name)} has the number {field.number}")
        if field.label == field.LABEL_REPEATED and field.HasField("default_value"):
            raise ValueError(f"the repeated field {short_repr(field.name)} has a default")
        if not field.HasField("type") or (field.type in _NAMED) != bool(field.type_name):
            raise ValueError(f"the field {short_repr(field.name)} has no type")
        if field.HasField("oneof_index") and not 0 <= field.oneof_index < oneofs:
            raise ValueError(f"the field {short_repr(field.name)} has no oneof")


def check_types(file: FileDescriptor) -> None:
    """Check that fields and methods of a file refer to types of the right kind.

    Raises:
        TypeError: one does not.
    """
    for service in file.services_by_name.values():
        for method in service.methods:
            if not (isinstance(method.input_type, Descriptor) and isinstance(method.output_type, Descriptor)):
                raise TypeError(f"the request or the response of {method.full_name} is not a message")
    waiting = [*file.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        waiting += message.nested_types
        for field in message.fields:
            _check_type(field)


def _check_type(field: FieldDescriptor) -> None:
    expected = _NAMED.get(field.type, NoneType)
    found = field.message_type if field.message_type is not None else field.enum_type
    is_entry = isinstance(found, Descriptor) and found.GetOptions().map_entry
    if not isinstance(found, expected) or (is_entry and not is_repeated(field)):
        raise TypeError(f"the field {field.full_name} has a type of another kind")


def _values(scope: FileDescriptorProto | DescriptorProto) -> Iterator[Any]:
    for enum in scope.enum_type:
        if not enum.value:
            raise ValueError(f"the enum {short_repr(enum.name)} has no value")
        yield enum.value


def _names(*definitions: Any) -> list[str]:
    return [definition.name for group in definitions for definition in group]


def _join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name
