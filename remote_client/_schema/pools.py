"""File descriptors -> a descriptor pool of their own.

Each description has its own pool, so that two runtimes may define the same names differently in one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from ..errors import SchemaError, clean
from .budget import Budget
from .descriptor_checks import check_file, check_types
from .reflection import WELL_KNOWN_FILES

_NO_UTF8 = "the server's files have names that are no UTF-8"


def read_file(data: bytes) -> FileDescriptorProto:
    """Return a file as a server sent it.

    Raises:
        SchemaError: it is none, it is nested too deeply, or has names that are no UTF-8.
    """
    try:
        file = FileDescriptorProto.FromString(data)
    except UnicodeDecodeError:
        raise SchemaError(_NO_UTF8) from None
    except (DecodeError, RecursionError):
        raise SchemaError("the server's reflection sent a file descriptor that cannot be read") from None
    if not all(isinstance(each, str) for each in (file.name, file.package, *file.dependency)):
        raise SchemaError(_NO_UTF8)  # protobuf's implementation in C has such text as bytes
    return file


def pool_of(files: Mapping[str, FileDescriptorProto], budget: Budget | None = None) -> DescriptorPool:
    """Return a pool of the files, and of those of protobuf itself that they import.

    Args:
        files: by their names.
        budget: what they may cost.

    Raises:
        SchemaError: they do not fit together, have names that are none, or spend the budget.
    """
    pool, budget = DescriptorPool(), budget or Budget()
    for file in in_order(files):
        if file.name not in WELL_KNOWN_FILES:
            check_file(file, budget)
        try:
            pool.AddSerializedFile(file.SerializeToString())
            check_types(pool.FindFileByName(file.name))  # protobuf's implementation in Python reads it only now
        except (TypeError, LookupError, ValueError, AttributeError) as error:
            raise SchemaError(clean(f"the server's file {file.name} is not valid: {error}")) from None
    return pool


def in_order(files: Mapping[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Return the files, each after those it depends on."""
    needed: dict[str, FileDescriptorProto] = {}
    waiting = [*files]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = file = _file(files, name)
            waiting.extend(file.dependency)
    imports = {name: file.dependency for name, file in needed.items()}
    try:
        return [needed[name] for name in TopologicalSorter(imports).static_order()]
    except CycleError as error:
        raise SchemaError(
            f"the server's files depend on each other in a circle, at {clean(error.args[1][0])}"
        ) from None


def _file(files: Mapping[str, FileDescriptorProto], name: str) -> FileDescriptorProto:
    """Return the file of a name; protobuf's own come from protobuf."""
    if name in WELL_KNOWN_FILES:
        return FileDescriptorProto.FromString(WELL_KNOWN_FILES[name])
    if name not in files:
        raise SchemaError(f"the server does not describe the file {clean(name)}")
    return files[name]
