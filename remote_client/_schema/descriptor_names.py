"""The names in a server's file descriptors. They are checked and counted before protobuf's pool gets the file.

protobuf's implementation in Python, which PyPy and musl have, takes any text for a name, and has fields as attributes
of classes. That in C, which the wheels have, keeps the full name of all that a file defines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty

from ..errors import SchemaError, clean, shown
from .budget import Budget
from .identifiers import is_name

_HAS_ATTRIBUTES = "seconds" in vars(Duration)
"""Whether fields are attributes of their messages' classes, and hide what else is called so there."""
_ATTRIBUTES = frozenset({*dir(Empty), "Extensions"})


def check_names(file: FileDescriptorProto, budget: Budget) -> None:
    """Count what a file defines, and check all its names.

    Raises:
        SchemaError: a name is not protobuf's (`[A-Za-z_][A-Za-z0-9_]*`), too long, there twice, or used by protobuf
            itself; or the budget is spent.
    """
    budget.name(file.name)
    try:
        _check(_scopes(file, budget), budget)
    except ValueError as error:
        raise SchemaError(clean(f"the server's file {file.name} is not valid: {error}")) from None


def _check(scopes: Iterator[tuple[str, list[str]]], budget: Budget) -> None:
    for scope, names in scopes:
        budget.spend("nodes", len(names))
        budget.spend("bytes", len(names) * len(budget.name(scope)))
        for name in names:
            if not is_name(budget.name(name)):
                raise ValueError(f"{shown(name)} is no name")
        if len({*names}) < len(names):
            raise ValueError(f"{shown(scope)} has one name twice")


def _scopes(file: FileDescriptorProto, budget: Budget) -> Iterator[tuple[str, list[str]]]:
    """Yield each scope and the names in it; among them are those of enums' values, which stand beside their enum."""
    if file.package:
        yield "", list(dict.fromkeys(file.package.split(".")))
    budget.spend("types", len(file.message_type) + len(file.enum_type))
    yield file.package, _names(file.message_type, file.enum_type, file.service, file.extension, *_values(file))
    for service in file.service:
        budget.spend("names", 1 + len(service.method))
        yield _join(file.package, service.name), _names(service.method)
    waiting = [(file.package, each) for each in file.message_type]
    while waiting:
        scope, message = waiting.pop()
        scope = _join(scope, message.name)
        budget.spend("types", len(message.nested_type) + len(message.enum_type))
        _check_attributes(message)
        members = (message.field, message.oneof_decl, message.extension)
        yield scope, _names(*members, message.nested_type, message.enum_type, *_values(message))
        waiting += [(scope, each) for each in message.nested_type]


def _check_attributes(message: DescriptorProto) -> None:
    for field in message.field if _HAS_ATTRIBUTES else ():
        is_special = field.name.startswith("__") and field.name.endswith("__")
        # `<FIELD>_FIELD_NUMBER` is an attribute too.
        if is_special or field.name in _ATTRIBUTES or field.name.endswith("_FIELD_NUMBER"):
            raise ValueError(f"protobuf's implementation in Python can't have a field {shown(field.name)}")


def _values(scope: FileDescriptorProto | DescriptorProto) -> Iterator[Any]:
    return (enum.value for enum in scope.enum_type)


def _names(*definitions: Any) -> list[str]:
    return [each.name for every in definitions for each in every]


def _join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name
