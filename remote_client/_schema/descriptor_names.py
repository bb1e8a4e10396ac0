"""The names in a server's file descriptors. They are checked and counted before protobuf's pool gets the file.

protobuf's implementation in Python, which PyPy and musl have, takes any text for a name. That in C, which the wheels
have, keeps the full name of all that a file defines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto

from ..errors import SchemaError, clean, shown
from .budget import Budget, Kind
from .identifiers import is_name


class _Definition(NamedTuple):
    """What a file defines: its own name, and those of what stands in it."""

    kind: Kind
    full_name: str
    names: list[str]


def check_names(file: FileDescriptorProto, budget: Budget) -> None:
    """Count what a file defines, and check all its names.

    Raises:
        SchemaError: a name is not protobuf's (`[A-Za-z_][A-Za-z0-9_]*`) or too long, or the budget is spent.
    """
    budget.name(file.name)
    for kind, full_name, names in _definitions(file):
        budget.spend(kind)
        budget.spend("nodes", len(names))
        budget.spend("bytes", len(names) * len(budget.name(full_name)))
        for name in names:
            if not is_name(budget.name(name)):
                raise SchemaError(f"the server's file {clean(file.name)} is not valid: {shown(name)} is no name")


def _definitions(file: FileDescriptorProto) -> Iterator[_Definition]:
    scope = file.package
    if scope:
        yield _Definition("names", scope, scope.split("."))
    yield _Definition("names", scope, [each.name for each in file.extension])
    yield from _enums(scope, file.enum_type)
    for service in file.service:
        yield _Definition("names", _join(scope, service.name), [service.name, *(each.name for each in service.method)])
    waiting = [(scope, each) for each in file.message_type]
    while waiting:
        scope, message = waiting.pop()
        full_name = _join(scope, message.name)
        yield _Definition("types", full_name, _names(message))
        yield from _enums(full_name, message.enum_type)
        waiting += [(full_name, each) for each in message.nested_type]


def _names(message: DescriptorProto) -> list[str]:
    members = (message.field, message.oneof_decl, message.extension)
    return [message.name, *(each.name for every in members for each in every)]


def _enums(scope: str, enums: Iterable[EnumDescriptorProto]) -> Iterator[_Definition]:
    for enum in enums:
        yield _Definition("types", _join(scope, enum.name), [enum.name, *(each.name for each in enum.value)])


def _join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name
