"""The parts of a protobuf schema: what a message or an enum needs to be made elsewhere, and nothing else."""

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
"""What of a file its types need."""


class Parts:
    """The parts of one pool's types, each made once. A nested type's part is that of the type around it.

    Args:
        budget: checked before each part.
        make: see `Recipe.make`.
    """

    def __init__(self, budget: Budget, make: Callable[[str, tuple[Part, ...]], type[Any]]) -> None:
        self._make = make
        self._budget = budget
        self._outermost: dict[str, Type] = {}
        self._parts: dict[str, Part] = {}
        self._own: dict[str, bytes] = {}
        """The digest of each part alone."""
        self._digests: dict[str, bytes] = {}
        """The digest of each part and of all that it refers to."""
        self._references: dict[str, list[str]] = {}
        self._groups = Groups(self._add)
        self._files: dict[str, _File] = {}

    def recipe(self, kind: Type) -> Recipe:
        """What the class of a message or an enum is made of."""
        name = self._known(_outermost(kind))
        for group in self._groups.of(name):
            self._digest(group)
        digest = hashlib.sha256(b"protobuf:" + kind.full_name.encode() + self._digests[name]).digest()
        return Recipe(self._make, kind.full_name, partial(self._closure, name), digest)

    def _digest(self, group: list[str]) -> None:
        """Digest parts that refer to each other. All else that they refer to has a digest."""
        others = {self._digests.get(each, b"") for name in group for each in self._references[name]}
        told = sorted(self._own[name] for name in group) + sorted(others)
        self._digests |= dict.fromkeys(group, hashlib.sha256(b"".join(told)).digest())

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
        """Make the part of an outermost type, and return the names of those that it refers to."""
        self._budget.check()
        kind = self._outermost[name]
        references = {each.full_name: each for each in _references(kind)}
        imports = sorted({each.file.name for each in references.values()} - {kind.file.name})
        file = self._file(kind)
        part = Part(name, file.definition(kind), file.head, tuple(imports))
        # The head may be long, and stands in all parts of its file.
        digest = hashlib.sha256(repr((name, imports, file.digest)).encode())
        digest.update(part.data)
        self._own[name] = digest.digest()
        self._parts[name] = part.shared(self._own[name])
        own = [self._known(each) for each in references.values() if each.file.name not in WELL_KNOWN_FILES]
        self._references[name] = own
        return own

    def _file(self, kind: Type) -> _File:
        name = kind.file.name
        if name not in self._files:
            self._files[name] = _File(kind.file.serialized_pb)
        return self._files[name]


class _File:
    """A file as the server sent it: protobuf's implementation in Python can't copy a type out of its descriptor."""

    def __init__(self, data: bytes) -> None:
        file = FileDescriptorProto.FromString(data)
        self._messages = {each.name: each for each in file.message_type}
        self._enums = {each.name: each for each in file.enum_type}
        head = {name: getattr(file, name) for name in _HEAD if file.HasField(name)}  # type: ignore[arg-type]
        self.head = FileDescriptorProto(**head).SerializeToString()
        self.digest = hashlib.sha256(self.head).digest()

    def definition(self, kind: Type) -> bytes:
        """A file that has the one type: such files, one after the other, are a file that has them all."""
        if isinstance(kind, EnumDescriptor):
            return FileDescriptorProto(enum_type=[self._enums[kind.name]]).SerializeToString()
        file = FileDescriptorProto(message_type=[self._messages[kind.name]])
        _clear_extensions(file.message_type[0])
        return file.SerializeToString()


def _clear_extensions(message: DescriptorProto) -> None:
    """Extensions may be of types that are not needed."""
    message.ClearField("extension")
    for each in message.nested_type:
        _clear_extensions(each)


def _outermost(kind: Any) -> Type:
    while kind.containing_type is not None:
        kind = kind.containing_type
    found: Type = kind
    return found


def _references(kind: Type) -> Iterator[Type]:
    """The outermost types that a message's fields have, and those of its nested messages."""
    if isinstance(kind, EnumDescriptor):
        return
    for field in kind.fields:
        if (used := type_of(field)) is not None:
            yield _outermost(used)
    for each in kind.nested_types:
        yield from _references(each)


def files_of(parts: tuple[Part, ...]) -> dict[str, FileDescriptorProto]:
    """The files that the parts stand in, without all else."""
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
