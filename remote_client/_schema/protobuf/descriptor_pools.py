"""Descriptor pools. A description has its own, so that two runtimes may define the same names differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from ..._text.cleaning import clean
from ...errors import SchemaError
from ..budget import Budget
from .descriptor_checks import check_file, check_types
from .reflection import WELL_KNOWN_FILES

_NO_UTF8 = "the files have names that are not UTF-8"


def parse_file(data: bytes) -> FileDescriptorProto:
    """Parse a file that a server sent.

    Raises:
        SchemaError: it is not a file descriptor, is nested too deeply, or has names that are not UTF-8.
    """
    try:
        file = FileDescriptorProto.FromString(data)
    except UnicodeDecodeError:
        raise SchemaError(_NO_UTF8) from None
    except (DecodeError, RecursionError):
        raise SchemaError("the server's reflection sent a file descriptor that cannot be read") from None
    check_text(file)
    return file


def check_text(file: FileDescriptorProto) -> None:
    """Raise a SchemaError for names that are not UTF-8, which protobuf's implementation in C returns as bytes."""
    if not all(isinstance(name, str) for name in (file.name, file.package, *file.dependency)):
        raise SchemaError(_NO_UTF8)


class Pool:
    """A descriptor pool that adds files when they are needed, within the budget. protobuf's own files may be missing.

    Attributes:
        pool: protobuf's pool.
    """

    def __init__(self, files: Mapping[str, FileDescriptorProto], budget: Budget) -> None:
        self.pool = DescriptorPool()
        self._files = files
        self._budget = budget
        self._checked: set[str] = set()
        self._added: set[str] = set()
        self._messages: dict[str, tuple[FileDescriptorProto, DescriptorProto]] | None = None

    def check(self, file: FileDescriptorProto) -> None:
        """Check a file once, as far as possible without its dependencies.

        Raises:
            SchemaError: it has invalid names, or spends the budget.
        """
        if file.name not in self._checked and file.name not in WELL_KNOWN_FILES:
            check_file(file, self._budget)
        self._checked.add(file.name)

    def add(self, names: Iterable[str]) -> None:
        """Add files, after their dependencies.

        Raises:
            SchemaError: they do not fit together, have invalid names, or spend the budget.
        """
        for file in in_dependency_order(self._files, names):
            if file.name not in self._added:
                self._add(file)

    def _add(self, file: FileDescriptorProto) -> None:
        self.check(file)
        try:
            self.pool.AddSerializedFile(file.SerializeToString())
            check_types(self.pool.FindFileByName(file.name))  # also makes protobuf in Python parse it
        except (TypeError, LookupError, ValueError, AttributeError) as error:
            raise SchemaError(clean(f"the file {file.name} is not valid: {error}")) from None
        self._added.add(file.name)

    def message(self, full_name: str) -> Descriptor:
        """Return the descriptor of a message. Add the file that defines it.

        Raises:
            SchemaError: see `add`, or no file defines the message.
        """
        found = self.definition(full_name)
        if found is not None:
            self.add([found[0].name])
        try:
            return self.pool.FindMessageTypeByName(full_name)
        except KeyError:
            raise SchemaError(f"the type {clean(full_name)} is not described") from None

    def full_name(self, name: str, scope: str) -> str:
        """Return the full name of a message that goes by a name in a scope; after a dot in front it is the full one."""
        if not isinstance(name, str):
            raise SchemaError(_NO_UTF8)
        if name.startswith("."):
            return name[1:]
        while scope:
            if self.definition(f"{scope}.{name}") is not None:
                return f"{scope}.{name}"
            scope = scope.rpartition(".")[0]
        return name

    def definition(self, full_name: str) -> tuple[FileDescriptorProto, DescriptorProto] | None:
        """Return the file that defines a message, and the definition; None if no file does. Add nothing."""
        outermost, inner = full_name, list[str]()
        while outermost not in self._outermost:
            outermost, dot, name = outermost.rpartition(".")
            if not dot:
                return None
            inner.append(name)
        file, message = self._outermost[outermost]
        for name in reversed(inner):
            found = next((nested for nested in message.nested_type if nested.name == name), None)
            if found is None:
                return None
            message = found
        return file, message

    @property
    def _outermost(self) -> dict[str, tuple[FileDescriptorProto, DescriptorProto]]:
        """The messages that are not nested, by their full names."""
        if self._messages is None:
            own = [file for name, file in self._files.items() if name not in WELL_KNOWN_FILES]
            self._messages = {
                f"{file.package}.{message.name}" if file.package else message.name: (file, message)
                for file in (*_well_known_files(), *own)
                for message in file.message_type
            }
        return self._messages


@cache
def _well_known_files() -> list[FileDescriptorProto]:
    return [FileDescriptorProto.FromString(data) for data in WELL_KNOWN_FILES.values()]


def pool_of(files: Mapping[str, FileDescriptorProto], budget: Budget | None = None) -> DescriptorPool:
    """Return a pool of the files and of protobuf's own files that they import.

    Raises:
        SchemaError: they do not fit together, have invalid names, or spend the budget.
    """
    made = Pool(files, budget or Budget())
    made.add(files)
    return made.pool


def in_dependency_order(
    files: Mapping[str, FileDescriptorProto], names: Iterable[str] | None = None
) -> list[FileDescriptorProto]:
    """Return files, by default all, after their dependencies.

    Raises:
        SchemaError: a file depends on a missing file, or on itself.
    """
    needed: dict[str, FileDescriptorProto] = {}
    waiting = [*(files if names is None else names)]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = file = _file(files, name)
            waiting.extend(file.dependency)
    imports = {name: file.dependency for name, file in needed.items()}
    try:
        return [needed[name] for name in TopologicalSorter(imports).static_order()]
    except CycleError as error:
        raise SchemaError(f"the files depend on each other in a circle, at {clean(error.args[1][0])}") from None


def _file(files: Mapping[str, FileDescriptorProto], name: str) -> FileDescriptorProto:
    """Return the file of a name. protobuf's own files come from protobuf."""
    if name in WELL_KNOWN_FILES:
        return FileDescriptorProto.FromString(WELL_KNOWN_FILES[name])
    if name not in files:
        raise SchemaError(f"the file {clean(name)} is not described")
    return files[name]
