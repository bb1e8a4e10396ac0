"""The files that commands read and write."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .ends import WrongUseError

if TYPE_CHECKING:
    from ..settings import Protocol

SUFFIXES: dict[Protocol, tuple[str, ...]] = {"grpc": (".binpb", ".protoset", ".pb", ".desc"), "http": (".json",)}
"""Of the schemas of each protocol: ours first, then those that other tools use."""
_HELD: dict[Protocol, str] = {"grpc": "a FileDescriptorSet", "http": "an OpenAPI document"}


def check_output(path: Path | None, protocol: Protocol) -> None:
    """Refuse a file whose name says something else than what will be in it, and bytes on a terminal.

    Raises:
        WrongUseError: it is one of these.
    """
    if path is not None and path.suffix not in SUFFIXES[protocol]:
        raise WrongUseError(f"-o {path}: over {protocol} this is {_HELD[protocol]}, a {SUFFIXES[protocol][0]} file")
    if path is None and protocol == "grpc" and sys.stdout.isatty():
        raise WrongUseError("the schema is bytes, not for a terminal: name a file with -o, or pipe it")


def schema_beside(output: Path, protocol: Protocol, *, force: bool) -> Path:
    """Return the file of the schema that belongs to a Python file.

    Args:
        output: the Python file.
        protocol: what the server of the schema speaks.
        force: whether anything may be overwritten.

    Raises:
        WrongUseError: the Python file has another name than `.py`, or the schema would overwrite something else.
    """
    if output.suffix != ".py":
        raise WrongUseError(f"-o {output}: this is Python, a .py file")
    beside = output.with_suffix(SUFFIXES[protocol][0])
    if not force and beside.exists() and not _is_schema(read(beside), protocol):
        raise WrongUseError(f"-o {output}: {beside} is there and no schema; only --force overwrites it")
    return beside


def _is_schema(data: bytes, protocol: Protocol) -> bool:
    if protocol == "grpc":
        from .._schema.schema_file import is_set

        return is_set(data)
    try:
        told = json.loads(data)
    except ValueError:
        return False
    return isinstance(told, dict) and "paths" in told


def read(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read; the error is fit to be told.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}") from None


def write(path: Path | None, data: bytes) -> None:
    """Write a file, or to standard output.

    Raises:
        OSError: it cannot be written; the error is fit to be told.
    """
    if path is None:
        sys.stdout.buffer.write(data)
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from None
