"""The parts of a protobuf schema: what a message or an enum needs to be made elsewhere, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from .learned import Part, Recipe
from .pools import pool_of
from .reflection import WELL_KNOWN_FILES

_HEAD = ("name", "package", "syntax", "edition", "options")
"""What of a file its types need."""
Type = Descriptor | EnumDescriptor


class Parts:
    """The parts of one pool's types, each made once. A nested type's part is that of the type around it."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._digests: dict[str, bytes] = {}
        self._references: dict[str, list[Type]] = {}
        self._files: dict[str, _File] = {}

    def recipe(self, kind: Type) -> Recipe:
        """What the class of a message or an enum is made of."""
        names = sorted(self._closure(_outermost(kind)))
        digest = hashlib.sha256(b"protobuf:" + kind.full_name.encode())
        for name in names:
            digest.update(self._digests[name])
        return Recipe(make, kind.full_name, tuple(self._parts[name] for name in names), digest.digest())

    def _closure(self, start: Type) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            kind = waiting.pop()
            if kind.full_name not in found:
                found.add(kind.full_name)
                if kind.full_name not in self._parts:
                    self._add(kind)
                waiting += self._references[kind.full_name]
        return found

    def _add(self, kind: Type) -> None:
        references = {each.full_name: each for each in _references(kind)}
        imports = {each.file.name for each in references.values()} - {kind.file.name}
        own = [each for each in references.values() if each.file.name not in WELL_KNOWN_FILES]
        file = self._file(kind)
        part = Part(kind.full_name, file.definition(kind), file.head, tuple(sorted(imports)))
        digest = self._digests[kind.full_name] = hashlib.sha256(repr(part).encode()).digest()
        self._parts[kind.full_name] = part.shared(digest)
        self._references[kind.full_name] = own

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
        if (used := _type_of(field)) is not None:
            yield _outermost(used)
    for each in kind.nested_types:
        yield from _references(each)


def _type_of(field: FieldDescriptor) -> Type | None:
    return field.message_type if field.message_type is not None else field.enum_type


def files_of(parts: tuple[Part, ...]) -> dict[str, FileDescriptorProto]:
    """The files that the parts stand in, without all else."""
    files: dict[str, FileDescriptorProto] = {}
    for part in parts:
        head = FileDescriptorProto.FromString(part.file)
        file = files.setdefault(head.name, head)
        file.MergeFromString(part.data)
        file.dependency.extend(each for each in part.imports if each not in file.dependency)
    return files


def make(name: str, parts: tuple[Part, ...]) -> type[Any]:
    """The class of a message or an enum, of its recipe."""
    from .types import Types  # which make recipes

    pool, types = pool_of(files_of(parts)), Types()
    try:
        message = pool.FindMessageTypeByName(name)
    except KeyError:
        found: type[Any] = types.enum(pool.FindEnumTypeByName(name))
    else:
        found = types.model(message)
    return found
