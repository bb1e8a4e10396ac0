"""The schema files that commands write."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .ends import WrongUseError

if TYPE_CHECKING:
    from ..settings import Protocol

_SUFFIXES: dict[Protocol, tuple[str, ...]] = {"grpc": (".binpb", ".protoset", ".pb", ".desc"), "http": (".json",)}
"""Of the schemas of each protocol: ours first, then those that other tools use."""
_HELD: dict[Protocol, str] = {"grpc": "a FileDescriptorSet", "http": "an OpenAPI document"}


def check_output(path: Path | None, protocol: Protocol) -> None:
    """Refuse a file whose name says something else than what will be in it, and bytes on a terminal.

    Raises:
        WrongUseError: it is one of these.
    """
    if path is not None and path.suffix not in _SUFFIXES[protocol]:
        raise WrongUseError(f"-o {path}: over {protocol} this is {_HELD[protocol]}, a {_SUFFIXES[protocol][0]} file")
    if path is None and protocol == "grpc" and sys.stdout.isatty():
        raise WrongUseError("the schema is bytes, not for a terminal: name a file with -o, or pipe it")


def schema_beside(output: Path, protocol: Protocol) -> Path:
    """Return the file of the schema that belongs to a Python file.

    Raises:
        WrongUseError: the Python file has another name than `.py`, or the schema would overwrite something else.
    """
    if output.suffix != ".py":
        raise WrongUseError(f"-o {output}: this is Python, a .py file")
    beside = output.with_suffix(_SUFFIXES[protocol][0])
    if protocol == "http" and beside.exists() and not _is_document(beside.read_bytes()):
        raise WrongUseError(f"-o {output}: {beside} is there and no schema; it is not overwritten")
    return beside


def _is_document(data: bytes) -> bool:
    try:
        told = json.loads(data)
    except ValueError:
        return False
    return isinstance(told, dict) and "paths" in told


def write_schema(data: bytes, path: Path | None) -> None:
    """Write a schema to a file, or to standard output."""
    if path is None:
        sys.stdout.buffer.write(data)
    else:
        path.write_bytes(data)
