"""The files that commands read and write."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .output import STANDARD_OUTPUT, writing
from .usage import UsageError

if TYPE_CHECKING:
    from ..settings import Protocol

SUFFIXES: dict[Protocol, tuple[str, ...]] = {"grpc": (".binpb", ".protoset", ".pb", ".desc"), "http": (".json",)}
"""The suffixes of schema files: this client's first, then those of other tools."""
_FORMATS: dict[Protocol, str] = {"grpc": "a FileDescriptorSet", "http": "an OpenAPI document"}


def check_output(path: Path | None, protocol: Protocol) -> None:
    """Raise a UsageError if the suffix does not fit the protocol, or if binary data would go to a terminal."""
    if path is not None and path.suffix not in SUFFIXES[protocol]:
        raise UsageError(
            f"-o {path}: over {protocol} the schema is {_FORMATS[protocol]}, a {SUFFIXES[protocol][0]} file"
        )
    if path is None and protocol == "grpc" and sys.stdout.isatty():
        raise UsageError("the schema is binary: name a file with -o, or redirect the output")


def schema_beside(output: Path, protocol: Protocol, *, force: bool) -> Path:
    """Return the path of the schema file that belongs to a Python file.

    Args:
        output: the Python file.
        protocol: the protocol of the schema.
        force: whether any file may be overwritten.

    Raises:
        UsageError: the Python file's suffix is not `.py`, or the schema would overwrite a file that is no schema.
    """
    if output.suffix != ".py":
        raise UsageError(f"-o {output}: the output is Python: name a .py file")
    beside = output.with_suffix(SUFFIXES[protocol][0])
    if not force and beside.exists() and not _is_schema(read(beside), protocol):
        raise UsageError(f"-o {output}: {beside} exists and is no schema; use --force to overwrite it")
    return beside


def _is_schema(data: bytes, protocol: Protocol) -> bool:
    if protocol == "grpc":
        from .._schema.schema_file import is_set

        return is_set(data)
    try:
        document = json.loads(data)
    except ValueError:
        return False
    return isinstance(document, dict) and "paths" in document


def read(path: Path) -> bytes:
    """Return a file's content. An OSError names the file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}") from None


def write(path: Path | None, data: bytes) -> None:
    """Write to a file, or to standard output. An OSError names the file."""
    with writing(path or STANDARD_OUTPUT):
        if path is None:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        else:
            path.write_bytes(data)
