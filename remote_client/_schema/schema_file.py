"""Schemas on file, which describe a server without asking it. They are read here, and parsed on first use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._objects.copying import Immutable
from ..errors import ConfigurationError, SchemaError
from ..settings import Protocol
from .rpc import ServiceDescription

_FILE = 0x0A
"""The tag of the only field of a `FileDescriptorSet`."""
_FORMATS: dict[Protocol | None, str] = {"grpc": "descriptors of protobuf", "http": "an OpenAPI document"}


@dataclass(frozen=True)
class SchemaFile(Immutable):
    """A schema on file.

    Attributes:
        data: a serialized `google.protobuf.FileDescriptorSet`, or an OpenAPI document as JSON.
        name: the file's path, for errors.
        protocol: the protocol of its servers.
    """

    data: bytes = field(repr=False)
    name: str = field(compare=False)
    protocol: Protocol

    @property
    def source(self) -> tuple[Callable[..., ServiceDescription], bytes]:
        """The function that makes the description, and its argument."""
        if self.protocol == "http":
            from .openapi.document import describe_file

            return describe_file, self.data
        from .protobuf.services import describe_set  # here, because it loads protobuf

        return describe_set, self.data


Schema = SchemaFile | ServiceDescription
"""A description of a server that was not asked."""


def read_schema(given: Any, protocol: Protocol | None, option: str = "schema") -> Schema:
    """Return the schema that a user gives.

    Args:
        given: a path, the bytes of a file, or a description.
        protocol: the server's protocol; None accepts either.
        option: the option's name in errors.

    Raises:
        ConfigurationError: the file cannot be read, is not a schema, or has the schema of the other protocol.
    """
    schema = given if isinstance(given, (SchemaFile, ServiceDescription)) else _read(given, option)
    if protocol is not None and schema.protocol not in (protocol, None):
        name = schema.name if isinstance(schema, SchemaFile) else "the description"
        found, expected = _FORMATS[schema.protocol], _FORMATS[protocol]
        raise ConfigurationError(f"{option}: {name} has {found}; over {protocol} it takes {expected}")
    return schema


def _read(given: Any, option: str) -> SchemaFile:
    if isinstance(given, (bytes, bytearray, memoryview)):
        return file_of(bytes(given), "the given data", option)
    if not isinstance(given, (str, os.PathLike)):
        raise ConfigurationError(
            f"{option}: give the path or the bytes of a schema, or a ServiceDescription, not {type(given).__name__}"
        )
    if not os.fspath(given):  # Path("") is the current folder
        raise ConfigurationError(f"{option}: the path is empty; for no schema give None")
    name = os.fsdecode(given)  # for errors, as Path turns `https://host` into `https:/host`
    path = Path(name)
    if path.is_dir() or (path.suffix == ".proto" and path.exists()):
        return _compiled(path, option)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{option}: {name} cannot be read: {reason}") from None
    return file_of(data, name, option)


def _compiled(path: Path, option: str) -> SchemaFile:
    from .protobuf.proto_files import compile_protos  # here, because few programs need it

    try:
        return SchemaFile(compile_protos(path), str(path), "grpc")
    except ConfigurationError as error:
        raise ConfigurationError(f"{option}: {error}") from None


def file_of(data: bytes, name: str, option: str) -> SchemaFile:
    """Return the schema in a file's bytes; see `read_schema`."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and not _begins_like_json(data):
        return SchemaFile(data, name, "http")
    if not is_set(data):
        raise ConfigurationError(
            f"{option}: {name} is not a schema: neither a FileDescriptorSet, as `protoc --descriptor_set_out "
            "--include_imports` and `buf build` make it, nor an OpenAPI document as JSON"
        )
    return SchemaFile(data, name, "grpc")


def _begins_like_json(data: bytes) -> bool:
    """Return whether the bytes are descriptors whose first file has 123 bytes: these begin as a JSON document may."""
    return data.startswith(b"\n{") and is_set(data)


def is_set(data: bytes) -> bool:
    """Return whether the bytes are a `FileDescriptorSet`: files, one after the other."""
    from .protobuf.wire import read_varint  # here, because it loads protobuf

    position = 0
    try:
        while position < len(data):
            tag, position = read_varint(data, position)
            size, position = read_varint(data, position)
            if tag != _FILE:
                return False
            position += size
    except (IndexError, ValueError):
        return False
    return position == len(data) > 0


def schema_bytes(description: ServiceDescription) -> bytes:
    """Return the file of a description: a `FileDescriptorSet` over gRPC, the OpenAPI document over HTTP.

    A server gives the same bytes however it orders its files.

    Raises:
        SchemaError: the description comes neither from a server nor from a file.
    """
    if description.source is None:
        raise SchemaError("only a description that came from a server or a file can be written")
    if description.protocol == "http":
        return _indented(description.source[1])
    from .protobuf.services import descriptor_set  # here, because it loads protobuf

    return descriptor_set(description)


def _indented(document: bytes) -> bytes:
    """Return a JSON document with one value a line, for readable diffs."""
    try:
        return json.dumps(json.loads(document), indent=2, allow_nan=False).encode() + b"\n"
    except (ValueError, RecursionError):  # numbers and depths that only other readers accept
        return document
