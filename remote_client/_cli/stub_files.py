"""The command `stubs`, with or without the extra `cli`: writes the Python file and the schema beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .description_sources import FileSource, ServerSource, as_usage_error, source_of
from .files import SUFFIXES, read, schema_beside, write
from .usage import UsageError

if TYPE_CHECKING:
    from .._schema.rpc import ServiceDescription
    from .options import Options


async def write_stubs(options: Options, output: Path | None, *, blocking: bool, force: bool = False) -> int:
    """Write declared modules for a server's tasks and return the exit code.

    Args:
        options: name the server, or the schema file to read instead of asking it.
        output: the Python file; the schema goes beside it. None writes to standard output, without the schema.
        blocking: whether the modules are for the blocking client.
        force: whether files may be overwritten that this command did not write.
    """
    source = await source_of(options)
    beside = None if output is None else schema_beside(output, source.protocol, force=force)
    description = await source.description()
    text = _render(source, description, blocking, beside)
    if output is None or beside is None:
        sys.stdout.write(text)
        return 0
    if not (force or await _is_unedited(output, text)):
        raise UsageError(
            f"-o {output}: the file exists and differs from what stubs writes; use --force to overwrite it, "
            f"or renew only the schema with: remote-client schema -o {beside}"
        )
    from .._schema.schema_file import schema_bytes

    write(beside, schema_bytes(description))
    write(output, text.encode())
    return 0


def _render(
    source: ServerSource | FileSource, description: ServiceDescription, blocking: bool, beside: Path | None
) -> str:
    from .._stubs.writer import render

    schema = None if beside is None else beside.name
    if isinstance(source, ServerSource):
        return render(description, "a caikit runtime", blocking=blocking, schema=schema)
    with as_usage_error(source.option):  # a file's types are parsed on first use
        return render(description, "a caikit runtime", blocking=blocking, schema=schema)


async def _is_unedited(output: Path, text: str) -> bool:
    """Return whether the file is empty, equals the new text, or is what stubs writes for a schema beside it."""
    content = _content(output)
    if content in (b"", text.encode()):
        return True
    # The file may have been written over the other protocol.
    schemas = [output.with_suffix(suffixes[0]) for suffixes in SUFFIXES.values()]
    return any([content in await _renderings(schema) for schema in schemas if schema.exists()])


def _content(output: Path) -> bytes:
    return read(output) if output.exists() else b""


async def _renderings(schema: Path) -> list[bytes]:
    """Return both files that stubs writes for a schema file, or none if it is invalid."""
    from ..errors import ConfigurationError

    try:
        source = await FileSource.read(str(schema), None, "-o")
        description = await source.description()
        return [_render(source, description, blocking, schema).encode() for blocking in (False, True)]
    except (ConfigurationError, UsageError):
        return []
