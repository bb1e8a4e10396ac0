"""The parts of a protobuf schema that travel with a pickled message or enum: its types, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from ..budget import Budget
from ..dynamic_types import Part, Recipe
from ..type_order import Groups
from .fields import Type, type_of
from .reflection import WELL_KNOWN_FILES

_HEAD = ("name", "package", "syntax", "edition", "options")
"""The fields of a file that its types need."""


class Parts:
    """The parts of one pool's types, each made once. A nested type belongs to the part of the type around it."""

    def __init__(self, budget: Budget, make: Callable[[str, tuple[Part, ...]], type[Any]]) -> None:
        self._make = make
        self._budget = budget
        self._outermost: dict[str, Type] = {}
        self._parts: dict[str, Part] = {}
        self._own: dict[str, bytes] = {}
        """Digests of single parts."""
        self._digests: dict[str, bytes] = {}
        """Digests of parts and all parts they refer to."""
        self._references: dict[str, list[str]] = {}
        self._groups = Groups(self._add)
        self._files: dict[str, _File] = {}

    def recipe(self, kind: Type) -> Recipe:
        """Return the recipe for the class of a message or an enum."""
        name = self._known(_outermost(kind))
        for group in self._groups.of(name):
            self._digest(group)
        digest = hashlib.sha256(b"protobuf:" + kind.full_name.encode() + self._digests[name]).digest()
        return Recipe(self._make, kind.full_name, partial(self._closure, name), digest)

    def _digest(self, group: list[str]) -> None:
        """Digest parts that refer to each other. The other parts they refer to have digests already."""
        others = {self._digests.get(reference, b"") for name in group for reference in self._references[name]}
        digests = sorted(self._own[name] for name in group) + sorted(others)
        self._digests |= dict.fromkeys(group, hashlib.sha256(b"".join(digests)).digest())

    def _closure(self, start: str) -> tuple[Part, ...]:
        found = {start}
        waiting = [start]
        while waiting:
            new = set(self._references[waiting.pop()]) - found
            found |= new
            waiting += new
        return tuple(self._parts[name] for name in sorted(found))

    def _known(self, kind: Type) -> str:
        self._outermost[kind.full_name] = kind
        return kind.full_name

    def _add(self, name: str) -> list[str]:
        """Make the part of an outermost type, and return the names of the parts it refers to."""
        self._budget.check()
        kind = self._outermost[name]
        references = {reference.full_name: reference for reference in _references(kind)}
        imports = sorted({reference.file.name for reference in references.values()} - {kind.file.name})
        file = self._file(kind)
        part = Part(name, file.definition(kind), file.head, tuple(imports))
        # The head may be long, and is the same in all parts of a file: digested once.
        digest = hashlib.sha256(repr((name, imports, file.digest)).encode())
        digest.update(part.data)
        self._own[name] = digest.digest()
        self._parts[name] = part.shared(self._own[name])
        self._references[name] = [
            self._known(reference) for reference in references.values() if reference.file.name not in WELL_KNOWN_FILES
        ]
        return self._references[name]

    def _file(self, kind: Type) -> _File:
        name = kind.file.name
        if name not in self._files:
            self._files[name] = _File(kind.file.serialized_pb)
        return self._files[name]


class _File:
    """A file as the server sent it, as protobuf's implementation in Python cannot copy types out of descriptors."""

    def __init__(self, data: bytes) -> None:
        file = FileDescriptorProto.FromString(data)
        self._messages = {message.name: message for message in file.message_type}
        self._enums = {enum.name: enum for enum in file.enum_type}
        head = {name: getattr(file, name) for name in _HEAD if file.HasField(name)}  # type: ignore[arg-type]
        self.head = FileDescriptorProto(**head).SerializeToString()
        self.digest = hashlib.sha256(self.head).digest()

    def definition(self, kind: Type) -> bytes:
        """Return a file with the single type. Concatenated, such files are a file with all types."""
        if isinstance(kind, EnumDescriptor):
            return FileDescriptorProto(enum_type=[self._enums[kind.name]]).SerializeToString()
        file = FileDescriptorProto(message_type=[self._messages[kind.name]])
        _clear_extensions(file.message_type[0])
        return file.SerializeToString()


def _clear_extensions(message: DescriptorProto) -> None:
    # Extensions may have types that are not among the parts.
    message.ClearField("extension")
    for nested in message.nested_type:
        _clear_extensions(nested)


def _outermost(kind: Any) -> Type:
    while kind.containing_type is not None:
        kind = kind.containing_type
    found: Type = kind
    return found


def _references(kind: Type) -> Iterator[Type]:
    """Yield the outermost types of a message's fields, and of its nested messages' fields."""
    if isinstance(kind, EnumDescriptor):
        return
    for field in kind.fields:
        if (used := type_of(field)) is not None:
            yield _outermost(used)
    for nested in kind.nested_types:
        yield from _references(nested)


def files_of(parts: tuple[Part, ...]) -> dict[str, FileDescriptorProto]:
    """Return files with the parts and nothing else, by their names."""
    files: dict[bytes, FileDescriptorProto] = {}
    imports: dict[bytes, set[str]] = {}
    for part in parts:
        if part.file not in files:
            files[part.file] = FileDescriptorProto.FromString(part.file)
        files[part.file].MergeFromString(part.data)
        imports.setdefault(part.file, set()).update(part.imports)
    for head, file in files.items():
        file.dependency.extend(sorted(imports[head]))
    return {file.name: file for file in files.values()}
